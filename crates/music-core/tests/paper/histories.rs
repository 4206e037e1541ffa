//! PROTOCOL.md, "What was checked, and what breaks without each rule": the
//! ten least obvious histories, in its order.

use std::sync::Arc;

use music_core::critical_section::{Answer, Failure, Input, Status};
use music_core::lock_queue::Command;

use crate::common::*;

/// Performs calls of a section until it makes one of that kind; takes it out.
fn up_to(
    world: &mut World,
    section: usize,
    kind: fn(&music_core::critical_section::Effect) -> bool,
) -> Pending {
    while !world
        .calls
        .iter()
        .any(|call| call.section == section && kind(&call.effect))
    {
        let call = world.take(section, |_| true);
        world.succeed(&call);
    }
    world.take(section, kind)
}

/// What a fresh section at that node reads of `a` once it is granted, with
/// what lands between the grant and the get.
fn next_reads(world: &mut World, lands: &[&Pending], name: &str) -> Option<String> {
    let next = world.create(1, 77, &["a"]);
    world.run_section(next);
    assert_eq!(world.status(next), Status::Granted);
    for late in lands {
        world.land(late, ALL);
    }
    let get = world.get(next, "a");
    world.run_section(next);
    world.value(next, get, name)
}

#[test]
fn no_1_a_waiter_that_began_to_synchronise_and_gives_up_forces() {
    let mut world = World::new(2);
    let dead = world.granted(0, 1, &["a"]);
    world.put(dead, "a", &[("x", "old")]);
    world.run();
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let waiter = world.create(0, 2, &["a"]);
    let write = up_to(&mut world, waiter, is_write);
    world.release(waiter, false);
    let exit = world.take(waiter, is_force);
    world.succeed(&exit);
    assert_eq!(world.queue("a").forced(), lock_ref(2));
    assert_eq!(
        next_reads(&mut world, &[&write], "x").as_deref(),
        Some("old")
    );
    assert_eq!(world.queue("a").synced(), lock_ref(3));

    // One whose write was given up, and which reads again.
    let mut world = World::new(2);
    world.granted(0, 1, &["a"]);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let waiter = world.create(0, 2, &["a"]);
    let write = up_to(&mut world, waiter, is_write);
    world.fail(&write, Failure::Unknown);
    world.release(waiter, false);
    world.take(waiter, is_force);
}

#[test]
fn no_2_an_adopter_that_releases_before_its_synchronising_write_is_acknowledged_forces() {
    for stage in [is_read, is_write] {
        let mut world = World::new(2);
        let first = world.granted(0, 1, &["a"]);
        world.put(first, "a", &[("x", "late")]);
        let late = world.take(first, is_write);
        let adopter = world.adopt(1, first);
        let _under_way = up_to(&mut world, adopter, stage);
        world.release(adopter, false);
        world.run_section(adopter);
        assert_eq!(next_reads(&mut world, &[&late], "x"), None);
    }
}

#[test]
fn no_3_a_node_does_not_end_the_section_of_a_client_that_has_moved_on() {
    let mut world = World::new(3);
    let first = world.granted(0, 1, &["a"]);
    let adopter = world.adopt(1, first);
    world.run();
    let next = world.create(2, 2, &["a"]);
    world.run();
    world.step(adopter, Input::Renew);
    world.wake(first);
    world.run();
    world.hint(next, "a");
    world.run();
    assert_eq!(world.sections[first].ended, 1);
    assert_eq!(world.status(next), Status::Waiting);
    assert!(world.queue("a").present(holding(1, 1)));

    // Nor does it by a withdrawal that was on its way when the client moved.
    let mut world = World::new(3);
    let holder = world.granted(0, 1, &["a"]);
    let first = world.create(0, 2, &["a"]);
    world.run();
    world.release(first, false);
    let late = world.take(first, |_| true);
    let adopter = world.adopt(1, first);
    world.run();
    world.release(holder, false);
    world.run();
    world.hint(adopter, "a");
    world.run();
    assert_eq!(world.status(adopter), Status::Granted);
    world.succeed(&late);
    assert!(world.queue("a").present(holding(2, 1)));
}

#[test]
fn no_4_a_release_that_a_later_holder_has_seen_is_seen_by_an_adoption_and_a_confirmation() {
    let mut world = World::new(3);
    let first = world.granted(0, 1, &["a"]);
    let second = world.create(1, 2, &["a"]);
    world.run();
    let adopter = world.adopt(2, first);
    let find = world.take(adopter, is_peek);
    world.succeed(&find);
    world.release(first, false);
    let release = world.take(first, is_release);
    world.perform(&release, ALL);
    world.fail(&release, Failure::Unknown);
    world.hint(second, "a");
    world.run_section(second);
    assert_eq!(world.status(second), Status::Granted);
    world.run_section(adopter);
    assert!(matches!(world.status(adopter), Status::Lost(_)));
    assert_eq!(
        world.queue("a").apply(Command::Confirm(holding(1, 0))),
        gone()
    );
    assert_eq!(world.tickets("a"), [2]);
}

fn gone() -> music_core::lock_queue::Outcome {
    music_core::lock_queue::Outcome::Gone
}

#[test]
fn no_5_a_shared_ticket_that_leaves_while_it_synchronises_sets_the_flag() {
    for preempted in [false, true] {
        let mut world = World::new(3);
        let dead = world.granted(0, 1, &["a"]);
        world.put(dead, "a", &[("x", "late")]);
        let late = world.take(dead, is_write);
        world.queue("a").apply(Command::Force {
            lock_ref: lock_ref(1),
            owner: None,
        });
        let first = world.share(0, 2, &["a"]);
        let write = up_to(&mut world, first, is_write);
        let second = world.share(1, 3, &["a"]);
        world.run_section(second);
        assert_eq!(world.status(second), Status::Waiting);
        if preempted {
            world.suspect(second, 0);
        } else {
            world.release(first, false);
            world.run_section(first);
            world.hint(second, "a");
        }
        let read = up_to(&mut world, second, is_read);
        assert_eq!(world.queue("a").forced(), lock_ref(2));
        world.succeed(&read);
        world.run_section(second);
        world.land(&late, ALL);
        world.land(&write, ALL);
        assert_eq!(world.read(&id("a"), ALL).value(&field("x")), None);
    }
}

#[test]
fn no_6_synced_of_a_ticket_that_was_adopted_does_not_count() {
    let mut world = World::new(3);
    let dead = world.granted(0, 1, &["a"]);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let first = world.share(0, 2, &["a"]);
    let synced = up_to(&mut world, first, is_synced);
    let adopter = world.adopt(1, first);
    let _under_way = up_to(&mut world, adopter, is_write);
    world.succeed(&synced);
    let next = world.share(2, 3, &["a"]);
    world.run_section(next);
    assert_eq!(
        world.status(next),
        Status::Waiting,
        "the adopter synchronises still, {dead}"
    );
    assert!(matches!(world.status(first), Status::Lost(_)));
}

#[test]
fn no_7_a_synchronisation_tried_again_takes_stamps_of_its_own() {
    let mut world = World::new(2);
    let dead = world.granted(0, 1, &["a"]);
    world.put(dead, "a", &[("x", "z")]);
    let earlier = world.take(dead, is_write);
    world.put(dead, "a", &[("x", "b")]);
    let later = world.take(dead, is_write);
    world.land(&earlier, &[0]);
    world.land(&later, &[1]);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let section = world.create(1, 2, &["a"]);
    let read = up_to(&mut world, section, is_read);
    world.succeed_at(&read, &[0, 2]);
    let first_try = world.take(section, is_write);
    world.fail(&first_try, Failure::Unknown);
    world.wake(section);
    world.run();
    assert_eq!(world.status(section), Status::Granted);
    let get = world.get(section, "a");
    assert_eq!(world.value(section, get, "x").as_deref(), Some("b"));
    world.land(&first_try, ALL);
    assert_eq!(world.read(&id("a"), ALL).value(&field("x")).unwrap(), "b");
}

#[test]
fn no_8_a_get_takes_the_whole_record_and_not_one_field_of_two_put_together() {
    let mut world = World::new(2);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1"), ("y", "1")]);
    world.run();
    world.put(section, "a", &[("x", "2"), ("y", "2")]);
    let write = world.take(section, is_write);
    world.land(&write, &[0]);
    world.fail(&write, Failure::Unknown);
    let get = world.get(section, "a");
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[0, 1]);
    for name in ["x", "y"] {
        assert_eq!(world.value(section, get, name).as_deref(), Some("2"));
    }
    // What it has seen is at a majority, both fields of it.
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let next = world.create(1, 2, &["a"]);
    let read = up_to(&mut world, next, is_read);
    world.succeed_at(&read, &[1, 2]);
    world.run();
    let get = world.get(next, "a");
    for name in ["x", "y"] {
        assert_eq!(world.value(next, get, name).as_deref(), Some("2"));
    }
}

#[test]
fn no_9_a_head_not_above_synced_does_not_unset_the_flag() {
    let mut world = World::new(3);
    let first = world.share(0, 1, &["a"]);
    let second = world.share(1, 2, &["a"]);
    world.run();
    let adopter = world.adopt(2, second);
    world.run();
    assert_eq!(
        world.queue("a").synced(),
        lock_ref(2),
        "an adopter ends with synced"
    );
    let third = world.share(1, 3, &["a"]);
    world.run();
    assert_eq!(world.status(third), Status::Granted);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(3),
        owner: None,
    });
    world.release(adopter, false);
    world.run();
    let fourth = world.share(2, 4, &["a"]);
    world.run();
    assert_eq!(
        world.status(fourth),
        Status::Waiting,
        "the head is 1, synced is 2"
    );
    world.release(first, false);
    world.run_section(first);
    world.hint(fourth, "a");
    world.run();
    assert_eq!(world.status(fourth), Status::Granted);
    assert_eq!(world.queue("a").synced(), lock_ref(4));
}

#[test]
fn no_10_a_fused_grant_asks_whether_all_tickets_are_gone_and_not_the_last_alone() {
    let mut world = World::new(2);
    world.granted(0, 1, &["a"]);
    let waiter = world.create(0, 2, &["a"]);
    world.run();
    world.release(waiter, false);
    world.run();
    let next = world.create(1, 3, &["a"]);
    let enqueue = world.take(next, is_enqueue);
    let answer = world.perform(&enqueue, ALL);
    let Answer::Applied(Ok((_, queue))) = &answer else {
        panic!()
    };
    assert_eq!(Arc::as_ref(queue).tickets().count(), 2);
    world.answer(&enqueue, answer);
    assert_eq!(world.status(next), Status::Waiting);
}
