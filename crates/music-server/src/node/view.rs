//! What a node shows of itself and its sections.

use music_core::critical_section::Status;
use music_core::id::{Moves, RecordId, RequestId, SessionId};
use music_core::lock_queue::Mode;
use music_core::lock_ref::FencingToken;
use music_core::time::Lease;

/// A lockRef, as its string names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionRef {
    /// Names the section.
    pub request: RequestId,
    /// The keys, in sorted order, each once.
    pub keys: Vec<RecordId>,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the client may go unheard.
    pub lease: Lease,
    /// How often the client had moved when it asked this node.
    pub moves: Moves,
}

/// A section as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionView {
    /// Where it stands.
    pub state: Status,
    /// The fencing token of each key, once granted; empty before.
    pub tokens: Vec<(RecordId, FencingToken)>,
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The section is over; it was not asked whether it counted.
    Plain,
    /// Nobody else was granted in between: the whole section counts.
    Confirmed,
}

/// A node as it sees itself.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The node session.
    pub session: SessionId,
    /// Whether its lease is valid, so that it may keep sections.
    pub lease_valid: bool,
    /// How many sections are open here.
    pub sections: usize,
    /// How many tickets are kept for sections to come.
    pub kept: usize,
    /// How many sections stand in line for a ticket that they will have together.
    pub in_line: usize,
}
