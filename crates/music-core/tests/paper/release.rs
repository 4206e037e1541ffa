//! PROTOCOL.md, "release" and "confirmed release".

use music_core::critical_section::{Error, Failure, Lost, Reply, Status};
use music_core::lock_queue::Command;

use crate::common::*;

#[test]
fn clean_when_every_put_was_acknowledged_a_majority_write_of_released() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1")]);
    world.run();
    world.release(section, false);
    assert_eq!(world.calls_of(section), 1);
    let release = world.take(section, is_release);
    world.succeed(&release);
    assert_eq!(world.queue("a").released(), holding(1, 0));
    assert!(!world.queue("a").needs_synchronization());
    assert_eq!(world.sections[section].ended, 1);
    assert_eq!(world.sections[section].watched, []);
}

#[test]
fn it_may_finish_after_the_client_is_answered_and_is_tried_until_it_is_done() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let op = world.release(section, false);
    assert_eq!(world.reply(section, op), Some(Ok(Reply::Released)));
    for _ in 0..20 {
        let release = world.take(section, is_release);
        world.fail(&release, Failure::Unknown);
        assert_eq!(world.calls_of(section), 0);
        assert_eq!(world.sections[section].ended, 0);
        world.wake(section);
    }
    world.run();
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn a_release_waits_for_the_puts_that_may_still_be_acknowledged() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    world.release(section, false);
    assert_eq!(world.calls_of(section), 1, "the put alone");
    let write = world.take(section, is_write);
    world.succeed(&write);
    assert!(matches!(
        world.reply(section, put),
        Some(Ok(Reply::Written(_)))
    ));
    world.take(section, is_release);
}

#[test]
fn otherwise_it_is_a_force() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a", "b"]);
    world.put(section, "a", &[("x", "1")]);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::Unknown);
    world.release(section, false);
    // A key without such a put is released cleanly.
    world.take(section, is_release);
    let force = world.take(section, is_force);
    world.succeed(&force);
    assert!(world.queue("a").needs_synchronization());
}

#[test]
fn a_put_that_a_retry_found_acknowledged_leaves_the_end_clean() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put_named(section, "a", "1", 1);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::Unknown);
    world.put_named(section, "a", "1", 1);
    world.run();
    world.release(section, false);
    world.take(section, is_release);
}

#[test]
fn a_waiter_withdraws() {
    let mut world = World::new(1);
    let holder = world.granted(0, 1, &["a"]);
    let waiter = world.create(0, 2, &["a"]);
    world.run();
    world.release(waiter, false);
    world.run();
    assert_eq!(world.tickets("a"), [1]);
    assert!(!world.queue("a").needs_synchronization());
    assert_eq!(world.status(holder), Status::Granted);
    assert_eq!(world.sections[waiter].ended, 1);
}

#[test]
fn a_shared_holder_with_nothing_under_way_withdraws() {
    let mut world = World::new(1);
    let first = world.share(0, 1, &["a"]);
    let second = world.share(0, 2, &["a"]);
    world.run();
    // The second in the queue leaves first: "every ticket up to it" would be
    // too many.
    world.release(second, false);
    world.run();
    assert_eq!(world.tickets("a"), [1]);
    assert_eq!(world.status(first), Status::Granted);
    assert!(!world.queue("a").needs_synchronization());
}

#[test]
fn a_release_while_the_key_is_being_entered_ends_when_that_is_answered() {
    let mut world = World::new(1);
    let section = world.create(0, 1, &["a"]);
    let op = world.release(section, false);
    assert_eq!(world.reply(section, op), Some(Ok(Reply::Released)));
    assert_eq!(world.sections[section].ended, 0);
    world.run();
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn a_release_is_the_last_word() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.release(section, false);
    world.run();
    let again = world.release(section, false);
    assert_eq!(world.reply(section, again), Some(Ok(Reply::Released)));
    let confirm = world.release(section, true);
    assert_eq!(world.reply(section, confirm), Some(Err(Error::Released)));
    assert_eq!(world.calls_of(section), 0);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn confirmed_if_the_ticket_was_still_there() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a", "b"]);
    let op = world.release(section, true);
    assert_eq!(world.reply(section, op), None);
    world.run();
    assert_eq!(world.reply(section, op), Some(Ok(Reply::Confirmed)));
    assert_eq!(world.tickets("a"), []);
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn if_not_the_client_is_told_lost() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a", "b"]);
    world.queue("b").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let op = world.release(section, true);
    world.run();
    assert_eq!(
        world.reply(section, op),
        Some(Err(Error::Lost(Lost::Preempted)))
    );
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn where_a_put_was_unacknowledged_it_forces_instead_with_the_same_answer() {
    for still_there in [true, false] {
        let mut world = World::new(1);
        let section = world.granted(0, 1, &["a"]);
        world.put(section, "a", &[("x", "1")]);
        let write = world.take(section, is_write);
        world.fail(&write, Failure::Unknown);
        if !still_there {
            world.queue("a").apply(Command::Force {
                lock_ref: lock_ref(1),
                owner: None,
            });
        }
        let op = world.release(section, true);
        let force = world.take(section, is_force);
        world.succeed(&force);
        let lost = Err(Error::Lost(Lost::Preempted));
        let expected = if still_there {
            Ok(Reply::Confirmed)
        } else {
            lost
        };
        assert_eq!(world.reply(section, op), Some(expected));
        assert!(world.queue("a").needs_synchronization());
    }
}

#[test]
fn a_confirmation_that_was_tried_twice_and_found_nothing_is_unknown() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let op = world.release(section, true);
    let confirm = world.take(section, is_confirm);
    world.perform(&confirm, ALL);
    world.fail(&confirm, Failure::Unknown);
    world.wake(section);
    world.run();
    assert_eq!(world.reply(section, op), Some(Err(Error::Unknown)));
    assert_eq!(world.sections[section].ended, 1);
}

#[test]
fn a_confirmation_refused_once_and_then_done_is_confirmed() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let op = world.release(section, true);
    let confirm = world.take(section, is_confirm);
    world.fail(&confirm, Failure::NotApplied);
    world.wake(section);
    world.run();
    assert_eq!(world.reply(section, op), Some(Ok(Reply::Confirmed)));
}

#[test]
fn a_second_confirmation_takes_the_place_of_the_first() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let first = world.release(section, true);
    let second = world.release(section, true);
    assert_eq!(world.reply(section, first), Some(Err(Error::Unknown)));
    world.run();
    assert_eq!(world.reply(section, second), Some(Ok(Reply::Confirmed)));
}

#[test]
fn a_section_that_was_not_granted_has_nothing_to_confirm() {
    let mut world = World::new(1);
    world.granted(0, 1, &["a"]);
    let waiter = world.create(0, 2, &["a"]);
    world.run();
    let op = world.release(waiter, true);
    assert_eq!(world.reply(waiter, op), Some(Err(Error::NotGranted)));
    assert_eq!(world.status(waiter), Status::Waiting);
}
