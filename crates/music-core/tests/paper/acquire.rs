//! PROTOCOL.md, "createLockRef" and "acquire".

use music_core::critical_section::{Failure, Input, Lost, Status};
use music_core::lock_queue::Command;

use crate::common::*;

#[test]
fn one_enqueue_per_key_all_at_once() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a", "b", "c"]);
    assert_eq!(world.calls_of(section), 3);
    assert!(world.calls.iter().all(|call| is_enqueue(&call.effect)));
}

#[test]
fn if_the_answer_of_an_enqueue_shows_the_head_and_no_flag_the_acquire_costs_nothing_more() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a", "b", "c"]);
    assert_eq!(world.rounds(section), 1);
    assert_eq!(world.status(section), Status::Granted);
}

#[test]
fn a_ticket_that_is_not_at_the_head_waits_on_a_hint() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    assert_eq!(world.status(second), Status::Waiting);
    world.release(first, false);
    world.run();
    assert_eq!(world.status(second), Status::Waiting, "nobody told it yet");
    world.hint(second, "a");
    assert_eq!(world.rounds(second), 1);
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn with_a_slow_poll_behind_it_a_lost_hint_costs_time() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    world.release(first, false);
    world.run();
    world.pass(lease().get() / 2);
    world.step(second, Input::Renew);
    world.wake(second);
    assert_eq!(world.rounds(second), 1);
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn a_poll_that_fails_is_made_again() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    world.release(first, false);
    world.run();
    world.hint(second, "a");
    let look = world.take(second, is_peek);
    world.fail(&look, Failure::NotApplied);
    world.wake(second);
    world.run();
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn a_hint_that_comes_while_the_queue_is_on_its_way_is_not_lost() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    assert_eq!(
        world.sections[second].watched,
        [id("a")],
        "it listens before it asks"
    );
    let enqueue = world.take(second, is_enqueue);
    let answer = world.perform(&enqueue, ALL);
    world.release(first, false);
    world.run();
    world.hint(second, "a");
    world.answer(&enqueue, answer);
    world.run();
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn hints_that_never_end_do_not_keep_a_waiter_from_its_turn() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    world.release(first, false);
    world.run();
    world.hint(second, "a");
    for _ in 0..3 {
        world.hint(second, "a");
        let look = world.take(second, is_peek);
        world.succeed(&look);
        if world.status(second) == Status::Granted {
            return;
        }
    }
    panic!("it still looks");
}

#[test]
fn shared_tickets_are_granted_beside_each_other_and_exclusive_ones_after_them() {
    let mut world = World::new(2);
    let readers = [world.share(0, 1, &["a"]), world.share(1, 2, &["a"])];
    let writer = world.create(0, 3, &["a"]);
    world.run();
    for reader in readers {
        assert_eq!(world.status(reader), Status::Granted);
    }
    assert_eq!(world.status(writer), Status::Waiting);
    for reader in readers {
        world.release(reader, false);
        world.run();
        world.hint(writer, "a");
        world.run();
    }
    assert_eq!(world.status(writer), Status::Granted);
}

#[test]
fn after_a_time_out_the_node_looks_the_request_up_and_there_is_no_orphan() {
    for lands in [false, true] {
        let mut world = World::new(1);
        let section = world.create(0, 1, &["a"]);
        let enqueue = world.take(section, is_enqueue);
        if lands {
            world.perform(&enqueue, ALL);
        }
        world.fail(&enqueue, Failure::Unknown);
        world.wake(section);
        world.run();
        assert_eq!(world.status(section), Status::Granted);
        assert_eq!(world.tickets("a"), [1]);
    }
}

#[test]
fn a_section_that_ends_while_its_enqueue_is_uncertain_leaves_no_orphan() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.perform(&enqueue, ALL);
    world.fail(&enqueue, Failure::Unknown);
    world.release(section, false);
    assert_eq!(world.sections[section].ended, 0);
    for _ in 0..4 {
        world.wake(section);
        let again = world.take(section, is_enqueue);
        world.fail(&again, Failure::NotApplied);
        assert_eq!(world.calls_of(section), 0, "it waits before it tries again");
    }
    world.wake(section);
    world.run();
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn a_section_whose_node_lost_its_lease_while_an_enqueue_was_uncertain_ends_all_the_same() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.perform(&enqueue, ALL);
    world.fail(&enqueue, Failure::Unknown);
    world.now = world.nodes[0].lease_until;
    world.step(section, Input::Wake);
    world.run();
    world.release(section, false);
    world.run();
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn a_node_does_not_act_under_a_ticket_of_the_same_request_at_another_node() {
    let mut world = World::new(2);
    let first = world.create(0, 1, &["a"]);
    world.run();
    // The client heard no answer and asks another node for the same section.
    let second = world.create(1, 1, &["a"]);
    world.run();
    assert_eq!(world.status(first), Status::Granted);
    assert_eq!(world.status(second), Status::Lost(Lost::Adopted));
    world.release(second, false);
    world.run();
    assert_eq!(world.tickets("a"), [1], "what the first node keeps stays");
}

#[test]
fn a_late_answer_about_an_earlier_ticket_of_the_key_is_no_loss() {
    let mut world = World::new(2);
    let other = world.granted(1, 1, &["b"]);
    let blocker = world.granted(1, 2, &["a"]);
    let section = world.create(0, 3, &["a", "b"]);
    let [enqueue_a, enqueue_b] = [(); 2].map(|()| world.take(section, is_enqueue));
    world.succeed(&enqueue_b);
    world.hint_of_something(section, "b");
    let look = world.take(section, is_peek);
    let late = world.perform(&look, ALL);
    world.succeed(&enqueue_a);
    world.run();
    world.release(blocker, false);
    world.run();
    world.hint(section, "a");
    world.run();
    assert_eq!(world.tickets("b"), [1, 3], "the second ticket is another");
    world.answer(&look, late);
    assert_eq!(world.status(section), Status::Waiting);
    world.release(other, false);
    world.run();
    world.hint(section, "b");
    world.run();
    assert_eq!(world.status(section), Status::Granted);
}

#[test]
fn who_waits_looks_when_the_ticket_ahead_is_gone_not_when_others_come() {
    let mut world = World::new(3);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    let third = world.create(2, 3, &["a"]);
    world.run();
    world.hint(second, "a");
    assert_eq!(world.calls_of(second), 0, "somebody has come behind it");
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(2),
        owner: None,
    });
    world.hint(second, "a");
    assert_eq!(world.calls_of(second), 1, "it is gone itself");
    world.run();
    assert_eq!(world.status(second), Status::Lost(Lost::Preempted));
    world.release(first, false);
    world.run();
    world.hint(third, "a");
    world.run();
    assert_eq!(world.status(third), Status::Granted);
}

#[test]
fn a_loss_that_is_heard_of_during_the_end_does_not_stop_the_end() {
    let mut world = World::new(2);
    let first = world.create(0, 1, &["b"]);
    world.run();
    let section = world.create(1, 1, &["a", "b"]);
    let [enqueue_a, enqueue_b] = [(); 2].map(|()| world.take(section, is_enqueue));
    world.succeed(&enqueue_a);
    world.now = world.nodes[1].lease_until;
    world.step(section, Input::Wake);
    world.release(section, false);
    let force = world.take(section, is_force);
    world.fail(&force, Failure::NotApplied);
    world.succeed(&enqueue_b);
    assert_eq!(world.status(section), Status::Lost(Lost::Adopted));
    world.wake(section);
    world.run();
    assert_eq!(world.sections[section].ended, 1);
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.tickets("b"), [1], "the first section's: {first}");
}
