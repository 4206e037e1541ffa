//! Sites that crash and start again while others, and they, are used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use music_core::id::{RecordId, RequestId};
use music_core::lock_queue::Outcome;
use music_core::lock_ref::Holding;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Harness, at, enqueue, id, key, look, put, table, text};
use crate::error;
use crate::{Level, LockStore, StateStore, TableMode};

/// How many callers a site has at once.
const CALLERS: u128 = 4;
/// How often each site is started again.
const ROUNDS: usize = 3;

/// Load that goes on until it is told to stop, and counts its successes.
struct Load {
    running: watch::Sender<bool>,
    done: watch::Sender<u64>,
}

impl Load {
    fn begin() -> Arc<Self> {
        let (running, done) = (watch::Sender::new(true), watch::Sender::new(0));
        Arc::new(Self { running, done })
    }

    fn goes_on(&self) -> bool {
        *self.running.borrow()
    }

    fn succeeded(&self) {
        self.done.send_modify(|count| *count += 1);
    }

    /// Starts every site again, several times, with successes in between.
    /// Returns whether the harness can do that.
    async fn with_restarts<H: Harness>(&self, harness: &H) -> bool {
        let mut done = self.done.subscribe();
        let mut can = true;
        let sites = harness.sites().len();
        for site in (0..sites).cycle().take(sites * ROUNDS) {
            let enough = *done.borrow_and_update() + 10;
            done.wait_for(|count| *count >= enough).await.unwrap();
            can &= harness.restart(site).await;
            if !can {
                break;
            }
        }
        self.running.send_replace(false);
        can
    }
}

/// What became of an enqueue, as its caller was told.
#[derive(Clone, Copy, Debug)]
enum Told {
    Done(Holding),
    NotApplied,
    Unknown,
}

/// What was acknowledged is "durable"; of what was not, an error of no effect
/// had none. Numbers stay distinct and dense.
pub async fn acknowledged_commands_survive_a_restart_under_load<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let (load, key) = (Load::begin(), key("key"));
    let mut callers = JoinSet::new();
    for (number, site) in sites.iter().cloned().enumerate() {
        for caller in 0..CALLERS {
            let (site, load, key) = (site.clone(), Arc::clone(&load), key.clone());
            let name = (number as u128 * CALLERS + caller) << 64;
            callers.spawn(async move {
                let mut told = Vec::new();
                for request in (0..).map(|count| name + count) {
                    if !load.goes_on() {
                        break;
                    }
                    told.push((request, enqueued(&site, &key, request).await));
                    if let Some((_, Told::Done(_))) = told.last() {
                        load.succeeded();
                    }
                    tokio::task::yield_now().await;
                }
                told
            });
        }
    }
    if !load.with_restarts(harness).await {
        return;
    }
    let told = callers.join_all().await.concat();
    // By the end of each node's next call, what is open is settled.
    for site in &sites {
        look(site, &key).await;
    }
    let seen = look(&sites[0], &key).await;
    harness.settled().await;
    for site in &sites {
        let queue = look(site, &key).await;
        assert_eq!(queue.last(), seen.last());
        let numbers = queue.tickets().map(|(number, _)| number.get());
        assert!(numbers.eq(1..=queue.last().get()), "nobody left");
        let found = |request| queue.holding_of(RequestId(request));
        let mut kept = 0;
        for (request, told) in &told {
            let found = found(*request);
            kept += usize::from(found.is_some());
            match told {
                Told::Done(holding) => assert_eq!(found, Some(*holding)),
                Told::NotApplied => assert_eq!(found, None),
                Told::Unknown => {}
            }
        }
        assert_eq!(kept, queue.tickets().count(), "a request has two tickets");
    }
}

async fn enqueued(site: &impl LockStore, key: &RecordId, request: u128) -> Told {
    match site.apply(key, enqueue(request)).await {
        Ok(applied) => match applied.outcome {
            Outcome::Done(holding) => Told::Done(holding),
            outcome => panic!("{outcome:?}"),
        },
        Err(error) if error.outcome() == error::Outcome::NotApplied => Told::NotApplied,
        Err(_) => Told::Unknown,
    }
}

/// A write: "acknowledged means durable, at the local replica or at a
/// majority". A majority read never goes back.
pub async fn acknowledged_writes_survive_a_restart_under_load<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    harness.settled().await;
    let load = Load::begin();
    let written = Arc::new(AtomicU64::new(0));
    let time = Arc::new(AtomicU64::new(0));
    let key = id(table, "key");
    let mut callers = JoinSet::new();
    for site in harness.sites() {
        let (load, key) = (Arc::clone(&load), key.clone());
        let (time, written) = (Arc::clone(&time), Arc::clone(&written));
        callers.spawn(async move {
            while load.goes_on() {
                let time = time.fetch_add(1, SeqCst) + 1;
                let change = put(time, format!("{time}"));
                if site.write(&key, change, Level::Majority).await.is_ok() {
                    written.fetch_max(time, SeqCst);
                    load.succeeded();
                }
                let least = written.load(SeqCst);
                if let Ok(record) = site.read(&key, Level::Majority).await {
                    assert!(record.stamp_max() >= Some(at(least)), "{record:?}");
                    let seen = record.stamp_max().unwrap_or(at(0)).get();
                    written.fetch_max(seen, SeqCst);
                }
                tokio::task::yield_now().await;
            }
        });
    }
    if !load.with_restarts(harness).await {
        return;
    }
    callers.join_all().await;
    harness.settled().await;
    for site in &sites {
        let record = site.read(&key, Level::Majority).await.unwrap();
        let seen = record.stamp_max().unwrap();
        assert!(seen >= at(written.load(SeqCst)));
        assert_eq!(text(&record), seen.get().to_string());
    }
}
