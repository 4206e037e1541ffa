//! All sites want one key at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use music_core::lock_ref::Tick;
use music_core::stamp::Stamp;
use tokio::time::Instant;

use super::*;
use crate::conformance::{enqueue, id, new_ticket, text};
use crate::table::SYSTEM_TABLE;
use music_core::id::Field;
use music_core::lock_queue::{NewTicket, Outcome};

/// Clients a site, and how often each wants the key.
const CLIENTS: u128 = 8;
const SECTIONS: u128 = 5;

/// What the clients of a test share.
#[derive(Default)]
struct Counts {
    /// How many are in a critical section now.
    inside: AtomicUsize,
    /// How many calls had to be made again, by why.
    retries: Mutex<BTreeMap<String, u32>>,
}

/// "When three sites enqueue on one key at once, transactions collide, time
/// out with unknown outcome and leave orphans that block the key."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_get_through_when_all_sites_want_one_key() {
    all_get_through(false).await;
}

/// Those are given up soon, and not settled by the next call of their node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enqueues_within_limits_leave_no_ticket_behind() {
    all_get_through(true).await;
}

async fn all_get_through(within_limits: bool) {
    let _alone = NODES.write().await;
    let deployment = Deployment::open_alone(|_| {}).await;
    let key = id(SYSTEM_TABLE, "key");
    let counts = Counts::default();
    let begin = Instant::now();
    let mut clients = Vec::new();
    for (site, number) in deployment.sites.iter().zip(0..) {
        for client in 0..CLIENTS {
            let first = (number * CLIENTS + client) * SECTIONS;
            clients.push(sections(site, &key, (first, within_limits), &counts));
        }
    }
    futures_util::future::join_all(clients).await;
    let (took, sites) = (begin.elapsed(), deployment.sites.len() as u128);
    let sections = u32::try_from(sites * CLIENTS * SECTIONS).unwrap();
    eprintln!(
        "{sections} sections of {sites} sites with {CLIENTS} clients each in {took:?}: \
         {:.1} a second, calls made again {:?}",
        f64::from(sections) / took.as_secs_f64(),
        counts.retries
    );
    for site in &deployment.sites {
        let queue = site.peek(&key).await.unwrap();
        assert_eq!(queue.tickets().count(), 0, "an orphan is left");
        let numbers = u64::from(sections);
        assert!(queue.last().get() == numbers || within_limits);
        assert_eq!(
            value(site, &key, Level::Majority).await,
            sections.to_string()
        );
    }
}

/// What one client does.
async fn sections(
    site: &Cassandra,
    key: &RecordId,
    (first, within_limits): (u128, bool),
    counts: &Counts,
) {
    for request in first..first + SECTIONS {
        let applied = if within_limits {
            enqueued_within_limits(site, key, new_ticket(request)).await
        } else {
            answered(counts, async || site.apply(key, enqueue(request)).await).await
        };
        section(site, key, applied, counts).await;
    }
}

/// Enqueues until one is answered, each above the limit of those that were not.
async fn enqueued_within_limits(site: &Cassandra, key: &RecordId, ticket: NewTicket) -> Applied {
    let mut above = LockRef::NONE;
    loop {
        let look = LockStore::look(site, key, ticket.owner).await.unwrap();
        let last = look.queue.last().max(above).get();
        let limit = LockRef::new(last + 8).unwrap();
        let enqueue = Command::EnqueueWithin {
            ticket,
            above,
            limit,
        };
        match site.apply(key, enqueue).await {
            Ok(applied) if applied.outcome != Outcome::Gone => return applied,
            Ok(_) => {}
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        above = limit;
    }
}

/// Makes a call until it is answered; each may be made again.
async fn answered<T>(counts: &Counts, mut call: impl AsyncFnMut() -> Result<T, Error>) -> T {
    loop {
        match call().await {
            Ok(answer) => return answer,
            Err(error) if error.is_retryable() => {
                let mut retries = counts.retries.lock().unwrap();
                *retries.entry(error.to_string()).or_default() += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// One critical section, which adds one to the key's value.
async fn section(site: &Cassandra, key: &RecordId, applied: Applied, counts: &Counts) {
    let Outcome::Done(holding) = applied.outcome else {
        panic!("{:?}", applied.outcome);
    };
    let mut queue = applied.queue;
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while !queue.is_first(holding.lock_ref) {
        looks.tick().await;
        queue = answered(counts, async || site.peek(key).await).await;
        assert!(queue.present(holding), "nobody else ends it");
    }
    let others = counts.inside.fetch_add(1, Ordering::SeqCst);
    assert_eq!(others, 0, "one holds at a time");
    let record = answered(counts, async || site.read(key, Level::Majority).await).await;
    let count: u32 = text(&record).parse().unwrap_or(0);
    let stamp = Stamp::critical(holding, Tick::new(0).unwrap());
    let change = Record::write(
        stamp,
        [(Field::DEFAULT, Some((count + 1).to_string().into()))],
    );
    answered(counts, async || {
        site.write(key, change.clone(), Level::Majority).await
    })
    .await;
    counts.inside.fetch_sub(1, Ordering::SeqCst);
    answered(counts, async || site.release(key, holding).await).await;
}
