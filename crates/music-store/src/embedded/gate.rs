//! Who may ask a replica for a promise, one after the other.
//!
//! Two transactions at one key end each other if each asks for promises while
//! the other waits for its own; between sites of different distance the near
//! one wins every time, and the far one starves. So a replica that has just
//! promised lets others wait until the accept arrives, or until it should
//! have arrived. That is a delay of messages, which a transaction survives
//! anyway: nothing rests on it but the time that things take.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use music_core::id::RecordId;
use music_core::replica::acceptor::Ballot;

use super::writer::Job;

/// How many requests wait for one key at one replica; more go on at once.
const WAITING_MAX: usize = 64;
/// How many keys are remembered before those that are over are forgotten.
const KEYS_MAX: usize = 4_096;
/// How long a transaction may take beside the delay of its links.
const GRACE: Duration = Duration::from_millis(50);

/// The gate of one replica.
#[derive(Default)]
pub(super) struct Gate {
    keys: Mutex<BTreeMap<RecordId, Passed>>,
}

/// The transaction that has the turn at a key, and those behind it.
struct Passed {
    ballot: Ballot,
    until: Instant,
    waiting: VecDeque<Prepare>,
}

/// A request for a promise.
pub(super) struct Prepare {
    pub(super) ballot: Ballot,
    /// The round trip to the site that asks.
    pub(super) round: Duration,
    pub(super) job: Job,
}

/// What happens at a key.
pub(super) enum Event {
    /// A request arrives.
    Prepare(Prepare),
    /// The attempt of that ballot is over at this replica.
    Over(Ballot),
    /// A turn may have lasted too long.
    Late,
}

/// What goes on now, and when to look again.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) job: Option<Job>,
    /// When the turn is over, if somebody waits for that.
    pub(super) over: Option<Instant>,
}

impl Passed {
    fn new(prepare: &Prepare, now: Instant) -> Self {
        let until = now + prepare.round + GRACE;
        Self {
            ballot: prepare.ballot,
            until,
            waiting: VecDeque::new(),
        }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordId, Passed>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says what an event makes possible.
    pub(super) fn step(&self, id: &RecordId, event: Event, now: Instant) -> Turn {
        match event {
            Event::Prepare(prepare) => self.prepare(id, prepare, now),
            Event::Over(ballot) => self.over(id, ballot, now),
            Event::Late => self.expire(id, now),
        }
    }

    /// A request goes on, or waits for its turn.
    fn prepare(&self, id: &RecordId, prepare: Prepare, now: Instant) -> Turn {
        let mut keys = self.lock();
        if keys.len() >= KEYS_MAX {
            keys.retain(|_, passed| passed.until > now || !passed.waiting.is_empty());
        }
        if let Some(passed) = keys.get_mut(id) {
            let same_site = passed.ballot.site == prepare.ballot.site;
            let in_turn = passed.until > now && !same_site;
            if in_turn && passed.waiting.len() < WAITING_MAX {
                passed.waiting.push_back(prepare);
                let first = passed.waiting.len() == 1;
                return Turn {
                    job: None,
                    over: first.then_some(passed.until),
                };
            }
            let waiting = std::mem::take(&mut passed.waiting);
            *passed = Passed {
                waiting,
                ..Passed::new(&prepare, now)
            };
            let over = (!passed.waiting.is_empty()).then_some(passed.until);
            return Turn {
                job: Some(prepare.job),
                over,
            };
        }
        keys.insert(id.clone(), Passed::new(&prepare, now));
        Turn {
            job: Some(prepare.job),
            over: None,
        }
    }

    fn over(&self, id: &RecordId, ballot: Ballot, now: Instant) -> Turn {
        let mut keys = self.lock();
        match keys.get(id) {
            Some(passed) if passed.ballot <= ballot => next(&mut keys, id, now),
            _ => Turn::default(),
        }
    }

    fn expire(&self, id: &RecordId, now: Instant) -> Turn {
        let mut keys = self.lock();
        match keys.get(id) {
            Some(passed) if passed.until <= now => next(&mut keys, id, now),
            // Somebody else's turn, who is looked after already.
            _ => Turn::default(),
        }
    }

    /// Forgets everything, as a site does that stops.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }
}

fn next(keys: &mut BTreeMap<RecordId, Passed>, id: &RecordId, now: Instant) -> Turn {
    let Some(passed) = keys.get_mut(id) else {
        return Turn::default();
    };
    let Some(prepare) = passed.waiting.pop_front() else {
        keys.remove(id);
        return Turn::default();
    };
    let waiting = std::mem::take(&mut passed.waiting);
    *passed = Passed {
        waiting,
        ..Passed::new(&prepare, now)
    };
    let over = (!passed.waiting.is_empty()).then_some(passed.until);
    Turn {
        job: Some(prepare.job),
        over,
    }
}

#[cfg(test)]
mod tests {
    use music_core::id::{Key, ReplicaId, TableId};

    use super::super::writer::Work;
    use super::*;

    fn id() -> RecordId {
        RecordId {
            table: TableId(0),
            key: Key::new("k").unwrap(),
        }
    }

    fn ballot(round: u64, site: u8) -> Ballot {
        Ballot {
            round,
            site: ReplicaId(site),
        }
    }

    fn prepare(round: u64, site: u8) -> Prepare {
        let job = Job {
            replica: ReplicaId(site),
            work: Work::Nothing,
            done: Box::new(|_| {}),
        };
        Prepare {
            ballot: ballot(round, site),
            round: Duration::from_millis(10),
            job,
        }
    }

    /// Whose request goes on.
    fn goes_on(turn: &Turn) -> Option<u8> {
        turn.job.as_ref().map(|job| job.replica.0)
    }

    #[test]
    fn requests_take_turns_in_the_order_they_came() {
        let (gate, now) = (Gate::default(), Instant::now());
        assert_eq!(goes_on(&gate.prepare(&id(), prepare(1, 0), now)), Some(0));
        let waits = gate.prepare(&id(), prepare(2, 1), now);
        assert_eq!((goes_on(&waits), waits.over.is_some()), (None, true));
        assert_eq!(goes_on(&gate.prepare(&id(), prepare(3, 2), now)), None);
        assert_eq!(goes_on(&gate.over(&id(), ballot(1, 0), now)), Some(1));
        // A late accept of the one before ends nothing.
        assert_eq!(goes_on(&gate.over(&id(), ballot(1, 0), now)), None);
        assert_eq!(goes_on(&gate.over(&id(), ballot(2, 1), now)), Some(2));
        assert_eq!(goes_on(&gate.over(&id(), ballot(3, 2), now)), None);
        assert_eq!(goes_on(&gate.prepare(&id(), prepare(4, 0), now)), Some(0));
    }

    #[test]
    fn a_site_that_begins_again_keeps_its_turn() {
        let (gate, now) = (Gate::default(), Instant::now());
        gate.prepare(&id(), prepare(1, 0), now);
        gate.prepare(&id(), prepare(2, 1), now);
        assert_eq!(goes_on(&gate.prepare(&id(), prepare(3, 0), now)), Some(0));
        assert_eq!(goes_on(&gate.over(&id(), ballot(3, 0), now)), Some(1));
    }

    #[test]
    fn a_turn_ends_when_its_accept_should_have_come() {
        let (gate, now) = (Gate::default(), Instant::now());
        gate.prepare(&id(), prepare(1, 0), now);
        let over = gate.prepare(&id(), prepare(2, 1), now).over.unwrap();
        assert_eq!(goes_on(&gate.expire(&id(), now)), None);
        assert_eq!(goes_on(&gate.expire(&id(), over)), Some(1));
    }

    #[test]
    fn turns_that_are_over_are_forgotten() {
        let (gate, now) = (Gate::default(), Instant::now());
        for number in 0..=KEYS_MAX {
            let key = Key::new(number.to_string()).unwrap();
            let id = RecordId {
                table: TableId(0),
                key,
            };
            let late = if number == KEYS_MAX {
                now + GRACE * 2
            } else {
                now
            };
            gate.prepare(&id, prepare(1, 0), late);
        }
        assert_eq!(gate.lock().len(), 1);
    }
}
