//! Sections from the inside: what no driver can bring about in a test, for it
//! takes a million puts, or more.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::id::{Key, Moves, TableId};
use crate::lock_queue::{Command, LockQueue, NewTicket, Outcome};
use crate::lock_ref::{Holding, Incarnation};

const OWNER: SessionId = SessionId(5);

/// A section of one key that is granted, and the queue of that key.
struct World {
    section: CriticalSection,
    queue: LockQueue,
    replies: Vec<Result<Reply, Error>>,
    calls: Vec<Effect>,
    ended: usize,
}

impl World {
    fn granted() -> Self {
        let mut world = Self::new(&["a"]);
        world.step(Input::Create);
        world.run();
        assert!(world.section.is_granted());
        world
    }

    fn new(keys: &[&str]) -> Self {
        let terms = Terms {
            request: RequestId(1),
            mode: Mode::Exclusive,
            client_lease: Lease::DEFAULT,
            owner: OWNER,
            node_lease: Lease::DEFAULT,
            moves: Moves::default(),
            keeps: false,
        };
        let key = |key: &&str| RecordId {
            table: TableId(1),
            key: Key::new(key.as_bytes().to_vec()).unwrap(),
        };
        let keys = keys.iter().map(key).collect();
        let section = CriticalSection::new(terms, keys, MonotonicTime::default()).unwrap();
        let queue = LockQueue::default();
        Self {
            section,
            queue,
            replies: Vec::new(),
            calls: Vec::new(),
            ended: 0,
        }
    }

    fn step(&mut self, input: Input) {
        self.step_at(MonotonicTime::default(), input);
    }

    fn step_at(&mut self, now: MonotonicTime, input: Input) {
        let context = Context {
            now,
            session: OWNER,
            lease_until: MonotonicTime::from_start(Duration::from_secs(1)),
        };
        let mut effects = Vec::new();
        self.section.step(input, &context, &mut effects);
        for effect in effects {
            match effect {
                Effect::Reply { reply, .. } => self.replies.push(reply),
                Effect::Ended => self.ended += 1,
                Effect::Watch(_) | Effect::Unwatch(_) | Effect::Changed => {}
                effect => self.calls.push(effect),
            }
        }
    }

    fn run(&mut self) {
        while !self.calls.is_empty() {
            let (call, answer) = match self.calls.remove(0) {
                Effect::Apply { call, command, .. } => {
                    let outcome = self.queue.apply(command);
                    (
                        call,
                        Answer::Applied(Ok((outcome, Arc::new(self.queue.clone())))),
                    )
                }
                Effect::Peek { call, .. } => {
                    (call, Answer::Queue(Ok(Arc::new(self.queue.clone()))))
                }
                Effect::Release { call, holding, .. } => {
                    self.queue.release(holding);
                    (call, Answer::Done(Ok(())))
                }
                Effect::Write { call, .. } => (call, Answer::Done(Ok(()))),
                effect => panic!("{effect:?}"),
            };
            self.step(Input::Answered(call, answer));
        }
    }

    /// What a released section leaves to its node, once the queue knows.
    fn kept(&mut self) -> Kept {
        let (op, confirm) = (OpId(0), false);
        self.step(Input::Release { op, confirm });
        let left = self.calls.pop();
        let Some(Effect::Keep(kept)) = left else {
            panic!("{left:?}")
        };
        let command = Command::Keep {
            holding: kept.holding(),
            owner: OWNER,
            name: RequestId(9),
        };
        let Outcome::Done(holding) = self.queue.apply(command) else {
            panic!("it is not kept")
        };
        kept.known_as(holding, MonotonicTime::default())
    }

    fn put(&mut self) {
        let change = Change::Delete;
        self.step(Input::Put(
            OpId(0),
            Put {
                key: KeyIndex(0),
                change,
                identity: None,
            },
        ));
    }

    fn last_stamp(&self) -> Stamp {
        match self.replies.last() {
            Some(Ok(Reply::Written(stamp))) => *stamp,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_incarnation_grows_when_the_ticks_of_this_one_are_used_up_by_an_adopt_of_its_own() {
    let mut world = World::granted();
    world.section.next_tick = Some(Tick::MAX);
    world.put();
    world.run();
    let last = world.last_stamp();
    assert_eq!(last.tick(), Some(Tick::MAX));
    world.put();
    assert_eq!(world.replies.last(), Some(&Err(Error::Renumbering)));
    assert!(matches!(
        world.calls[..],
        [Effect::Apply {
            command: Command::Adopt { owner: OWNER, .. },
            ..
        }]
    ));
    world.put();
    assert_eq!(world.calls.len(), 1, "it is asked for once");
    world.run();
    world.put();
    world.run();
    assert!(world.last_stamp() > last);
    assert_eq!(world.last_stamp().tick(), Some(Tick::FIRST));
    let incarnation = Incarnation(1);
    assert_eq!(
        world.last_stamp().holding().map(|held| held.incarnation),
        Some(incarnation)
    );
    // The lock record knows it.
    let lock_ref = world.section.lock_refs().next().unwrap().1;
    assert!(world.queue.present(Holding {
        lock_ref,
        incarnation
    }));
}

#[test]
fn a_section_that_numbers_its_puts_anew_and_is_looked_at_is_not_taken_for_adopted() {
    let mut world = World::granted();
    world.section.next_tick = None;
    world.put();
    world.step(Input::Hint {
        key: KeyIndex(0),
        marks: None,
    });
    world.run();
    assert!(world.section.is_granted());
    world.step(Input::Hint {
        key: KeyIndex(0),
        marks: None,
    });
    world.run();
    assert!(world.section.is_granted());
}

#[test]
fn when_both_are_used_up_the_section_answers_exhausted_and_must_be_released() {
    let mut world = World::granted();
    let lock_ref = world.section.lock_refs().next().unwrap().1;
    for incarnation in 0..255 {
        world.queue.apply(Command::Adopt {
            holding: Holding {
                lock_ref,
                incarnation: Incarnation(incarnation),
            },
            owner: OWNER,
            lease: Lease::DEFAULT,
            moves: Moves::default(),
        });
    }
    world.section.keys[0].holding.incarnation = Incarnation(255);
    world.section.next_tick = None;
    world.put();
    world.run();
    world.put();
    assert_eq!(world.replies.last(), Some(&Err(Error::Exhausted)));
    world.step(Input::Release {
        op: OpId(0),
        confirm: true,
    });
    world.run();
    assert_eq!(world.replies.last(), Some(&Ok(Reply::Confirmed)));
    assert_eq!((world.queue.tickets().count(), world.ended), (0, 1));
}

#[test]
fn a_release_while_it_numbers_its_puts_anew_leaves_no_ticket() {
    let mut world = World::granted();
    world.section.next_tick = None;
    world.put();
    let adopt = world.calls.remove(0);
    world.step(Input::Release {
        op: OpId(0),
        confirm: false,
    });
    // The adoption arrives, before or after the end does.
    world.calls.insert(0, adopt);
    world.run();
    assert_eq!((world.queue.tickets().count(), world.ended), (0, 1));

    let mut world = World::granted();
    world.section.next_tick = None;
    world.put();
    world.step(Input::Release {
        op: OpId(0),
        confirm: false,
    });
    world.calls.reverse();
    world.run();
    assert_eq!((world.queue.tickets().count(), world.ended), (0, 1));
}

/// Nobody else would: the ticket would be kept alive by a node that does not know
/// of it.
#[test]
fn an_enqueue_of_unknown_outcome_is_made_again_though_another_node_has_the_section() {
    for unknown_first in [true, false] {
        let mut world = World::new(&["a", "b"]);
        world.step(Input::Create);
        let calls = core::mem::take(&mut world.calls);
        let [
            Effect::Apply {
                call: a, command, ..
            },
            Effect::Apply { call: b, .. },
        ] = &calls[..]
        else {
            panic!("{calls:?}")
        };
        let Command::Enqueue(mut elsewhere) = *command else {
            panic!("{command:?}")
        };
        elsewhere.owner = SessionId(6);
        let outcome = world.queue.apply(Command::Enqueue(elsewhere));
        let adopted = Answer::Applied(Ok((outcome, Arc::new(world.queue.clone()))));
        let mut answers = [(*a, adopted), (*b, Answer::Applied(Err(Failure::Unknown)))];
        answers.rotate_left(usize::from(unknown_first));
        for (call, answer) in answers {
            world.step(Input::Answered(call, answer));
        }
        assert_eq!(world.section.status(), Status::Lost(Lost::Adopted));
        assert!(world.section.has_loose_ends());
        let again = world.section.wake_at().unwrap();
        world.step_at(again, Input::Wake);
        let [Effect::Apply { call, id, .. }] = &world.calls[..] else {
            panic!("{:?}", world.calls)
        };
        assert_eq!((*call, id.key.as_bytes()), (*b, &b"b"[..]));
    }
}

/// Under another name than the section's, nobody would find it.
#[test]
fn a_kept_ticket_leaves_when_another_node_has_the_section() {
    let mut world = World::granted();
    let kept = {
        let terms = Terms {
            keeps: true,
            ..world.section.terms().clone()
        };
        let keys = world
            .section
            .lock_refs()
            .map(|(id, _)| id.clone())
            .collect();
        world.section = CriticalSection::new(terms, keys, MonotonicTime::default()).unwrap();
        world.step(Input::Create);
        world.run();
        world.kept()
    };
    let mut other = World::new(&["a", "b"]);
    other.queue = world.queue.clone();
    other.section.take_kept(KeyIndex(0), kept.clone());
    other.step(Input::Create);
    let calls = core::mem::take(&mut other.calls);
    let [
        Effect::Apply {
            call,
            command: Command::Enqueue(elsewhere),
            ..
        },
    ] = &calls[..]
    else {
        panic!("{calls:?}")
    };
    let mut queue = LockQueue::default();
    let outcome = queue.apply(Command::Enqueue(NewTicket {
        owner: SessionId(6),
        ..*elsewhere
    }));
    let adopted = Answer::Applied(Ok((outcome, Arc::new(queue))));
    other.step(Input::Answered(*call, adopted));
    assert_eq!(other.section.status(), Status::Lost(Lost::Adopted));
    assert!(other.section.has_loose_ends());
    other.run();
    assert!(!other.section.has_loose_ends());
    assert_eq!(other.queue.ticket(kept.holding().lock_ref), None);
    assert_eq!(other.queue.forced(), LockRef::NONE);
}
