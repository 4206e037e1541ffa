//! Leases as a model: the real [`NodeSession`] and [`Observer`], on clocks
//! that tick together, over a network that delivers when it likes.
//!
//! A lease is 4 ticks long, so suspicion takes 5. The owner raises its
//! counter; a raise lands at the majority somewhere between its begin and its
//! answer. The watcher reads the counter somewhere between question and
//! answer. It finds a ticket of the owner no earlier than the owner's lease is
//! first valid: the server asks for none before.

use std::time::Duration;

use music_core::id::SessionId;
use music_core::session::{NodeSession, Observer};
use music_core::time::{Lease, MonotonicTime};
use stateright::{Model, Property};

use crate::oracle::Guarantee;

/// The length of a tick.
const TICK: Duration = Duration::from_millis(25);
/// How many ticks are watched.
const TICKS: u32 = 9;
/// How many raises and reads there are at most.
const CALLS: u8 = 3;

const OWNER: SessionId = SessionId(1);

/// A raise or a read on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Call {
    began: u32,
    /// What a raise writes; what a read has found, once it has.
    counter: Option<u64>,
    landed: bool,
}

/// Where owner and watcher are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    now: u32,
    owner: NodeSession,
    observer: Observer,
    /// The counter as a majority has it.
    counter: u64,
    raise: Option<Call>,
    read: Option<Call>,
    raises: u8,
    reads: u8,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The watcher finds a ticket of the owner ahead of it.
    Watch,
    /// Both clocks go on.
    Tick,
    /// The owner begins to raise its counter.
    Raise,
    /// A majority has the raise.
    Land,
    /// The owner hears so.
    Raised,
    /// The watcher asks for the counter.
    Ask,
    /// A majority is read.
    Read,
    /// The watcher hears what it said.
    Heard,
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Leases;

fn at(tick: u32) -> MonotonicTime {
    MonotonicTime::default().after(TICK * tick)
}

fn lease() -> Lease {
    Lease::MIN
}

impl Watch {
    fn is_valid(&self) -> bool {
        at(self.now) < self.owner.valid_until()
    }
}

impl Model for Leases {
    type State = Watch;
    type Action = Happening;

    fn init_states(&self) -> Vec<Watch> {
        vec![Watch {
            now: 0,
            owner: NodeSession::new(OWNER, lease()),
            observer: Observer::default(),
            counter: 0,
            raise: None,
            read: None,
            raises: 0,
            reads: 0,
        }]
    }

    fn actions(&self, watch: &Watch, actions: &mut Vec<Happening>) {
        if watch.now < TICKS {
            actions.push(Happening::Tick);
        }
        match &watch.raise {
            // A node whose session is over takes a new one.
            None if watch.raises < CALLS && !watch.owner.is_over(at(watch.now)) => {
                actions.push(Happening::Raise);
            }
            None => {}
            Some(call) if call.landed => actions.push(Happening::Raised),
            Some(_) => actions.push(Happening::Land),
        }
        // A node asks for tickets only while its lease is valid.
        let watches = !watch.observer.is_idle();
        if !watches && watch.is_valid() {
            actions.push(Happening::Watch);
        }
        match &watch.read {
            None if watches && watch.reads < CALLS => actions.push(Happening::Ask),
            None => {}
            Some(call) if call.landed => actions.push(Happening::Heard),
            Some(_) => actions.push(Happening::Read),
        }
    }

    fn next_state(&self, last: &Watch, action: Happening) -> Option<Watch> {
        let mut watch = last.clone();
        let now = at(watch.now);
        let begin = |counter| Call {
            began: last.now,
            counter,
            landed: false,
        };
        match action {
            Happening::Watch => {
                let until = at(2 * TICKS);
                watch.observer.observe(OWNER, lease(), now, until);
            }
            Happening::Tick => watch.now += 1,
            Happening::Raise => {
                watch.raises += 1;
                watch.raise = Some(begin(Some(watch.owner.raise())));
            }
            Happening::Land => {
                let call = watch.raise.as_mut()?;
                call.landed = true;
                watch.counter = watch.counter.max(call.counter?);
            }
            Happening::Raised => {
                let call = watch.raise.take()?;
                watch.owner.raised(at(call.began), now);
            }
            Happening::Ask => {
                watch.reads += 1;
                watch.read = Some(begin(None));
            }
            Happening::Read => {
                let call = watch.read.as_mut()?;
                call.landed = true;
                call.counter = Some(watch.counter);
            }
            Happening::Heard => {
                let call = watch.read.take()?;
                let counter = call.counter?;
                watch.observer.read(OWNER, counter, at(call.began), now);
            }
        }
        Some(watch)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Guarantee::Leases.name(), |_, watch: &Watch| {
                !(watch.is_valid() && watch.observer.is_suspect(OWNER))
            }),
            Property::sometimes("an owner is suspected", |_, watch: &Watch| {
                watch.counter > 0 && watch.observer.is_suspect(OWNER)
            }),
            Property::sometimes("a lease is renewed", |_, watch: &Watch| {
                watch.raises == 3 && watch.is_valid()
            }),
        ]
    }
}
