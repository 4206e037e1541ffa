//! The section "Lock queue" of PROTOCOL.md, sentence by sentence.

use crate::id::Moves;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn number(number: u64) -> LockRef {
    LockRef::new(number).unwrap()
}

fn holding(lock_ref: u64, incarnation: u8) -> Holding {
    Holding {
        lock_ref: number(lock_ref),
        incarnation: Incarnation(incarnation),
    }
}

fn ticket(request: u128, mode: Mode) -> Command {
    let owner = SessionId(request % 3);
    Command::Enqueue(NewTicket {
        owner,
        mode,
        lease: Lease::MIN,
        request: RequestId(request),
        moves: Moves::default(),
    })
}

fn exclusive(request: u128) -> Command {
    ticket(request, Mode::Exclusive)
}

fn shared(request: u128) -> Command {
    ticket(request, Mode::Shared)
}

fn force(lock_ref: u64) -> Command {
    Command::Force {
        lock_ref: number(lock_ref),
        owner: None,
    }
}

fn adopt(lock_ref: u64) -> Command {
    adopt_seen(holding(lock_ref, 0))
}

fn adopt_seen(holding: Holding) -> Command {
    Command::Adopt {
        holding,
        owner: SessionId(7),
        lease: Lease::MAX,
        moves: Moves::default(),
    }
}

/// A step of a history: a command, or a release.
#[derive(Clone, Copy, Debug)]
enum Step {
    Command(Command),
    Release(Holding),
}

fn any_holding() -> impl Strategy<Value = Holding> {
    (1_u64..8, 0_u8..3).prop_map(|(lock_ref, incarnation)| holding(lock_ref, incarnation))
}

fn step() -> impl Strategy<Value = Step> {
    let mode = prop_oneof![Just(Mode::Exclusive), Just(Mode::Shared)];
    let command = prop_oneof![
        4 => (0_u128..12, mode).prop_map(|(request, mode)| ticket(request, mode)),
        1 => (1_u64..8).prop_map(|lock_ref| Command::Withdraw(number(lock_ref))),
        1 => (1_u64..8, proptest::option::of(0_u128..3)).prop_map(|(lock_ref, owner)| {
            Command::Force { lock_ref: number(lock_ref), owner: owner.map(SessionId) }
        }),
        1 => (1_u64..8).prop_map(adopt),
        1 => any_holding().prop_map(Command::Confirm),
        1 => any_holding().prop_map(Command::Synced),
    ];
    prop_oneof![6 => command.prop_map(Step::Command), 1 => any_holding().prop_map(Step::Release)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 0..24)
}

fn perform(queue: &mut LockQueue, step: Step) -> Option<Outcome> {
    match step {
        Step::Command(command) => Some(queue.apply(command)),
        Step::Release(holding) => {
            queue.release(holding);
            None
        }
    }
}

fn after(steps: &[Step]) -> LockQueue {
    let mut queue = LockQueue::default();
    for step in steps {
        perform(&mut queue, *step);
    }
    queue
}

fn of(commands: &[Command]) -> LockQueue {
    let mut queue = LockQueue::default();
    for command in commands {
        queue.apply(*command);
    }
    queue
}

fn numbers(queue: &LockQueue) -> Vec<u64> {
    queue
        .tickets()
        .map(|(lock_ref, _)| lock_ref.get())
        .collect()
}

proptest! {
    #[test]
    fn all_but_tickets_only_grow(steps in steps(), last in step()) {
        let before = after(&steps);
        let mut queue = before.clone();
        perform(&mut queue, last);
        prop_assert!(queue.last() >= before.last());
        prop_assert!(queue.released() >= before.released());
        prop_assert!(queue.forced() >= before.forced());
        prop_assert!(queue.synced() >= before.synced());
    }

    #[test]
    fn a_ticket_is_gone_when_it_is_not_in_tickets_or_released_reaches_it(
        steps in steps(), release in any_holding(),
    ) {
        let mut queue = after(&steps);
        let before: Vec<_> = queue.tickets().map(|(number, ticket)| (number, *ticket)).collect();
        let released = queue.released().max(release);
        queue.release(release);
        for (lock_ref, ticket) in before {
            let holding = Holding { lock_ref, incarnation: ticket.incarnation };
            prop_assert_eq!(queue.present(holding), holding > released);
            prop_assert_eq!(queue.ticket(lock_ref).is_some(), holding > released);
        }
    }

    #[test]
    fn what_is_gone_stays_gone(steps in steps(), later in steps()) {
        let mut queue = after(&steps);
        let last = queue.last();
        let is_gone = |n: &u64| queue.ticket(number(*n)).is_none();
        let gone: Vec<_> = (1..=last.get()).filter(is_gone).collect();
        for step in later {
            // A release of a number that was never issued reaches nobody.
            perform(&mut queue, step);
        }
        for lock_ref in gone {
            prop_assert!(queue.ticket(number(lock_ref)).is_none());
        }
    }

    #[test]
    fn the_head_is_the_lowest_ticket_that_is_not_gone(steps in steps()) {
        let queue = after(&steps);
        let first = queue.tickets().map(|(lock_ref, _)| lock_ref).min();
        for lock_ref in (1..=queue.last().get()).map(number) {
            prop_assert_eq!(queue.is_first(lock_ref), first == Some(lock_ref));
        }
        prop_assert!(first.is_none_or(|first| queue.is_at_head(first)));
    }

    #[test]
    fn at_most_one_exclusive_or_any_number_of_adjacent_shared_tickets_head_a_queue(
        steps in steps(),
    ) {
        let queue = after(&steps);
        let heads: Vec<_> =
            queue.tickets().filter(|(lock_ref, _)| queue.is_at_head(*lock_ref)).collect();
        let exclusive = heads.iter().filter(|(_, ticket)| ticket.mode == Mode::Exclusive).count();
        prop_assert!(exclusive == 0 || heads.len() == 1);
        let adjacent = queue.tickets().take(heads.len()).map(|(lock_ref, _)| lock_ref);
        prop_assert!(adjacent.eq(heads.iter().map(|(lock_ref, _)| *lock_ref)));
    }

    #[test]
    fn a_ticket_is_at_the_head_when_nobody_is_ahead_of_it(steps in steps()) {
        let queue = after(&steps);
        let tickets: Vec<_> = queue.tickets().collect();
        for (index, (lock_ref, ticket)) in tickets.iter().enumerate() {
            let before = &tickets[..index];
            let admits = |(_, other): &&(LockRef, &Ticket)| {
                ticket.mode == Mode::Shared && other.mode == Mode::Shared
            };
            let expected = if before.iter().all(|other| admits(&other)) { 0 } else { index };
            prop_assert_eq!(queue.ahead(*lock_ref).count(), expected);
        }
    }

    #[test]
    fn enqueue_adds_the_next_number_at_incarnation_0(steps in steps()) {
        let mut queue = after(&steps);
        let next = queue.last().next().unwrap();
        let outcome = queue.apply(exclusive(99));
        prop_assert_eq!(
            outcome,
            Outcome::Done(Holding { lock_ref: next, incarnation: Incarnation(0) }),
        );
        prop_assert_eq!(queue.last(), next);
    }

    #[test]
    fn marks_beyond_a_release_are_those_after_it(steps in steps(), released in any_holding()) {
        let mut queue = after(&steps);
        let beyond = queue.marks_beyond(released);
        queue.release(released);
        prop_assert_eq!(beyond, queue.marks());
        prop_assert_eq!(beyond.first.map(LockRef::get), numbers(&queue).first().copied());
    }

    #[test]
    fn enqueue_drops_what_is_gone(steps in steps()) {
        let mut queue = after(&steps);
        queue.apply(exclusive(99));
        prop_assert!(queue.tickets.len() <= queue.tickets().count() + 1);
    }

    #[test]
    fn enqueue_with_the_same_request_finds_its_ticket(steps in steps()) {
        let mut queue = after(&steps);
        let first = queue.apply(exclusive(99));
        let once = queue.clone();
        let gone = match first {
            Outcome::Done(holding) => !queue.present(holding),
            Outcome::Gone | Outcome::Exhausted => true,
        };
        let second = queue.apply(exclusive(99));
        prop_assert!(gone || (second == first && queue == once));
    }

    #[test]
    fn an_enqueue_within_limits_is_one_and_nothing_beyond_them(
        steps in steps(), above in 0_u64..16, limit in 0_u64..16,
    ) {
        let mut queue = after(&steps);
        let [above, limit] = [above, limit].map(|number| LockRef::new(number).unwrap());
        let Command::Enqueue(ticket) = exclusive(5) else { unreachable!() };
        let mut plain = queue.clone();
        plain.advance(above);
        let was_there = queue.holding_of(ticket.request).is_some();
        let outcome = queue.apply(Command::EnqueueWithin { ticket, above, limit });
        if was_there || plain.last() < limit {
            prop_assert_eq!(outcome, plain.apply(Command::Enqueue(ticket)));
        } else {
            prop_assert_eq!(outcome, Outcome::Gone);
        }
        prop_assert_eq!(queue, plain);
    }

    #[test]
    fn after_an_enqueue_above_a_limit_one_up_to_it_adds_nothing(
        steps in steps(), later in steps(), limit in 0_u64..16,
    ) {
        let (mut queue, former) = (after(&steps), LockRef::new(limit).unwrap());
        let Command::Enqueue(ticket) = exclusive(99) else { unreachable!() };
        let within = |above, limit| Command::EnqueueWithin { ticket, above, limit };
        let Outcome::Done(holding) = queue.apply(within(former, LockRef::MAX)) else {
            return Err(TestCaseError::fail("it has no ticket"));
        };
        prop_assert!(holding.lock_ref > former);
        for step in later {
            perform(&mut queue, step);
        }
        let before = queue.clone();
        let outcome = queue.apply(within(LockRef::NONE, former));
        let found = before.holding_of(ticket.request);
        prop_assert_eq!(outcome, found.map_or(Outcome::Gone, Outcome::Done));
        prop_assert_eq!(queue, before);
    }

    #[test]
    fn release_is_monotone_in_any_order_and_however_often(
        steps in steps(), releases in proptest::collection::vec(any_holding(), 0..5),
    ) {
        let mut queue = after(&steps);
        let mut other = queue.clone();
        for holding in &releases {
            queue.release(*holding);
        }
        for holding in releases.iter().rev().chain(&releases) {
            other.release(*holding);
        }
        prop_assert_eq!(queue, other);
    }

    #[test]
    fn what_finds_its_ticket_gone_changes_nothing(steps in steps(), command in step()) {
        let mut queue = after(&steps);
        let before = queue.clone();
        if perform(&mut queue, command) == Some(Outcome::Gone) {
            prop_assert_eq!(queue, before);
        }
    }

    #[test]
    fn the_flag_is_set_when_forced_reaches_synced_and_that_ticket_has_left(steps in steps()) {
        let queue = after(&steps);
        let forced = queue.forced() > LockRef::NONE && queue.forced() >= queue.synced();
        let in_queue = queue.tickets().any(|(lock_ref, _)| lock_ref == queue.synced());
        prop_assert_eq!(queue.needs_synchronization(), forced && !in_queue);
    }
}

#[test]
fn withdraw_removes_the_ticket_and_sets_no_flag() {
    let mut queue = of(&[exclusive(1), exclusive(2)]);
    assert_eq!(
        queue.apply(Command::Withdraw(number(2))),
        Outcome::Done(holding(2, 0))
    );
    assert_eq!(numbers(&queue), [1]);
    assert!(!queue.needs_synchronization());
    assert_eq!(queue.apply(Command::Withdraw(number(2))), Outcome::Gone);
}

#[test]
fn force_removes_the_ticket_and_records_it_if_it_is_still_there() {
    let mut queue = of(&[exclusive(1), exclusive(2)]);
    assert_eq!(queue.apply(force(2)), Outcome::Done(holding(2, 0)));
    assert_eq!((numbers(&queue), queue.forced()), (std::vec![1], number(2)));
    queue.release(holding(1, 0));
    assert_eq!(queue.apply(force(1)), Outcome::Gone);
    assert_eq!(queue.forced(), number(2));
}

#[test]
fn a_node_that_does_not_own_the_ticket_any_more_cannot_force_it_in_the_clients_name() {
    let mut queue = of(&[exclusive(1), adopt(1)]);
    let stale = Command::Force {
        lock_ref: number(1),
        owner: Some(SessionId(1)),
    };
    assert_eq!(queue.apply(stale), Outcome::Gone);
    let owner = Command::Force {
        lock_ref: number(1),
        owner: Some(SessionId(7)),
    };
    assert_eq!(queue.apply(owner), Outcome::Done(holding(1, 1)));
}

#[test]
fn adopt_gives_another_owner_and_the_next_incarnation_if_the_ticket_is_not_gone() {
    let mut queue = of(&[shared(1)]);
    assert_eq!(queue.apply(adopt(1)), Outcome::Done(holding(1, 1)));
    let ticket = queue.ticket(number(1)).unwrap();
    assert_eq!((ticket.owner, ticket.lease), (SessionId(7), Lease::MAX));
    assert_eq!((ticket.mode, ticket.request), (Mode::Shared, RequestId(1)));
    assert_eq!(queue.apply(adopt(2)), Outcome::Gone);
}

#[test]
fn a_ticket_is_adopted_255_times_at_most() {
    let mut queue = of(&[exclusive(1)]);
    for incarnation in 1..=255 {
        assert_eq!(
            queue.apply(adopt_seen(holding(1, incarnation - 1))),
            Outcome::Done(holding(1, incarnation))
        );
    }
    let last = adopt_seen(holding(1, 255));
    assert_eq!(queue.apply(last), Outcome::Exhausted);
    assert!(queue.present(holding(1, 255)));
}

#[test]
fn an_adoption_from_before_the_clients_last_move_takes_nothing() {
    let mut queue = of(&[exclusive(1)]);
    let adopt = |seen: u8, owner: u128, moves: u64| Command::Adopt {
        holding: holding(1, seen),
        owner: SessionId(owner),
        lease: Lease::MAX,
        moves: Moves(moves),
    };
    assert_eq!(queue.apply(adopt(0, 8, 2)), Outcome::Done(holding(1, 1)));
    assert_eq!(queue.apply(adopt(1, 7, 1)), Outcome::Gone);
    assert_eq!(queue.ticket(number(1)).unwrap().owner, SessionId(8));
    assert_eq!(queue.apply(adopt(1, 7, 3)), Outcome::Done(holding(1, 2)));
}

#[test]
fn an_adoption_that_lands_late_does_not_take_the_section_from_a_newer_node() {
    let mut queue = of(&[exclusive(1)]);
    let newer = Command::Adopt {
        holding: holding(1, 0),
        owner: SessionId(8),
        lease: Lease::MAX,
        moves: Moves::default(),
    };
    assert_eq!(queue.apply(newer), Outcome::Done(holding(1, 1)));
    assert_eq!(queue.apply(adopt(1)), Outcome::Gone);
    assert_eq!(queue.ticket(number(1)).unwrap().owner, SessionId(8));
    let again = queue.apply(newer);
    assert_eq!(again, Outcome::Done(holding(1, 1)), "its own work is done");
}

#[test]
fn a_late_release_from_a_node_that_the_client_has_left_cannot_end_the_section() {
    let mut queue = of(&[exclusive(1), adopt(1)]);
    queue.release(holding(1, 0));
    assert!(queue.present(holding(1, 1)));
    queue.release(holding(1, 1));
    assert_eq!(numbers(&queue), Vec::<u64>::new());
}

#[test]
fn after_a_release_a_lock_ref_is_neither_adopted_nor_confirmed() {
    let mut queue = of(&[exclusive(1)]);
    queue.release(holding(1, 0));
    assert_eq!(queue.apply(adopt(1)), Outcome::Gone);
    assert_eq!(queue.apply(Command::Confirm(holding(1, 0))), Outcome::Gone);
}

#[test]
fn confirm_removes_the_ticket_and_answers_whether_it_was_still_there() {
    let mut queue = of(&[exclusive(1), adopt(1)]);
    assert_eq!(queue.apply(Command::Confirm(holding(1, 0))), Outcome::Gone);
    assert_eq!(
        queue.apply(Command::Confirm(holding(1, 1))),
        Outcome::Done(holding(1, 1))
    );
    assert_eq!(queue.apply(Command::Confirm(holding(1, 1))), Outcome::Gone);
}

#[test]
fn synced_counts_only_if_that_ticket_and_incarnation_is_still_there() {
    let mut queue = of(&[exclusive(1), exclusive(2), force(1), adopt(2)]);
    assert_eq!(queue.apply(Command::Synced(holding(2, 0))), Outcome::Gone);
    assert!(queue.needs_synchronization());
    assert_eq!(
        queue.apply(Command::Synced(holding(2, 1))),
        Outcome::Done(holding(2, 1))
    );
    assert!(!queue.needs_synchronization());
}

#[test]
fn a_head_above_synced_is_no_sign_that_the_key_needs_nothing() {
    // 2 synchronises after 1 was forced; then 2 is forced itself.
    let mut queue = of(&[exclusive(1), exclusive(2), exclusive(3), force(1)]);
    queue.apply(Command::Synced(holding(2, 0)));
    assert!(!queue.needs_synchronization());
    queue.apply(force(2));
    assert!(queue.is_at_head(number(3)) && number(3) > queue.synced());
    assert!(queue.needs_synchronization());
}

#[test]
fn shared_tickets_behind_an_exclusive_one_wait_and_then_go_in_together() {
    let mut queue = of(&[exclusive(1), shared(2), shared(3), exclusive(4), shared(5)]);
    let heads = |queue: &LockQueue| {
        (1..=5)
            .filter(|lock_ref| queue.is_at_head(number(*lock_ref)))
            .collect::<Vec<_>>()
    };
    assert_eq!(heads(&queue), [1]);
    queue.release(holding(1, 0));
    assert_eq!(heads(&queue), [2, 3]);
    queue.apply(Command::Withdraw(number(2)));
    queue.apply(Command::Withdraw(number(3)));
    assert_eq!(heads(&queue), [4]);
}

#[test]
fn a_request_is_found_by_its_id_until_its_ticket_is_gone() {
    let mut queue = of(&[exclusive(1), exclusive(2)]);
    let found = |queue: &LockQueue| queue.ticket_of(RequestId(2)).map(|(lock_ref, _)| lock_ref);
    assert_eq!(found(&queue), Some(number(2)));
    queue.apply(force(2));
    assert_eq!(found(&queue), None);
}

#[test]
fn a_queue_that_went_back_in_time_is_advanced_before_it_serves() {
    let mut queue = LockQueue::default();
    queue.advance(number(1 << 31));
    queue.advance(number(5));
    assert_eq!(
        queue.apply(exclusive(1)),
        Outcome::Done(holding((1 << 31) + 1, 0))
    );
}

#[test]
fn lock_refs_end_with_an_answer_that_says_so() {
    let mut queue = LockQueue::default();
    queue.advance(LockRef::MAX);
    assert_eq!(queue.apply(exclusive(1)), Outcome::Exhausted);
    assert_eq!(queue.last(), LockRef::MAX);
}

#[test]
fn an_enqueue_within_limits_tells_that_all_numbers_are_used() {
    let mut queue = LockQueue::default();
    queue.advance(LockRef::MAX);
    let Command::Enqueue(ticket) = exclusive(1) else {
        panic!("it is no enqueue")
    };
    let (above, limit) = (LockRef::NONE, LockRef::MAX);
    let outcome = queue.apply(Command::EnqueueWithin {
        ticket,
        above,
        limit,
    });
    assert_eq!(outcome, Outcome::Exhausted);
}
