//! Server-sent events.

use reqwest::Method;
use serde_json::json;

use crate::fixture::{Events, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_key_is_told_as_it_is_and_as_it_changes() {
    let fixture = Fixture::start().await;
    let mut events = Events::of(fixture.get("/v1/watch?table=kv&key=a%20b")).await;
    let (event, record) = events.next().await.unwrap();
    assert_eq!(event, "record");
    assert_eq!(
        record,
        json!({ "table": "kv", "key": "a b", "fields": {}, "stamp": 0 })
    );

    let put = fixture
        .put("/v1/tables/kv/keys/a%20b")
        .header("content-type", "application/json");
    let stamp = put.body("{\"x\":1}").send().await.ok()["stamp"].clone();
    fixture
        .put("/v1/tables/kv/keys/other")
        .body("x")
        .send()
        .await
        .ok();
    let (_, record) = events.next().await.unwrap();
    assert_eq!(record["fields"][""], json!({ "json": { "x": 1 } }));
    assert_eq!(record["stamp"], stamp);

    // At another site, whose write has to travel.
    fixture
        .at(1, Method::DELETE, "/v1/tables/kv/keys/a%20b")
        .send()
        .await
        .ok();
    let (_, record) = events.next().await.unwrap();
    assert_eq!(record["fields"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_prefix_tells_of_its_keys_only() {
    let fixture = Fixture::start().await;
    let mut events = Events::of(fixture.get("/v1/watch?table=kv&prefix=in-")).await;
    for key in ["out-1", "in-1", "out-2", "in-2"] {
        fixture
            .put(&format!("/v1/tables/kv/keys/{key}"))
            .body("x")
            .send()
            .await
            .ok();
    }
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < 2 {
        keys.insert(
            events.next().await.unwrap().1["key"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    assert!(keys.iter().all(|key| key.starts_with("in-")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_queue_is_told_as_it_changes() {
    let fixture = Fixture::start().await;
    let path = "/v1/watch?queue_table=locks&queue_key=a";
    let mut events = Events::of(fixture.at(2, Method::GET, path)).await;
    let (event, queue) = events.next().await.unwrap();
    assert_eq!((event.as_str(), &queue["length"]), ("queue", &json!(0)));
    let lock = fixture.lock(0, &["a"]).await;
    let (_, queue) = events.next().await.unwrap();
    assert_eq!(queue["tickets"][0]["number"], 1);
    fixture
        .post(&format!("/v1/locks/{lock}/release"))
        .send()
        .await
        .ok();
    while events.next().await.unwrap().1["length"] != 0 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_s_events_end_with_its_release() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a"]).await;
    let mut events = Events::of(fixture.get(&format!("/v1/locks/{lock}/events"))).await;
    let (event, state) = events.next().await.unwrap();
    assert_eq!(
        (event.as_str(), &state["state"]),
        ("lock", &json!("granted"))
    );
    assert_eq!(state["lock_ref"], json!(lock));
    fixture
        .post(&format!("/v1/locks/{lock}/release"))
        .send()
        .await
        .ok();
    // The node may have forgotten the section before it could be looked at.
    if let Some((_, state)) = events.next().await {
        assert_eq!(state["state"], "released");
        assert!(events.next().await.is_none());
    }
}
