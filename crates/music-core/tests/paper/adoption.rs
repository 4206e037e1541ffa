//! PROTOCOL.md, "another node mid-section".

use std::time::Duration;

use music_core::critical_section::{Error, Failure, Input, Lost, Reply, Status};
use music_core::lock_queue::Command;

use crate::common::*;

#[test]
fn it_adopts_synchronises_and_ends_that_with_synced_whether_or_not_the_flag_was_set() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a", "b"]);
    world.put(first, "a", &[("x", "1")]);
    world.run();
    let second = world.adopt(1, first);
    // A peek, the adoption, a read, a write, and `synced`: for all keys at once.
    assert_eq!(world.rounds(second), 5);
    assert_eq!(world.status(second), Status::Granted);
    for key in ["a", "b"] {
        assert_eq!(world.queue(key).synced(), lock_ref(1));
        assert!(world.queue(key).present(holding(1, 1)));
    }
    let get = world.get(second, "a");
    assert_eq!(world.value(second, get, "x").as_deref(), Some("1"));
}

#[test]
fn what_the_first_node_has_on_its_way_loses() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    world.put(first, "a", &[("x", "late")]);
    let late = world.take(first, is_write);
    let second = world.adopt(1, first);
    world.run();
    world.land(&late, ALL);
    assert_eq!(world.read(&id("a"), ALL).value(&field("x")), None);
    let get = world.get(second, "a");
    assert_eq!(world.value(second, get, "x"), None);
}

#[test]
fn the_first_node_learns_that_it_is_not_the_one() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    world.adopt(1, first);
    world.run();
    let key = world.index(first, "a");
    world.step(first, Input::Hint { key, marks: None });
    world.run();
    assert_eq!(world.status(first), Status::Lost(Lost::Adopted));
    let put = world.put(first, "a", &[("x", "1")]);
    assert_eq!(
        world.reply(first, put),
        Some(Err(Error::Lost(Lost::Adopted)))
    );
    world.release(first, false);
    world.run();
    assert_eq!(world.tickets("a"), [1], "what the other node keeps stays");
    assert_eq!(world.sections[first].ended, 1);
}

#[test]
fn a_waiter_that_is_adopted_keeps_its_place() {
    let mut world = World::new(3);
    let holder = world.granted(0, 1, &["a"]);
    let waiter = world.create(1, 2, &["a"]);
    world.create(0, 3, &["a"]);
    world.run();
    let adopter = world.adopt(2, waiter);
    world.run();
    assert_eq!(world.status(adopter), Status::Waiting);
    world.release(holder, false);
    world.run();
    world.hint(adopter, "a");
    world.run();
    assert_eq!(world.status(adopter), Status::Granted);
    assert!(world.queue("a").present(holding(2, 1)));
}

#[test]
fn a_section_without_a_ticket_is_lost() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let second = world.adopt(1, first);
    world.run();
    assert_eq!(world.status(second), Status::Lost(Lost::Preempted));
    world.release(second, false);
    assert_eq!(world.sections[second].ended, 1);
}

#[test]
fn one_that_is_lost_while_it_looks_removes_the_tickets_of_its_own_node() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a", "b"]);
    // The node has forgotten the section, and takes it over from itself.
    let second = world.adopt(0, first);
    let look = world.take(second, is_peek);
    let other = world.take(second, is_peek);
    world.succeed(&other);
    world.queue("b").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    world.run();
    assert_eq!(world.status(second), Status::Lost(Lost::Preempted));
    world.succeed(&look);
    world.run();
    assert_eq!(world.tickets("a"), [], "nobody else would end it");
    world.release(second, false);
    assert_eq!(world.sections[second].ended, 1);
}

#[test]
fn a_granted_set_that_lost_one_of_its_keys_is_not_granted_again() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a", "b"]);
    world.queue("b").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let second = world.adopt(1, first);
    world.run();
    assert_eq!(world.status(second), Status::Lost(Lost::Preempted));
    world.release(second, false);
    world.run();
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[second].ended, 1);
}

#[test]
fn a_waiting_set_whose_later_keys_were_withdrawn_goes_on_waiting() {
    let mut world = World::new(3);
    let holder = world.granted(0, 1, &["a"]);
    let waiter = world.create(1, 2, &["a", "b"]);
    world.run();
    assert_eq!(world.tickets("b"), [], "withdrawn behind the blocked key");
    let adopter = world.adopt(2, waiter);
    world.run();
    assert_eq!(world.status(adopter), Status::Waiting);
    world.release(holder, false);
    world.run();
    world.hint(adopter, "a");
    world.run();
    assert_eq!(world.status(adopter), Status::Granted);
}

#[test]
fn an_adoption_that_timed_out_is_tried_again_and_finds_its_own_work_done() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.adopt(1, first);
    let find = world.take(second, is_peek);
    world.succeed(&find);
    let adopt = world.take(second, is_adopt);
    world.perform(&adopt, ALL);
    world.fail(&adopt, Failure::Unknown);
    world.wake(second);
    world.run();
    assert_eq!(world.status(second), Status::Granted);
    assert!(world.queue("a").present(holding(1, 1)));
    let put = world.put(second, "a", &[("x", "1")]);
    world.run();
    let Some(Ok(Reply::Written(stamp))) = world.reply(second, put) else {
        panic!()
    };
    assert_eq!(stamp.holding(), Some(holding(1, 1)));
}

#[test]
fn until_it_has_synchronised_it_can_only_force() {
    for steps in 0..5 {
        let mut world = World::new(2);
        let first = world.granted(0, 1, &["a"]);
        world.put(first, "a", &[("x", "late")]);
        let _late = world.take(first, is_write);
        let second = world.adopt(1, first);
        for _ in 0..steps {
            let call = world.calls.remove(0);
            world.succeed(&call);
        }
        assert_eq!(world.status(second), Status::Waiting);
        let op = world.release(second, false);
        assert_eq!(world.reply(second, op), Some(Ok(Reply::Released)));
        world.run();
        assert_eq!(
            world.tickets("a"),
            [],
            "what the client gave back is gone, after {steps}"
        );
        assert_eq!(world.queue("a").forced(), lock_ref(1));
        assert_eq!(world.sections[second].ended, 1);
    }
}

#[test]
fn an_adoption_that_finds_the_ticket_gone_ends() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.adopt(1, first);
    let find = world.take(second, is_peek);
    world.succeed(&find);
    world.release(first, false);
    world.run_section(first);
    world.release(second, false);
    world.run();
    assert_eq!(world.sections[second].ended, 1);
    assert_eq!(world.sections[second].watched, []);
}

#[test]
fn tickets_of_other_keys_that_nobody_adopted_go_when_the_client_is_silent() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a", "b"]);
    let second = world.adopt(1, first);
    for kind in [is_peek, is_adopt] {
        let call = world.take(second, kind);
        world.succeed(&call);
    }
    // The adopter dies here, with one of two keys.
    world.calls.clear();
    let key = world.index(first, "a");
    world.step(first, Input::Hint { key, marks: None });
    world.run_section(first);
    assert_eq!(world.status(first), Status::Lost(Lost::Adopted));
    assert_eq!(
        world.tickets("b"),
        [1],
        "the adopter might still come for it"
    );
    while world.sections[first].ended == 0 {
        world.wake(first);
        world.run_section(first);
    }
    assert_eq!(world.tickets("a"), [1], "for the others to force");
    assert_eq!(world.tickets("b"), []);
}

#[test]
fn a_shared_set_that_may_have_been_granted_is_not_torn_apart() {
    let mut world = World::new(3);
    let first = world.share(0, 1, &["a"]);
    let second = world.share(1, 2, &["a", "b"]);
    let third = world.share(0, 3, &["a"]);
    world.run();
    for section in [first, second, third] {
        assert_eq!(world.status(section), Status::Granted);
    }
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(3),
        owner: None,
    });
    let adopter = world.adopt(2, second);
    world.run();
    assert_eq!(world.status(adopter), Status::Lost(Lost::Preempted));
    assert_eq!(world.queue("b").forced(), lock_ref(1));
}

#[test]
fn a_node_whose_client_has_gone_on_does_not_take_the_section_back() {
    for lands in [false, true] {
        let mut world = World::new(3);
        let first = world.granted(0, 1, &["a"]);
        let left = world.adopt(1, first);
        let find = world.take(left, is_peek);
        world.succeed(&find);
        let adopt = world.take(left, is_adopt);
        if lands {
            world.perform(&adopt, ALL);
        }
        // It heard nothing from the lock store; its client goes to a third node.
        world.pass(lease().get() / 8);
        world.fail(&adopt, Failure::Unknown);
        let there = world.adopt(2, first);
        world.run_section(there);
        assert_eq!(world.status(there), Status::Granted);
        while world.sections[left].ended == 0 {
            world.step(there, Input::Renew);
            world.wake(left);
            assert!(world.calls.iter().all(|call| !is_adopt(&call.effect)));
            world.run_section(left);
        }
        assert_eq!(world.tickets("a"), [1]);
        let put = world.put(there, "a", &[("x", "1")]);
        world.run();
        assert!(matches!(
            world.reply(there, put),
            Some(Ok(Reply::Written(_)))
        ));
    }
}

#[test]
fn an_adoption_goes_on_when_the_client_asks_again() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.adopt(1, first);
    let find = world.take(second, is_peek);
    world.pass(lease().get() / 8);
    world.fail(&find, Failure::NotApplied);
    world.wake(second);
    assert_eq!(
        world.calls_of(second),
        0,
        "the client has not been heard of since"
    );
    world.step(second, Input::Renew);
    world.wake(second);
    world.run();
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn an_adoption_that_another_node_was_faster_with_waits_for_the_client() {
    let mut world = World::new(3);
    let first = world.granted(0, 1, &["a"]);
    let slow = world.adopt(1, first);
    let find = world.take(slow, is_peek);
    world.succeed(&find);
    let late = world.take(slow, is_adopt);
    let newer = world.adopt(2, first);
    world.run();
    assert_eq!(world.status(newer), Status::Granted);
    world.pass(Duration::from_millis(1));
    world.succeed(&late);
    world.wake(slow);
    world.run();
    assert!(
        world.queue("a").present(holding(1, 1)),
        "the client has gone on: what it does there counts"
    );
    world.step(slow, Input::Renew);
    world.wake(slow);
    world.run();
    assert_eq!(world.status(slow), Status::Granted);
    assert!(
        world.queue("a").present(holding(1, 2)),
        "it is here after all"
    );
}
