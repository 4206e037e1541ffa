//! Sites cut off and connected again.

use bytes::Bytes;
use music_core::lock_queue::{Command, Outcome};
use music_core::record::Record;

use super::{Harness, at, enqueue, field, id, new_ticket, put, table, text, ticket};
use crate::error::{self, Needed};
use crate::table::SYSTEM_TABLE;
use crate::{Error, Level, LockStore, StateStore, TableMode};

/// "A minority side answers `unavailable` within its deadline, and never
/// lies."
fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, Error>) {
    let needed = Needed::Majority;
    let outcome = error::Outcome::NotApplied;
    match result {
        Err(Error::Unavailable {
            needed: n,
            outcome: o,
        }) if (n, o) == (needed, outcome) => {}
        Err(Error::TimedOut) => {}
        other => panic!("{other:?}"),
    }
}

/// Guarantee 5: "A majority side of a partition goes on; a minority side
/// answers `unavailable` within its deadline, and never lies."
pub async fn a_minority_answers_unavailable_and_a_majority_goes_on<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = id(table(&sites[0], TableMode::Critical).await, "key");
    let before = ticket(&sites[2], &key, 1).await;
    if !harness.set_isolated(2, true) {
        return;
    }
    let alone = &sites[2];
    assert_unavailable(alone.write(&key, put(1, "x"), Level::Majority).await);
    assert_unavailable(alone.read(&key, Level::Majority).await);
    assert_unavailable(alone.apply(&key, enqueue(9)).await);
    assert_unavailable(alone.peek(&key).await);
    assert_unavailable(alone.release(&key, before).await);
    let name = crate::TableName::new("t").unwrap();
    assert_unavailable(alone.create_table(&name, TableMode::Critical).await);
    assert_unavailable(alone.drop_table(&name).await);
    for site in &sites[..2] {
        site.write(&key, put(2, "y"), Level::Majority)
            .await
            .unwrap();
        assert_eq!(text(&site.read(&key, Level::Majority).await.unwrap()), "y");
        assert!(site.peek(&key).await.unwrap().present(before));
    }
    assert_eq!(ticket(&sites[1], &key, 2).await.lock_ref.get(), 2);
    sites[0].release(&key, before).await.unwrap();
    harness.set_isolated(2, false);
    assert_eq!(text(&alone.read(&key, Level::Majority).await.unwrap()), "y");
    assert!(!alone.peek(&key).await.unwrap().present(before));
}

/// Guarantee 5: "local put and get need one replica of the local site".
pub async fn local_operations_go_on_at_a_site_that_is_cut_off<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = id(table(&sites[0], TableMode::Eventual).await, "key");
    harness.settled().await;
    if !harness.set_isolated(1, true) {
        return;
    }
    sites[1]
        .write(&key, put(1, "x"), Level::Local)
        .await
        .unwrap();
    assert_eq!(text(&sites[1].read(&key, Level::Local).await.unwrap()), "x");
    sites[0]
        .write(&key, put(2, "y"), Level::Local)
        .await
        .unwrap();
    assert_eq!(text(&sites[1].read(&key, Level::Local).await.unwrap()), "x");
}

/// A write "reaches every replica in the end", deletions included.
pub async fn after_healing_all_replicas_agree<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Eventual).await;
    let key = |name: &str, number: u64| id(table, format!("{name} {number}"));
    for number in 0..10 {
        sites[0]
            .write(&key("gone", number), put(1, "x"), Level::Majority)
            .await
            .unwrap();
    }
    harness.settled().await;
    if !harness.set_isolated(2, true) {
        return;
    }
    for number in 0..10 {
        sites[0]
            .write(&key("gone", number), Record::deletion(at(2)), Level::Local)
            .await
            .unwrap();
        sites[1]
            .write(&key("new", number), put(3, "b"), Level::Majority)
            .await
            .unwrap();
        sites[2]
            .write(&key("new", number), put(2, "c"), Level::Local)
            .await
            .unwrap();
        sites[2]
            .write(&key("alone", number), put(2, "c"), Level::Local)
            .await
            .unwrap();
    }
    harness.set_isolated(2, false);
    harness.settled().await;
    for site in &sites {
        for number in 0..10 {
            let read = async |name| site.read(&key(name, number), Level::Local).await.unwrap();
            assert!(!read("gone").await.exists());
            assert_eq!(text(&read("new").await), "b");
            assert_eq!(text(&read("alone").await), "c");
        }
    }
}

/// "What one get has seen is at a majority before it answers."
pub async fn what_a_majority_read_returned_is_at_a_majority<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    harness.settled().await;
    for number in 0..10 {
        let key = id(table, format!("key {number}"));
        if !harness.set_isolated(0, true) {
            return;
        }
        // At one replica only, as a put whose writer died.
        sites[0]
            .write(&key, put(1, "x"), Level::Local)
            .await
            .unwrap();
        harness.set_isolated(0, false);
        let seen = text(&sites[1].read(&key, Level::Majority).await.unwrap());
        // Whatever was seen must not depend on that replica any more.
        harness.set_isolated(0, true);
        let later = text(&sites[2].read(&key, Level::Majority).await.unwrap());
        assert!(seen.is_empty() || seen == later, "{seen} {later}");
        harness.set_isolated(0, false);
        let seen = text(&sites[0].read(&key, Level::Majority).await.unwrap());
        assert_eq!(seen, "x");
        harness.set_isolated(0, true);
        assert_eq!(
            text(&sites[2].read(&key, Level::Majority).await.unwrap()),
            "x"
        );
        harness.set_isolated(0, false);
    }
}

/// Least obvious no. 8: "A get that repairs one field of two that were put
/// together."
pub async fn a_get_that_saw_one_field_repairs_those_put_together<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    harness.settled().await;
    for number in 0..10 {
        let key = id(table, format!("key {number}"));
        if !harness.set_isolated(0, true) {
            return;
        }
        let value = Some(Bytes::from("x"));
        let both = [(field("a"), value.clone()), (field("b"), value.clone())];
        sites[0]
            .write(&key, Record::write(at(2), both), Level::Local)
            .await
            .unwrap();
        let one = Record::write(at(1), [(field("a"), Some("old".into()))]);
        sites[1].write(&key, one, Level::Majority).await.unwrap();
        harness.set_isolated(0, false);
        sites[0].read(&key, Level::Majority).await.unwrap();
        harness.set_isolated(0, true);
        let record = sites[1].read(&key, Level::Majority).await.unwrap();
        assert_eq!(record.value(&field("a")), value.as_ref());
        assert_eq!(record.value(&field("b")), value.as_ref());
        harness.set_isolated(0, false);
    }
}

/// Least obvious no. 4: "A plain release seen by one later holder, unknown to
/// the majority that an adoption or a confirmation reads."
pub async fn a_release_that_one_peek_saw_is_seen_without_its_witness<H: Harness>(harness: &H) {
    let sites = harness.sites();
    for number in 0..10 {
        let key = id(SYSTEM_TABLE, format!("key {number}"));
        let holding = ticket(&sites[0], &key, 1).await;
        // Given up half way: it may have reached any number of replicas.
        let releaser = {
            let (site, key) = (sites[0].clone(), key.clone());
            tokio::spawn(async move { site.release(&key, holding).await })
        };
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        if !harness.set_isolated(0, true) {
            return;
        }
        let seen = sites[1].peek(&key).await.unwrap();
        let confirmed = sites[2]
            .apply(&key, Command::Confirm(holding))
            .await
            .unwrap();
        if !seen.present(holding) {
            assert_eq!(confirmed.outcome, Outcome::Gone);
        }
        give_up(releaser).await;
        harness.set_isolated(0, false);
        harness.settled().await;
    }
}

/// "After a time-out the node looks the id up, adopts the ticket or removes
/// it. No orphan."
pub async fn no_ticket_is_an_orphan_after_a_lost_answer<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = id(SYSTEM_TABLE, "key");
    // The yields decide how far the call comes.
    for round in 0..10 {
        let call = {
            let (site, key) = (sites[2].clone(), key.clone());
            tokio::spawn(async move { site.apply(&key, enqueue(round)).await })
        };
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        if !harness.set_isolated(2, true) {
            return;
        }
        // The client leaves in the middle; the cut is healed.
        give_up(call).await;
        harness.set_isolated(2, false);
        let queue = sites[2].peek(&key).await.unwrap();
        if let Some((lock_ref, _)) = queue.ticket_of(new_ticket(round).request) {
            sites[2]
                .apply(&key, Command::Withdraw(lock_ref))
                .await
                .unwrap();
        }
        harness.settled().await;
        for site in &sites {
            assert_eq!(site.peek(&key).await.unwrap().tickets().count(), 0);
        }
    }
}

/// Ends a call where it stands. One that another thread is in the middle of
/// runs on to its next wait: only then is it given up.
async fn give_up<T>(call: tokio::task::JoinHandle<T>) {
    call.abort();
    if let Err(error) = call.await {
        assert!(error.is_cancelled(), "{error}");
    }
}
