//! PROTOCOL.md, "Stamps".

use music_core::critical_section::{Failure, Reply};
use music_core::lock_ref::Tick;
use music_core::stamp::Stamp;

use crate::common::*;

fn stamp(lock_ref: u64, incarnation: u8, tick: u32) -> Stamp {
    Stamp::critical(holding(lock_ref, incarnation), Tick::new(tick).unwrap())
}

#[test]
fn every_put_of_the_section_on_any_field_takes_the_next_tick() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a", "b"]);
    let puts = [
        world.put(section, "a", &[("x", "1")]),
        world.put(section, "b", &[("y", "2")]),
        world.put(section, "a", &[("x", "3"), ("y", "3")]),
    ];
    world.run();
    for (tick, put) in (0..).zip(puts) {
        assert_eq!(
            world.reply(section, put),
            Some(Ok(Reply::Written(stamp(1, 0, tick))))
        );
    }
}

#[test]
fn each_synchronisation_takes_the_next_two_its_deletion_the_first_its_fields_the_second() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    world.put(first, "a", &[("x", "1")]);
    world.run();
    let second = world.adopt(1, first);
    while world.calls.iter().all(|call| !is_write(&call.effect)) {
        let call = world.calls.remove(0);
        world.succeed(&call);
    }
    let write = world.take(second, is_write);
    assert_eq!(write.change().deleted(), Some(stamp(1, 1, 0)));
    let stamps: Vec<_> = write.change().cells().map(|(_, cell)| cell.stamp).collect();
    assert_eq!(stamps, [stamp(1, 1, 1)]);
    world.succeed(&write);
    world.run();
    let put = world.put(second, "a", &[("x", "2")]);
    world.run();
    assert_eq!(
        world.reply(second, put),
        Some(Ok(Reply::Written(stamp(1, 1, 2))))
    );
}

#[test]
fn a_repeated_synchronisation_takes_two_new_ones() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let second = world.adopt(1, first);
    while world.calls.iter().all(|call| !is_write(&call.effect)) {
        let call = world.calls.remove(0);
        world.succeed(&call);
    }
    let write = world.take(second, is_write);
    world.fail(&write, Failure::Unknown);
    world.wake(second);
    let read = world.take(second, is_read);
    world.succeed(&read);
    let write = world.take(second, is_write);
    assert_eq!(write.change().deleted(), Some(stamp(1, 1, 2)));
}

#[test]
fn incarnation_starts_at_0_and_grows_when_another_node_takes_the_section_over() {
    let mut world = World::new(3);
    let first = world.granted(0, 1, &["a"]);
    let put = world.put(first, "a", &[("x", "1")]);
    world.run();
    assert_eq!(
        world.reply(first, put),
        Some(Ok(Reply::Written(stamp(1, 0, 0))))
    );
    for node in 1..3 {
        let later = world.adopt(node, first);
        world.run();
        let put = world.put(later, "a", &[("x", "2")]);
        world.run();
        let incarnation = u8::try_from(node).unwrap();
        assert_eq!(
            world.reply(later, put),
            Some(Ok(Reply::Written(stamp(1, incarnation, 2))))
        );
    }
}

#[test]
fn a_put_takes_its_stamp_when_it_is_first_issued_and_a_retry_of_the_same_put_keeps_it() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put_named(section, "a", "first", 1);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::Unknown);
    world.put(section, "a", &[("x", "second")]);
    world.run();
    let again = world.put_named(section, "a", "first", 1);
    world.run();
    assert_eq!(
        world.reply(section, again),
        Some(Ok(Reply::Written(stamp(1, 0, 0))))
    );
    let get = world.get(section, "a");
    world.run();
    assert_eq!(world.value(section, get, "x").as_deref(), Some("second"));
}
