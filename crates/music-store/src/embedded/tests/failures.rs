//! Failing disks, lost answers, stopped sites: what a call may claim.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use music_core::lock_queue::Command;

use crate::conformance::{enqueue, id, put, text, ticket};
use crate::embedded::{CommitHook, Direction, Engine, Options, Place, Profile};
use crate::error::{Needed, Outcome};
use crate::table::SYSTEM_TABLE;
use crate::{Error, Level, LockStore, StateStore};

fn three(rtt: u64) -> Profile {
    Profile::uniform(3, Duration::from_millis(rtt)).unwrap()
}

fn open(rtt: u64, options: Options) -> Engine {
    Engine::open(&Place::Memory, &three(rtt), options).unwrap()
}

/// A disk that is full while the flag is set, and counts commits.
fn full_disk() -> (CommitHook, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (full, commits) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (flag, counter) = (Arc::clone(&full), Arc::clone(&commits));
    let hook: CommitHook = Arc::new(move || {
        counter.fetch_add(1, SeqCst);
        if flag.load(SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    });
    (hook, full, commits)
}

#[tokio::test]
async fn a_full_disk_fails_the_call_and_nothing_acknowledged_is_lost() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Directory(directory.path().to_owned());
    let (hook, full, _) = full_disk();
    let options = Options {
        commit_hook: Some(hook),
        ..Options::default()
    };
    let engine = Engine::open(&place, &three(0), options).unwrap();
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    site.write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    let holding = ticket(&site, &key, 1).await;
    full.store(true, SeqCst);
    for level in [Level::Local, Level::Majority] {
        let error = site.write(&key, put(2, "y"), level).await.unwrap_err();
        assert!(matches!(error, Error::Storage(_)), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown);
    }
    let error = site.apply(&key, enqueue(2)).await.unwrap_err();
    assert!(matches!(error, Error::Storage(_)), "{error}");
    assert!(matches!(
        site.release(&key, holding).await,
        Err(Error::Storage(_))
    ));
    // There is room again, but what a failed sync left behind is unknown.
    full.store(false, SeqCst);
    assert!(matches!(
        site.write(&key, put(3, "z"), Level::Local).await,
        Err(Error::Storage(_))
    ));
    assert_eq!(text(&site.read(&key, Level::Local).await.unwrap()), "x");
    engine.close().await;
    let engine = Engine::open(&place, &three(0), Options::default()).unwrap();
    let site = engine.site("a").unwrap();
    assert_eq!(text(&site.read(&key, Level::Majority).await.unwrap()), "x");
    assert!(site.peek(&key).await.unwrap().present(holding));
    site.write(&key, put(3, "z"), Level::Local).await.unwrap();
    engine.close().await;
}

#[tokio::test]
async fn a_majority_write_without_delay_takes_one_commit() {
    let (hook, _, commits) = full_disk();
    let engine = open(
        0,
        Options {
            commit_hook: Some(hook),
            ..Options::default()
        },
    );
    let site = engine.site("a").unwrap();
    for number in 1..=20 {
        let key = id(SYSTEM_TABLE, format!("key {number}"));
        site.write(&key, put(1, "x"), Level::Majority)
            .await
            .unwrap();
        engine.settled().await;
        assert_eq!(commits.load(SeqCst), number);
    }
}

#[tokio::test]
async fn a_write_that_changes_nothing_costs_no_commit() {
    let (hook, _, commits) = full_disk();
    let engine = open(
        0,
        Options {
            commit_hook: Some(hook),
            ..Options::default()
        },
    );
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    for _ in 0..5 {
        site.write(&key, put(1, "x"), Level::Majority)
            .await
            .unwrap();
    }
    assert_eq!(commits.load(SeqCst), 1);
}

#[tokio::test]
async fn a_call_whose_messages_are_lost_ends_in_its_time() {
    let timeout = Duration::from_millis(300);
    let engine = open(
        40,
        Options {
            timeout,
            ..Options::default()
        },
    );
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let start = Instant::now();
    let (write, ()) = tokio::join!(site.write(&key, put(1, "x"), Level::Majority), async {
        // Polled second: the messages are on their way.
        engine.cut("a", "b", Direction::Both).unwrap();
        engine.cut("a", "c", Direction::Both).unwrap();
    });
    assert!(matches!(write, Err(Error::TimedOut)), "{write:?}");
    assert!(start.elapsed() >= timeout && start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_one_way_cut_is_known_at_the_send() {
    let engine = open(0, Options::default());
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    engine.cut("b", "a", Direction::OneWay).unwrap();
    site.write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    engine.cut("a", "c", Direction::OneWay).unwrap();
    let write = site.write(&key, put(2, "y"), Level::Majority).await;
    let (needed, outcome) = (Needed::Majority, Outcome::NotApplied);
    assert!(
        matches!(
            write,
            Err(Error::Unavailable { needed: n, outcome: o }) if (n, o) == (needed, outcome)
        ),
        "{write:?}"
    );
    assert_eq!(text(&site.read(&key, Level::Local).await.unwrap()), "x");
    engine.heal("b", "a", Direction::OneWay).unwrap();
    engine.heal("a", "c", Direction::OneWay).unwrap();
    engine.settled().await;
    assert_eq!(engine.digest("a").unwrap(), engine.digest("b").unwrap());
}

#[tokio::test]
async fn a_transaction_goes_on_when_a_cut_is_healed_in_its_time() {
    let engine = open(20, Options::default());
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let (applied, ()) = tokio::join!(site.apply(&key, enqueue(1)), async {
        for other in ["b", "c"] {
            engine.cut("a", other, Direction::Both).unwrap();
            engine.heal("a", other, Direction::Both).unwrap();
        }
    });
    assert_eq!(applied.unwrap().queue.tickets().count(), 1);
}

#[tokio::test]
async fn a_stopped_site_answers_nothing_and_the_others_go_on() {
    let engine = open(2, Options::default());
    let [a, b] = ["a", "b"].map(|name| engine.site(name).unwrap());
    let key = id(SYSTEM_TABLE, "key");
    a.write(&key, put(1, "x"), Level::Majority).await.unwrap();
    engine.stop("b").unwrap();
    engine.stop("b").unwrap();
    assert!(!engine.is_running("b").unwrap());
    for result in [
        b.write(&key, put(2, "y"), Level::Local).await,
        b.write(&key, put(2, "y"), Level::Majority).await,
        b.read(&key, Level::Local).await.map(drop),
        b.peek(&key).await.map(drop),
    ] {
        let needed = Needed::Local;
        assert!(
            matches!(result, Err(Error::Unavailable { needed: n, .. }) if n == needed),
            "{result:?}"
        );
    }
    a.write(&key, put(3, "z"), Level::Majority).await.unwrap();
    ticket(&a, &key, 1).await;
    engine.start("b").unwrap();
    engine.settled().await;
    assert_eq!(text(&b.read(&key, Level::Local).await.unwrap()), "z");
    assert_eq!(ticket(&b, &key, 2).await.lock_ref.get(), 2);
}

#[tokio::test]
async fn calls_under_way_at_a_site_that_stops_end_at_once() {
    let engine = open(1_000, Options::default());
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let start = Instant::now();
    let (write, command, peek, ()) = tokio::join!(
        site.write(&key, put(1, "x"), Level::Majority),
        site.apply(&key, enqueue(1)),
        site.peek(&key),
        async { engine.stop("a").unwrap() },
    );
    for result in [write, command.map(drop), peek.map(drop)] {
        let unknown = result.unwrap_err();
        assert_eq!(unknown.outcome(), Outcome::Unknown);
    }
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn too_many_calls_for_one_key_are_refused() {
    let engine = open(1_000, Options::default());
    let site = engine.site("a").unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let mut calls = tokio::task::JoinSet::new();
    for request in 0..2_000 {
        let (site, key) = (site.clone(), key.clone());
        calls.spawn(async move { site.apply(&key, enqueue(request)).await.map(drop) });
    }
    let first = calls.join_next().await.unwrap().unwrap();
    assert!(matches!(first, Err(Error::Overloaded)), "{first:?}");
    engine.stop("a").unwrap();
    calls.join_all().await;
}

#[tokio::test]
async fn a_command_at_each_site_at_once_is_decided_under_delay() {
    let engine = open(5, Options::default());
    let key = id(SYSTEM_TABLE, "key");
    let [a, b, c] = ["a", "b", "c"].map(|name| engine.site(name).unwrap());
    for round in 0..5 {
        let (a, b, c) = tokio::join!(
            ticket(&a, &key, round * 3),
            ticket(&b, &key, round * 3 + 1),
            ticket(&c, &key, round * 3 + 2),
        );
        let mut numbers = [a, b, c].map(|holding| holding.lock_ref);
        numbers.sort();
        for (site, lock_ref) in ["a", "b", "c"].into_iter().zip(numbers) {
            let site = engine.site(site).unwrap();
            site.apply(&key, Command::Withdraw(lock_ref)).await.unwrap();
        }
    }
    let queue = engine.site("b").unwrap().peek(&key).await.unwrap();
    assert_eq!((queue.last().get(), queue.tickets().count()), (15, 0));
}

#[tokio::test]
async fn a_far_site_gets_its_turn_among_near_ones() {
    let profile = Profile::parse("sites far near1 near2\nrtt * * 2\nrtt far * 40").unwrap();
    let engine = Engine::open(&Place::Memory, &profile, Options::default()).unwrap();
    let key = id(SYSTEM_TABLE, "key");
    let mut near = tokio::task::JoinSet::new();
    for (number, name) in (1_u128..).zip(["near1", "near2"]) {
        let (site, key) = (engine.site(name).unwrap(), key.clone());
        near.spawn(async move {
            for request in 0.. {
                let holding = ticket(&site, &key, number << 64 | request).await;
                let withdraw = Command::Withdraw(holding.lock_ref);
                site.apply(&key, withdraw).await.unwrap();
            }
        });
    }
    let far = engine.site("far").unwrap();
    for request in 0..5 {
        ticket(&far, &key, request).await;
    }
    near.shutdown().await;
}
