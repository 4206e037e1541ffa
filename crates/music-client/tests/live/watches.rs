//! Watches of records, tables and queues.

use music_client::api::name::Value;
use music_client::{Watch, WatchEvent, WatchTarget};

use crate::proxy::Proxy;
use crate::sites::{KEY, Sites, client, section, soon};

async fn text(watch: &mut Watch) -> (String, Option<String>) {
    match soon(watch.next()).await.unwrap() {
        WatchEvent::Record(change) => {
            let key = String::from_utf8(change.record.key.to_bytes().unwrap()).unwrap();
            let value = change.record.fields.get("").map(|value| match value {
                Value::Text(text) => text.clone(),
                other => panic!("{other:?}"),
            });
            (key, value)
        }
        other => panic!("{other:?}"),
    }
}

fn record(key: &str, value: &str) -> (String, Option<String>) {
    (key.to_owned(), Some(value.to_owned()))
}

#[tokio::test]
async fn a_record_is_told_as_it_is_and_as_it_changes() {
    let sites = Sites::start().await;
    let (client, other) = (sites.client(&[0]), sites.client(&[1]));
    soon(client.put(("kv", "k"), "one")).await.unwrap();
    let mut watch = client.watch(&WatchTarget::Record(("kv", "k").into()));
    assert_eq!(text(&mut watch).await, record("k", "one"));
    soon(other.put(("kv", "k"), "two")).await.unwrap();
    assert_eq!(text(&mut watch).await, record("k", "two"));
    soon(other.delete(("kv", "k"))).await.unwrap();
    assert_eq!(text(&mut watch).await, ("k".to_owned(), None));
}

#[tokio::test]
async fn a_queue_is_told_as_it_is_and_as_it_changes() {
    let sites = Sites::start().await;
    let section = section(&sites.client(&[0])).await;
    soon(sites.tickets(1, 1)).await;
    soon(section.release()).await.unwrap();
    soon(sites.tickets(1, 0)).await;
}

#[tokio::test]
async fn after_a_break_the_records_are_told_anew() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let direct = sites.client(&[0]);
    let prefix = "a/".into();
    let target = WatchTarget::Records {
        table: "kv".to_owned(),
        prefix,
    };
    let mut watch = client([proxy.url.clone()]).watch(&target);
    soon(direct.put(("kv", "a/1"), "one")).await.unwrap();
    soon(direct.put(("kv", "b/1"), "other")).await.unwrap();
    // A put is heard once the watch is connected.
    let puts = async {
        loop {
            direct.put(("kv", "a/2"), "two").await.unwrap();
        }
    };
    tokio::select! {
        heard = text(&mut watch) => assert_eq!(heard, record("a/2", "two")),
        () = puts => {}
    }
    proxy.lose_answers(1);
    soon(direct.put(("kv", "a/2"), "two")).await.unwrap();
    while !matches!(soon(watch.next()).await.unwrap(), WatchEvent::Reset) {}
    assert_eq!(text(&mut watch).await, record("a/1", "one"));
    assert_eq!(text(&mut watch).await, record("a/2", "two"));
}

#[tokio::test]
async fn a_watch_of_nothing_says_so() {
    let sites = Sites::start().await;
    let target = WatchTarget::Record(("none", "k").into());
    let error = soon(sites.client(&[0]).watch(&target).next())
        .await
        .unwrap_err();
    assert_eq!(
        error.code(),
        Some(music_client::api::code::Code::NoSuchTable)
    );
    let error = soon(sites.client(&[0]).queue(("kv", "k")))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(music_client::api::code::Code::WrongMode));
    assert_eq!(soon(sites.client(&[0]).queue(KEY)).await.unwrap().length, 0);
}
