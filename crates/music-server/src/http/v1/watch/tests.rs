use bytes::Bytes;
use music_core::id::Field;

use super::*;
use crate::config::{Config, Overrides};
use crate::node::Change as Put;
use crate::serve::NodeServer;

async fn node() -> NodeServer {
    let text = "site = 'a'\nlisten = '127.0.0.1:0'\ntables = [{ name = 'kv', mode = 'eventual' }]";
    let config = Config::parse(text, |_| None, &Overrides::default()).unwrap();
    NodeServer::open(config).await.unwrap()
}

async fn put(source: &Records, key: &str, value: &'static str) {
    let value = Some(Bytes::from(value));
    change(source, key, Put::Fields(vec![(Field::DEFAULT, value)])).await;
}

async fn delete(source: &Records, key: &str) {
    change(source, key, Put::Delete).await;
}

async fn change(source: &Records, key: &str, change: Put) {
    let key = Key::new(key.to_owned()).unwrap();
    let id = RecordId {
        table: source.table.id,
        key,
    };
    source.app.node.put(&id, change, None).await.unwrap();
}

fn watch_of(node: &NodeServer, query: &str) -> Records {
    let app = node.app();
    let (table, wanted) = records(app, "kv", &Query::parse(query).unwrap()).unwrap();
    Records::new(app, table, wanted, app.node.changes().unwrap())
}

/// As on an engine that does not tell.
async fn polled_watch_of(node: &NodeServer, query: &str) -> Polled {
    let app = node.app();
    let (table, wanted) = records(app, "kv", &Query::parse(query).unwrap()).unwrap();
    Polled::new(app, table, wanted).await.unwrap()
}

/// The key and the value of the next event.
async fn next(source: &mut impl Source) -> (String, Option<String>) {
    let event = source.next().await.unwrap().unwrap();
    let change: serde_json::Value = serde_json::from_str(event.data()).unwrap();
    let value = change["fields"][""]["base64"]["data"].as_str();
    let key = change["key"].as_str();
    (key.unwrap().to_owned(), value.map(str::to_owned))
}

#[tokio::test]
async fn an_engine_that_does_not_tell_is_looked_at() {
    let node = node().await;
    let source = watch_of(&node, "prefix=");
    put(&source, "a", "old").await;
    put(&source, "b", "old").await;
    let mut one = polled_watch_of(&node, "key=a").await;
    let mut all = polled_watch_of(&node, "prefix=").await;
    let (old, new) = (Some("b2xk".to_owned()), Some("bmV3".to_owned()));
    assert_eq!(next(&mut one).await, ("a".to_owned(), old));
    put(&source, "a", "new").await;
    put(&source, "c", "new").await;
    assert_eq!(next(&mut one).await, ("a".to_owned(), new.clone()));
    assert_eq!(next(&mut all).await, ("a".to_owned(), new.clone()));
    assert_eq!(next(&mut all).await, ("c".to_owned(), new));
    delete(&source, "b").await;
    assert_eq!(next(&mut all).await, ("b".to_owned(), None));
    for _ in 0..3 {
        assert!(futures_util::poll!(std::pin::pin!(all.next())).is_pending());
    }
    delete(&source, "a").await;
    assert_eq!(next(&mut all).await, ("a".to_owned(), None));
    assert_eq!(next(&mut one).await, ("a".to_owned(), None));
}

/// Lets the watch hear of changes by a channel that is far too short.
fn outrun(source: &mut Records, key: &str) {
    let (sender, receiver) = tokio::sync::broadcast::channel(1);
    source.changes = receiver;
    let id = RecordId {
        table: source.table.id,
        key: Key::new(key.to_owned()).unwrap(),
    };
    for _ in 0..5 {
        sender.send(id.clone()).unwrap();
    }
}

#[tokio::test]
async fn a_prefix_whose_changes_were_missed_is_told_anew() {
    let node = node().await;
    let mut source = watch_of(&node, "prefix=k");
    // More keys than one step of the scan reads.
    for number in 0..SCAN_STEP + 5 {
        put(&source, &format!("k{number:02}"), "x").await;
    }
    outrun(&mut source, "k00");
    assert_eq!(source.next().await.unwrap().unwrap().name(), RESET);
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < SCAN_STEP + 5 {
        let event = source.next().await.unwrap().unwrap();
        assert_eq!(event.name(), RECORD);
        let change: Change = serde_json::from_str(event.data()).unwrap();
        keys.insert(format!("{:?}", change.record.key));
    }
}

#[tokio::test]
async fn a_key_whose_changes_were_missed_is_read_again() {
    let node = node().await;
    let mut source = watch_of(&node, "key=a");
    source.next().await.unwrap().unwrap();
    put(&source, "a", "now").await;
    outrun(&mut source, "b");
    let event = source.next().await.unwrap().unwrap();
    assert!(event.data().contains("bm93"), "{}", event.data());
}

#[tokio::test]
async fn a_source_that_is_dropped_in_its_wait_loses_nothing() {
    let node = node().await;
    let mut source = watch_of(&node, "prefix=");
    for _ in 0..3 {
        assert!(futures_util::poll!(std::pin::pin!(source.next())).is_pending());
    }
    put(&source, "a", "x").await;
    assert_eq!(source.next().await.unwrap().unwrap().name(), RECORD);
}
