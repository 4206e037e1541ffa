//! Semaphores, elections and steps that are done once: what is held is held by
//! its lockRef.

use reqwest::Method;
use serde_json::{Value, json};

use super::{at, get, post, queue, refused};
use crate::fixture::{Events, Fixture};

async fn lock(fixture: &Fixture, site: usize, lock_ref: &Value, action: &str) -> Value {
    let path = format!("/v1/locks/{}/{action}", lock_ref.as_str().unwrap());
    fixture.at(site, Method::POST, &path).send().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_are_renewed_and_released_by_their_lock_refs() {
    let fixture = Fixture::start().await;
    let acquire = async |site, number: u64, wait_ms: u64| {
        let body =
            json!({ "permits": 2, "number": number, "wait_ms": wait_ms, "lease_ms": 20_000 });
        post(&fixture, site, "semaphores/s/acquire", body).await
    };
    let both = acquire(0, 2, 10_000).await;
    assert_eq!(both["acquired"], true, "{both}");
    let held = both["held"].as_array().unwrap();
    assert_eq!(held.len(), 2);
    let none = json!({ "acquired": false, "held": [] });
    assert_eq!(acquire(1, 1, 0).await, none);
    for permit in held {
        let renewed = lock(&fixture, 0, &permit["lock_ref"], "renew").await;
        assert_eq!(renewed["state"], "granted");
        assert_eq!(renewed["lease_ms"], 20_000);
        assert_eq!(renewed["tokens"][0]["token"], permit["token"]);
    }
    lock(&fixture, 0, &held[1]["lock_ref"], "release").await;
    let next = acquire(2, 1, 10_000).await;
    assert_eq!(next["held"][0]["number"], held[1]["number"], "{next}");
    assert!(next["held"][0]["token"].as_u64() > held[1]["token"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_nobody_renews_comes_back() {
    let fixture = Fixture::start().await;
    let body = json!({ "permits": 1, "lease_ms": 500 });
    let first = post(&fixture, 0, "semaphores/s/acquire", body.clone()).await;
    assert_eq!(first["acquired"], true);
    let next = post(&fixture, 1, "semaphores/s/acquire", body).await;
    assert_eq!(next["acquired"], true, "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_elected_proclaims_and_resigns() {
    let fixture = Fixture::start().await;
    let election = "elections/e";
    let mut events = Events::of(at(&fixture, 1, Method::GET, "elections/e/events")).await;
    let nobody = json!({ "leader": null });
    assert_eq!(
        events.next().await.unwrap(),
        ("leader".to_owned(), nobody.clone())
    );
    assert_eq!(get(&fixture, 0, election).await, nobody);
    let body = json!({ "candidate": "a", "value": { "text": "1" } });
    let won = post(&fixture, 0, "elections/e/campaign", body).await;
    assert_eq!(won["elected"], true, "{won}");
    assert_eq!(won["leader"]["candidate"], "a");
    assert_eq!(events.next().await.unwrap().1["leader"], won["leader"]);

    let body = json!({ "candidate": "b", "wait_ms": 0 });
    let lost = post(&fixture, 0, "elections/e/campaign", body).await;
    assert_eq!(lost, json!({ "elected": false, "leader": won["leader"] }));
    let lock_ref = &won["lock_ref"];
    let body = json!({ "lock_ref": lock_ref, "value": { "json": { "at": 2 } } });
    let told = post(&fixture, 0, "elections/e/proclaim", body).await;
    assert_eq!(told["leader"]["value"], json!({ "json": { "at": 2 } }));
    assert_eq!(events.next().await.unwrap().1, told);
    assert_eq!(
        lock(&fixture, 0, lock_ref, "renew").await["state"],
        "granted"
    );

    let body = json!({ "lock_ref": lock_ref });
    assert_eq!(post(&fixture, 0, "elections/e/resign", body).await, nobody);
    assert_eq!(events.next().await.unwrap().1, nobody);
    queue(&fixture, "election/e", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_hands_over_at_another_node() {
    let fixture = Fixture::start().await;
    let campaign = async |site, candidate: &str| {
        let body = json!({ "candidate": candidate, "wait_ms": 30_000 });
        post(&fixture, site, "elections/e/campaign", body).await
    };
    let first = campaign(0, "a").await;
    let hand_over = async {
        queue(&fixture, "election/e", 2).await;
        let body = json!({ "lock_ref": first["lock_ref"], "hand_over_to": "c" });
        // Node 1 takes the leadership over from node 0, and ends it.
        post(&fixture, 1, "elections/e/resign", body).await
    };
    let (second, _) = tokio::join!(campaign(2, "c"), hand_over);
    assert_eq!(second["leader"]["candidate"], "c", "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_begun_done_and_known_to_all() {
    let fixture = Fixture::start().await;
    assert_eq!(
        get(&fixture, 0, "once/o").await,
        json!({ "state": "undone" })
    );
    let begun = post(&fixture, 0, "once/o/begin", json!({})).await;
    assert_eq!(begun["state"], "begun", "{begun}");
    let state = json!({ "state": "begun", "token": begun["token"] });
    assert_eq!(get(&fixture, 0, "once/o").await, state);
    let busy = post(&fixture, 1, "once/o/begin", json!({ "wait_ms": 100 })).await;
    assert_eq!(busy, json!({ "state": "busy" }));

    let body = json!({ "lock_ref": begun["lock_ref"] });
    let undone = post(&fixture, 0, "once/o/undone", body).await;
    assert_eq!(undone, json!({ "state": "undone" }));
    let begun = post(&fixture, 1, "once/o/begin", json!({ "lease_ms": 30_000 })).await;
    let body = json!({ "lock_ref": begun["lock_ref"], "result": { "number": 4711 } });
    let done = json!({ "state": "done", "result": { "number": 4711 } });
    // At another node, which takes it over.
    assert_eq!(post(&fixture, 2, "once/o/done", body).await, done);
    for site in 0..3 {
        assert_eq!(post(&fixture, site, "once/o/begin", json!({})).await, done);
    }
    assert_eq!(get(&fixture, 2, "once/o").await, done);
    queue(&fixture, "once/o", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_step_waits_for_somebody_who_looked() {
    let fixture = Fixture::start().await;
    let interrupt = async || {
        let begun = post(&fixture, 0, "once/o/begin", json!({})).await;
        assert_eq!(begun["state"], "begun");
        lock(&fixture, 0, &begun["lock_ref"], "release").await;
        assert_eq!(
            refused(&fixture, "once/o/begin", json!({})).await,
            "MUSIC-6006"
        );
    };
    interrupt().await;
    let forget = at(&fixture, 1, Method::POST, "once/o/forget")
        .send()
        .await
        .ok();
    assert_eq!(forget, json!({ "settled": true }));
    interrupt().await;
    let result = json!({ "result": [1, 2] });
    let settle =
        async || post(&fixture, 1, "once/o/settle", result.clone()).await["settled"].clone();
    assert_eq!(settle().await, true);
    assert_eq!(settle().await, false, "it is done");
    let done = post(&fixture, 0, "once/o/begin", json!({})).await;
    assert_eq!(done, json!({ "state": "done", "result": [1, 2] }));
}
