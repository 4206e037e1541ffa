//! Work queues.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use music_client::recipes::{Item, Push, Queue, Refusal, Taker};
use music_client::{Content, Error, Outcome};
use tokio::sync::Notify;

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
    let again = [named];
    let lost = soon(elsewhere.done_all(&again)).await.unwrap();
    assert_eq!(lost.len(), 1);
    let stranger = Queue::new(&sites.client(&[0]), "other").unwrap();
    let error = soon(stranger.done_all(&again)).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Foreign(_))),
        "{error:?}"
    );
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

/// Of two lanes, so that one may be done and the other not.
#[tokio::test]
async fn what_is_done_together_is_done_or_delivered_again_though_its_client_is_killed() {
    const ITEMS: usize = 40;
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    let claim = Duration::from_millis(500);
    killed_everywhere(
        &sites,
        async |client, name| {
            let items = (0..ITEMS).map(|number| Push::new(number.to_string()));
            let pusher = Queue::new(&other, &name).unwrap();
            pusher.push_all(items).await.unwrap();
            let queue = Queue::new(&client, &name).unwrap();
            let mut taker = queue.taker().claim(claim).unwrap();
            let mut taken = Vec::new();
            while taken.len() < ITEMS {
                let wait = tokio::time::timeout(claim, taker.take_up_to(32));
                let Ok(Ok(items)) = wait.await else {
                    return Err(Outcome::NotApplied);
                };
                taken.extend(items);
            }
            let lost = queue.done_all(&taken).await;
            lost.map(|lost| lost.len()).map_err(|error| error.outcome())
        },
        async |name, done| {
            let mut taker = Queue::new(&other, &name).unwrap().taker();
            let mut left = 0;
            let wait = claim * 2;
            loop {
                let items = taker.take_up_to_within(32, wait).await.unwrap();
                if items.is_empty() {
                    break;
                }
                assert!(
                    items
                        .iter()
                        .all(|item| item.deliveries() > 1 || done.is_err())
                );
                left += items.len();
            }
            match done {
                Ok(lost) => assert_eq!(left, lost),
                Err(Outcome::NotApplied) => assert_eq!(left, ITEMS),
                Err(Outcome::Unknown) => assert!([0, 8, 32, ITEMS].contains(&left), "{left}"),
            }
        },
    )
    .await;
}

/// The deliveries of each item: the token, and whether it was acknowledged that
/// the item is done.
type Deliveries = BTreeMap<String, Vec<(u64, bool)>>;

/// What takers at all sites did to a queue that they share.
#[derive(Default)]
struct Workshop {
    deliveries: Mutex<Deliveries>,
    deaths: AtomicUsize,
    /// Told where items are done, and there is room for others.
    room: Notify,
}

impl Workshop {
    fn finished(&self) -> usize {
        self.deliveries.lock().unwrap().len()
    }

    fn note(&self, items: &[Item], done: bool) {
        let mut deliveries = self.deliveries.lock().unwrap();
        for item in items {
            let tokens = deliveries.entry(text(item)).or_default();
            match tokens.iter_mut().find(|(token, _)| *token == item.token()) {
                Some((_, is_done)) => *is_done = done,
                None => tokens.push((item.token(), done)),
            }
        }
        if done {
            self.room.notify_one();
        }
    }

    /// Says that some items are done: one by one, or together.
    async fn finish(&self, queue: &Queue, items: &[Item], together: bool) -> Result<(), Error> {
        if together {
            let lost = queue.done_all(items).await?;
            let lost: Vec<String> = lost.into_iter().map(Item::id).collect();
            let done = items.iter().filter(|item| !lost.contains(&item.id()));
            self.note(&done.cloned().collect::<Vec<_>>(), true);
            return Ok(());
        }
        for item in items {
            item.done().await?;
            self.note(std::slice::from_ref(item), true);
        }
        Ok(())
    }

    /// One taker, which dies now and then and is there again, until all is done.
    async fn take(&self, sites: &Sites, number: usize, items: usize) {
        let mut lives = 0;
        while self.finished() < items {
            let proxy = Proxy::start(&sites.urls[number % 3]).await;
            lives += 1;
            // Each third dies after some answers.
            if number % 3 == lives % 3 {
                proxy.cut_after(5 + (number * 7 + lives * 11) % 40);
            }
            let client = client_with_lease([proxy.url.clone()], Duration::from_millis(500));
            let queue = Queue::new(&client, "q").unwrap();
            let mut taker = queue.taker().claim(Duration::from_secs(2)).unwrap();
            while !proxy.is_cut() && self.finished() < items {
                let some = 1 + (number * 5 + lives) % 32;
                let wait = tokio::time::timeout(Duration::from_secs(3), taker.take_up_to(some));
                let Ok(Ok(taken)) = wait.await else { break };
                self.note(&taken, false);
                // Some say of each item alone that it is done.
                let together = !number.is_multiple_of(6);
                if self.finish(&queue, &taken, together).await.is_err() {
                    break;
                }
            }
            self.deaths
                .fetch_add(usize::from(proxy.is_cut()), Ordering::Relaxed);
        }
    }
}

async fn push(sites: &Sites, items: usize, room: &Notify) {
    const TOGETHER: usize = 20;
    for first in (0..items).step_by(TOGETHER) {
        let numbers = first..items.min(first + TOGETHER);
        let items: Vec<_> = numbers
            .map(|number| Push::new(number.to_string()))
            .collect();
        let queue = queue(sites, first / TOGETHER % 3);
        while let Err(error) = queue.push_all(items.clone()).await {
            // Takers are behind, or a node took too long to get to the lane.
            assert_eq!(error.outcome(), Outcome::NotApplied, "{error:?}");
            let waits = tokio::time::timeout(Duration::from_secs(1), room.notified());
            waits.await.unwrap_or_default();
        }
    }
}

/// A number of the environment.
#[allow(clippy::disallowed_methods, reason = "a test is no library")]
fn setting(name: &str, otherwise: usize) -> usize {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |set| set.parse().unwrap())
}

/// Takers at all sites, which are killed whenever it comes: each item is done
/// once, or was delivered again under a higher token to somebody before.
///
/// `MUSIC_QUEUE_ITEMS` (600) and `MUSIC_QUEUE_TAKERS` (12) make it larger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_takers_some_of_which_die_do_everything_once() {
    let items = setting("MUSIC_QUEUE_ITEMS", 600);
    let takers = setting("MUSIC_QUEUE_TAKERS", 12);
    let sites = Sites::start().await;
    let workshop = Workshop::default();
    let work = (0..takers).map(|number| workshop.take(&sites, number, items));
    let patience =
        Duration::from_mins(2) + Duration::from_millis(20) * u32::try_from(items).unwrap();
    tokio::time::timeout(patience, async {
        tokio::join!(push(&sites, items, &workshop.room), join_all(work));
    })
    .await
    .expect("all is done");
    let deliveries = workshop.deliveries.into_inner().unwrap();
    let count: usize = deliveries.values().map(Vec::len).sum();
    let deaths = workshop.deaths.into_inner();
    eprintln!("{items} items, {takers} takers that died {deaths} times, {count} deliveries");
    assert_eq!(deliveries.len(), items);
    assert!(deaths > 0, "no taker died");
    for (item, tokens) in deliveries {
        assert!(tokens.is_sorted_by(|a, b| a.0 < b.0), "{item}: {tokens:?}");
        let before = tokens.split_last().unwrap().1;
        assert!(before.iter().all(|(_, done)| !done), "{item}: {tokens:?}");
    }
}
