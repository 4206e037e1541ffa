//! Semaphore.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use music_client::Error;
use music_client::recipes::{Refusal, Semaphore};

use super::killing::killed_everywhere;
use crate::sites::{Sites, soon, ticket_of};

const NO_WAIT: Duration = Duration::ZERO;

#[tokio::test]
async fn at_most_so_many_hold_permits() {
    let sites = Sites::start().await;
    let held = AtomicUsize::new(0);
    let holders = (0..9).map(|number| {
        let semaphore = Semaphore::new(&sites.client(&[number % 3]), "s", 2).unwrap();
        let held = &held;
        async move {
            let permit = semaphore.acquire().await.unwrap();
            assert!(held.fetch_add(1, Ordering::SeqCst) < 2);
            assert_eq!(permit.is_lost(), None);
            tokio::task::yield_now().await;
            held.fetch_sub(1, Ordering::SeqCst);
            permit.release().await.unwrap();
        }
    });
    soon(join_all(holders)).await;
}

#[tokio::test]
async fn permits_have_numbers_and_growing_tokens() {
    let sites = Sites::start().await;
    let semaphore = Semaphore::new(&sites.client(&[0]), "s", 2).unwrap();
    let one = soon(semaphore.acquire()).await.unwrap();
    let two = soon(semaphore.acquire()).await.unwrap();
    assert_ne!(one.numbers(), two.numbers());
    let there = Semaphore::new(&sites.client(&[1]), "s", 2).unwrap();
    assert!(
        soon(there.acquire_within(1, NO_WAIT))
            .await
            .unwrap()
            .is_none()
    );
    let (number, token) = (one.numbers()[0], one.token());
    let (next, released) = soon(async { tokio::join!(there.acquire(), one.release()) }).await;
    released.unwrap();
    let next = next.unwrap();
    assert_eq!(next.numbers(), [number]);
    assert!(next.token() > token);
}

#[tokio::test]
async fn several_permits_are_held_together() {
    let sites = Sites::start().await;
    let semaphore = Semaphore::new(&sites.client(&[0]), "s", 3).unwrap();
    let two = soon(semaphore.acquire_many(2)).await.unwrap();
    let all = Duration::from_millis(50);
    assert!(
        soon(semaphore.acquire_within(2, all))
            .await
            .unwrap()
            .is_none()
    );
    let one = soon(semaphore.acquire_within(1, NO_WAIT)).await.unwrap();
    assert!(one.is_some(), "what was collected in vain is given back");
    soon(two.release()).await.unwrap();
    soon(one.unwrap().release()).await.unwrap();
    let three = soon(semaphore.acquire_many(3)).await.unwrap();
    let mut numbers = three.numbers().to_vec();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
}

#[tokio::test]
async fn a_permit_that_is_lost_is_told() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| sites.client(&[site]));
    let permit = soon(Semaphore::new(&here, "s", 1).unwrap().acquire())
        .await
        .unwrap();
    let ticket = ticket_of(permit.token());
    soon(there.force_ticket(("recipes", "permit/s/0"), ticket))
        .await
        .unwrap();
    let next = soon(Semaphore::new(&there, "s", 1).unwrap().acquire())
        .await
        .unwrap();
    soon(permit.lost()).await;
    assert!(permit.is_lost().is_some());
    assert!(next.token() > permit.token());
    assert!(matches!(soon(permit.release()).await, Err(Error::Lost(_))));
}

#[tokio::test]
async fn numbers_that_make_no_sense_are_refused() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    for permits in [0, 129, u64::MAX] {
        let error = Semaphore::new(&client, "s", permits).unwrap_err();
        assert!(matches!(error, Refusal::OutOfBounds { .. }), "{error:?}");
    }
    let semaphore = Semaphore::new(&client, "s", 2).unwrap();
    for number in [0, 3] {
        let error = soon(semaphore.acquire_many(number)).await.unwrap_err();
        let refused = matches!(error, Error::Refused(Refusal::OutOfBounds { .. }));
        assert!(refused, "{error:?}");
    }
    drop(soon(semaphore.acquire()).await.unwrap());
    let other = Semaphore::new(&client, "s", 3).unwrap();
    let error = soon(other.acquire()).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Disagreement { .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn the_permit_of_a_holder_that_is_killed_anywhere_comes_back() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| {
            let semaphore = Semaphore::new(&client, &name, 2).unwrap();
            let permit = semaphore.acquire().await;
            permit.map(std::mem::forget)
        },
        async |name, _| {
            let semaphore = Semaphore::new(&other, &name, 2).unwrap();
            let both = semaphore.acquire_many(2).await.unwrap();
            assert_eq!(both.numbers().len(), 2);
        },
    )
    .await;
}
