//! Transactions of a site in its turns.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mdbc::ownership::{EnterError, Ownership, Pace};
use mdbc::redo_log::{Access, Cause, Entry};
use music_client::Outcome;

use crate::ledger::{Data, Ledger};
use crate::sites::{Sites, partition, set, soon, writes};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(30);

/// A site's turns over a database without changes.
async fn ownership(sites: &Sites, site: usize, pace: Pace) -> (Ownership<Ledger>, Arc<Ledger>) {
    let ledger = Ledger::recover(Data::default());
    let ownership = Ownership::new(sites.log(site).await, Arc::clone(&ledger), pace);
    (ownership, ledger)
}

#[tokio::test]
async fn transactions_of_a_site_are_in_one_turn_at_the_same_time() {
    let sites = Sites::start().await;
    let (ownership, ledger) = ownership(&sites, 0, Pace::default()).await;
    let both = set(&["a", "b"]);
    let first = soon(ownership.enter(&both, Access::Write, LONG))
        .await
        .unwrap();
    let second = soon(ownership.enter(&set(&["b"]), Access::Write, LONG))
        .await
        .unwrap();
    let third = soon(ownership.enter(&set(&["a"]), Access::Read, LONG))
        .await
        .unwrap();
    for pass in [&first, &second] {
        let digest = crate::ledger::digest(&[]);
        let ticket = soon(pass.append(&writes(&["b"]), digest.clone()))
            .await
            .unwrap();
        let entry = Entry {
            places: ticket.places().to_vec(),
            digest,
        };
        ledger.run(entry.clone());
        soon(ticket.acknowledged()).await.unwrap();
        ledger.commit(&entry).unwrap();
    }
    soon(third.prove(&set(&["a"]))).await.unwrap();
    drop((first, second, third));
    soon(ownership.close()).await;
    assert_eq!(ledger.durable().applied.point(&partition("b")).position, 2);
}

#[tokio::test]
async fn a_transaction_that_never_ends_holds_other_sites_up_for_a_bounded_time() {
    let sites = Sites::start().await;
    let pace = Pace {
        drain: Duration::from_millis(50),
        ..Pace::default()
    };
    let (here, _) = ownership(&sites, 0, pace).await;
    let (there, _) = ownership(&sites, 1, pace).await;
    let t = set(&["t"]);
    let endless = soon(here.enter(&t, Access::Write, LONG)).await.unwrap();
    let other = soon(there.enter(&t, Access::Write, LONG)).await.unwrap();
    assert!(endless.is_broken() && !other.is_broken());
    let refused = soon(endless.append(&writes(&["t"]), Bytes::new()))
        .await
        .unwrap_err();
    assert_eq!(refused.outcome, Outcome::NotApplied);
    assert!(matches!(refused.cause, Cause::Broken), "{refused}");
    assert!(
        soon(endless.prove(&t)).await.is_err(),
        "what it read may be old"
    );
}

#[tokio::test]
async fn transactions_that_extend_towards_each_other_fail_in_time() {
    let sites = Sites::start().await;
    let (ownership, _) = ownership(&sites, 0, Pace::default()).await;
    let (a, b) = (set(&["a"]), set(&["b"]));
    let first = soon(ownership.enter(&a, Access::Write, LONG))
        .await
        .unwrap();
    let second = soon(ownership.enter(&b, Access::Write, LONG))
        .await
        .unwrap();
    let wait = Duration::from_millis(100);
    let extended = soon(async { tokio::join!(first.extend(&b, wait), second.extend(&a, wait)) });
    let (one, other) = extended.await;
    for refused in [one.unwrap_err(), other.unwrap_err()] {
        assert!(matches!(refused, EnterError::TimedOut { .. }), "{refused}");
        assert!(refused.is_retryable());
    }
    drop((first, second));
    let both = soon(ownership.enter(&set(&["a", "b"]), Access::Write, LONG))
        .await
        .unwrap();
    soon(both.extend(&set(&["c"]), LONG)).await.unwrap();
    let ticket = soon(both.append(&writes(&["a", "c"]), Bytes::new()))
        .await
        .unwrap();
    soon(ticket.acknowledged()).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_given_up_holds_up_nobody() {
    let sites = Sites::start().await;
    let (ownership, _) = ownership(&sites, 0, Pace::default()).await;
    let a = soon(ownership.enter(&set(&["a"]), Access::Write, LONG))
        .await
        .unwrap();
    let wait = Duration::from_millis(20);
    let late = soon(ownership.enter(&set(&["a", "b"]), Access::Write, wait)).await;
    assert!(matches!(late, Err(EnterError::TimedOut { .. })), "{late:?}");
    soon(ownership.enter(&set(&["b"]), Access::Write, LONG))
        .await
        .unwrap();
    drop(a);
    soon(ownership.enter(&set(&["a"]), Access::Write, LONG))
        .await
        .unwrap();
}
