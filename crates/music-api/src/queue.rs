//! `/v1/queues/{table}/{key}`: who holds, who waits.

use serde::{Deserialize, Serialize};

use crate::lock::LockMode;

/// A place in a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Ticket {
    /// The number. The fencing tokens of its sections are 65,536 times that, and
    /// one more for each that had it before.
    pub number: u64,
    /// Grows when another node takes the section over, and when its own keeps the
    /// ticket.
    pub incarnation: u8,
    /// Exclusive or shared.
    pub mode: LockMode,
    /// Whether it is at the head.
    pub holds: bool,
    /// Whether its node keeps it for its own clients: for one that has come within
    /// the last second, is still to come, or stands in line.
    pub kept: bool,
    /// The node session that keeps it alive, in hexadecimal.
    pub owner: String,
    /// The section's request id, in hexadecimal; a name that no section has where
    /// it is kept.
    pub request: String,
}

/// A page of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Queue {
    /// The tickets, the head first.
    pub tickets: Vec<Ticket>,
    /// How many tickets there are in all.
    pub length: u64,
    /// How many more sections wait at the node that answers, for a ticket of its
    /// own that they have together.
    #[serde(default)]
    pub in_line: u64,
    /// The highest number issued.
    pub last: u64,
    /// The highest number removed by force.
    pub forced: u64,
    /// Whether the next holder must settle the key's value first.
    pub needs_synchronization: bool,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}
