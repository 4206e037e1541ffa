//! Answers that do not come in time.

use music_core::lock_queue::Outcome;

use super::*;
use crate::conformance::{enqueue, id, ticket};
use crate::error;
use crate::table::SYSTEM_TABLE;

/// A command whose answer was lost is neither applied twice nor answered as
/// if another had done it, and what is not applied by the next transaction
/// never is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_found_again_or_reported_as_unknown() {
    let steady = Deployment::open().await;
    let keyspace = steady.sites[0].inner.cql.keyspace().clone();
    let mut hasty = Vec::new();
    // Some are too hasty on any machine, some are not.
    let names = datacentres();
    for (name, millis) in names.iter().cycle().zip([1, 5, 25, 250]) {
        let mut config = config(&keyspace, name);
        config.call_time = Duration::from_millis(20 * millis);
        let site = Cassandra::connect(config).await.unwrap();
        let another = id(SYSTEM_TABLE, "another");
        until("what is prepared once is prepared", async || {
            site.apply(&another, enqueue(millis.into())).await.is_ok()
        })
        .await;
        site.inner.cql.hurry(Duration::from_millis(millis));
        hasty.push(site);
    }
    let (mut done, mut unknown) = (0_u32, 0_u32);
    for round in 0..120_u32 {
        let key = id(SYSTEM_TABLE, format!("key {}", round % 5));
        let [steady, ..] = &*steady.sites else {
            panic!("three sites");
        };
        let site = &hasty[round as usize % hasty.len()];
        let holding = ticket(steady, &key, round.into()).await;
        let confirmed = site.apply(&key, Command::Confirm(holding)).await;
        let force = Command::Force {
            lock_ref: holding.lock_ref,
            owner: None,
        };
        let forced = steady.apply(&key, force).await.unwrap().outcome;
        match confirmed {
            Ok(Applied { outcome, .. }) => {
                assert_eq!(outcome, Outcome::Done(holding), "nobody else ends it");
                assert_eq!(forced, Outcome::Gone);
                done += 1;
            }
            Err(error) if error.outcome() == error::Outcome::NotApplied => {
                assert_eq!(forced, Outcome::Done(holding), "{error}");
            }
            Err(_) => unknown += 1,
        }
        // Whatever it was, it is decided now.
        let queue = steady.peek(&key).await.unwrap();
        assert_eq!(queue.forced() == holding.lock_ref, forced != Outcome::Gone);
        assert_eq!(queue.tickets().count(), 0);
    }
    eprintln!("{done} done, {unknown} of unknown outcome");
    assert!(done > 0 && unknown > 0, "{done} done, {unknown} unknown");
}

/// A node takes a key that it has never seen for a new one. It is told that it
/// is not, however often others have used it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_others_have_used_often_can_be_used_at_once() {
    let deployment = Deployment::open().await;
    let [first, second, ..] = &*deployment.sites else {
        panic!("three sites");
    };
    let key = id(SYSTEM_TABLE, "key");
    let uses = 2 * codec::ATTEMPTS_KEPT as u64;
    for request in 0..uses {
        let holding = ticket(first, &key, request.into()).await;
        first.release(&key, holding).await.unwrap();
    }
    let holding = ticket(second, &key, uses.into()).await;
    assert_eq!(holding.lock_ref.get(), uses + 1);
}
