//! The lock store, all sites connected.

use std::collections::BTreeSet;

use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::{Holding, Incarnation, LockRef};
use tokio::task::JoinSet;

use super::{Harness, adopt, enqueue, force, id, key, table, ticket};
use crate::table::SYSTEM_TABLE;
use crate::{Applied, LockStore, StateStore, TableMode, TableName};

/// "enqueue carries a request id, kept in the ticket": no second one is given.
pub async fn an_enqueue_is_idempotent_by_its_request<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    let first = ticket(&sites[0], &key, 1).await;
    for site in &sites {
        assert_eq!(ticket(site, &key, 1).await, first);
    }
    assert_eq!(sites[1].peek(&key).await.unwrap().tickets().count(), 1);
    assert_eq!(ticket(&sites[2], &key, 2).await.lock_ref.get(), 2);
}

/// `last += 1`, atomically, for each.
pub async fn concurrent_enqueues_from_all_sites_get_distinct_dense_numbers<H: Harness>(
    harness: &H,
) {
    let mut calls = JoinSet::new();
    for request in 0..10 {
        for (number, site) in harness.sites().into_iter().enumerate() {
            let request = request * 100 + number as u128;
            calls.spawn(async move { ticket(&site, &key("key"), request).await });
        }
    }
    let all = calls.join_all().await;
    let numbers: BTreeSet<u64> = all.iter().map(|holding| holding.lock_ref.get()).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect());
}

/// "The answer of an enqueue may carry the queue state it read."
pub async fn an_answer_carries_the_queue_that_the_command_left<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for (number, site) in sites.iter().enumerate() {
        let Applied { outcome, queue } = site.apply(&key, enqueue(number as u128)).await.unwrap();
        let Outcome::Done(holding) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(queue.present(holding));
        assert_eq!(queue.last(), holding.lock_ref);
        assert_eq!(queue.is_at_head(holding.lock_ref), number == 0);
    }
    let before = sites[0].peek(&key).await.unwrap();
    let lock_ref = LockRef::new(2).unwrap();
    let withdrawn = sites[1]
        .apply(&key, Command::Withdraw(lock_ref))
        .await
        .unwrap();
    assert!(before.ticket(lock_ref).is_some() && withdrawn.queue.ticket(lock_ref).is_none());
}

/// A release is "seen by every peek and command that begins after it is
/// answered", at every site.
pub async fn a_release_is_seen_by_every_later_peek_and_command<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..5 {
        for (number, site) in sites.iter().enumerate() {
            let request = (round * 10 + number) as u128;
            let holding = ticket(site, &key, request).await;
            site.release(&key, holding).await.unwrap();
            let other = &sites[(number + 1) % sites.len()];
            assert!(!other.peek(&key).await.unwrap().present(holding));
            let another = &sites[(number + 2) % sites.len()];
            let adopted = another.apply(&key, adopt(holding)).await.unwrap();
            assert_eq!(adopted.outcome, Outcome::Gone);
            let confirmed = another
                .apply(&key, Command::Confirm(holding))
                .await
                .unwrap();
            assert_eq!(confirmed.outcome, Outcome::Gone);
        }
    }
}

/// "A release carries its incarnation, so that a late one from a node that
/// the client has left cannot end the section that goes on elsewhere."
pub async fn a_late_release_of_an_earlier_incarnation_ends_nothing<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    let first = ticket(&sites[0], &key, 1).await;
    let adopted = sites[1].apply(&key, adopt(first)).await.unwrap();
    let second = Holding {
        incarnation: Incarnation(1),
        ..first
    };
    assert_eq!(adopted.outcome, Outcome::Done(second));
    sites[0].release(&key, first).await.unwrap();
    assert!(sites[2].peek(&key).await.unwrap().present(second));
    sites[1].release(&key, second).await.unwrap();
    assert!(!sites[2].peek(&key).await.unwrap().present(second));
}

/// force and withdraw and confirm are atomic: "if it is still there".
pub async fn of_racing_commands_that_end_a_ticket_one_does<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..10 {
        let holding = ticket(&sites[0], &key, round).await;
        let lock_ref = holding.lock_ref;
        let enders = [
            force(lock_ref),
            Command::Withdraw(lock_ref),
            Command::Confirm(holding),
        ];
        let mut calls = JoinSet::new();
        for (site, command) in sites.iter().cloned().zip(enders) {
            let key = key.clone();
            calls.spawn(async move { (command, site.apply(&key, command).await.unwrap()) });
        }
        let all = calls.join_all().await;
        let done: Vec<_> = all
            .iter()
            .filter(|(_, applied)| applied.outcome != Outcome::Gone)
            .collect();
        assert_eq!(done.len(), 1, "{all:?}");
        let forced = sites[1].peek(&key).await.unwrap().forced() == lock_ref;
        assert_eq!(forced, matches!(done[0].0, Command::Force { .. }));
    }
}

/// "confirm(r, i): remove ticket (r, i)", of that incarnation only.
pub async fn an_adopted_ticket_is_confirmed_by_its_adopter_only<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..10 {
        let holding = ticket(&sites[0], &key, round).await;
        let (adopter, keeper) = (sites[1].clone(), sites[2].clone());
        let (adopting, keeping) = (key.clone(), key.clone());
        let adopted =
            tokio::spawn(async move { adopter.apply(&adopting, adopt(holding)).await.unwrap() });
        let confirm = Command::Confirm(holding);
        let confirmed = tokio::spawn(async move { keeper.apply(&keeping, confirm).await.unwrap() });
        let (adopted, confirmed) = (adopted.await.unwrap(), confirmed.await.unwrap());
        let both = (
            adopted.outcome == Outcome::Gone,
            confirmed.outcome == Outcome::Gone,
        );
        assert!(both == (true, false) || both == (false, true), "{both:?}");
        if let Outcome::Done(holding) = adopted.outcome {
            sites[1].release(&key, holding).await.unwrap();
        }
    }
}

/// "synced(r, i), if ticket (r, i) is still there", and the flag with it.
pub async fn synced_counts_only_while_its_ticket_is_there<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    let first = ticket(&sites[0], &key, 1).await;
    let second = ticket(&sites[1], &key, 2).await;
    let force = force(first.lock_ref);
    let forced = sites[2].apply(&key, force).await.unwrap();
    assert!(forced.queue.needs_synchronization());
    let late = sites[0].apply(&key, Command::Synced(first)).await.unwrap();
    assert_eq!(late.outcome, Outcome::Gone);
    assert!(late.queue.needs_synchronization());
    let synced = sites[1].apply(&key, Command::Synced(second)).await.unwrap();
    assert_eq!(synced.outcome, Outcome::Done(second));
    for site in &sites {
        assert!(!site.peek(&key).await.unwrap().needs_synchronization());
    }
}

/// A call of unknown outcome may take effect "until the same node's next call
/// for the same key is answered, not later".
pub async fn a_call_given_up_has_happened_by_the_next_answer_or_never<H: Harness>(harness: &H) {
    let sites = harness.sites();
    for round in 0..20_u32 {
        let key = id(SYSTEM_TABLE, format!("key {round}"));
        let site = &sites[round as usize % sites.len()];
        {
            let call = site.apply(&key, enqueue(1));
            tokio::pin!(call);
            // Given up after some steps, a few more each time.
            for _ in 0..round {
                tokio::select! {
                    biased;
                    _ = &mut call => break,
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        let seen = site.peek(&key).await.unwrap();
        harness.settled().await;
        for other in &sites {
            let later = other.peek(&key).await.unwrap();
            assert_eq!(later.last(), seen.last(), "round {round}");
        }
    }
}

/// "Kept per key", of a table.
pub async fn queues_of_different_keys_and_tables_are_different<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    for key in [id(table, "a"), id(table, "b"), id(SYSTEM_TABLE, "a")] {
        assert_eq!(ticket(&sites[0], &key, 1).await.lock_ref.get(), 1);
    }
}

/// "34 bits of lockRef."
pub async fn lock_refs_go_past_31_bits<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for bits in [31_u32, 32, 33] {
        let before = LockRef::new((1 << bits) - 1).unwrap();
        if !harness.advance(&key, before).await {
            return;
        }
        let holding = ticket(&sites[1], &key, u128::from(bits)).await;
        assert_eq!(holding.lock_ref.get(), 1 << bits);
        sites[2].release(&key, holding).await.unwrap();
        let queue = sites[0].peek(&key).await.unwrap();
        assert_eq!((queue.released(), queue.tickets().count()), (holding, 0));
    }
    harness.advance(&key, LockRef::MAX).await;
    let outcome = sites[0].apply(&key, enqueue(99)).await.unwrap().outcome;
    assert_eq!(outcome, Outcome::Exhausted);
}

/// A waiter waits "on a hint".
pub async fn hints_arrive_at_every_site_that_watches<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let (watched, other) = (key("watched"), key("other"));
    let holding = ticket(&sites[0], &watched, 1).await;
    harness.settled().await;
    let mut hints: Vec<_> = sites.iter().map(LockStore::hints).collect();
    for site in &sites {
        site.watch(&watched);
    }
    ticket(&sites[0], &other, 1).await;
    sites[0].release(&watched, holding).await.unwrap();
    for hints in &mut hints {
        assert_eq!(hints.recv().await.unwrap().id, watched);
    }
    let waiter = ticket(&sites[1], &watched, 2).await;
    let force = force(waiter.lock_ref);
    sites[2].apply(&watched, force).await.unwrap();
    for hints in &mut hints {
        loop {
            let hint = hints.recv().await.unwrap();
            assert_eq!(hint.id, watched);
            if hint
                .marks
                .is_none_or(|marks| marks.forced == waiter.lock_ref)
            {
                break;
            }
        }
    }
}

/// "`last`, `forced` and `synced` of a key are kept": a lockRef never starts
/// again at 1.
pub async fn queues_survive_their_table<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = id(table(&sites[0], TableMode::Critical).await, "key");
    let holding = ticket(&sites[0], &key, 1).await;
    sites[0]
        .drop_table(&TableName::new("conformance").unwrap())
        .await
        .unwrap();
    harness.settled().await;
    assert!(sites[1].peek(&key).await.unwrap().present(holding));
    assert_eq!(ticket(&sites[2], &key, 2).await.lock_ref.get(), 2);
}
