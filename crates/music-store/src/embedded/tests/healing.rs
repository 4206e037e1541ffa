//! After healing, all replicas agree.

use std::time::Duration;

use music_core::record::Record;
use music_core::replica::acceptor::Ballot;

use crate::conformance::{at, id, put, text, ticket};
use crate::embedded::{Direction, Engine, Options, Place, Profile, Site};
use crate::table::SYSTEM_TABLE;
use crate::{Level, LockStore, StateStore, TableMode, TableName};

fn open(rtt: u64) -> (Engine, [Site; 3]) {
    let profile = Profile::uniform(3, Duration::from_millis(rtt)).unwrap();
    let engine = Engine::open(&Place::Memory, &profile, Options::default()).unwrap();
    let sites = ["a", "b", "c"].map(|name| engine.site(name).unwrap());
    (engine, sites)
}

fn isolate(engine: &Engine, site: &str, isolated: bool) {
    for other in ["a", "b", "c"].into_iter().filter(|other| *other != site) {
        if isolated {
            engine.cut(site, other, Direction::Both).unwrap();
        } else {
            engine.heal(site, other, Direction::Both).unwrap();
        }
    }
}

fn assert_agreed(engine: &Engine) {
    let digests = ["a", "b", "c"].map(|site| engine.digest(site).unwrap());
    assert!(
        digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
}

#[tokio::test]
async fn what_was_under_way_when_the_link_was_cut_is_delivered_after_healing() {
    let (engine, [a, ..]) = open(50);
    for number in 0..100 {
        let key = id(SYSTEM_TABLE, format!("key {number}"));
        a.write(&key, put(1, "x"), Level::Local).await.unwrap();
    }
    isolate(&engine, "a", true);
    assert_ne!(engine.digest("a").unwrap(), engine.digest("b").unwrap());
    isolate(&engine, "a", false);
    engine.settled().await;
    assert_agreed(&engine);
}

#[tokio::test]
async fn settled_does_not_wait_for_those_who_cannot_be_reached() {
    let (engine, [a, ..]) = open(0);
    isolate(&engine, "c", true);
    a.write(&id(SYSTEM_TABLE, "key"), put(1, "x"), Level::Local)
        .await
        .unwrap();
    engine.settled().await;
    assert_eq!(engine.digest("a").unwrap(), engine.digest("b").unwrap());
    assert_ne!(engine.digest("a").unwrap(), engine.digest("c").unwrap());
}

#[tokio::test]
async fn more_than_is_noted_is_delivered_by_a_full_pass() {
    let (engine, [a, ..]) = open(0);
    isolate(&engine, "c", true);
    let mut calls = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let a = a.clone();
        calls.spawn(async move {
            for number in 0..20 {
                let key = id(SYSTEM_TABLE, format!("key {caller} {number}"));
                a.write(&key, put(1, "x"), Level::Local).await.unwrap();
            }
        });
    }
    calls.join_all().await;
    isolate(&engine, "c", false);
    engine.settled().await;
    assert_agreed(&engine);
}

#[tokio::test]
async fn a_site_that_lost_its_memory_catches_up_and_lets_others_catch_up() {
    let (engine, [a, b, c]) = open(2);
    let key = |name: &str| id(SYSTEM_TABLE, name.to_owned());
    isolate(&engine, "c", true);
    c.write(&key("of c"), put(1, "x"), Level::Local)
        .await
        .unwrap();
    engine.stop("c").unwrap();
    a.write(&key("of a"), put(1, "y"), Level::Majority)
        .await
        .unwrap();
    a.write(&key("deleted"), Record::deletion(at(2)), Level::Majority)
        .await
        .unwrap();
    isolate(&engine, "c", false);
    engine.start("c").unwrap();
    engine.settled().await;
    assert_agreed(&engine);
    assert_eq!(
        text(&b.read(&key("of c"), Level::Local).await.unwrap()),
        "x"
    );
    assert_eq!(
        text(&c.read(&key("of a"), Level::Local).await.unwrap()),
        "y"
    );
}

#[tokio::test]
async fn acceptors_are_brought_up_to_date_too() {
    let (engine, [a, _, c]) = open(0);
    let key = id(SYSTEM_TABLE, "key");
    isolate(&engine, "c", true);
    let holding = ticket(&a, &key, 1).await;
    a.release(&key, holding).await.unwrap();
    let before = engine.shared.read_queue(c.replica(), &key).unwrap();
    assert_eq!(before.accepted(), Ballot::NONE);
    isolate(&engine, "c", false);
    engine.settled().await;
    let after = engine.shared.read_queue(c.replica(), &key).unwrap();
    assert_eq!(
        (after.released(), after.queue().tickets().count()),
        (holding, 0)
    );
}

#[tokio::test]
async fn tables_become_known_along_whatever_link_is_left() {
    let (engine, [a, b, c]) = open(1);
    engine.cut("a", "c", Direction::Both).unwrap();
    let name = TableName::new("t").unwrap();
    let table = a.create_table(&name, TableMode::Eventual).await.unwrap();
    engine.settled().await;
    assert_eq!(c.table(&name), Some(table.clone()));
    isolate(&engine, "c", true);
    assert!(b.drop_table(&name).await.unwrap());
    engine.settled().await;
    // A site that is cut off keeps the view it had.
    assert_eq!(c.table(&name), Some(table.clone()));
    c.write(&id(table.id, "key"), put(1, "x"), Level::Local)
        .await
        .unwrap();
    isolate(&engine, "c", false);
    engine.settled().await;
    assert_eq!(c.table(&name), None);
    assert_agreed(&engine);
}

#[tokio::test]
async fn a_write_that_arrives_before_its_table_is_known_is_kept() {
    let (engine, [a, b, c]) = open(0);
    engine.cut("a", "c", Direction::Both).unwrap();
    engine.cut("b", "c", Direction::Both).unwrap();
    let name = TableName::new("t").unwrap();
    let table = a.create_table(&name, TableMode::Eventual).await.unwrap();
    let key = id(table.id, "key");
    c.write(&key, put(1, "x"), Level::Local).await.unwrap();
    assert_eq!(c.table(&name), None);
    engine.heal("b", "c", Direction::Both).unwrap();
    engine.settled().await;
    assert_eq!(text(&b.read(&key, Level::Local).await.unwrap()), "x");
}

#[tokio::test]
async fn hints_do_not_cross_a_cut_link_and_come_with_its_delay() {
    let (engine, [a, b, c]) = open(20);
    let key = id(SYSTEM_TABLE, "key");
    let (mut at_b, mut at_c) = (b.hints(), c.hints());
    b.watch(&key);
    c.watch(&key);
    isolate(&engine, "c", true);
    let start = std::time::Instant::now();
    let holding = ticket(&a, &key, 1).await;
    at_b.recv().await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert!(at_c.try_recv().is_err());
    a.release(&key, holding).await.unwrap();
    assert_eq!(at_b.recv().await.unwrap().id, key);
    assert!(at_c.try_recv().is_err());
    isolate(&engine, "c", false);
    assert_eq!(at_c.recv().await.unwrap().id, key);
}

#[tokio::test]
async fn a_delay_changed_at_run_time_counts_from_the_next_message() {
    let (engine, [a, ..]) = open(0);
    engine.set_rtt("a", "b", Duration::from_millis(30)).unwrap();
    engine.set_rtt("a", "c", Duration::from_millis(60)).unwrap();
    let start = std::time::Instant::now();
    a.write(&id(SYSTEM_TABLE, "key"), put(1, "x"), Level::Majority)
        .await
        .unwrap();
    assert!(start.elapsed() >= Duration::from_millis(30));
    let link = engine
        .links()
        .into_iter()
        .find(|link| (&*link.from, &*link.to) == ("c", "a"));
    assert_eq!(link.unwrap().rtt, Duration::from_millis(60));
    assert!(engine.cut("a", "nowhere", Direction::Both).is_err());
}
