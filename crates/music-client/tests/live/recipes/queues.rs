//! Work queues.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use music_client::recipes::{Item, Push, Queue, Refusal, Taker};
use music_client::{Content, Error};

use super::killing::killed_everywhere;
use crate::proxy::Proxy;
use crate::sites::{Sites, client_with_lease, soon};

const SOON: Duration = Duration::from_millis(50);

fn queue(sites: &Sites, site: usize) -> Queue {
    Queue::new(&sites.client(&[site]), "q").unwrap()
}

fn text(item: &Item) -> String {
    item.content().unwrap().text().unwrap().to_owned()
}

async fn take(taker: &mut Taker) -> Item {
    soon(taker.take()).await.unwrap()
}

#[tokio::test]
async fn items_come_in_order_and_once() {
    let sites = Sites::start().await;
    let mut taker = queue(&sites, 1).taker();
    assert!(soon(taker.take_within(SOON)).await.unwrap().is_none());
    let pusher = queue(&sites, 0);
    soon(pusher.push("there")).await.unwrap();
    let there = soon(queue(&sites, 0).taker().take_within(Duration::ZERO)).await;
    soon(there.unwrap().unwrap().done()).await.unwrap();
    for number in 0..5 {
        soon(pusher.push(number.to_string())).await.unwrap();
    }
    let mut other = queue(&sites, 2).taker();
    for number in 0..5 {
        let taker = if number % 2 == 0 {
            &mut taker
        } else {
            &mut other
        };
        let item = take(taker).await;
        assert_eq!((text(&item), item.deliveries()), (number.to_string(), 1));
        soon(item.done()).await.unwrap();
        let again = soon(item.done()).await.unwrap_err();
        assert!(
            matches!(again, Error::Refused(Refusal::ClaimLost)),
            "{again:?}"
        );
    }
    assert!(soon(other.take_within(SOON)).await.unwrap().is_none());
    while !soon(pusher.is_empty()).await.unwrap() {}
}

#[tokio::test]
async fn the_urgent_goes_first_and_the_delayed_when_it_is_due() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    let items = [
        Push::new("low"),
        Push::new("high").priority(9),
        Push::new("late")
            .priority(200)
            .delay(Duration::from_secs(1)),
    ];
    soon(queue.push_all(items)).await.unwrap();
    let mut taker = queue.taker();
    let order = [
        take(&mut taker).await,
        take(&mut taker).await,
        take(&mut taker).await,
    ];
    assert_eq!(order.each_ref().map(text), ["high", "low", "late"]);
}

#[tokio::test]
async fn a_lapsed_claim_is_delivered_again_under_a_higher_token() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    soon(queue.push("x")).await.unwrap();
    let claim = Duration::from_millis(200);
    let first = take(&mut queue.taker().claim(claim).unwrap()).await;
    let mut taker = self::queue(&sites, 1).taker();
    let second = take(&mut taker).await;
    assert_eq!((first.id(), first.deliveries()), (second.id(), 1));
    assert_eq!(second.deliveries(), 2);
    assert!(second.token() > first.token());
    let late = soon(first.done()).await.unwrap_err();
    assert!(
        matches!(late, Error::Refused(Refusal::ClaimLost)),
        "{late:?}"
    );
    soon(second.done()).await.unwrap();
}

#[tokio::test]
async fn a_claim_is_renewed_while_the_work_goes_on() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    soon(queue.push("x")).await.unwrap();
    let claim = Duration::from_millis(600);
    let item = take(&mut queue.taker().claim(claim).unwrap()).await;
    let mut other = self::queue(&sites, 1).taker();
    // The work lasts until another taker has waited for several claims.
    let waited = item.run(claim, other.take_within(Duration::from_secs(2)));
    assert!(soon(waited).await.unwrap().unwrap().is_none());
    soon(item.done()).await.unwrap();
}

#[tokio::test]
async fn work_whose_claim_is_lost_is_dropped() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    soon(queue.push("x")).await.unwrap();
    let item = take(&mut queue.taker()).await;
    soon(item.done()).await.unwrap();
    let work = item.run(Duration::from_secs(1), std::future::pending::<()>());
    let error = soon(work).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::ClaimLost)),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_item_is_given_back_or_finished_elsewhere() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    soon(queue.push("x")).await.unwrap();
    let item = take(&mut queue.taker()).await;
    soon(item.give_back(Duration::ZERO)).await.unwrap();
    let item = take(&mut queue.taker()).await;
    assert_eq!(item.deliveries(), 2);
    let elsewhere = self::queue(&sites, 1);
    let named = elsewhere.item(&item.id(), item.token()).unwrap();
    assert_eq!((named.id(), named.content()), (item.id(), None));
    soon(named.done()).await.unwrap();
    for id in ["", "7", "x.1", "1.x", "256.1", "-1.1"] {
        let error = elsewhere.item(id, 1).unwrap_err();
        assert!(matches!(error, Refusal::Foreign(_)), "{id}: {error:?}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    let error = soon(queue.push("x".repeat(16 * 1024))).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::TooLarge { .. })),
        "{error:?}"
    );
    let late = Push::new("x").delay(Duration::from_hours(24 * 367));
    let error = soon(queue.push_all([late])).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Duration { .. })),
        "{error:?}"
    );
    for claim in [Duration::ZERO, Duration::from_hours(25)] {
        let error = queue.taker().claim(claim).unwrap_err();
        assert!(matches!(error, Refusal::Duration { .. }), "{error:?}");
    }
    for most in [0, 33] {
        let error = soon(queue.taker().take_up_to(most)).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused(Refusal::OutOfBounds { .. })),
            "{error:?}"
        );
    }
    let bytes = Content::new(vec![0, 255], "application/x-any");
    soon(queue.push(bytes.clone())).await.unwrap();
    assert_eq!(take(&mut queue.taker()).await.content(), Some(&bytes));
}

#[tokio::test]
async fn a_queue_has_a_bound() {
    let sites = Sites::start().await;
    let queue = queue(&sites, 0);
    let items = (0..256 * 32).map(|number: u32| Push::new(number.to_string()));
    soon(queue.push_all(items)).await.unwrap();
    let error = soon(queue.push("one more")).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Full)), "{error:?}");
    assert!(error.is_retryable());
    let mut taker = queue.taker();
    let taken = soon(taker.take_up_to(32)).await.unwrap();
    assert_eq!(taken.len(), 32);
    soon(taken[0].done()).await.unwrap();
    soon(queue.push("one more")).await.unwrap();
}

#[tokio::test]
async fn a_pusher_that_is_killed_anywhere_has_pushed_once_or_not() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| Queue::new(&client, &name).unwrap().push("x").await,
        async |name, pushed| {
            let mut taker = Queue::new(&other, &name).unwrap().taker();
            let wait = Duration::from_secs(1);
            let taken = taker.take_within(wait).await.unwrap();
            assert!(pushed.is_err() || taken.is_some());
            assert!(
                taker.take_within(SOON).await.unwrap().is_none(),
                "it is there once"
            );
        },
    )
    .await;
}

#[tokio::test]
async fn the_item_of_a_taker_that_is_killed_anywhere_is_delivered_again() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    let claim = Duration::from_millis(300);
    killed_everywhere(
        &sites,
        async |client, name| {
            Queue::new(&other, &name).unwrap().push("x").await.unwrap();
            let queue = Queue::new(&client, &name).unwrap();
            let mut taker = queue.taker().claim(claim).unwrap();
            let item = tokio::time::timeout(Duration::from_secs(2), taker.take()).await;
            match item {
                Ok(Ok(item)) => (item.token(), item.done().await.is_ok()),
                _ => (0, false),
            }
        },
        async |name, (token, done)| {
            let mut taker = Queue::new(&other, &name).unwrap().taker();
            let wait = if done { SOON } else { Duration::from_secs(5) };
            let item = taker.take_within(wait).await.unwrap();
            assert!(!(done && item.is_some()), "it was done");
            if let Some(item) = item {
                assert!(item.token() > token);
                item.done().await.unwrap();
            }
        },
    )
    .await;
}

/// What was delivered, and under which tokens.
type Deliveries = Mutex<BTreeMap<String, Vec<u64>>>;

fn note(deliveries: &Deliveries, item: &Item) {
    let mut deliveries = deliveries.lock().unwrap();
    deliveries.entry(text(item)).or_default().push(item.token());
}

/// Takers at all sites, of which some are killed whenever it comes: each item is
/// done once, or again under a higher token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_takers_some_of_which_die_do_everything_once() {
    const ITEMS: usize = 600;
    let sites = Sites::start().await;
    let done = Deliveries::default();
    let push = async {
        for chunk in 0..ITEMS / 20 {
            let items = (0..20).map(|number| Push::new((chunk * 20 + number).to_string()));
            queue(&sites, chunk % 3).push_all(items).await.unwrap();
        }
    };
    let takers = (0..12).map(|number| {
        let (sites, done) = (&sites, &done);
        async move {
            let mut lives = 0;
            while done.lock().unwrap().len() < ITEMS {
                let proxy = Proxy::start(&sites.urls[number % 3]).await;
                // Each third taker dies after some answers, and is there again.
                lives += 1;
                if number % 3 == 0 {
                    proxy.cut_after(5 + (number * 7 + lives * 11) % 40);
                }
                let client = client_with_lease([proxy.url.clone()], Duration::from_millis(500));
                let queue = Queue::new(&client, "q").unwrap();
                let mut taker = queue.taker().claim(Duration::from_secs(2)).unwrap();
                while let Ok(Ok(items)) =
                    tokio::time::timeout(Duration::from_secs(3), taker.take_up_to(8)).await
                {
                    for item in items {
                        note(done, &item);
                        if item.done().await.is_err() {
                            break;
                        }
                    }
                    if proxy.is_cut() || done.lock().unwrap().len() == ITEMS {
                        break;
                    }
                }
            }
        }
    });
    tokio::time::timeout(Duration::from_mins(2), async {
        tokio::join!(push, join_all(takers));
    })
    .await
    .expect("all is done");
    let done = done.into_inner().unwrap();
    assert_eq!(done.len(), ITEMS);
    for (item, tokens) in done {
        assert!(tokens.is_sorted_by(|a, b| a < b), "{item}: {tokens:?}");
    }
}
