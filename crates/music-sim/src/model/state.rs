//! A state of a scenario: the machines, the copies, what is on its way, and
//! the judge's knowledge.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use music_core::critical_section::{
    Answer, Call, CriticalSection, Effect, Failure, Kept, OpId, Status,
};
use music_core::id::SessionId;
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::LockRef;
use music_core::record::Record;

use super::plan::Faults;
use super::tenure;
use crate::oracle::{Broken, Floors, Oracle};

/// How many replicas there are; any two are a majority.
pub(super) const REPLICAS: usize = 3;

/// A bit for each replica.
pub(super) type Set = u8;

/// All replicas.
pub(super) const ALL: Set = 0b111;

/// Something to be told to a section, and what it asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asked {
    Put(usize),
    Get { grants: usize, own: Floors },
    Release,
}

/// A section and its client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own, none of which follows from another"
)]
pub(super) struct Section {
    /// `None` once nothing is left for it to do.
    pub(super) machine: Option<Arc<CriticalSection>>,
    pub(super) status: Status,
    /// Its lockRef, or the last that it had.
    pub(super) token: LockRef,
    pub(super) begun: bool,
    /// Its client has asked for the end.
    pub(super) dismissed: bool,
    /// Its client is at another node by now.
    pub(super) moved: bool,
    /// How many operations of its plan were asked.
    pub(super) step: usize,
    pub(super) asked: Vec<(OpId, Asked)>,
    pub(super) ops: u64,
    /// What its gets may not show less than.
    pub(super) own: Floors,
    /// The puts that it issued.
    pub(super) puts: Vec<usize>,
    pub(super) unknown: Vec<usize>,
    /// The queue as its last call found it.
    pub(super) looked: Option<Arc<LockQueue>>,
    pub(super) was_granted: bool,
    pub(super) confirmed: bool,
    pub(super) retried: bool,
    /// The ticket that its node has kept for it, before it begins.
    pub(super) kept: Option<Kept>,
}

/// What has happened of a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    /// Nothing yet.
    Sent,
    /// A store has performed it; this is the answer.
    Performed(Arc<Reply>),
    /// A write is at these replicas.
    Written(Set),
    /// A read has this copy of one replica.
    Read(Set, Arc<Record>),
}

/// An answer on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reply(pub(super) Answer);

/// A call that is not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    pub(super) section: usize,
    pub(super) effect: Arc<Effect>,
    pub(super) progress: Progress,
}

/// A write that nobody waits for any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Late {
    pub(super) change: Arc<Record>,
    /// Where it may land still.
    pub(super) left: Set,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(super) queue: Arc<LockQueue>,
    pub(super) replicas: [Arc<Record>; REPLICAS],
    pub(super) sections: Vec<Section>,
    pub(super) flights: Vec<Flight>,
    pub(super) late: Vec<Late>,
    /// Commands that may take effect until their node's next call does.
    pub(super) late_commands: Vec<(usize, Command)>,
    pub(super) lapsed: Vec<bool>,
    /// What may go wrong still.
    pub(super) faults: Faults,
    pub(super) oracle: Arc<Oracle>,
    pub(super) broken: Option<Broken>,
}

/// The session of a section's node.
pub(super) fn session(section: usize) -> SessionId {
    SessionId(100 + u128::try_from(section).unwrap_or_default())
}

impl Section {
    pub(super) fn new(machine: CriticalSection) -> Self {
        Self {
            status: machine.status(),
            machine: Some(Arc::new(machine)),
            token: LockRef::NONE,
            begun: false,
            dismissed: false,
            moved: false,
            step: 0,
            asked: Vec::new(),
            ops: 0,
            own: Floors::default(),
            puts: Vec::new(),
            unknown: Vec::new(),
            looked: None,
            was_granted: false,
            confirmed: false,
            retried: false,
            kept: None,
        }
    }
}

impl Flight {
    pub(super) fn call(&self) -> Option<Call> {
        match &*self.effect {
            Effect::Apply { call, .. }
            | Effect::Peek { call, .. }
            | Effect::Release { call, .. }
            | Effect::Write { call, .. }
            | Effect::Read { call, .. } => Some(*call),
            _ => None,
        }
    }

    /// The cells of a write.
    pub(super) fn change(&self) -> Option<&Record> {
        match &*self.effect {
            Effect::Write { change, .. } => Some(change),
            _ => None,
        }
    }

    /// Whether the lock store is asked.
    pub(super) fn is_of_queue(&self) -> bool {
        self.change().is_none() && !matches!(&*self.effect, Effect::Read { .. })
    }

    /// The answer, once there is one.
    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.progress {
            Progress::Performed(reply) => Some(reply.0.clone()),
            Progress::Written(_) => Some(Answer::Done(Ok(()))),
            Progress::Sent | Progress::Read(..) => None,
        }
    }

    /// What is left of a write that nobody waits for any more.
    pub(super) fn leftover(&self) -> Option<Late> {
        let Progress::Written(done) = &self.progress else {
            return None;
        };
        let change = Arc::new(self.change()?.clone());
        let left = ALL & !done;
        Some(Late { change, left })
    }

    /// A command that nobody waits for any more.
    pub(super) fn late_command(&self) -> Option<(usize, Command)> {
        match (&*self.effect, &self.progress) {
            (Effect::Apply { command, .. }, Progress::Sent) => Some((self.section, *command)),
            (Effect::Keep(kept), Progress::Sent) => {
                Some((self.section, tenure::command(self.section, kept)))
            }
            _ => None,
        }
    }

    /// The answer of a store that gave up.
    pub(super) fn failure(&self) -> Answer {
        let failure = Failure::Unknown;
        match &*self.effect {
            Effect::Apply { .. } => Answer::Applied(Err(failure)),
            Effect::Peek { .. } => Answer::Queue(Err(failure)),
            Effect::Read { .. } => Answer::Record(Err(failure)),
            _ => Answer::Done(Err(failure)),
        }
    }
}

/// A number for a value, for sorting.
pub(super) fn number(value: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl State {
    /// Names an operation of a section, for its reply.
    pub(super) fn op(&mut self, section: usize, asked: Asked) -> OpId {
        let section = &mut self.sections[section];
        section.ops += 1;
        let op = OpId(section.ops);
        section.asked.push((op, asked));
        op
    }

    /// The put that an operation asks for.
    pub(super) fn put_of(&self, section: usize, op: OpId) -> Option<usize> {
        let asked = &self.sections[section].asked;
        asked.iter().find_map(|(other, asked)| match asked {
            Asked::Put(put) if *other == op => Some(*put),
            Asked::Put(_) | Asked::Get { .. } | Asked::Release => None,
        })
    }

    /// Brings states that differ in nothing that matters to the same form:
    /// the order of what is on its way, and the names of the replicas.
    pub(super) fn canonicalise(&mut self) {
        self.settle();
        self.flights
            .sort_by_cached_key(|flight| (flight.section, number(&flight.effect)));
        self.late.sort_by_cached_key(|late| number(&late.change));
        let mut order = [0, 1, 2];
        order.sort_by_cached_key(|replica| number(&self.replica(*replica)));
        if order == [0, 1, 2] {
            return;
        }
        let renamed = |set: Set| {
            let places = order.iter().enumerate();
            places.fold(0, |new, (place, old)| new | (set >> old & 1) << place)
        };
        self.replicas = order.map(|old| Arc::clone(&self.replicas[old]));
        for flight in &mut self.flights {
            match &mut flight.progress {
                Progress::Written(set) | Progress::Read(set, _) => *set = renamed(*set),
                Progress::Sent | Progress::Performed(_) => {}
            }
        }
        for late in &mut self.late {
            late.left = renamed(late.left);
        }
    }

    /// All that there is to know of a replica.
    fn replica(&self, replica: usize) -> (&Record, Vec<bool>) {
        let has = |set: Set| set >> replica & 1 == 1;
        let flights = self.flights.iter().map(|flight| match &flight.progress {
            Progress::Written(set) | Progress::Read(set, _) => has(*set),
            Progress::Sent | Progress::Performed(_) => false,
        });
        let late = self.late.iter().map(|late| has(late.left));
        (&self.replicas[replica], flights.chain(late).collect())
    }

    /// The writes that are on their way to a replica: those that somebody
    /// waits for, then the others.
    pub(super) fn coming_to(&self, replica: usize) -> impl Iterator<Item = &Record> {
        let flights = self.flights.iter().filter_map(move |flight| {
            let lacks =
                matches!(flight.progress, Progress::Written(done) if done >> replica & 1 == 0);
            flight.change().filter(|_| lacks)
        });
        let late = self.late.iter();
        let late = late.filter(move |late| late.left >> replica & 1 == 1);
        flights.chain(late.map(|late| &*late.change))
    }

    /// Lets some of the writes on their way to a replica arrive there; they
    /// are left out of what is on its way when the state is canonicalised.
    pub(super) fn land(&mut self, replica: usize, landing: Set) {
        let mut copy = Record::clone(&self.replicas[replica]);
        for (at, change) in self.coming_to(replica).enumerate() {
            if landing >> at & 1 == 1 {
                copy.merge(change);
            }
        }
        self.replicas[replica] = Arc::new(copy);
    }

    /// A write that would change nothing at a replica has landed there: that
    /// shows nowhere.
    fn settle(&mut self) {
        let sections = &self.sections;
        let is_over = |flight: &Flight| sections[flight.section].machine.is_none();
        for flight in self.flights.extract_if(.., |flight| is_over(flight)) {
            self.late.extend(flight.leftover());
            self.late_commands.extend(flight.late_command());
        }
        let replicas = &self.replicas;
        let has = |change: &Record, replica: &usize| {
            let copy = &replicas[*replica];
            !Record::clone(copy).merge(change)
        };
        let holders = |change: &Record| -> Set {
            let holders = (0..REPLICAS).filter(|replica| has(change, replica));
            holders.fold(0, |set, replica| set | 1 << replica)
        };
        for flight in &mut self.flights {
            let holders = flight.change().map_or(0, holders);
            if let Progress::Written(done) = &mut flight.progress {
                *done |= holders;
            }
        }
        for late in &mut self.late {
            late.left &= !holders(&late.change);
        }
        self.late.retain(|late| late.left != 0);
        self.late.dedup();
    }
}
