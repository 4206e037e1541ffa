//! Random interleavings, each judged by a search for an order that explains
//! every answer.

use std::collections::BTreeSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::history::{Answer, Operation, is_linearizable};
use super::world::{Dice, Faults, World};
use crate::id::{Moves, RequestId, SessionId};
use crate::lock_queue::{Command, Mode, NewTicket, Outcome};
use crate::lock_ref::{Holding, Incarnation, LockRef};
use crate::time::Lease;

fn lock_ref(number: usize) -> LockRef {
    LockRef::new(u64::try_from(number).unwrap()).unwrap()
}

fn enqueue(request: usize) -> Command {
    Command::Enqueue(NewTicket {
        owner: SessionId(u128::try_from(request).unwrap()),
        mode: Mode::Exclusive,
        lease: Lease::MIN,
        request: RequestId(u128::try_from(request).unwrap()),
        moves: Moves::default(),
    })
}

/// An operation such as nodes perform on the first few tickets of a key.
fn operation(dice: &mut Dice, unique: usize) -> Operation {
    let lock_ref = lock_ref(1 + dice.below(3));
    let incarnation = Incarnation(u8::try_from(dice.below(2)).unwrap());
    let holding = Holding {
        lock_ref,
        incarnation,
    };
    Operation::Apply(match dice.below(12) {
        0..=2 => enqueue(unique),
        3 => Command::Adopt {
            holding,
            owner: SessionId(9),
            lease: Lease::MIN,
            moves: Moves::default(),
        },
        4 => Command::Confirm(holding),
        5 => Command::Force {
            lock_ref,
            owner: None,
        },
        6 => Command::Synced(holding),
        7 => Command::Withdraw(lock_ref),
        8 | 9 => return Operation::Release(Holding::default()),
        _ => return Operation::Peek,
    })
}

fn world(seed: u64, acceptors: usize, nodes: usize, calls: usize) -> World {
    let mut dice = Dice::new(seed);
    let scripts = (0..nodes)
        .map(|node| {
            (0..calls)
                .map(|call| operation(&mut dice, node * calls + call))
                .collect()
        })
        .collect();
    World::new(acceptors, scripts, dice)
}

fn kind() -> Faults {
    Faults {
        lost: usize::MAX,
        repeated: usize::MAX,
        given_up: usize::MAX,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_linearizable(
        seed in any::<u64>(), five in any::<bool>(), nodes in 2_usize..=4,
        lost in 6_usize..40, given_up in 30_usize..400,
    ) {
        let mut world = world(seed, if five { 5 } else { 3 }, nodes, 3);
        world.run(Faults { lost, repeated: 10, given_up }, 3_000);
        prop_assert!(is_linearizable(&world.calls), "{:#?}", world.calls);
    }

    #[test]
    fn without_faults_every_call_is_answered(
        seed in any::<u64>(), five in any::<bool>(), nodes in 1_usize..=3,
    ) {
        let mut world = world(seed, if five { 5 } else { 3 }, nodes, 3);
        world.run(kind(), 100_000);
        prop_assert_eq!(world.calls.len(), nodes * 3);
        prop_assert!(world.calls.iter().all(|call| call.answer.is_some()));
        prop_assert!(is_linearizable(&world.calls), "{:#?}", world.calls);
    }

    #[test]
    fn concurrent_enqueues_get_distinct_numbers_without_a_gap(
        seed in any::<u64>(), nodes in 2_usize..=5, lost in 10_usize..100,
    ) {
        let scripts = (0..nodes)
            .map(|node| (0..4).map(|call| Operation::Apply(enqueue(node * 4 + call))).collect())
            .collect();
        let mut world = World::new(3, scripts, Dice::new(seed));
        world.run(Faults { lost, repeated: 10, given_up: usize::MAX }, 200_000);
        let numbers: Vec<u64> = world.calls.iter().filter_map(|call| match &call.answer {
            Some(Answer::Applied(Outcome::Done(holding), _)) => Some(holding.lock_ref.get()),
            _ => None,
        }).collect();
        let distinct: BTreeSet<u64> = numbers.iter().copied().collect();
        prop_assert_eq!(numbers.len(), nodes * 4);
        prop_assert_eq!(distinct, (1..=u64::try_from(nodes * 4).unwrap()).collect());
    }

    #[test]
    fn a_transaction_given_up_costs_each_replica_one_slow_peek_at_most(seed in any::<u64>()) {
        let scripts = std::vec![
            std::vec![Operation::Apply(enqueue(0)), Operation::Apply(enqueue(1))],
        ];
        let mut world = World::new(3, scripts, Dice::new(seed));
        world.run(Faults { lost: 3, repeated: 10, given_up: 10 }, 60);
        let mut acceptors = world.acceptors;
        let mut slow = 0;
        for peek in 0..20 {
            let script = std::vec![Operation::Peek];
            let mut world = World::new(3, std::vec![script], Dice::new(seed ^ peek));
            world.acceptors = acceptors;
            world.run(kind(), 100_000);
            slow += 1 - world.fast_peeks;
            acceptors = world.acceptors;
        }
        prop_assert!(slow <= 3, "{slow} slow peeks");
    }
}
