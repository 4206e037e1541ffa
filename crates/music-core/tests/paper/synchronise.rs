//! PROTOCOL.md, "synchronise" and the synchronization flag.

use music_core::critical_section::{Failure, Lost, Status};
use music_core::lock_queue::Command;
use music_core::lock_ref::Tick;
use music_core::record::Record;
use music_core::stamp::Stamp;

use crate::common::*;

/// A world where ticket 1 of a key was forced, and its put of `x` reached
/// replica 0 alone; the put itself.
fn forced(world: &mut World) -> Pending {
    let dead = world.granted(0, 1, &["a"]);
    world.put(dead, "a", &[("x", "old")]);
    let write = world.take(dead, is_write);
    world.land(&write, &[0]);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    write
}

#[test]
fn where_the_flag_is_set_synchronise_that_key_then_synced_then_granted() {
    let mut world = World::new(2);
    forced(&mut world);
    let section = world.create(1, 2, &["a", "b"]);
    let steps: [fn(&music_core::critical_section::Effect) -> bool; 3] =
        [is_read, is_write, is_synced];
    for _ in 0..2 {
        let enqueue = world.take(section, is_enqueue);
        world.succeed(&enqueue);
    }
    for step in steps {
        assert_eq!(world.status(section), Status::Waiting);
        assert_eq!(world.calls_of(section), 1, "the other key needs nothing");
        let call = world.take(section, step);
        world.succeed(&call);
    }
    assert_eq!(world.status(section), Status::Granted);
    assert_eq!(world.queue("a").synced(), lock_ref(2));
    assert!(!world.queue("a").needs_synchronization());
}

#[test]
fn a_deletion_of_the_whole_key_and_the_fields_read_back_in_one_majority_write() {
    let mut world = World::new(2);
    forced(&mut world);
    let section = world.create(1, 2, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.succeed(&enqueue);
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[0, 1]);
    let write = world.take(section, is_write);
    let deletion = Stamp::critical(holding(2, 0), Tick::FIRST);
    assert_eq!(write.change().deleted(), Some(deletion));
    let values: Vec<_> = write
        .change()
        .fields()
        .map(|(name, ..)| name.clone())
        .collect();
    assert_eq!(values, [field("x")]);
    assert_eq!(world.calls_of(section), 0);
}

#[test]
fn a_field_that_was_absent_stays_absent_when_a_late_put_of_an_older_lock_ref_lands() {
    let mut world = World::new(2);
    let late = forced(&mut world);
    let section = world.create(1, 2, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.succeed(&enqueue);
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[1, 2]);
    let write = world.take(section, is_write);
    world.succeed_at(&write, &[1, 2]);
    world.run();
    world.land(&late, ALL);
    let next = world.adopt(0, section);
    world.run();
    let get = world.get(next, "a");
    world.run();
    assert_eq!(world.value(next, get, "x"), None);
}

#[test]
fn tried_again_after_a_time_out_it_reads_again_and_takes_new_ticks() {
    let mut world = World::new(2);
    forced(&mut world);
    let section = world.create(1, 2, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.succeed(&enqueue);
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[1, 2]);
    let first = world.take(section, is_write);
    world.fail(&first, Failure::Unknown);
    world.wake(section);
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[0, 1]);
    let second = world.take(section, is_write);
    assert!(second.change().deleted() > first.change().stamp_max());
    assert_eq!(
        second.change().value(&field("x")).map(|value| &value[..]),
        Some(&b"old"[..])
    );
    world.succeed(&second);
    world.run();
    assert_eq!(world.status(section), Status::Granted);
    world.land(&first, ALL);
    assert!(world.read(&id("a"), ALL).exists(), "the first try loses");
}

#[test]
fn synced_is_recorded_after_the_write_is_acknowledged_and_before_the_grant() {
    let mut world = World::new(2);
    forced(&mut world);
    let section = world.create(1, 2, &["a"]);
    let enqueue = world.take(section, is_enqueue);
    world.succeed(&enqueue);
    let read = world.take(section, is_read);
    world.succeed(&read);
    assert_eq!(world.queue("a").synced(), lock_ref(0));
    let write = world.take(section, is_write);
    world.succeed(&write);
    let synced = world.take(section, is_synced);
    world.fail(&synced, Failure::Unknown);
    assert_eq!(world.status(section), Status::Waiting);
    world.wake(section);
    world.run();
    assert_eq!(world.status(section), Status::Granted);
}

#[test]
fn of_adjacent_shared_tickets_under_a_set_flag_only_the_first_synchronises() {
    let mut world = World::new(2);
    forced(&mut world);
    let first = world.share(1, 2, &["a"]);
    let second = world.share(0, 3, &["a"]);
    let enqueue = world.take(first, is_enqueue);
    world.succeed(&enqueue);
    world.run_section(second);
    assert_eq!(world.status(second), Status::Waiting);
    world.hint(second, "a");
    world.run_section(second);
    assert_eq!(
        world.status(second),
        Status::Waiting,
        "until a peek shows it unset"
    );
    world.run_section(first);
    assert_eq!(world.status(first), Status::Granted);
    world.hint(second, "a");
    let peek = world.take(second, is_peek);
    world.succeed(&peek);
    assert_eq!(world.calls_of(second), 0, "it writes nothing");
    assert_eq!(world.status(second), Status::Granted);
}

#[test]
fn a_node_that_reads_a_stamp_from_a_lock_ref_it_has_not_reached_says_so_and_refuses() {
    let mut world = World::new(2);
    forced(&mut world);
    let ahead = Stamp::critical(holding(9, 0), Tick::FIRST);
    let from_before = Record::write(ahead, [(field("x"), Some("later".into()))]);
    for replica in &mut world.replicas {
        replica.insert(id("a"), from_before.clone());
    }
    let section = world.create(1, 2, &["a"]);
    world.run();
    assert_eq!(world.status(section), Status::Lost(Lost::LockStoreBehind));
}
