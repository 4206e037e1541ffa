//! PROTOCOL.md, "Site affinity": a ticket that its node keeps for the next of
//! its sections.

use music_core::critical_section::{Effect, Error, Failure, Input, Kept, Lost, Status};
use music_core::id::RequestId;
use music_core::lock_queue::Command;
use music_core::lock_ref::HandOvers;
use music_core::record::Record;

use crate::common::*;

/// A world whose nodes keep tickets.
fn homely(nodes: u128) -> World {
    let mut world = World::new(nodes);
    world.keeps = true;
    world
}

/// Ends a section of one key and keeps its ticket.
fn keep(world: &mut World, section: usize) -> Kept {
    world.release(section, false);
    world.run();
    assert_eq!(world.sections[section].ended, 1);
    let left = world.left(section);
    world.keep(left).unwrap()
}

/// A node that a client has moved to looks for a name that is not given.
fn look_until_lost(world: &mut World, section: usize) {
    world.run();
    for _ in 0..20 {
        if world.status(section) == Status::Lost(Lost::Preempted) {
            return;
        }
        assert_eq!(world.status(section), Status::Waiting);
        world.wake(section);
        world.run();
    }
    panic!("it looks for ever");
}

fn is_name(effect: &Effect) -> bool {
    let Effect::Apply { command, .. } = effect else {
        return false;
    };
    matches!(command, Command::Name { .. })
}

fn token(world: &World, section: usize) -> u64 {
    let machine = &world.sections[section].machine;
    machine.tokens().next().unwrap().1.get()
}

#[test]
fn the_next_section_of_the_node_asks_nobody() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1")]);
    world.run();
    let before = token(&world, section);
    let kept = keep(&mut world, section);
    assert_eq!(world.tickets("a"), [1], "it is not released");
    let next = world.create_with(0, 2, &["a"], kept);
    assert_eq!(world.status(next), Status::Granted);
    assert_eq!(world.calls_of(next), 0);
    assert!(token(&world, next) > before);
    let get = world.get(next, "a");
    world.run();
    assert_eq!(world.value(next, get, "x").as_deref(), Some("1"));
    world.release(next, false);
    let left = world.left(next);
    assert_eq!(left.hand_overs(), HandOvers(2));
    let last = world.create_with(0, 3, &["a"], left);
    assert_eq!(world.calls_of(last), 0, "the queue knows already");
    assert!(token(&world, last) > token(&world, next));
}

/// "A hand-over that synchronises at ticks lower than the puts before it."
#[test]
fn what_it_puts_is_above_all_that_was_put_before() {
    let mut world = homely(1);
    let first = world.granted(0, 1, &["a"]);
    let puts = |world: &mut World, section: usize, values: [&str; 3]| {
        for value in values {
            let newest = world.replicas[0].get(&id("a")).and_then(Record::stamp_max);
            world.put(section, "a", &[("x", value)]);
            let write = world.take(section, is_write);
            assert!(write.change().stamp_max() > newest);
            world.succeed(&write);
        }
    };
    puts(&mut world, first, ["1", "2", "3"]);
    let kept = keep(&mut world, first);
    let second = world.create_with(0, 2, &["a"], kept);
    puts(&mut world, second, ["4", "5", "6"]);
    world.release(second, false);
    let left = world.left(second);
    let third = world.create_with(0, 3, &["a"], left);
    puts(&mut world, third, ["7", "8", "9"]);
    let get = world.get(third, "a");
    world.run();
    assert_eq!(world.value(third, get, "x").as_deref(), Some("9"));
}

#[test]
fn what_was_read_before_need_not_be_read_again() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    world.get(section, "a");
    world.run();
    world.put(section, "a", &[("x", "1")]);
    world.run();
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    let get = world.get(next, "a");
    assert_eq!(world.calls_of(next), 0);
    assert_eq!(world.value(next, get, "x").as_deref(), Some("1"));
}

#[test]
fn a_ticket_that_may_have_a_write_under_way_is_not_kept() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    world.put(section, "a", &[("x", "1")]);
    let write = world.take(section, is_write);
    world.fail(&write, Failure::Unknown);
    world.release(section, false);
    world.run();
    assert!(world.sections[section].kept.is_empty());
    assert!(world.queue("a").needs_synchronization());
}

#[test]
fn its_node_is_told_that_others_wait_behind_it() {
    for hinted in [false, true] {
        let mut world = homely(2);
        let section = world.granted(0, 1, &["a"]);
        world.create(1, 2, &["a"]);
        world.run();
        if hinted {
            world.hint(section, "a");
        } else {
            // A hint that does not say how far the queue has come.
            let key = world.index(section, "a");
            world.step(section, Input::Hint { key, marks: None });
            world.run();
        }
        world.release(section, false);
        world.run();
        assert!(world.left(section).is_followed(), "{hinted}");
    }
}

#[test]
fn a_ticket_that_a_node_has_asked_for_itself_is_known_at_once() {
    let mut world = homely(2);
    let line = world.create_for_node(0, 1, &["a"]);
    world.run();
    let other = world.create(1, 2, &["a"]);
    world.run();
    let mut last = line;
    for request in 3..6 {
        world.release(last, false);
        let kept = world.left(last);
        assert!(kept.is_known());
        last = world.create_with(0, request, &["a"], kept);
        assert_eq!(world.status(last), Status::Granted);
        assert_eq!(world.tickets("a"), [1, 2]);
    }
    assert!(world.sections[last].watched.contains(&id("a")));
    world.hint(last, "a");
    world.release(last, false);
    let kept = world.left(last);
    assert!(kept.is_followed());
    world.queue("a").release(kept.holding());
    world.hint(other, "a");
    world.run();
    assert_eq!(world.status(other), Status::Granted);
}

#[test]
fn nor_that_of_a_confirmed_section() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    world.release(section, true);
    world.run();
    assert!(world.sections[section].kept.is_empty());
    assert_eq!(world.tickets("a"), []);
}

/// A release that comes to the first node after another has taken over.
#[test]
fn nor_one_that_another_node_has_taken_over() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let moved = world.adopt(1, section);
    world.run();
    assert_eq!(world.status(moved), Status::Granted);
    world.release(section, false);
    world.run();
    let left = world.left(section);
    assert_eq!(world.keep(left), None);
    assert_eq!(world.status(moved), Status::Granted);
    assert_eq!(world.tickets("a"), [1]);
}

/// Whatever the client of a section that is over asks of other nodes, late.
#[test]
fn a_section_that_is_over_takes_nothing_from_the_next_one() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    for over in [section, next] {
        if over == next {
            world.release(next, false);
        }
        let late = world.adopt(1, over);
        look_until_lost(&mut world, late);
        let request = world.sections[over].machine.terms().request;
        world.queue("a").apply(Command::ForceSection(request));
        assert_eq!(world.tickets("a"), [1]);
    }
    let left = world.left(next);
    let last = world.create_with(0, 3, &["a"], left);
    let put = world.put(last, "a", &[("x", "1")]);
    world.run();
    assert!(matches!(world.reply(last, put), Some(Ok(_))));
}

/// An adoption that was asked for before the section ended, and lands after.
#[test]
fn an_adoption_that_has_seen_the_ticket_before_finds_it_gone() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let late = world.adopt(1, section);
    let peek = world.take(late, is_peek);
    world.succeed(&peek);
    let adopt = world.take(late, is_adopt);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    world.succeed(&adopt);
    world.run();
    assert_eq!(world.status(late), Status::Lost(Lost::Preempted));
    assert_eq!(world.status(next), Status::Granted);
    assert_eq!(world.tickets("a"), [1]);
}

/// Its node died before the queue was told whose the ticket is.
#[test]
fn a_client_that_moves_with_a_kept_ticket_that_is_not_named_has_lost_it() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    let moved = world.adopt(1, next);
    look_until_lost(&mut world, moved);
    assert_eq!(world.status(next), Status::Granted);
}

#[test]
fn a_client_that_moves_with_a_kept_ticket_finds_it_once_it_is_named() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    world.put(next, "a", &[("x", "1")]);
    world.run();
    let moved = world.adopt(1, next);
    world.run();
    assert_eq!(world.status(moved), Status::Waiting);
    world.wake(next);
    world.run();
    world.wake(moved);
    world.run();
    assert_eq!(world.status(moved), Status::Granted);
    // Other systems have seen its token.
    assert_eq!(token(&world, moved), token(&world, next));
    let get = world.get(moved, "a");
    world.run();
    assert_eq!(world.value(moved, get, "x").as_deref(), Some("1"));
    // The node that it left neither keeps the ticket nor takes it away.
    world.release(next, false);
    world.run();
    let left = world.left(next);
    assert!(!left.is_known());
    assert_eq!(world.keep(left), None);
    assert_eq!(world.status(moved), Status::Granted);
    // And the node that has it now keeps it under greater ones.
    let before = token(&world, moved);
    let kept = keep(&mut world, moved);
    let last = world.create_with(1, 3, &["a"], kept);
    assert!(token(&world, last) > before);
}

/// What was to name it lands when another section has it.
#[test]
fn a_ticket_that_may_be_named_is_kept_anew() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    world.wake(next);
    let late = world.take(next, is_name);
    world.release(next, false);
    world.run();
    let left = world.left(next);
    assert!(!left.is_known());
    let kept = world.keep(left).unwrap();
    let last = world.create_with(0, 3, &["a"], kept);
    world.succeed(&late);
    let robber = world.adopt(1, next);
    look_until_lost(&mut world, robber);
    assert_eq!(world.status(last), Status::Granted);
}

/// A name that is not answered is given again; one whose client waits at
/// another node is not given at all.
#[test]
fn a_ticket_is_named_until_it_is_known_and_never_twice() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a"], kept);
    world.wake(next);
    let unheard = world.take(next, is_name);
    world.fail(&unheard, Failure::Unknown);
    let elsewhere = world.create(1, 2, &["a"]);
    world.run();
    world.wake(next);
    let again = world.take(next, is_name);
    world.succeed(&again);
    world.run();
    assert_eq!(world.status(next), Status::Lost(Lost::Adopted));
    world.hint(elsewhere, "a");
    world.run();
    assert_eq!(world.status(elsewhere), Status::Granted);
}

#[test]
fn a_client_that_asks_another_node_instead_is_let_through() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    // The answer to the client is lost, and it asks elsewhere.
    let unheard = world.create_with(0, 2, &["a"], kept);
    let elsewhere = world.create(1, 2, &["a"]);
    world.run();
    assert_eq!(world.status(elsewhere), Status::Waiting);
    // It is found out when the queue is told whose the ticket is.
    world.wake(unheard);
    world.run();
    assert_eq!(world.status(unheard), Status::Lost(Lost::Adopted));
    world.hint(elsewhere, "a");
    world.run();
    assert_eq!(world.status(elsewhere), Status::Granted);
}

#[test]
fn a_key_set_may_have_kept_tickets_and_new_ones() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    for _ in 0..3 {
        world.put(section, "a", &[("x", "1")]);
    }
    world.run();
    let kept = keep(&mut world, section);
    let next = world.create_with(0, 2, &["a", "b"], kept);
    assert_eq!(world.calls_of(next), 1, "the enqueue of b");
    world.run();
    assert_eq!(world.status(next), Status::Granted);
    let put = world.put(next, "a", &[("x", "2")]);
    world.run();
    assert!(matches!(world.reply(next, put), Some(Ok(_))));
    let get = world.get(next, "a");
    world.run();
    assert_eq!(world.value(next, get, "x").as_deref(), Some("2"));
    world.release(next, false);
    world.run();
    let kept = &world.sections[next].kept;
    let hand_overs: Vec<_> = kept.iter().map(Kept::hand_overs).collect();
    assert_eq!(hand_overs, [HandOvers(2), HandOvers(1)]);
}

#[test]
fn a_kept_ticket_is_no_good_once_the_lease_has_run_out() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    world.nodes[0].lease_until = world.now;
    let next = world.create_with(0, 2, &["a"], kept);
    assert_eq!(world.status(next), Status::Lost(Lost::NodeLeaseExpired));
    let put = world.put(next, "a", &[("x", "1")]);
    let lost = Err(Error::Lost(Lost::NodeLeaseExpired));
    assert_eq!(world.reply(next, put), Some(lost));
}

/// A question without an answer is asked again.
#[test]
fn a_ticket_is_kept_once() {
    let mut world = homely(1);
    let section = world.granted(0, 1, &["a"]);
    world.release(section, false);
    world.run();
    let left = world.left(section);
    let once = world.keep(left.clone()).unwrap();
    assert_eq!(world.keep(left.clone()), Some(once));
    let command = Command::Keep {
        holding: left.holding(),
        owner: left.owner(),
        name: RequestId(7),
    };
    let other = world.queue("a").apply(command);
    assert_eq!(other, music_core::lock_queue::Outcome::Gone);
}

/// Guarantee 4 without any clock: the node grants on though it was forced out.
#[test]
fn what_a_section_writes_under_a_forced_ticket_is_never_seen() {
    let mut world = homely(2);
    let section = world.granted(0, 1, &["a"]);
    let kept = keep(&mut world, section);
    world.queue("a").apply(Command::Force {
        lock_ref: lock_ref(1),
        owner: None,
    });
    let unaware = world.create_with(0, 2, &["a"], kept);
    world.put(unaware, "a", &[("x", "late")]);
    let late = world.take(unaware, is_write);
    let other = world.granted(1, 3, &["a"]);
    world.put(other, "a", &[("x", "1")]);
    world.run();
    world.succeed(&late);
    let get = world.get(other, "a");
    world.run();
    assert_eq!(world.value(other, get, "x").as_deref(), Some("1"));
}
