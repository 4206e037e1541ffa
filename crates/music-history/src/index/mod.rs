//! Who did what when: what all judges ask of a history, read from its events
//! once.
//!
//! The order of the events is real time: an operation precedes another if it
//! ended before the other began.

mod reader;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use music_core::lock_ref::FencingToken;

pub use reader::{Defect, Malformed};

use super::{
    ClientId, EndOutcome, Event, Fields, OpId, PlainKind, PlainOutcome, PutOutcome, SectionId,
};

/// How long things may take in the deployment that the history is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long any operation but the wait for a lock may take.
    pub deadline: Duration,
    /// How long after the last fault its effects may last: suspicions, lost
    /// sections, refusals of nodes whose lease ran out. Two leases at least.
    pub settling: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            settling: Duration::from_mins(1),
        }
    }
}

/// When an event happened: moments are ordered as events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Which event it is, from 0.
    pub index: usize,
    /// When, in microseconds since the history began.
    pub at_us: u64,
}

impl Moment {
    /// The time between two moments; zero where `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.at_us.saturating_sub(earlier.at_us))
    }
}

/// As the line of a history's file.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} at {}us",
            self.index.saturating_add(1),
            self.at_us
        )
    }
}

/// What is known of a client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where it is.
    pub site: u32,
    /// When it was gone, if it ever was.
    pub crashed: Option<Moment>,
}

/// A grant, as its client learned of it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// When.
    pub at: Moment,
    /// The fencing token of each key.
    pub tokens: BTreeMap<String, u64>,
}

/// A critical section, from its client's side.
#[derive(Clone, Debug)]
pub struct Section {
    /// Which.
    pub id: SectionId,
    /// Whose.
    pub client: ClientId,
    /// Of which keys.
    pub keys: BTreeSet<String>,
    /// Whether it shares them.
    pub shared: bool,
    /// When it was asked for.
    pub asked: Moment,
    /// When it was granted, if it was.
    pub granted: Option<Grant>,
    /// When its client learned that it never will be granted.
    pub refused: Option<Moment>,
    /// When its client learned that it is lost.
    pub lost: Option<Moment>,
    /// When its client began to end it.
    pub ending: Option<Moment>,
    /// When and how it ended.
    pub ended: Option<(Moment, EndOutcome)>,
    /// When somebody first began to force it out by hand.
    pub forced: Option<Moment>,
    /// When its client turned to another node.
    pub moved: Vec<Moment>,
}

impl Section {
    /// Its fencing token of a key; `None` where it was not granted.
    pub fn token(&self, key: &str) -> Option<u64> {
        self.granted.as_ref()?.tokens.get(key).copied()
    }

    /// When it was granted.
    pub fn granted_at(&self) -> Option<Moment> {
        self.granted.as_ref().map(|grant| grant.at)
    }

    /// Whether it was granted under tickets that its node had kept alone.
    pub fn is_handed_over(&self) -> bool {
        let tokens = self.granted.iter().flat_map(|grant| grant.tokens.values());
        let mut tokens = tokens.map(|token| FencingToken::from_number(*token));
        self.granted.is_some() && tokens.all(FencingToken::is_handed_over)
    }

    /// When its client began to end it, if nobody else was granted before
    /// that, as the client was told.
    pub fn confirmed(&self) -> Option<Moment> {
        match self.ended? {
            (_, EndOutcome::Confirmed) => self.ending,
            _ => None,
        }
    }

    /// The keys that it shares with another section.
    pub fn keys_in_common<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a String> {
        self.keys.intersection(&other.keys)
    }

    /// Whether the two may hold a key at the same time.
    pub fn excludes(&self, other: &Self) -> bool {
        !(self.shared && other.shared)
    }
}

/// A critical put.
#[derive(Clone, Debug)]
pub struct Put {
    /// Which.
    pub op: OpId,
    /// Of which section.
    pub section: SectionId,
    /// That section's token of the key.
    pub token: u64,
    /// The fields that it sets (`true`) or deletes (`false`).
    pub fields: BTreeMap<String, bool>,
    /// Whether it deletes the whole record.
    pub whole: bool,
    /// When it began.
    pub begun: Moment,
    /// When and how it ended.
    pub ended: Option<(Moment, PutOutcome)>,
}

impl Put {
    /// Whether it sets the field (`true`), deletes it, or leaves it alone.
    pub fn touch(&self, field: &str) -> Option<bool> {
        let named = self.fields.get(field).copied();
        named.or(self.whole.then_some(false))
    }

    /// When it was acknowledged, and under which stamp.
    pub fn acknowledged(&self) -> Option<(Moment, u64)> {
        match self.ended? {
            (at, PutOutcome::Acknowledged { stamp }) => Some((at, stamp)),
            _ => None,
        }
    }

    /// Whether it may have taken effect before a moment.
    pub fn may_show_before(&self, moment: Moment) -> bool {
        self.begun < moment && !matches!(self.ended, Some((_, PutOutcome::NotApplied)))
    }
}

/// A critical get that succeeded.
#[derive(Clone, Debug)]
pub struct Get {
    /// Which.
    pub op: OpId,
    /// Of which section.
    pub section: SectionId,
    /// That section's token of the key.
    pub token: u64,
    /// When it began.
    pub begun: Moment,
    /// When it ended.
    pub ended: Moment,
    /// The fields that have a value, and the puts that these come from.
    pub seen: Fields,
}

/// All that concerns one key.
#[derive(Clone, Debug, Default)]
pub struct Key {
    /// The fields that somebody wrote or saw.
    pub fields: BTreeSet<String>,
    /// The sections that asked for it, in the order in which they asked.
    pub sections: Vec<SectionId>,
    /// The puts.
    pub puts: BTreeMap<OpId, Put>,
    /// The gets that succeeded, in the order in which they began.
    pub gets: Vec<Get>,
}

/// An operation that needs no lock.
#[derive(Clone, Debug)]
pub struct Plain {
    /// Which.
    pub op: OpId,
    /// Whose.
    pub client: ClientId,
    /// Which kind.
    pub kind: PlainKind,
    /// When it began.
    pub begun: Moment,
    /// When and how it ended.
    pub ended: Option<(Moment, PlainOutcome)>,
}

/// Something that begins and ends, as the judge of deadlines sees it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// Whose.
    pub client: ClientId,
    /// When it began.
    pub begun: Moment,
    /// When it ended, if it did.
    pub ended: Option<Moment>,
}

/// What is wrong with a site for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is cut off from all others.
    CutOff,
    /// A node or a replica of it is down.
    Down,
}

/// A while during which something is wrong with a site.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Which site.
    pub site: u32,
    /// What is wrong.
    pub fault: Fault,
    /// From when.
    pub from: Moment,
    /// Until when, if it ends.
    pub until: Option<Moment>,
}

impl Outage {
    /// Whether it lasts from before `begun` until after `ended`.
    pub fn covers(&self, begun: Moment, ended: Moment) -> bool {
        self.from < begun && self.until.is_none_or(|until| ended < until)
    }

    /// Whether it lasts at any time between the two.
    pub fn touches(&self, begun: Moment, ended: Moment) -> bool {
        self.from < ended && self.until.is_none_or(|until| begun < until)
    }
}

/// A history, with an index of who did what when.
#[derive(Clone, Debug)]
pub struct History {
    /// How long things may take.
    pub limits: Limits,
    /// The clients.
    pub clients: BTreeMap<ClientId, Client>,
    /// The sections.
    pub sections: BTreeMap<SectionId, Section>,
    /// The keys, by name.
    pub keys: BTreeMap<String, Key>,
    /// The operations that need no lock.
    pub plains: Vec<Plain>,
    /// Every operation with a deadline: all but the wait for a lock.
    pub spans: Vec<Span>,
    /// What was wrong with sites.
    pub outages: Vec<Outage>,
    /// When faults stopped.
    pub calm: Option<Moment>,
    /// When everything had come to rest.
    pub end: Option<Moment>,
    /// The last event.
    pub last: Option<Moment>,
}

impl History {
    /// Reads the events.
    ///
    /// # Errors
    ///
    /// The first event that cannot follow those before it.
    pub fn read(events: &[Event], limits: Limits) -> Result<Self, Malformed> {
        reader::read(events, limits)
    }

    /// The sections of a key, in the order in which they were asked for.
    pub fn sections_of<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Section> {
        key.sections
            .iter()
            .filter_map(|section| self.sections.get(section))
    }

    /// Whether faults had stopped, and their effects were over, before a
    /// moment.
    pub fn is_settled(&self, moment: Moment) -> bool {
        self.calm
            .is_some_and(|calm| calm < moment && moment.since(calm) > self.limits.settling)
    }

    /// Whether a client crashed, ever.
    pub fn is_crashed(&self, client: ClientId) -> bool {
        self.clients
            .get(&client)
            .is_some_and(|client| client.crashed.is_some())
    }

    /// Whether nothing was there that could have had a section forced out:
    /// faults were over when it was asked for, and nobody forced it by hand.
    pub fn is_undisturbed(&self, section: &Section) -> bool {
        let lost = matches!(section.ended, Some((_, EndOutcome::Lost)));
        let ousted = lost || section.lost.is_some() || section.forced.is_some();
        self.is_settled(section.asked) && !ousted && !self.is_crashed(section.client)
    }
}

#[cfg(test)]
mod tests;
