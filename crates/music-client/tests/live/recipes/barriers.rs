//! Barrier and double barrier.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use music_client::recipes::{Arrivals, Barrier, DoubleBarrier, Refusal};
use music_client::{Client, Error};

use super::killing::killed_everywhere;
use crate::sites::{Sites, soon};

/// Waits until somebody has arrived at the barrier "b".
async fn arrived(client: &Client) {
    while client
        .get(("recipes", "barrier/b"))
        .await
        .ok()
        .flatten()
        .is_none()
    {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn parties_wait_for_each_other_again_and_again() {
    let sites = Sites::start().await;
    let barriers = [0, 1, 2].map(|site| Barrier::new(&sites.client(&[site]), "b", 3).unwrap());
    let arrived = AtomicUsize::new(0);
    for round in 1..4 {
        let crossings = barriers.iter().map(|barrier| async {
            arrived.fetch_add(1, Ordering::SeqCst);
            let crossing = barrier.wait().await.unwrap();
            assert_eq!(
                arrived.load(Ordering::SeqCst),
                round * 3,
                "all have arrived"
            );
            crossing
        });
        let crossings = soon(join_all(crossings)).await;
        assert_eq!(crossings.iter().filter(|crossing| crossing.last).count(), 1);
        for crossing in crossings {
            assert_eq!(crossing.number, round as u64);
        }
    }
}

#[tokio::test]
async fn a_party_that_stops_waiting_is_withdrawn() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| Barrier::new(&sites.client(&[site]), "b", 2).unwrap());
    let wait = Duration::from_millis(100);
    assert_eq!(soon(here.wait_within(wait)).await.unwrap(), None);
    assert_eq!(
        soon(there.wait_within(wait)).await.unwrap(),
        None,
        "it is alone"
    );
    let (one, other) = soon(async { tokio::join!(here.wait(), there.wait()) }).await;
    assert_eq!((one.unwrap().number, other.unwrap().number), (1, 1));
}

#[tokio::test]
async fn a_party_whose_wait_is_dropped_is_withdrawn_in_the_background() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let [here, there] = [0, 1].map(|site| Barrier::new(&sites.client(&[site]), "b", 2).unwrap());
    let dropped = Barrier::new(&client, "b", 2).unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(100), dropped.wait());
    assert!(waiting.await.is_err());
    soon(client.close()).await;
    let wait = Duration::from_millis(100);
    assert_eq!(soon(there.wait_within(wait)).await.unwrap(), None);
    let (one, other) = soon(async { tokio::join!(here.wait(), there.wait()) }).await;
    assert!(one.is_ok() && other.is_ok());
}

#[tokio::test]
async fn a_party_is_counted_once_under_its_name() {
    let sites = Sites::start().await;
    let clients = [0, 1, 2].map(|site| sites.client(&[site]));
    let barriers = clients
        .each_ref()
        .map(|client| Barrier::new(client, "b", 2).unwrap());
    // The first one is there twice.
    let first = barriers[0].wait_as("a");
    let again = barriers[1].wait_as("a");
    let wait = Duration::from_millis(100);
    let both = tokio::time::timeout(wait, async { tokio::join!(first, again) });
    assert!(both.await.is_err(), "one party is not two");
    // Until both are withdrawn; else "b" might go on with one of them.
    for client in &clients {
        soon(client.close()).await;
    }
    let (one, other) =
        soon(async { tokio::join!(barriers[1].wait_as("a"), barriers[2].wait_as("b")) }).await;
    assert_eq!((one.unwrap().number, other.unwrap().number), (1, 1));
}

#[tokio::test]
async fn an_observer_sees_arrivals_and_crossings() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let mut observer = Barrier::observe(&client, "b").unwrap();
    assert_eq!(soon(observer.next()).await.unwrap(), Arrivals::default());
    let barrier = Barrier::new(&client, "b", 2).unwrap();
    let (parties, none) = (Some(2), Duration::ZERO);
    let (one, crossed) = (barrier.clone(), Duration::from_mins(1));
    let first = tokio::spawn(async move { one.wait_as_within("a", crossed).await });
    let arrivals = |crossed, arrived| Arrivals {
        parties,
        crossed,
        arrived,
    };
    assert_eq!(soon(observer.next()).await.unwrap(), arrivals(0, 1));
    let second = soon(barrier.wait_as("b")).await.unwrap();
    let first = soon(first).await.unwrap().unwrap().unwrap();
    assert_eq!((first.number, second.number), (1, 1));
    assert_ne!(first.last, second.last);
    while soon(observer.next()).await.unwrap() != arrivals(1, 0) {}
    let late = soon(barrier.wait_as_within("a", none)).await.unwrap();
    assert_eq!(late, None);
}

#[tokio::test]
async fn a_barrier_of_another_number_is_refused() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let two = Barrier::new(&client, "b", 2).unwrap();
    tokio::select! {
        _ = two.wait() => unreachable!(),
        () = soon(arrived(&client)) => {}
    }
    let error = soon(Barrier::new(&client, "b", 3).unwrap().wait())
        .await
        .unwrap_err();
    let Error::Refused(Refusal::Disagreement { what, asked, found }) = error else {
        panic!("{error:?}");
    };
    assert_eq!((what, asked, found), ("parties", 3, 2));
    for parties in [0, 4_097, u64::MAX] {
        let error = Barrier::new(&client, "b", parties).unwrap_err();
        assert!(matches!(error, Refusal::OutOfBounds { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_party_that_is_killed_anywhere_holds_up_or_is_there() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| {
            let barrier = Barrier::new(&client, &name, 2).unwrap();
            let wait = Duration::from_millis(300);
            tokio::time::timeout(wait, barrier.wait_as("killed"))
                .await
                .ok()
        },
        async |name, crossed| {
            assert!(!matches!(crossed, Some(Ok(_))), "it was alone");
            let barrier = Barrier::new(&other, &name, 2).unwrap();
            // It may have arrived, or not; restarted, it arrives under its name.
            let again = async {
                drop(barrier.wait_as("killed").await);
                std::future::pending().await
            };
            let crossing = tokio::select! {
                crossing = barrier.wait() => crossing,
                crossing = again => crossing,
            };
            assert_eq!(crossing.unwrap().number, 1);
        },
    )
    .await;
}

#[tokio::test]
async fn parties_begin_together_and_end_together() {
    let sites = Sites::start().await;
    let inside = AtomicUsize::new(0);
    let parties = [0, 1, 2].map(|site| {
        let mut barrier = DoubleBarrier::new(&sites.client(&[site]), "d", 3).unwrap();
        let inside = &inside;
        async move {
            for round in 0..3 {
                inside.fetch_add(1, Ordering::SeqCst);
                barrier.enter().await.unwrap();
                assert!(inside.load(Ordering::SeqCst) >= round * 6 + 3);
                inside.fetch_add(1, Ordering::SeqCst);
                barrier.leave().await.unwrap();
                assert!(inside.load(Ordering::SeqCst) >= round * 6 + 6);
            }
        }
    });
    soon(join_all(parties)).await;
    assert_eq!(inside.load(Ordering::SeqCst), 18);
}

#[tokio::test]
async fn nobody_enters_before_all_have_left() {
    let sites = Sites::start().await;
    let [mut here, mut there, mut third] =
        [0, 1, 2].map(|site| DoubleBarrier::new(&sites.client(&[site]), "d", 2).unwrap());
    let (one, other) = soon(async { tokio::join!(here.enter(), there.enter()) }).await;
    assert!(one.is_ok() && other.is_ok());
    let wait = Duration::from_millis(100);
    assert_eq!(soon(here.leave_within(wait)).await.unwrap(), None);
    assert_eq!(soon(third.enter_within(wait)).await.unwrap(), None);
    let (one, other) = soon(async { tokio::join!(here.leave(), there.leave()) }).await;
    assert!(one.is_ok() && other.is_ok());
    let (one, other) = soon(async { tokio::join!(third.enter(), here.enter()) }).await;
    assert_eq!((one.unwrap().number, other.unwrap().number), (3, 3));
}
