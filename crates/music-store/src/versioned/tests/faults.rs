//! Lost answers, late swaps and what each operation costs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use music_core::id::RecordId;
use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::Holding;
use tokio::task::JoinSet;

use super::register::{Fault, Node, Registers};
use crate::conformance::{enqueue, id, new_ticket, ticket};
use crate::error;
use crate::table::SYSTEM_TABLE;
use crate::versioned::value::{Attempt, Value, Writer};
use crate::versioned::{Queues, Register as _};
use crate::{Error, LockStore as _, lock_store};

const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> RecordId {
    id(SYSTEM_TABLE, "key")
}

/// A node beside others at the same registers.
fn node(registers: &Registers) -> (Node, Queues<Node>) {
    let node = registers.node();
    (node.clone(), Queues::new(node, PATIENCE))
}

fn alone() -> (Node, Queues<Node>) {
    node(&Registers::default())
}

#[tokio::test]
async fn an_operation_costs_one_round_where_nobody_else_wrote() {
    let (node, queues) = alone();
    let holding = ticket(&queues, &key(), 1).await;
    assert_eq!(node.counts(), (0, 1));
    queues.release(&key(), holding).await.unwrap();
    assert_eq!(node.counts(), (0, 1));
    queues.peek(&key()).await.unwrap();
    assert_eq!(node.counts(), (1, 0));
}

#[tokio::test]
async fn a_value_that_others_wrote_costs_one_round_more() {
    let registers = Registers::default();
    let ((_, first), (counted, second)) = (node(&registers), node(&registers));
    ticket(&first, &key(), 1).await;
    assert_eq!(ticket(&second, &key(), 2).await.lock_ref.get(), 2);
    assert_eq!(counted.counts(), (0, 2));
}

#[tokio::test]
async fn calls_that_wait_share_a_swap() {
    let (node, queues) = alone();
    let mut calls = JoinSet::new();
    for request in 0..64 {
        let queues = queues.clone();
        calls.spawn(async move { ticket(&queues, &key(), request).await });
    }
    let mut all = calls.join_all().await;
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 64);
    let (_, swaps) = node.counts();
    assert!(swaps <= 3, "{swaps}");
}

#[tokio::test]
async fn a_command_whose_answer_is_lost_reports_what_it_did() {
    let (node, queues) = alone();
    node.next(Fault::LoseAnswer);
    let holding = ticket(&queues, &key(), 1).await;
    node.next(Fault::LoseAnswer);
    let confirmed = queues.apply(&key(), Command::Confirm(holding)).await;
    assert_eq!(confirmed.unwrap().outcome, Outcome::Done(holding));
    assert_eq!(node.planned(), 0);
}

/// Others write between the lost answer and the second try.
#[tokio::test]
async fn a_lost_answer_is_found_behind_the_writes_of_others() {
    let registers = Registers::default();
    let ((faulty, first), (_, second)) = (node(&registers), node(&registers));
    let holding = ticket(&first, &key(), 1).await;
    faulty.next(Fault::LoseAnswer);
    faulty.next(Fault::Unreachable);
    let (key, confirm) = (key(), Command::Confirm(holding));
    let (first, second) = tokio::join!(first.apply(&key, confirm), second.apply(&key, confirm));
    let done = |applied: Result<crate::Applied, Error>| {
        usize::from(applied.unwrap().outcome == Outcome::Done(holding))
    };
    assert_eq!(done(first) + done(second), 1);
}

#[tokio::test]
async fn a_late_swap_has_no_effect_after_the_second_try() {
    let (node, queues) = alone();
    node.next(Fault::Late);
    let first = ticket(&queues, &key(), 1).await;
    queues.apply(&key(), Command::Confirm(first)).await.unwrap();
    node.deliver();
    let queue = queues.peek(&key()).await.unwrap();
    assert_eq!((queue.last(), queue.tickets().count()), (first.lock_ref, 0));
}

/// The caller left; the swap is still under way.
#[tokio::test(start_paused = true)]
async fn a_call_of_unknown_outcome_is_settled_before_the_next() {
    for arrives in [false, true] {
        let node = Registers::default().node();
        let queues = Queues::new(node.clone(), Duration::from_millis(20));
        node.next(Fault::Late);
        for _ in 0..2_000 {
            node.next(Fault::Unreachable);
        }
        let error = queues.apply(&key(), enqueue(1)).await.unwrap_err();
        assert_eq!(error.outcome(), error::Outcome::Unknown);
        let error = queues.peek(&key()).await.unwrap_err();
        assert_eq!(error.outcome(), error::Outcome::NotApplied, "{error}");
        if arrives {
            node.deliver();
        }
        node.heal();
        let seen = loop {
            if let Ok(queue) = queues.peek(&key()).await {
                break queue;
            }
        };
        node.deliver();
        assert_eq!(queues.peek(&key()).await.unwrap(), seen);
        assert!(seen.ticket_of(new_ticket(1).request).is_some());
    }
}

#[tokio::test]
async fn an_attempt_that_nobody_remembers_is_said_to_be_unknown() {
    let registers = Registers::default();
    let (faulty, queues) = node(&registers);
    let holding = ticket(&queues, &key(), 1).await;
    faulty.next(Fault::LoseAnswer);
    for _ in 0..9 {
        faulty.next(Fault::Unreachable);
    }
    let confirm = {
        let queues = queues.clone();
        tokio::spawn(async move { queues.apply(&key(), Command::Confirm(holding)).await })
    };
    while faulty.planned() == 10 {
        tokio::task::yield_now().await;
    }
    for request in 10..50 {
        ticket(&node(&registers).1, &key(), request).await;
    }
    let error = confirm.await.unwrap().unwrap_err();
    assert_eq!(error.outcome(), error::Outcome::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_register_that_cannot_be_reached_is_unavailable_until_it_can() {
    let node = Registers::default().node();
    let queues = Queues::new(node.clone(), Duration::from_millis(50));
    node.isolate(true);
    for _ in 0..2 {
        let error = queues.apply(&key(), enqueue(1)).await.unwrap_err();
        assert_eq!(error.outcome(), error::Outcome::NotApplied);
        assert!(error.is_retryable());
    }
    node.isolate(false);
    // The worker may be in the pause after its last try.
    let granted = async {
        loop {
            match queues.apply(&key(), enqueue(2)).await {
                Ok(applied) => break applied,
                Err(error) => assert_eq!(error.outcome(), error::Outcome::NotApplied),
            }
        }
    };
    let applied = tokio::time::timeout(Duration::from_mins(1), granted).await;
    assert_eq!(applied.unwrap().queue.last().get(), 1);
}

#[tokio::test]
async fn a_register_that_has_too_much_to_do_is_not_asked_again() {
    let (node, queues) = alone();
    node.next(Fault::Overloaded);
    let error = queues.apply(&key(), enqueue(1)).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded), "{error}");
    assert_eq!(node.counts(), (0, 1));
}

#[tokio::test]
async fn a_full_queue_refuses_until_somebody_leaves() {
    let registers = Registers::default();
    let full = lock_store::tests::fullest();
    let (first, last) = (full.tickets().next().unwrap().0, full.last());
    let value = Value::default().followed_by(
        Attempt {
            writer: Writer(1),
            number: 1,
        },
        Arc::new(full),
    );
    registers.put(&key(), value.encode().into());
    let (_, queues) = node(&registers);
    let new = Command::Enqueue(lock_store::tests::largest(1 << 64));
    let error = queues.apply(&key(), new).await.unwrap_err();
    assert!(matches!(error, Error::Overloaded), "{error}");
    assert_eq!(error.outcome(), error::Outcome::NotApplied);
    // Who is in the queue is found, and may leave.
    let again = Command::Enqueue(lock_store::tests::largest(0));
    let found = queues.apply(&key(), again).await.unwrap();
    assert!(matches!(found.outcome, Outcome::Done(holding) if holding.lock_ref == first));
    assert_eq!(found.queue.last(), last);
    queues
        .apply(&key(), Command::Withdraw(first))
        .await
        .unwrap();
    // There is room, but no number any more.
    let enqueued = queues.apply(&key(), new).await.unwrap();
    assert_eq!(enqueued.outcome, Outcome::Exhausted);
}

#[tokio::test]
async fn bytes_of_somebody_else_are_an_error_and_stay_as_they_are() {
    let registers = Registers::default();
    let (_, queues) = node(&registers);
    registers.put(&key(), Bytes::from_static(b"hello"));
    for _ in 0..2 {
        let error = queues.apply(&key(), enqueue(1)).await.unwrap_err();
        assert!(matches!(&error, Error::Storage(_)), "{error}");
        assert!(!error.is_retryable());
        queues.peek(&key()).await.unwrap_err();
    }
    assert_eq!(registers.get(&key()).bytes, "hello");
}

/// A node that never rests lets another in, whose every try is late at first.
#[tokio::test]
async fn a_node_that_never_rests_lets_others_in() {
    let registers = Registers::default();
    let ((_, busy), (counted, slow)) = (node(&registers), node(&registers));
    let worker = tokio::spawn(async move {
        for request in 10.. {
            let holding = ticket(&busy, &key(), request).await;
            busy.apply(&key(), Command::Confirm(holding)).await.unwrap();
        }
    });
    for request in 0..5 {
        let holding = ticket(&slow, &key(), request).await;
        slow.apply(&key(), Command::Confirm(holding)).await.unwrap();
    }
    worker.abort();
    let (_, swaps) = counted.counts();
    assert!(swaps < 500, "{swaps}");
}

/// Three nodes, each with several tasks, and answers lost at random.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_is_done_twice_whatever_is_lost() {
    let registers = Registers::default();
    let mut tasks = JoinSet::new();
    let nodes: Vec<_> = (0..3).map(|_| node(&registers)).collect();
    for (number, (faulty, queues)) in nodes.iter().enumerate() {
        for step in 0..60_usize {
            let faults = [Fault::LoseAnswer, Fault::Late, Fault::Unreachable];
            faulty.next(faults[(step * 7 + number * 5 + step / 11) % faults.len()]);
        }
        for task in 0..4 {
            let (faulty, queues) = (faulty.clone(), queues.clone());
            tasks.spawn(async move { sections(&faulty, &queues, number * 4 + task).await });
        }
    }
    let mut all: Vec<Holding> = tasks.join_all().await.concat();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    for (faulty, _) in &nodes {
        faulty.deliver();
    }
    let queue = nodes[0].1.peek(&key()).await.unwrap();
    assert_eq!(queue.tickets().count(), 0);
    assert_eq!(queue.last().get(), count as u64);
    let read = nodes[0].0.read(&key()).await.unwrap();
    assert!(read.bytes.len() < 300);
}

/// Tickets that were taken and confirmed, each exactly once.
async fn sections(faulty: &Node, queues: &Queues<Node>, task: usize) -> Vec<Holding> {
    let mut holdings = Vec::new();
    for round in 0..20 {
        let request = (task * 100 + round) as u128;
        let holding = ticket(queues, &key(), request).await;
        faulty.deliver();
        let confirm = Command::Confirm(holding);
        let confirmed = queues.apply(&key(), confirm).await.unwrap();
        assert_eq!(confirmed.outcome, Outcome::Done(holding));
        let again = queues.apply(&key(), confirm).await.unwrap();
        assert_eq!(again.outcome, Outcome::Gone);
        holdings.push(holding);
    }
    holdings
}

#[tokio::test(start_paused = true)]
async fn the_work_of_a_view_ends_with_it() {
    let node = Arc::new(Registers::default().node());
    let queues = Queues::new(Node::clone(&node), Duration::from_millis(10));
    node.isolate(true);
    queues.watch(&key());
    queues.apply(&key(), enqueue(1)).await.unwrap_err();
    drop(queues);
    node.isolate(false);
    tokio::task::yield_now().await;
    assert_eq!(node.read(&key()).await.unwrap().version, None);
}
