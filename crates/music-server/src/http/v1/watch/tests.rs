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
    let key = Key::new(key.to_owned()).unwrap();
    let id = RecordId {
        table: source.table.id,
        key,
    };
    let change = Put::Fields(vec![(Field::DEFAULT, Some(Bytes::from(value)))]);
    source.app.node.put(&id, change, None).await.unwrap();
}

fn watch_of(node: &NodeServer, query: &str) -> Records {
    Records::new(node.app(), "kv", &Query::parse(query).unwrap()).unwrap()
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
