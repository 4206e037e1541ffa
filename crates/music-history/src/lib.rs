//! What clients of a deployment did and saw, as a list of events.
//!
//! A history holds nothing but what clients know, and the faults that were
//! injected: it can come from the simulation or from a real deployment, whose
//! clients ran on one machine and so share a clock. One JSON object a line.
//!
//! Every put has a number of its own within the history, and writes that
//! number into each field that it sets: a value that is read names the put it
//! comes from, whoever wrote it back since.
//!
//! | module | what it holds |
//! |---|---|
//! | [`lines`] | a history as JSON lines |
//! | [`index`] | who did what when, read from the events once for all judges |
//! | [`sight`] | which puts an observation can come from, and which of two is older |
//! | [`judges`] | one a guarantee, and the report of all of them |
//! | [`workload`] | what the clients do whose history is written |

pub mod index;
pub mod judges;
pub mod lines;
#[cfg(test)]
mod model;
pub mod sight;
#[cfg(test)]
pub(crate) mod story;
pub mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

pub use index::{History, Limits, Malformed};
pub use judges::{JUDGES, Report, Violation, judge};

/// A client, unique within a history; it does one thing after the other,
/// except where it pipelines puts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u32);

/// One critical section that a client asked for, unique within a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SectionId(pub u32);

/// One operation, unique within a history. Of a put it is also the value that
/// it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(pub u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fields of a record that have a value, and the puts that wrote these.
pub type Fields = BTreeMap<String, OpId>;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in microseconds since the history began, by a clock that all
    /// clients share. Events stand in this order; of two at the same time the
    /// first came first.
    pub at_us: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A client came to be, at a site.
    Client {
        /// Which.
        client: ClientId,
        /// Its site, whose node it asks first.
        site: u32,
    },
    /// A client is gone without a word: none of its operations is answered any
    /// more.
    Crashed {
        /// Which.
        client: ClientId,
    },
    /// A client asks for the lock of a key set.
    Asked {
        /// Who.
        client: ClientId,
        /// Names the section from now on.
        section: SectionId,
        /// The keys.
        keys: BTreeSet<String>,
        /// Beside other shared sections, to read only.
        shared: bool,
    },
    /// The section is granted.
    Granted {
        /// Which.
        section: SectionId,
        /// The fencing token of each key: the number of its lockRef.
        tokens: BTreeMap<String, u64>,
    },
    /// The section was not granted, and never will be.
    Refused {
        /// Which.
        section: SectionId,
    },
    /// A critical put begins.
    Put {
        /// In which section.
        section: SectionId,
        /// Names it, and is what it writes.
        op: OpId,
        /// Of which key.
        key: String,
        /// The fields that it sets (`true`) or deletes (`false`), together.
        fields: BTreeMap<String, bool>,
        /// Whether it deletes the whole record; `fields` is empty then.
        whole: bool,
    },
    /// A critical put ended.
    PutEnded {
        /// Which.
        op: OpId,
        /// How.
        outcome: PutOutcome,
    },
    /// A critical get begins.
    Get {
        /// In which section.
        section: SectionId,
        /// Names it.
        op: OpId,
        /// Of which key.
        key: String,
    },
    /// A critical get ended: the fields that have a value, or `None` where it
    /// failed.
    Got {
        /// Which.
        op: OpId,
        /// What it read.
        fields: Option<Fields>,
    },
    /// The client learns that the section's lock is lost, and stops.
    Lost {
        /// Which.
        section: SectionId,
    },
    /// The client begins to end the section.
    Ending {
        /// Which.
        section: SectionId,
        /// Whether it asks if the whole section counts.
        confirm: bool,
    },
    /// The section ended.
    Ended {
        /// Which.
        section: SectionId,
        /// How.
        outcome: EndOutcome,
    },
    /// Somebody begins to force the section out by hand.
    Forced {
        /// Which.
        section: SectionId,
    },
    /// The client turns to another node in mid-section. What it had asked of
    /// the one that it left may still be answered.
    Moved {
        /// Which section.
        section: SectionId,
    },
    /// An operation that needs no lock begins: an eventual put or get at the
    /// client's own site, or one that the table's mode forbids.
    Plain {
        /// Who.
        client: ClientId,
        /// Names it.
        op: OpId,
        /// Which kind.
        kind: PlainKind,
    },
    /// An operation that needs no lock ended.
    PlainEnded {
        /// Which.
        op: OpId,
        /// How.
        outcome: PlainOutcome,
    },
    /// A site is cut off from all others, in both directions, and its clients
    /// with it. It is a minority: a deployment where one site alone has a
    /// majority does not record it.
    CutOff {
        /// Which.
        site: u32,
    },
    /// A site that was cut off is not any more.
    Healed {
        /// Which.
        site: u32,
    },
    /// A node or a replica of a site stops: what needs that site alone may
    /// fail.
    Down {
        /// Which site.
        site: u32,
    },
    /// All nodes and replicas of a site that was down run again.
    Up {
        /// Which site.
        site: u32,
    },
    /// Faults stop for good: from now on everything must come to rest.
    Calm,
    /// The end: whoever still waits waits in vain.
    End,
}

/// How a critical put ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PutOutcome {
    /// A majority has it, under this stamp.
    Acknowledged {
        /// The number of the stamp.
        stamp: u64,
    },
    /// It did not and will not take effect.
    NotApplied,
    /// It may take effect, now or later.
    Unknown,
}

/// How a section ended, to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndOutcome {
    /// By a plain release.
    Released,
    /// By a confirmed release: nobody else was granted in between.
    Confirmed,
    /// It was lost before.
    Lost,
    /// The client does not know.
    Unknown,
}

/// An operation that needs no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainKind {
    /// A put on an eventual table.
    EventualPut,
    /// A get of an eventual table.
    EventualGet,
    /// A get of a critical table, without its lock.
    CriticalTableGet,
    /// A put on a critical table without its lock: must be refused.
    PutOnCritical,
    /// A lock on an eventual table: must be refused.
    LockOnEventual,
}

/// How an operation that needs no lock ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainOutcome {
    /// It succeeded.
    Done,
    /// The table's mode does not allow it.
    WrongMode,
    /// It failed in another way.
    Failed,
}
