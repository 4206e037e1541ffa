//! PROTOCOL.md, "forced release", client and node leases.

use music_core::critical_section::{Effect, Failure, Input, Lost, Status};
use music_core::lock_queue::Command;

use crate::common::*;

#[test]
fn a_node_with_a_waiter_behind_a_ticket_observes_the_session_of_its_owner() {
    let mut world = World::new(3);
    world.granted(0, 1, &["a"]);
    world.create(1, 2, &["a"]);
    world.run();
    let waiter = world.create(2, 3, &["a"]);
    world.run();
    let owners: Vec<_> = world.nodes[..2].iter().map(|node| node.session).collect();
    assert_eq!(
        world.sections[waiter].observed, owners,
        "all ahead, so that the dead do not add up"
    );
}

#[test]
fn that_sees_its_counter_unchanged_for_a_lease_and_a_quarter_forces_the_ticket() {
    let mut world = World::new(3);
    world.granted(0, 1, &["a"]);
    let waiter = world.create(1, 2, &["a"]);
    world.run();
    world.suspect(waiter, 2);
    assert_eq!(world.calls_of(waiter), 0, "it does not wait for that one");
    world.suspect(waiter, 0);
    let force = world.take(waiter, is_force);
    let owner = Some(world.nodes[0].session);
    assert_eq!(
        force.command(),
        Command::Force {
            lock_ref: lock_ref(1),
            owner
        }
    );
    world.succeed(&force);
    world.run();
    assert_eq!(world.status(waiter), Status::Granted);
    assert_eq!(
        world.queue("a").synced(),
        lock_ref(2),
        "it synchronised first"
    );
}

#[test]
fn a_ticket_that_was_adopted_meanwhile_is_not_forced_for_its_old_owner() {
    let mut world = World::new(3);
    let holder = world.granted(0, 1, &["a"]);
    let waiter = world.create(1, 2, &["a"]);
    world.run();
    world.suspect(waiter, 0);
    let adopter = world.adopt(2, holder);
    world.run_section(adopter);
    world.run();
    assert_eq!(world.tickets("a"), [1, 2]);
    assert_eq!(world.status(adopter), Status::Granted);
    assert_eq!(world.status(waiter), Status::Waiting);
}

#[test]
fn a_force_that_fails_is_tried_again() {
    let mut world = World::new(2);
    world.granted(0, 1, &["a"]);
    let waiter = world.create(1, 2, &["a"]);
    world.run();
    world.suspect(waiter, 0);
    for failure in [Failure::NotApplied, Failure::Unknown] {
        let force = world.take(waiter, is_force);
        world.fail(&force, failure);
        assert_eq!(world.calls_of(waiter), 0);
        world.wake(waiter);
    }
    world.run();
    assert_eq!(world.status(waiter), Status::Granted);
}

#[test]
fn dead_waiters_ahead_are_forced_one_after_the_other() {
    let mut world = World::new(3);
    world.granted(0, 1, &["a"]);
    world.create(1, 2, &["a"]);
    world.run();
    let waiter = world.create(2, 3, &["a"]);
    world.run();
    for node in 0..2 {
        world.suspect(waiter, node);
        world.run();
    }
    assert_eq!(world.tickets("a"), [3]);
    assert_eq!(world.status(waiter), Status::Granted);
}

#[test]
fn a_node_whose_lease_ran_out_takes_all_its_tickets_for_lost_and_refuses_their_operations() {
    let mut world = World::new(1);
    let holder = world.granted(0, 1, &["a"]);
    let waiter = world.create(0, 2, &["a"]);
    world.run();
    world.now = world.nodes[0].lease_until;
    for section in [holder, waiter] {
        world.step(section, Input::Renew);
        assert_eq!(world.status(section), Status::Lost(Lost::NodeLeaseExpired));
    }
}

#[test]
fn a_section_is_not_granted_by_an_answer_that_comes_after_the_lease() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a"]);
    world.now = world.nodes[0].lease_until;
    world.run();
    assert_eq!(world.status(section), Status::Lost(Lost::NodeLeaseExpired));
}

#[test]
fn a_new_session_of_the_node_does_not_keep_the_tickets_of_the_old_one() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.nodes[0].session = music_core::id::SessionId(7);
    world.step(section, Input::Wake);
    assert_eq!(world.status(section), Status::Lost(Lost::NodeLeaseExpired));
}

#[test]
fn clients_prove_life_to_their_node() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    for _ in 0..10 {
        world.pass(lease().get() / 2);
        world.step(section, Input::Wake);
        world.step(section, Input::Renew);
    }
    assert_eq!(world.status(section), Status::Granted);
}

#[test]
fn a_node_ends_the_section_of_a_silent_client_by_force_if_it_still_owns_it() {
    for waits in [false, true] {
        let mut world = World::new(2);
        if waits {
            world.granted(1, 9, &["a"]);
        }
        let section = world.create(0, 1, &["a"]);
        world.run();
        while world.status(section) != Status::Lost(Lost::ClientLeaseExpired) {
            world.wake(section);
            // The polls of a waiter go on meanwhile.
            while world.calls.iter().any(|call| is_peek(&call.effect)) {
                let peek = world.take(section, is_peek);
                world.succeed(&peek);
            }
        }
        let force = world.take(section, is_force);
        let Command::Force { owner, .. } = force.command() else {
            panic!()
        };
        assert_eq!(owner, Some(world.nodes[0].session));
        world.succeed(&force);
        assert_eq!(
            world.sections[section].ended, 1,
            "nobody will ask for it any more"
        );
    }
}

#[test]
fn a_lost_section_is_kept_until_its_client_has_heard_of_it_or_is_silent() {
    for silent in [false, true] {
        let mut world = World::new(1);
        let section = world.granted(0, 1, &["a"]);
        world.now = world.nodes[0].lease_until;
        world.step(section, Input::Renew);
        assert_eq!(
            world.calls_of(section),
            0,
            "its client may yet go to another node"
        );
        if silent {
            world.wake(section);
        } else {
            world.release(section, false);
        }
        world.run();
        assert_eq!(world.sections[section].ended, 1);
        assert_eq!(world.sections[section].machine.wake_at(), None);
        assert_eq!(world.tickets("a"), []);
    }
}

#[test]
fn what_a_section_of_a_dead_session_left_is_for_others_to_force() {
    let mut world = World::new(2);
    let dead = world.granted(0, 1, &["a", "b"]);
    world.sections[dead].node = 0;
    let waiter = world.create(1, 2, &["a", "b"]);
    world.run();
    for _ in 0..2 {
        world.suspect(waiter, 0);
        world.run();
    }
    assert_eq!(world.status(waiter), Status::Granted);
    assert_eq!(world.tickets("a"), [2]);
    // The ticket behind the first blocked key was withdrawn and is another.
    assert_eq!(world.tickets("b"), [3]);
}

#[test]
fn nothing_is_asked_of_the_stores_in_the_name_of_life() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.step(section, Input::Renew);
    world.step(section, Input::Wake);
    assert!(
        world
            .calls
            .iter()
            .all(|call| !matches!(call.effect, Effect::Write { .. }))
    );
    assert_eq!(world.calls_of(section), 0);
}
