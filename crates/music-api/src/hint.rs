//! `POST /v1/hints`: what a node tells another one of queues.

use serde::{Deserialize, Serialize};

use crate::name::KeyRef;

/// The most keys of one message, wanted and changed ones each.
pub const HINTS_MAX: usize = 256;

/// Body of `POST /v1/hints`: keys whose queues are worth a look.
///
/// Sent by nodes to each other, where the lock engine has no watches. Whatever
/// it says, it causes no more than looks at these queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Hints {
    /// The session of the node that sends it: 32 hexadecimal digits.
    pub from: String,
    /// Keys that the sender waits for, and wants to hear of. At most 256.
    #[serde(default)]
    pub wanted: Vec<KeyRef>,
    /// Keys that the sender has released. At most 256.
    #[serde(default)]
    pub changed: Vec<KeyRef>,
}
