//! PROTOCOL.md, "key sets".

use music_core::critical_section::{CriticalSection, Failure, KEYS_MAX, Lost, Status, Terms};
use music_core::id::{Moves, RequestId};
use music_core::lock_queue::{Command, Mode};

use crate::common::*;

#[test]
fn keys_come_in_sorted_order_each_once_and_not_too_many() {
    let world = World::new(1);
    let terms = Terms {
        request: RequestId(1),
        mode: Mode::Exclusive,
        client_lease: lease(),
        owner: world.nodes[0].session,
        node_lease: lease(),
        moves: Moves::default(),
        keeps: false,
    };
    let fits = |keys: Vec<_>| CriticalSection::new(terms.clone(), keys, world.now).is_some();
    assert!(fits(vec![id("a"), id("b")]));
    assert!(!fits(vec![id("b"), id("a")]));
    assert!(!fits(vec![id("a"), id("a")]));
    assert!(!fits(vec![]));
    let many = |count: usize| (0..count).map(|key| id(&format!("{key:03}"))).collect();
    assert!(fits(many(KEYS_MAX)));
    assert!(!fits(many(KEYS_MAX + 1)));
}

#[test]
fn uncontended_one_enqueues_time() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a", "b", "c", "d"]);
    assert_eq!(world.rounds(section), 1);
    assert_eq!(world.status(section), Status::Granted);
}

#[test]
fn the_tickets_behind_the_first_blocked_key_are_removed_and_entered_again() {
    let mut world = World::new(2);
    let holder = world.granted(0, 1, &["b"]);
    let section = world.create(1, 2, &["a", "b", "c"]);
    world.run();
    assert_eq!(world.tickets("a"), [1]);
    assert_eq!(world.tickets("b"), [1, 2]);
    assert_eq!(world.tickets("c"), []);
    assert!(section != holder && world.sections[section].machine.is_queued());
    let other = world.granted(0, 3, &["c"]);
    world.release(other, false);
    world.release(holder, false);
    world.run();
    world.hint(section, "b");
    world.run();
    assert_eq!(world.status(section), Status::Granted);
    let tokens: Vec<_> = world.sections[section]
        .machine
        .lock_refs()
        .map(|(_, token)| token.get())
        .collect();
    assert_eq!(tokens, [1, 2, 3]);
}

#[test]
fn a_key_that_waited_for_the_others_is_looked_at_anew() {
    let mut world = World::new(2);
    let holder = world.granted(0, 1, &["b"]);
    let section = world.create(1, 2, &["a", "b", "c"]);
    world.run();
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    world.release(holder, false);
    world.run();
    world.hint(section, "b");
    world.run();
    assert_eq!(world.status(section), Status::Lost(Lost::Preempted));
    assert_eq!(world.tickets("b"), []);
    assert_eq!(world.tickets("c"), []);
}

/// Runs sections over crossing sets in an order given by `turns`, each
/// released as soon as it is granted; whether all came to an end.
fn all_come_through(sets: &[&[&str]], mut turns: usize) -> bool {
    let mut world = World::new(2);
    let sections: Vec<_> = (1..)
        .zip(sets)
        .map(|(request, keys)| world.create(0, request, keys))
        .collect();
    for _ in 0..2000 {
        if world.calls.is_empty() {
            for (section, keys) in sections.iter().zip(sets) {
                if world.status(*section) == Status::Granted {
                    world.release(*section, false);
                }
                for key in *keys {
                    if !world.sections[*section].watched.is_empty() {
                        world.hint(*section, key);
                    }
                }
            }
        }
        if world.calls.is_empty() {
            break;
        }
        let at = turns % world.calls.len();
        turns = turns / 2 + 7 * turns % 1009;
        let call = world.calls.remove(at);
        world.succeed(&call);
    }
    sections
        .iter()
        .all(|section| world.sections[*section].ended == 1)
}

#[test]
fn contended_no_deadlock() {
    let sets: [&[&[&str]]; 4] = [
        &[&["a", "b"], &["a", "b"]],
        &[&["a", "b"], &["b", "c"], &["a", "c"]],
        &[&["a", "b", "c"], &["b"], &["a", "c"], &["c"]],
        &[
            &["a", "b", "c", "d"],
            &["b", "d"],
            &["a", "c"],
            &["c", "d"],
            &["a", "d"],
        ],
    ];
    for sets in sets {
        for turns in 0..300 {
            assert!(all_come_through(sets, turns), "{sets:?} in order {turns}");
        }
    }
}

#[test]
fn a_withdrawal_that_timed_out_is_tried_again() {
    let mut world = World::new(2);
    let holder = world.granted(0, 1, &["a"]);
    let section = world.create(1, 2, &["a", "b"]);
    for _ in 0..2 {
        let enqueue = world.take(section, is_enqueue);
        world.succeed(&enqueue);
    }
    let withdraw = world.take(section, is_confirm);
    world.perform(&withdraw, ALL);
    world.fail(&withdraw, Failure::Unknown);
    world.release(holder, false);
    world.run();
    world.hint(section, "a");
    world.run();
    assert_eq!(world.status(section), Status::Waiting);
    world.wake(section);
    world.run();
    assert_eq!(world.status(section), Status::Granted);
    assert_eq!(world.tickets("b"), [2]);
}

#[test]
fn a_withdrawal_that_finds_the_ticket_adopted_is_a_loss() {
    let mut world = World::new(3);
    world.granted(0, 1, &["a"]);
    let section = world.create(1, 2, &["a", "b"]);
    for _ in 0..2 {
        let enqueue = world.take(section, is_enqueue);
        world.succeed(&enqueue);
    }
    let withdraw = world.take(section, is_confirm);
    let adopt = Command::Adopt {
        holding: music_core::lock_ref::Holding {
            lock_ref: lock_ref(1),
            ..Default::default()
        },
        owner: world.nodes[2].session,
        lease: lease(),
        moves: Moves::default(),
    };
    world.queue("b").apply(adopt);
    world.succeed(&withdraw);
    assert_eq!(world.status(section), Status::Lost(Lost::Adopted));
    assert_eq!(world.tickets("b"), [1]);
}

#[test]
fn a_set_that_ends_while_it_withdraws_leaves_nothing_behind() {
    for answered in [true, false] {
        let mut world = World::new(2);
        world.granted(0, 1, &["a"]);
        let section = world.create(1, 2, &["a", "b"]);
        for _ in 0..2 {
            let enqueue = world.take(section, is_enqueue);
            world.succeed(&enqueue);
        }
        if !answered {
            let withdraw = world.take(section, is_confirm);
            world.fail(&withdraw, Failure::Unknown);
        }
        world.release(section, false);
        while world.sections[section].ended == 0 {
            world.run();
            if world.sections[section].ended == 0 {
                world.wake(section);
            }
        }
        assert_eq!(world.tickets("a"), [1]);
        assert_eq!(world.tickets("b"), []);
    }
}
