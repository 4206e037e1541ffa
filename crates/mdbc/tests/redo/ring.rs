//! The ring: what is overwritten, and what is too large or too old.

use bytes::Bytes;
use futures_util::FutureExt;
use mdbc::redo_log::{Applied, Cause, DIGEST_BYTES_MAX, Error, LogFault, LogOptions};

use crate::sites::{Sites, append, digests, own, partition, soon, writes};

fn small(sites: &Sites, site: usize) -> LogOptions {
    LogOptions {
        slots: 8,
        ..sites.options(site)
    }
}

#[tokio::test]
async fn a_ring_goes_round_as_far_as_a_majority_of_the_sites_has_applied() {
    let sites = Sites::start().await;
    let first = sites.log_with(0, small(&sites, 0)).await;
    let second = sites.log_with(1, small(&sites, 1)).await;
    let mut applied = [Applied::default(), Applied::default()];
    let turn = own(&first, &["t"], &mut applied[0]).await.unwrap();
    for number in 0..8 {
        append(&turn, &["t"], &number.to_string(), &mut applied[0]).await;
    }
    soon(first.sites().publish_applied(&applied[0], 1))
        .await
        .unwrap();
    let full = soon(turn.append(&writes(&["t"]), Bytes::from("9")))
        .await
        .unwrap_err();
    assert!(matches!(full.cause, Cause::Full(_)), "{full}");
    soon(turn.end()).await.unwrap();
    let turn = own(&second, &["t"], &mut applied[1]).await.unwrap();
    assert_eq!(digests(&turn).len(), 8);
    soon(second.sites().publish_applied(&applied[1], 1))
        .await
        .unwrap();
    for number in 8..11 {
        append(&turn, &["t"], &number.to_string(), &mut applied[1]).await;
    }
    soon(turn.end()).await.unwrap();
    // The first site lacks what is there still; the third what is gone.
    let turn = own(&first, &["t"], &mut applied[0]).await.unwrap();
    assert_eq!(digests(&turn), ["8", "9", "10"]);
    soon(turn.end()).await.unwrap();
    let third = sites.log_with(2, small(&sites, 2)).await;
    let behind = own(&third, &["t"], &mut Applied::default())
        .await
        .unwrap_err();
    let Error::Fault(LogFault::Behind {
        partition: of,
        applied: 0,
    }) = behind
    else {
        panic!("{behind}");
    };
    assert_eq!(of, partition("t"));
}

#[tokio::test]
async fn a_site_that_follows_slowly_is_waited_for() {
    let sites = Sites::start().await;
    let mut logs = Vec::new();
    for site in 0..3 {
        logs.push(sites.log_with(site, small(&sites, site)).await);
    }
    let mut applied = Applied::default();
    let turn = own(&logs[0], &["t"], &mut applied).await.unwrap();
    for number in 0..8 {
        append(&turn, &["t"], &number.to_string(), &mut applied).await;
    }
    for log in &logs[..2] {
        let said = log.sites().publish_applied(&applied, 1);
        soon(said).await.unwrap();
    }
    soon(logs[0].sites().refresh()).await.unwrap();
    let touched = writes(&["t"]);
    let mut append = Box::pin(turn.append(&touched, Bytes::from("8")));
    assert!(append.as_mut().now_or_never().is_none());
    let mut slow = Applied::default();
    // What it knows to be committed comes a little later.
    let mut follow = async |wanted: &str| {
        let mut is_there = false;
        while !is_there {
            let entries = logs[2].follow([partition("t")], &slow).await.unwrap();
            is_there = entries.iter().any(|entry| entry.digest == wanted);
            for entry in &entries {
                slow.advance(entry);
            }
        }
        let said = logs[2].sites().publish_applied(&slow, 1);
        said.await.unwrap();
    };
    soon(follow("0")).await;
    soon(soon(append).await.unwrap().acknowledged())
        .await
        .unwrap();
    soon(turn.end()).await.unwrap();
    soon(follow("8")).await;
}

#[tokio::test]
async fn slots_that_all_sites_have_applied_are_emptied() {
    let sites = Sites::start().await;
    let mut logs = Vec::new();
    for site in 0..3 {
        logs.push(sites.log(site).await);
    }
    let mut applied = Applied::default();
    for _ in 0..2 {
        let turn = own(&logs[0], &["t"], &mut applied).await.unwrap();
        for number in 0..40 {
            append(&turn, &["t"], &number.to_string(), &mut applied).await;
        }
        soon(turn.end()).await.unwrap();
        for log in &logs {
            soon(log.sites().publish_applied(&applied, 1))
                .await
                .unwrap();
        }
        soon(logs[0].sites().refresh()).await.unwrap();
    }
    let entries = soon(logs[0].status(&partition("t"))).await.unwrap().entries;
    assert!(entries < 60, "{entries}");
    // An emptied log still tells a database that it is too old.
    let behind = own(&logs[1], &["t"], &mut Applied::default()).await;
    assert!(matches!(behind, Err(Error::Fault(LogFault::Behind { .. }))));
    let turn = own(&logs[1], &["t"], &mut applied).await.unwrap();
    append(&turn, &["t"], "more", &mut applied).await;
}

#[tokio::test]
async fn a_large_digest_comes_whole() {
    let sites = Sites::start().await;
    let (first, second) = (sites.log(0).await, sites.log(1).await);
    let turn = own(&first, &["a", "b"], &mut Applied::default())
        .await
        .unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    let large = Bytes::from(large);
    let ticket = soon(turn.append(&writes(&["a", "b"]), large.clone()))
        .await
        .unwrap();
    soon(ticket.acknowledged()).await.unwrap();
    let too_large = Bytes::from(vec![0; DIGEST_BYTES_MAX + 1]);
    let refused = soon(turn.append(&writes(&["a"]), too_large))
        .await
        .unwrap_err();
    assert!(matches!(refused.cause, Cause::TooLarge { .. }), "{refused}");
    soon(turn.end()).await.unwrap();
    let turn = own(&second, &["b"], &mut Applied::default()).await.unwrap();
    let missed: Vec<Bytes> = turn
        .missed()
        .iter()
        .map(|entry| entry.digest.clone())
        .collect();
    assert_eq!(missed, [large]);
}
