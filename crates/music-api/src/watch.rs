//! Server-sent events: their names, and the data that is not a shape of its
//! own elsewhere.
//!
//! | event | data | at |
//! |---|---|---|
//! | [`RECORD`] | [`Change`] | `/v1/watch` of a table, a prefix or a key |
//! | [`RESET`] | `{}` | the same: events were missed, the state follows whole |
//! | [`QUEUE`] | [`Queue`](crate::queue::Queue) | `/v1/watch` of a queue |
//! | [`LOCK`] | [`Lock`](crate::lock::Lock) | `/v1/locks/{lock_ref}/events` |
//! | [`PROBLEM`] | [`Problem`](crate::problem::Problem) | all: the last event of a stream that failed |

use serde::{Deserialize, Serialize};

use crate::table::Record;

/// A record as it is now.
pub const RECORD: &str = "record";
/// Forget what was told so far: records follow as they are now.
pub const RESET: &str = "reset";
/// A queue as it is now.
pub const QUEUE: &str = "queue";
/// A section as it is now.
pub const LOCK: &str = "lock";
/// Why the stream ends.
pub const PROBLEM: &str = "problem";

/// A record as it is now; without fields where it was deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Change {
    /// The table's name.
    pub table: String,
    /// The record.
    #[serde(flatten)]
    pub record: Record,
}
