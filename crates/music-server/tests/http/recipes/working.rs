//! Queues, and replicas that are active.

use reqwest::Method;
use serde_json::{Value, json};

use super::{get, post, refused};
use crate::fixture::Fixture;

fn texts(taken: &Value) -> Vec<&str> {
    let items = taken["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["value"]["text"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_taken_by_priority_and_done_once() {
    let fixture = Fixture::start().await;
    assert_eq!(get(&fixture, 0, "queues/q").await, json!({ "length": 0 }));
    let items = json!({ "items": [
        { "value": { "text": "low" } },
        { "value": { "text": "high" }, "priority": 9 },
        { "value": { "text": "later" }, "delay_ms": 3_600_000 },
    ] });
    assert_eq!(
        post(&fixture, 0, "queues/q/push", items).await,
        json!({ "pushed": 3 })
    );
    let take = json!({ "most": 1, "wait_ms": 10_000 });
    let first = post(&fixture, 1, "queues/q/take", take.clone()).await;
    assert_eq!(texts(&first), ["high"]);
    let second = post(&fixture, 2, "queues/q/take", take).await;
    assert_eq!(texts(&second), ["low"]);
    let none = post(&fixture, 0, "queues/q/take", json!({ "wait_ms": 50 })).await;
    assert_eq!(none, json!({ "items": [] }));
    let item = &first["items"][0];
    let body = json!({ "id": item["id"], "token": item["token"] });
    assert_eq!(
        post(&fixture, 2, "queues/q/done", body.clone()).await["id"],
        item["id"]
    );
    assert_eq!(refused(&fixture, "queues/q/done", body).await, "MUSIC-6008");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_is_given_back_or_lapses_is_delivered_again() {
    let fixture = Fixture::start().await;
    let items = json!({ "items": [{ "value": { "json": [1] } }] });
    post(&fixture, 0, "queues/q/push", items).await;
    let taken = post(&fixture, 0, "queues/q/take", json!({})).await;
    let item = &taken["items"][0];
    assert_eq!(
        (&item["deliveries"], &item["value"]),
        (&json!(1), &json!({ "json": [1] }))
    );
    let named = json!({ "id": item["id"], "token": item["token"] });
    post(&fixture, 1, "queues/q/give-back", named.clone()).await;
    let again = post(&fixture, 1, "queues/q/take", json!({ "claim_ms": 200 })).await;
    let again = &again["items"][0];
    assert_eq!(
        (&again["id"], &again["deliveries"]),
        (&item["id"], &json!(2))
    );
    assert!(again["token"].as_u64() > item["token"].as_u64());
    // Its claim lapses.
    let third = post(&fixture, 2, "queues/q/take", json!({})).await;
    assert_eq!(third["items"][0]["deliveries"], 3);
    let late = json!({ "id": again["id"], "token": again["token"], "claim_ms": 1000 });
    assert_eq!(
        refused(&fixture, "queues/q/renew", late.clone()).await,
        "MUSIC-6008"
    );
    let mut valid = late;
    valid["token"] = third["items"][0]["token"].clone();
    post(&fixture, 0, "queues/q/renew", valid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_does_not_take_is_refused() {
    let fixture = Fixture::start().await;
    let refused = async |recipe, body| refused(&fixture, recipe, body).await;
    let push = "queues/q/push";
    assert_eq!(refused(push, json!({ "items": [] })).await, "MUSIC-1014");
    let many: Vec<_> = (0..257)
        .map(|_| json!({ "value": { "text": "x" } }))
        .collect();
    assert_eq!(refused(push, json!({ "items": many })).await, "MUSIC-1014");
    let large = json!({ "items": [{ "value": { "text": "x".repeat(16 * 1024) } }] });
    assert_eq!(refused(push, large).await, "MUSIC-1010");
    let far = json!({ "items": [{ "value": { "text": "x" }, "delay_ms": u64::MAX }] });
    assert_eq!(refused(push, far).await, "MUSIC-1014");
    let urgent = json!({ "items": [{ "value": { "text": "x" }, "priority": 256 }] });
    assert_eq!(refused(push, urgent).await, "MUSIC-1001");
    let take = "queues/q/take";
    for body in [
        json!({ "most": 0 }),
        json!({ "most": 33 }),
        json!({ "claim_ms": 1 }),
    ] {
        assert_eq!(refused(take, body).await, "MUSIC-1014");
    }
    for id in ["", "x", "1", "256.1"] {
        let body = json!({ "id": id, "token": 1 });
        assert_eq!(refused("queues/q/done", body).await, "MUSIC-6004", "{id}");
    }
    let unknown = json!({ "id": "1.1", "token": 1 });
    assert_eq!(refused("queues/q/done", unknown).await, "MUSIC-6008");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_is_active_and_hands_its_state_on() {
    let fixture = Fixture::start().await;
    let activate = async |site: usize, replica: &str, wait_ms: u64| {
        let body = json!({
            "active": 1, "replica": replica, "site": replica, "sites": ["a", "b"],
            "wait_ms": wait_ms, "lease_ms": 20_000,
        });
        post(&fixture, site, "active-passive/s/activate", body).await
    };
    let first = activate(0, "a", 20_000).await;
    assert_eq!(
        (&first["activated"], &first["slot"]),
        (&json!(true), &json!(0)),
        "{first}"
    );
    assert!(first.get("state").is_none());
    let lock_ref = &first["lock_ref"];
    let save = json!({ "lock_ref": lock_ref, "state": { "text": "at work" } });
    let saved = post(&fixture, 0, "active-passive/s/save", save.clone()).await;
    assert_eq!(saved, json!({ "slot": 0 }));
    assert_eq!(activate(1, "b", 0).await, json!({ "activated": false }));
    let path = format!("/v1/locks/{}/release", lock_ref.as_str().unwrap());
    fixture.at(0, Method::POST, &path).send().await.ok();
    let second = activate(1, "b", 20_000).await;
    assert_eq!(second["state"], json!({ "text": "at work" }), "{second}");
    assert!(second["token"].as_u64() > first["token"].as_u64());
    let late = refused(&fixture, "active-passive/s/save", save).await;
    assert!(
        ["MUSIC-3002", "MUSIC-3003", "MUSIC-3010"].contains(&late.as_str()),
        "{late}"
    );
    let foreign = json!({ "lock_ref": second["lock_ref"], "state": { "text": "x" } });
    let foreign = refused(&fixture, "active-passive/other/save", foreign).await;
    assert_eq!(foreign, "MUSIC-6003");
    let body = json!({ "active": 2, "replica": "c", "site": "c" });
    assert_eq!(
        refused(&fixture, "active-passive/s/activate", body).await,
        "MUSIC-6002"
    );
    for active in [json!(0), json!(65)] {
        let body = json!({ "active": active, "replica": "c", "site": "c" });
        assert_eq!(
            refused(&fixture, "active-passive/t/activate", body).await,
            "MUSIC-1014"
        );
    }
}
