//! Single steps and single stories, one sentence each.

use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use proptest::prelude::*;

use crate::id::{Field, Moves, ReplicaId, RequestId, SessionId};
use crate::lock_queue::{Command, Mode, NewTicket, Outcome};
use crate::lock_ref::{Holding, Incarnation, LockRef};
use crate::record::Record;
use crate::replica::acceptor::{Acceptor, Ballot, Reply, Request};
use crate::replica::lightweight_transaction::{Decided, Step, Transaction};
use crate::replica::peek::{Peek, PeekStep};
use crate::replica::register::{MajorityRead, ReadStep};
use crate::stamp::Stamp;
use crate::time::{Lease, WallTime};

const A: ReplicaId = ReplicaId(0);
const B: ReplicaId = ReplicaId(1);
const C: ReplicaId = ReplicaId(2);

fn enqueue(request: u128) -> Command {
    Command::Enqueue(NewTicket {
        owner: SessionId(1),
        mode: Mode::Exclusive,
        lease: Lease::MIN,
        request: RequestId(request),
        moves: Moves::default(),
    })
}

fn holding(number: u64, incarnation: u8) -> Holding {
    let lock_ref = LockRef::new(number).unwrap();
    Holding {
        lock_ref,
        incarnation: Incarnation(incarnation),
    }
}

fn ballot(round: u64, site: u8) -> Ballot {
    Ballot {
        round,
        site: ReplicaId(site),
    }
}

fn at(acceptors: &mut [Acceptor; 3], who: ReplicaId, request: &Request) -> Reply {
    acceptors[usize::from(who.0)].answer(request)
}

/// Runs an attempt against these acceptors only.
fn attempt(
    transaction: &mut Transaction,
    acceptors: &mut [Acceptor; 3],
    who: [ReplicaId; 2],
) -> Step {
    let mut request = transaction.begin(Ballot::NONE, 0);
    loop {
        let first = at(acceptors, who[0], &request);
        let second = at(acceptors, who[1], &request);
        let early = transaction.receive(who[0], &first);
        match transaction.receive(who[1], &second) {
            Step::Send(next) => request = next,
            Step::Wait => return early,
            step => return step,
        }
    }
}

fn decide(acceptors: &mut [Acceptor; 3], who: [ReplicaId; 2], command: Command) -> Decided {
    let mut transaction = Transaction::new(who[0], 3, vec![command]);
    loop {
        if let Step::Done(decided) = attempt(&mut transaction, acceptors, who) {
            return decided;
        }
    }
}

#[test]
fn a_ballot_is_promised_once() {
    let mut acceptor = Acceptor::default();
    assert!(matches!(
        acceptor.prepare(ballot(1, 0)),
        Reply::Promised { .. }
    ));
    let refused = Reply::Refused {
        ballot: ballot(1, 0),
        promised: ballot(1, 0),
    };
    assert_eq!(acceptor.prepare(ballot(1, 0)), refused);
}

#[test]
fn nothing_below_a_promise_is_accepted() {
    let mut acceptor = Acceptor::default();
    acceptor.prepare(ballot(2, 1));
    let refused = Reply::Refused {
        ballot: ballot(1, 0),
        promised: ballot(2, 1),
    };
    assert_eq!(acceptor.accept(ballot(1, 0), &Arc::default()), refused);
    assert_eq!(
        acceptor.accept(ballot(2, 1), &Arc::default()),
        Reply::Accepted(ballot(2, 1))
    );
}

#[test]
fn a_plain_release_seen_by_one_peek_is_seen_by_every_later_adopt() {
    let mut acceptors = <[Acceptor; 3]>::default();
    decide(&mut acceptors, [A, B], enqueue(1));
    acceptors[0].release(holding(1, 0));
    // The peek at A and B differs, so it becomes an identity transaction.
    let mut peek = Peek::new(3);
    assert_eq!(peek.answered(A, acceptors[0].clone()), PeekStep::Wait);
    let step = peek.answered(B, acceptors[1].clone());
    assert!(matches!(
        step,
        PeekStep::Differ {
            in_progress: false,
            ..
        }
    ));
    let mut identity = Transaction::new(A, 3, vec![]);
    let seen = loop {
        if let Step::Done(seen) = attempt(&mut identity, &mut acceptors, [A, B]) {
            break seen;
        }
    };
    assert_eq!(seen.queue.tickets().count(), 0);
    // The adopt never asks A, which alone was told of the release.
    let adopt = Command::Adopt {
        holding: holding(1, 0),
        owner: SessionId(2),
        lease: Lease::MIN,
        moves: Moves::default(),
    };
    let decided = decide(&mut acceptors, [B, C], adopt);
    assert_eq!(decided.effects[0].0, Outcome::Gone);
}

#[test]
fn a_peek_does_not_overtake_an_adopt_that_was_promised_before_the_release() {
    let mut acceptors = <[Acceptor; 3]>::default();
    decide(&mut acceptors, [A, B], enqueue(1));
    let adopt = Command::Adopt {
        holding: holding(1, 0),
        owner: SessionId(2),
        lease: Lease::MIN,
        moves: Moves::default(),
    };
    let mut adopting = Transaction::new(C, 3, vec![adopt]);
    let prepare = adopting.begin(acceptors[0].promised(), 0);
    let promises = [A, B].map(|who| (who, at(&mut acceptors, who, &prepare)));
    for acceptor in &mut acceptors {
        acceptor.release(holding(1, 0));
    }
    let mut peek = Peek::new(3);
    peek.answered(A, acceptors[0].clone());
    let step = peek.answered(B, acceptors[1].clone());
    assert!(matches!(
        step,
        PeekStep::Differ {
            in_progress: true,
            ..
        }
    ));
    // The slow peek sees the release and ends the adopt.
    let mut identity = Transaction::new(A, 3, vec![]);
    while !matches!(
        attempt(&mut identity, &mut acceptors, [A, B]),
        Step::Done(_)
    ) {}
    adopting.receive(A, &promises[0].1);
    let Step::Send(accept) = adopting.receive(B, &promises[1].1) else {
        panic!()
    };
    let refusals = [A, B].map(|who| at(&mut acceptors, who, &accept));
    assert!(
        refusals
            .iter()
            .all(|reply| matches!(reply, Reply::Refused { .. }))
    );
}

#[test]
fn an_interrupted_attempt_that_was_decided_is_not_repeated() {
    let mut acceptors = <[Acceptor; 3]>::default();
    decide(&mut acceptors, [A, B], enqueue(1));
    let mut confirming = Transaction::new(A, 3, vec![Command::Confirm(holding(1, 0))]);
    let prepare = confirming.begin(acceptors[0].promised(), 0);
    let first = at(&mut acceptors, A, &prepare);
    let second = at(&mut acceptors, B, &prepare);
    confirming.receive(A, &first);
    let Step::Send(accept) = confirming.receive(B, &second) else {
        panic!()
    };
    // Only B accepts, and a later enqueue builds on what B has.
    at(&mut acceptors, B, &accept);
    decide(&mut acceptors, [B, C], enqueue(2));
    let done = loop {
        if let Step::Done(done) = attempt(&mut confirming, &mut acceptors, [A, C]) {
            break done;
        }
    };
    assert_eq!(done.effects[0].0, Outcome::Done(holding(1, 0)));
    assert_eq!(done.queue.last().get(), 2);
}

#[test]
fn commands_of_one_transaction_take_effect_in_order() {
    let mut acceptors = <[Acceptor; 3]>::default();
    let commands = vec![enqueue(1), enqueue(2), Command::Confirm(holding(1, 0))];
    let mut transaction = Transaction::new(A, 3, commands);
    let Step::Done(done) = attempt(&mut transaction, &mut acceptors, [A, C]) else {
        panic!()
    };
    let outcomes: vec::Vec<_> = done.effects.iter().map(|(outcome, _)| *outcome).collect();
    let [first, second] = [1, 2].map(|number| Outcome::Done(holding(number, 0)));
    assert_eq!(outcomes, [first, second, first]);
    for (_, queue) in &done.effects {
        assert_eq!((queue.last().get(), queue.tickets().count()), (2, 1));
    }
}

#[test]
fn hope_ends_when_a_majority_refused_or_cannot_answer() {
    let mut transaction = Transaction::new(A, 3, vec![enqueue(1)]);
    transaction.begin(Ballot::NONE, 0);
    assert_eq!(transaction.lost(B), Step::Wait);
    assert_eq!(transaction.lost(C), Step::Preempted);
    assert!(!transaction.may_have_applied());
}

fn written(time: u64, field: &str, value: &'static str) -> Record {
    let field = Field::new(field).unwrap();
    Record::write(
        Stamp::eventual(WallTime(time)),
        [(field, Some(Bytes::from(value)))],
    )
}

#[test]
fn a_read_of_equal_copies_takes_one_round() {
    let mut read = MajorityRead::new(3);
    let copy = written(1, "", "x");
    assert_eq!(read.answered(A, copy.clone()), ReadStep::Wait);
    assert_eq!(read.answered(C, copy.clone()), ReadStep::Done(copy));
}

#[test]
fn a_read_of_different_copies_repairs_the_whole_record_first() {
    let mut both = written(1, "a", "x");
    both.merge(&written(2, "b", "y"));
    let mut read = MajorityRead::new(3);
    read.answered(A, written(1, "a", "x"));
    let step = read.answered(B, written(2, "b", "y"));
    let lacking = vec![A, B, C];
    assert_eq!(
        step,
        ReadStep::Repair {
            record: both.clone(),
            lacking
        }
    );
    assert_eq!(read.repaired(B), ReadStep::Wait);
    assert_eq!(read.repaired(B), ReadStep::Wait);
    assert_eq!(read.repaired(C), ReadStep::Done(both));
}

#[test]
fn a_late_equal_copy_ends_a_repair() {
    let mut read = MajorityRead::new(3);
    let copy = written(1, "", "x");
    read.answered(A, copy.clone());
    assert!(matches!(
        read.answered(B, Record::empty()),
        ReadStep::Repair { .. }
    ));
    assert_eq!(read.answered(C, copy.clone()), ReadStep::Done(copy));
}

proptest! {
    #[test]
    fn what_a_read_returned_is_at_a_majority(
        writes in proptest::collection::vec((0_usize..5, 0_u64..4), 0..8),
        asked in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
        repaired in Just([0_usize, 1, 2, 3, 4]).prop_shuffle(),
    ) {
        let mut replicas = <[Record; 5]>::default();
        for (replica, time) in writes {
            replicas[replica].merge(&written(time, "", "value"));
        }
        let id = |index: usize| ReplicaId(u8::try_from(index).unwrap());
        let mut read = MajorityRead::new(5);
        let mut step = ReadStep::Wait;
        for index in asked.into_iter().take(3) {
            step = read.answered(id(index), replicas[index].clone());
        }
        if let ReadStep::Repair { record, lacking } = step.clone() {
            for index in repaired {
                if lacking.contains(&id(index)) && !matches!(step, ReadStep::Done(_)) {
                    replicas[index].merge(&record);
                    step = read.repaired(id(index));
                }
            }
        }
        let ReadStep::Done(answer) = step else { panic!("{step:?}") };
        let holders = replicas.iter().filter(|copy| !(*copy).clone().merge(&answer)).count();
        prop_assert!(holders >= 3);
    }
}
