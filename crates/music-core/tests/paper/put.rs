//! PROTOCOL.md, "criticalPut".

use std::time::Duration;

use music_core::critical_section::{
    Answer, Change, Error, Failure, Input, Lost, PUTS_PENDING_MAX, Reply, Status,
};
use music_core::id::IdempotencyKey;

use crate::common::*;

#[test]
fn a_majority_write_that_asks_nothing_of_the_lock_store() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    assert_eq!(world.calls_of(section), 1);
    let write = world.take(section, is_write);
    assert_eq!(world.reply(section, put), None);
    world.succeed_at(&write, &[0, 2]);
    assert!(matches!(
        world.reply(section, put),
        Some(Ok(Reply::Written(_)))
    ));
}

#[test]
fn a_stale_holders_stamp_is_lower_than_its_successors_so_its_writes_lose() {
    let mut world = World::new(2);
    let stale = world.granted(0, 1, &["a"]);
    let successor = world.create(1, 2, &["a"]);
    world.run();
    world.suspect(successor, 0);
    world.run();
    assert_eq!(world.status(successor), Status::Granted);
    world.put(successor, "a", &[("x", "new")]);
    world.run();
    // It goes on unaware.
    world.put(stale, "a", &[("x", "stale"), ("y", "stale")]);
    world.run_section(stale);
    let get = world.get(successor, "a");
    world.run();
    assert_eq!(world.value(successor, get, "x").as_deref(), Some("new"));
    assert_eq!(world.value(successor, get, "y"), None);
    assert_eq!(world.read(&id("a"), ALL).value(&field("y")), None);
}

#[test]
fn the_node_refuses_early_when_it_knows_that_the_ticket_is_gone() {
    let mut world = World::new(2);
    let stale = world.granted(0, 1, &["a"]);
    let successor = world.create(1, 2, &["a"]);
    world.run();
    world.suspect(successor, 0);
    world.run();
    world.hint(stale, "a");
    world.run();
    assert_eq!(world.status(stale), Status::Lost(Lost::Preempted));
    let put = world.put(stale, "a", &[("x", "stale")]);
    assert_eq!(
        world.reply(stale, put),
        Some(Err(Error::Lost(Lost::Preempted)))
    );
    assert_eq!(world.calls_of(stale), 0);
}

#[test]
fn puts_of_one_section_may_be_pipelined() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let puts: Vec<_> = (0..10)
        .map(|put| world.put(section, "a", &[("x", &put.to_string())]))
        .collect();
    assert_eq!(world.calls_of(section), 10);
    // The last issued wins, in whatever order they arrive.
    world.calls.reverse();
    assert_eq!(world.rounds(section), 1);
    for put in puts {
        assert!(matches!(
            world.reply(section, put),
            Some(Ok(Reply::Written(_)))
        ));
    }
    assert_eq!(world.read(&id("a"), ALL).value(&field("x")).unwrap(), "9");
}

#[test]
fn a_put_is_acknowledged_only_while_the_nodes_lease_has_not_run_out() {
    for (late, acknowledged) in [(1, true), (0, false)] {
        let mut world = World::new(1);
        let section = world.granted(0, 1, &["a"]);
        let put = world.put(section, "a", &[("x", "1")]);
        let write = world.take(section, is_write);
        let left = world.nodes[0].lease_until.since(world.now);
        world.now = world
            .now
            .after(left.saturating_sub(Duration::from_millis(late)));
        world.succeed(&write);
        match world.reply(section, put) {
            Some(Ok(Reply::Written(_))) => assert!(acknowledged),
            reply => {
                assert!(!acknowledged);
                assert_eq!(reply, Some(Err(Error::Unknown)));
            }
        }
    }
}

#[test]
fn nor_is_one_that_the_release_waits_for() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    world.release(section, false);
    world.now = world.nodes[0].lease_until;
    let write = world.take(section, is_write);
    world.succeed(&write);
    assert_eq!(world.reply(section, put), Some(Err(Error::Unknown)));
    world.take(section, is_force);
}

#[test]
fn a_put_that_no_majority_acknowledged_is_unknown() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    let write = world.take(section, is_write);
    world.land(&write, &[0]);
    world.fail(&write, Failure::Unknown);
    assert_eq!(world.reply(section, put), Some(Err(Error::Unknown)));
    assert!(Error::Unknown.is_unknown() && Error::Unknown.is_retryable());
}

#[test]
fn a_put_that_the_store_refused_had_no_effect() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::NotApplied);
    assert_eq!(world.reply(section, put), Some(Err(Error::Unavailable)));
    world.release(section, false);
    world.take(section, is_release);
}

#[test]
fn a_retry_that_is_refused_is_unknown_while_its_first_try_may_land() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put_named(section, "a", "1", 1);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::Unknown);
    let again = world.put_named(section, "a", "1", 1);
    let second = world.take(section, is_write);
    world.fail(&second, Failure::NotApplied);
    assert_eq!(world.reply(section, again), Some(Err(Error::Unknown)));
    world.release(section, false);
    let exit = world.take(section, is_force);
    world.succeed(&exit);
    world.land(&write, ALL);
    assert!(world.queue("a").needs_synchronization());
}

#[test]
fn the_fields_of_one_key_put_together_are_one_write() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1"), ("y", "1")]);
    let write = world.take(section, is_write);
    assert_eq!(write.change().cells().count(), 2);
    assert_eq!(world.calls_of(section), 0);
}

#[test]
fn a_deletion_of_the_key_is_a_put() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1"), ("y", "1")]);
    world.change(section, "a", Change::Delete, None);
    let get = world.get(section, "a");
    world.run();
    assert_eq!(world.value(section, get, "x"), None);
    assert_eq!(world.value(section, get, "y"), None);
}

#[test]
fn the_same_name_is_the_same_put() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let first = world.put_named(section, "a", "1", 1);
    world.run();
    let again = world.put_named(section, "a", "1", 1);
    assert_eq!(world.calls_of(section), 0, "a majority has it already");
    assert_eq!(world.reply(section, first), world.reply(section, again));
    let other = world.change(
        section,
        "a",
        fields(&[("x", "2")]),
        Some((IdempotencyKey(1), 8)),
    );
    assert_eq!(
        world.reply(section, other),
        Some(Err(Error::IdempotencyKeyReused))
    );
}

#[test]
fn a_retry_while_the_put_is_under_way_takes_its_place() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let first = world.put_named(section, "a", "1", 1);
    let again = world.put_named(section, "a", "1", 1);
    assert_eq!(world.calls_of(section), 1);
    world.run();
    assert_eq!(world.reply(section, first), Some(Err(Error::Unknown)));
    assert!(matches!(
        world.reply(section, again),
        Some(Ok(Reply::Written(_)))
    ));
}

#[test]
fn a_shared_section_does_not_write() {
    let mut world = World::new(1);
    let section = world.share(0, 1, &["a"]);
    world.run();
    let put = world.put(section, "a", &[("x", "1")]);
    assert_eq!(
        world.reply(section, put),
        Some(Err(Error::SharedIsReadOnly))
    );
}

#[test]
fn a_put_outside_the_critical_section_or_its_keys_is_refused() {
    let mut world = World::new(2);
    let first = world.granted(0, 1, &["a"]);
    let waiting = world.create(1, 2, &["a"]);
    world.run();
    let put = world.put(waiting, "a", &[("x", "1")]);
    assert_eq!(world.reply(waiting, put), Some(Err(Error::NotGranted)));
    let put = world.put(first, "b", &[("x", "1")]);
    assert_eq!(world.reply(first, put), Some(Err(Error::KeyNotInSet)));
    world.release(first, false);
    let put = world.put(first, "a", &[("x", "1")]);
    assert_eq!(world.reply(first, put), Some(Err(Error::Released)));
}

#[test]
fn the_puts_under_way_are_bounded() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    for _ in 0..PUTS_PENDING_MAX {
        world.put(section, "a", &[("x", "1")]);
    }
    let put = world.put(section, "a", &[("x", "1")]);
    assert_eq!(world.reply(section, put), Some(Err(Error::TooManyPuts)));
    world.run();
    let put = world.put(section, "a", &[("x", "1")]);
    world.run();
    assert!(matches!(
        world.reply(section, put),
        Some(Ok(Reply::Written(_)))
    ));
}

#[test]
fn puts_that_stay_unknown_do_not_use_the_bound_up() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    for _ in 0..2 * PUTS_PENDING_MAX {
        let put = world.put(section, "a", &[("x", "1")]);
        let write = world.take(section, is_write);
        world.fail(&write, Failure::Unknown);
        assert_eq!(world.reply(section, put), Some(Err(Error::Unknown)));
    }
    world.release(section, false);
    world.take(section, is_force);
}

#[test]
fn an_answer_to_a_put_after_the_end_is_told_before_the_section_is_dropped() {
    let mut world = World::new(1);
    let section = world.granted(0, 1, &["a"]);
    let put = world.put(section, "a", &[("x", "1")]);
    let get = world.get(section, "a");
    let [write, read] = [world.take(section, is_write), world.take(section, is_read)];
    world.now = world.nodes[0].lease_until;
    world.step(section, Input::Wake);
    world.release(section, false);
    world.run();
    assert_eq!(world.sections[section].ended, 0);
    world.answer(&write, Answer::Done(Ok(())));
    assert_eq!(world.reply(section, put), Some(Err(Error::Unknown)));
    world.succeed(&read);
    assert!(world.reply(section, get).is_some());
    assert_eq!(world.sections[section].ended, 1);
}
