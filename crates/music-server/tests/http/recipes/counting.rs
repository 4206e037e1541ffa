//! Counters, registers and latches.

use reqwest::Method;
use serde_json::json;

use super::{at, get, post, put};
use crate::fixture::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_is_one_at_all_sites() {
    let fixture = Fixture::start().await;
    assert_eq!(get(&fixture, 0, "counters/c").await, json!({ "value": 0 }));
    let add = "counters/c/add";
    for (site, number, before) in [(0, 5, 0), (1, -2, 5), (2, 4, 3)] {
        let body = json!({ "number": number });
        assert_eq!(
            post(&fixture, site, add, body).await,
            json!({ "before": before })
        );
    }
    assert_eq!(get(&fixture, 1, "counters/c").await["value"], 7);
    for (body, answer) in [
        (json!({ "number": 1, "expected": 8 }), (false, 7)),
        (json!({ "number": 8, "expected": 7 }), (true, 7)),
        (json!({ "number": i64::MIN }), (true, 8)),
    ] {
        let set = put(&fixture, 2, "counters/c", body).await;
        assert_eq!(set, json!({ "set": answer.0, "before": answer.1 }));
    }
    assert_eq!(get(&fixture, 0, "counters/c").await["value"], i64::MIN);
    assert_eq!(get(&fixture, 0, "counters/c%2Fd").await["value"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_asked_for_again_is_made_once() {
    let fixture = Fixture::start().await;
    let add = |key: &str, path: &str, number: i64| {
        let request = at(&fixture, 0, Method::POST, path);
        let request = request.header("idempotency-key", key);
        request.json(&json!({ "number": number })).send()
    };
    for _ in 0..3 {
        let answer = add("one", "counters/c/add", 5).await.ok();
        assert_eq!(answer, json!({ "before": 0 }));
    }
    let other_body = add("one", "counters/c/add", 6).await;
    let other_path = add("one", "counters/d/add", 5).await;
    for answer in [other_body, other_path] {
        assert_eq!(answer.code(), "MUSIC-1012");
    }
    let body = json!({ "keys": [{ "table": "locks", "key": "k" }] });
    let run = fixture.post("/v1/run").header("idempotency-key", "one");
    assert_eq!(run.json(&body).send().await.code(), "MUSIC-1012");
    // What had no effect is forgotten: it may be asked for again.
    add("set", "counters/c/add", i64::MAX - 5).await.ok();
    for _ in 0..2 {
        let refused = add("over", "counters/c/add", 1).await;
        assert_eq!(refused.code(), "MUSIC-6005");
    }
    put(&fixture, 0, "counters/c", json!({ "number": 0 })).await;
    let answer = add("over", "counters/c/add", 1).await.ok();
    assert_eq!(answer, json!({ "before": 0 }));
    assert_eq!(get(&fixture, 0, "counters/c").await["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_goes_on_when_its_client_has_left() {
    let fixture = Fixture::start().await;
    let add = at(&fixture, 0, Method::POST, "counters/c/add").json(&json!({ "number": 1 }));
    let request = add.header("idempotency-key", "left").0;
    let began = std::time::Duration::from_micros(500);
    let request = request.timeout(began).send().await;
    // It may not have been sent at all; asked for again it is made once.
    drop(request);
    let again = at(&fixture, 0, Method::POST, "counters/c/add").json(&json!({ "number": 1 }));
    again.header("idempotency-key", "left").send().await.ok();
    assert_eq!(get(&fixture, 1, "counters/c").await["value"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_has_versions_and_values_of_any_kind() {
    let fixture = Fixture::start().await;
    let none = json!({ "version": 0, "value": null });
    assert_eq!(get(&fixture, 0, "registers/r").await, none);
    let png = json!({ "base64": { "data": "AP8=", "content_type": "image/png" } });
    let values = [
        json!({ "text": "é" }),
        json!({ "json": { "a": [1, null] } }),
        json!({ "base64": { "data": "AP8=" } }),
        png,
    ];
    for (version, value) in (1..).zip(&values) {
        let body = json!({ "value": value });
        let set = put(&fixture, version % 3, "registers/r", body).await;
        assert_eq!(set, json!({ "set": true, "version": version }));
        let held = get(&fixture, (version + 1) % 3, "registers/r").await;
        assert_eq!(held, json!({ "version": version, "value": value }));
    }
    for (expected, set, version) in [(3, false, 4), (4, true, 5)] {
        let body = json!({ "value": { "text": "x" }, "expected_version": expected });
        let answer = put(&fixture, 0, "registers/r", body).await;
        assert_eq!(answer, json!({ "set": set, "version": version }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_latch_opens_after_its_counts_for_all() {
    let fixture = Fixture::start().await;
    let count = json!({ "count": 2 });
    assert_eq!(get(&fixture, 0, "latches/l?count=2").await["left"], 2);
    let waits = post(
        &fixture,
        2,
        "latches/l/wait",
        json!({ "count": 2, "wait_ms": 30_000 }),
    );
    let counts = async {
        for (site, left) in [(0, 1), (1, 0), (2, 0)] {
            let counted = post(&fixture, site, "latches/l/count-down", count.clone()).await;
            assert_eq!(counted, json!({ "left": left }));
        }
    };
    let (waited, ()) = tokio::join!(waits, counts);
    assert_eq!(waited, json!({ "open": true }));
    assert_eq!(get(&fixture, 1, "latches/l?count=2").await["left"], 0);
    let now = json!({ "count": 2, "wait_ms": 0 });
    assert_eq!(
        post(&fixture, 2, "latches/l/wait", now.clone()).await["open"],
        true
    );
    assert_eq!(
        post(&fixture, 2, "latches/m/wait", now).await["open"],
        false
    );
}
