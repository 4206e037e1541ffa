//! PROTOCOL.md, "criticalGet" and guarantee 3.

use music_core::critical_section::{Error, Failure, Lost, Status};

use crate::common::*;

/// A section that is granted a key whose field `x` has the value `old`.
fn after_old(world: &mut World) -> usize {
    let before = world.granted(0, 1, &["a"]);
    world.put(before, "a", &[("x", "old")]);
    world.run();
    world.release(before, false);
    world.run();
    world.granted(0, 2, &["a"])
}

#[test]
fn one_round_then_none_for_the_same_key_in_the_same_section() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    let get = world.get(section, "a");
    assert_eq!(world.rounds(section), 1);
    assert_eq!(world.value(section, get, "x").as_deref(), Some("old"));
    let get = world.get(section, "a");
    assert_eq!(world.calls_of(section), 0);
    assert_eq!(world.value(section, get, "x").as_deref(), Some("old"));
}

#[test]
fn a_get_after_the_section_synchronised_costs_nothing() {
    let mut world = World::new(2);
    let first = after_old(&mut world);
    let second = world.adopt(1, first);
    world.run();
    let get = world.get(second, "a");
    assert_eq!(world.calls_of(second), 0);
    assert_eq!(world.value(second, get, "x").as_deref(), Some("old"));
}

#[test]
fn a_get_returns_the_sections_own_last_put() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    world.get(section, "a");
    world.run();
    world.put(section, "a", &[("x", "1")]);
    world.put(section, "a", &[("x", "2")]);
    // They are acknowledged in the other order.
    world.calls.reverse();
    world.run();
    let get = world.get(section, "a");
    assert_eq!(world.value(section, get, "x").as_deref(), Some("2"));
}

#[test]
fn a_get_returns_a_put_that_was_acknowledged_while_an_earlier_read_was_under_way() {
    for read_first in [false, true] {
        let mut world = World::new(1);
        let section = after_old(&mut world);
        let puts_first = !read_first;
        if puts_first {
            world.put(section, "a", &[("x", "new")]);
        }
        world.get(section, "a");
        let read = world.take(section, is_read);
        let answer = world.perform(&read, &[1, 2]);
        if read_first {
            world.put(section, "a", &[("x", "new")]);
        }
        let write = world.take(section, is_write);
        world.succeed_at(&write, &[0, 1]);
        world.answer(&read, answer);
        let get = world.get(section, "a");
        world.run();
        assert_eq!(
            world.value(section, get, "x").as_deref(),
            Some("new"),
            "{read_first}"
        );
    }
}

#[test]
fn a_get_never_goes_back_from_a_put_of_its_own_that_is_unknown() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    world.get(section, "a");
    world.run();
    world.put(section, "a", &[("x", "new")]);
    let write = world.take(section, is_write);
    world.land(&write, &[0]);
    world.fail(&write, Failure::Unknown);
    let get = world.get(section, "a");
    let read = world.take(section, is_read);
    world.succeed_at(&read, &[0, 1]);
    assert_eq!(world.value(section, get, "x").as_deref(), Some("new"));
    let get = world.get(section, "a");
    world.run();
    assert_eq!(world.value(section, get, "x").as_deref(), Some("new"));
}

#[test]
fn a_get_under_way_when_the_put_is_given_up_does_not_settle_what_later_gets_see() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    world.get(section, "a");
    let early = world.take(section, is_read);
    let answer = world.perform(&early, &[1, 2]);
    world.put(section, "a", &[("x", "new")]);
    let write = world.take(section, is_write);
    world.land(&write, &[0, 1]);
    world.fail(&write, Failure::Unknown);
    world.answer(&early, answer);
    let get = world.get(section, "a");
    world.run();
    assert_eq!(world.value(section, get, "x").as_deref(), Some("new"));
}

#[test]
fn answers_to_two_gets_in_the_other_order_do_not_go_back() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    world.put(section, "a", &[("x", "new")]);
    let write = world.take(section, is_write);
    let [first, second] = [world.get(section, "a"), world.get(section, "a")];
    let [early, late] = [world.take(section, is_read), world.take(section, is_read)];
    let early_answer = world.perform(&early, &[1, 2]);
    world.land(&write, &[0, 1]);
    world.succeed_at(&late, &[0, 1]);
    assert_eq!(world.value(section, second, "x").as_deref(), Some("new"));
    world.answer(&early, early_answer);
    assert_eq!(world.value(section, first, "x").as_deref(), Some("new"));
}

#[test]
fn the_node_answers_from_what_it_has_read_only_while_its_own_lease_is_valid() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    world.get(section, "a");
    world.run();
    world.now = world.nodes[0].lease_until;
    let get = world.get(section, "a");
    assert_eq!(
        world.reply(section, get),
        Some(Err(Error::Lost(Lost::NodeLeaseExpired)))
    );
}

#[test]
fn a_get_that_finds_no_majority_says_so() {
    let mut world = World::new(1);
    let section = after_old(&mut world);
    let get = world.get(section, "a");
    let read = world.take(section, is_read);
    world.fail(&read, Failure::Unknown);
    assert_eq!(world.reply(section, get), Some(Err(Error::Unavailable)));
}

#[test]
fn a_get_that_reads_a_later_sections_value_is_lost() {
    let mut world = World::new(2);
    let stale = after_old(&mut world);
    let successor = world.create(1, 3, &["a"]);
    world.run();
    world.suspect(successor, 0);
    world.run();
    let get = world.get(stale, "a");
    world.run();
    assert_eq!(
        world.reply(stale, get),
        Some(Err(Error::Lost(Lost::Preempted)))
    );
    assert_eq!(world.status(stale), Status::Lost(Lost::Preempted));
}

#[test]
fn a_shared_section_is_not_lost_when_a_later_shared_one_is_adopted() {
    let mut world = World::new(3);
    let first = world.share(0, 1, &["a"]);
    let second = world.share(1, 2, &["a"]);
    world.run();
    world.adopt(2, second);
    world.run();
    let get = world.get(first, "a");
    world.run();
    assert_eq!(world.value(first, get, "x"), None);
    assert_eq!(world.status(first), Status::Granted);
    let get = world.get(first, "a");
    assert_eq!(world.calls_of(first), 0);
    assert_eq!(world.value(first, get, "x"), None);
}
