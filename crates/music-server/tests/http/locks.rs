//! The life of lockRefs, critical sections, batches, runs and queues.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::Fixture;

fn key_set(keys: &[&str]) -> Value {
    keys.iter()
        .map(|key| json!({ "table": "locks", "key": key }))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_reads_and_writes_and_the_next_one_sees_it() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a", "b"]).await;
    let path = |key: &str| format!("/v1/locks/{lock}/tables/locks/keys/{key}");
    assert_eq!(fixture.get(&path("a")).send().await.code(), "MUSIC-2004");
    let put = fixture
        .put(&path("a"))
        .header("content-type", "text/x-test")
        .body("1")
        .send()
        .await;
    assert_eq!(put.header("music-stamp"), put.ok()["stamp"].to_string());
    let got = fixture.get(&path("a")).send().await;
    assert_eq!(
        (got.body.as_slice(), got.header("content-type")),
        (&b"1"[..], "text/x-test")
    );
    let etag = got.header("etag").to_owned();
    let unchanged = fixture
        .get(&path("a"))
        .header("if-none-match", &etag)
        .send()
        .await;
    assert_eq!(unchanged.status.as_u16(), 304);

    let fields = json!({ "fields": { "x": { "json": 1 }, "y": { "json": 2 } } });
    fixture
        .patch(&format!("{}/fields", path("b")))
        .json(&fields)
        .send()
        .await
        .ok();
    let record = fixture
        .get(&format!("{}/fields", path("b")))
        .send()
        .await
        .ok();
    assert_eq!(record["fields"], fields["fields"]);
    fixture
        .delete(&format!("{}?field=x", path("b")))
        .send()
        .await
        .ok();

    let released = fixture
        .post(&format!("/v1/locks/{lock}/release"))
        .send()
        .await
        .ok();
    assert_eq!(released, json!({ "state": "released", "confirmed": false }));
    assert_eq!(
        fixture.put(&path("a")).body("2").send().await.code(),
        "MUSIC-3003"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_section_sees_what_the_last_one_wrote_and_deleted() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a", "b"]).await;
    let path = |key: &str| format!("/v1/locks/{lock}/tables/locks/keys/{key}");
    fixture.put(&path("a")).body("1").send().await.ok();
    fixture
        .put(&format!("{}?field=x", path("b")))
        .body("2")
        .send()
        .await
        .ok();
    fixture
        .delete(&format!("{}?field=x", path("b")))
        .send()
        .await
        .ok();
    fixture
        .post(&format!("/v1/locks/{lock}/release"))
        .send()
        .await
        .ok();

    let next = fixture.lock(1, &["a", "b"]).await;
    let next_path = |key: &str| format!("/v1/locks/{next}/tables/locks/keys/{key}");
    let got = fixture.at(1, Method::GET, &next_path("a")).send().await;
    assert_eq!(got.body, b"1");
    let got = fixture
        .at(1, Method::GET, &format!("{}?field=x", next_path("b")))
        .send()
        .await;
    assert_eq!(got.code(), "MUSIC-2004");
    fixture
        .at(1, Method::DELETE, &next_path("a"))
        .send()
        .await
        .ok();
    let confirmed = fixture.at(1, Method::POST, &format!("/v1/locks/{next}/release"));
    let confirmed = confirmed
        .json(&json!({ "confirm": true }))
        .send()
        .await
        .ok();
    assert_eq!(confirmed["confirmed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_granted_when_the_holder_releases() {
    let fixture = Fixture::start().await;
    let holder = fixture.lock(0, &["a"]).await;
    let waiter = fixture.at(1, Method::POST, "/v1/locks");
    let created = waiter
        .json(&json!({ "keys": key_set(&["a"]) }))
        .send()
        .await;
    assert_eq!(created.status.as_u16(), 201);
    let lock = created.ok();
    assert_eq!(
        (&lock["state"], &lock["tokens"]),
        (&json!("waiting"), &json!([]))
    );
    let waiter = lock["lock_ref"].as_str().unwrap();
    assert_eq!(created.header("location"), format!("/v1/locks/{waiter}"));
    let path = format!("/v1/locks/{waiter}/tables/locks/keys/a");
    assert_eq!(
        fixture
            .at(1, Method::PUT, &path)
            .body("x")
            .send()
            .await
            .code(),
        "MUSIC-3001"
    );

    let queue = fixture.get("/v1/queues/locks/a").send().await.ok();
    let holds: Vec<_> = queue["tickets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["holds"])
        .collect();
    assert_eq!(holds, [&json!(true), &json!(false)]);

    let acquire = fixture.at(1, Method::POST, &format!("/v1/locks/{waiter}/acquire"));
    let acquire = acquire.json(&json!({ "wait_ms": 10_000 })).send();
    let release = fixture.post(&format!("/v1/locks/{holder}/release")).send();
    let (granted, released) = tokio::join!(acquire, release);
    released.ok();
    let granted = granted.ok();
    assert_eq!(granted["state"], "granted");
    let token = json!([{ "table": "locks", "key": "a", "token": 2 << 16 }]);
    assert_eq!(granted["tokens"], token);
    let renewed = fixture
        .at(1, Method::POST, &format!("/v1/locks/{waiter}/renew"))
        .send()
        .await;
    assert_eq!(renewed.ok()["state"], "granted");
    let state = fixture
        .at(1, Method::GET, &format!("/v1/locks/{waiter}"))
        .send()
        .await;
    assert_eq!(state.ok()["tokens"], token);
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_lock_refs_read_side_by_side() {
    let fixture = Fixture::start().await;
    let body = json!({ "keys": key_set(&["a"]), "mode": "shared", "wait_ms": 10_000 });
    let first = fixture.post("/v1/locks").json(&body).send().await.ok();
    let second = fixture
        .at(1, Method::POST, "/v1/locks")
        .json(&body)
        .send()
        .await
        .ok();
    assert_eq!(
        (&first["state"], &second["state"]),
        (&json!("granted"), &json!("granted"))
    );
    let path = format!(
        "/v1/locks/{}/tables/locks/keys/a",
        first["lock_ref"].as_str().unwrap()
    );
    assert_eq!(
        fixture.put(&path).body("x").send().await.code(),
        "MUSIC-3004"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_takes_a_section_over_by_acquiring_it() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a"]).await;
    let path = format!("/v1/locks/{lock}/tables/locks/keys/a");
    fixture.put(&path).body("from site 0").send().await.ok();

    for request in [
        fixture.at(1, Method::GET, &path),
        fixture.at(1, Method::PUT, &path).body("x"),
        fixture.at(1, Method::POST, &format!("/v1/locks/{lock}/renew")),
        fixture.at(1, Method::GET, &format!("/v1/locks/{lock}")),
        fixture.at(1, Method::GET, &format!("/v1/locks/{lock}/events")),
        fixture
            .at(1, Method::POST, &format!("/v1/locks/{lock}/batch"))
            .json(&json!({ "steps": [] })),
    ] {
        assert_eq!(request.send().await.code(), "MUSIC-3009");
    }

    let acquire = fixture.at(1, Method::POST, &format!("/v1/locks/{lock}/acquire"));
    let acquired = acquire
        .json(&json!({ "wait_ms": 10_000 }))
        .send()
        .await
        .ok();
    assert_eq!(acquired["state"], "granted");
    assert_eq!(
        fixture.at(1, Method::GET, &path).send().await.body,
        b"from site 0"
    );
    fixture
        .at(1, Method::PUT, &path)
        .body("from site 1")
        .send()
        .await
        .ok();

    let release = fixture.at(1, Method::POST, &format!("/v1/locks/{lock}/release"));
    release.json(&json!({ "confirm": true })).send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_section_is_lost_and_its_writes_are_never_seen() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a"]).await;
    let path = format!("/v1/locks/{lock}/tables/locks/keys/a");
    fixture.put(&path).body("before").send().await.ok();
    let events = fixture
        .get(&format!("/v1/locks/{lock}/events"))
        .open()
        .await;

    let gone = fixture
        .at(2, Method::DELETE, "/v1/queues/locks/a/1")
        .send()
        .await;
    assert_eq!(gone.status.as_u16(), 204);
    let again = fixture
        .at(2, Method::DELETE, "/v1/queues/locks/a/1")
        .send()
        .await;
    assert_eq!(again.code(), "MUSIC-3011");
    // The node hears of it by a hint; the stream ends when it has.
    let told = events.text().await.unwrap();
    assert!(
        told.contains("\"granted\"") && told.contains("\"lost\""),
        "{told}"
    );
    assert_eq!(
        fixture.put(&path).body("after").send().await.code(),
        "MUSIC-3002"
    );
    let release = fixture.post(&format!("/v1/locks/{lock}/release"));
    assert_eq!(
        release
            .json(&json!({ "confirm": true }))
            .send()
            .await
            .code(),
        "MUSIC-3002"
    );

    let next = fixture.lock(1, &["a"]).await;
    let path = format!("/v1/locks/{next}/tables/locks/keys/a");
    assert_eq!(
        fixture.at(1, Method::GET, &path).send().await.body,
        b"before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_is_forced_at_any_node() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a", "b"]).await;
    let force = || {
        fixture
            .at(1, Method::POST, &format!("/v1/locks/{lock}/force"))
            .send()
    };
    assert_eq!(force().await.ok(), json!({ "removed": true }));
    assert_eq!(force().await.ok(), json!({ "removed": false }));
    let acquire = fixture
        .at(1, Method::POST, &format!("/v1/locks/{lock}/acquire"))
        .send()
        .await;
    assert_eq!(acquire.code(), "MUSIC-3010");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_a_result_for_each_step() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a", "b"]).await;
    let put = |key: &str, value: &str| {
        let fields = json!({ "": { "text": value }, "gone": null });
        json!({ "op": "put", "table": "locks", "key": key, "fields": fields })
    };
    let steps = json!({ "steps": [
        put("a", "1"),
        put("b", "2"),
        { "op": "delete", "table": "locks", "key": "b" },
        put("c", "not covered"),
    ]});
    let path = format!("/v1/locks/{lock}/batch");
    let batch = || {
        fixture
            .post(&path)
            .header("idempotency-key", "b1")
            .json(&steps)
            .send()
    };
    let first = batch().await.ok();
    let results = first["results"].as_array().unwrap();
    let stamp = |number: usize| results[number]["written"]["stamp"].as_u64().unwrap();
    assert!(stamp(0) < stamp(1) && stamp(1) < stamp(2));
    assert_eq!(results[3]["problem"]["code"], "MUSIC-3005");
    assert_eq!(batch().await.ok(), first, "a retry is the same writes");

    let gets = json!({ "steps": [
        { "op": "get", "table": "locks", "key": "a" },
        { "op": "get", "table": "locks", "key": "b" },
    ]});
    let read = fixture.post(&path).json(&gets).send().await.ok();
    assert_eq!(
        read["results"][0]["record"]["fields"],
        json!({ "": { "text": "1" } })
    );
    assert_eq!(read["results"][1]["record"]["fields"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_compares_and_puts() {
    let fixture = Fixture::start().await;
    let run = |expected: Value, value: i32, key: &'static str| {
        let body = json!({
            "keys": key_set(&["counter"]),
            "compare": [{ "table": "locks", "key": "counter", "equals": expected }],
            "then": [
                { "op": "put", "table": "locks", "key": "counter",
                  "fields": { "": { "json": value } } },
                { "op": "get", "table": "locks", "key": "counter" },
            ],
            "otherwise": [{ "op": "get", "table": "locks", "key": "counter" }],
        });
        fixture
            .post("/v1/run")
            .header("idempotency-key", key)
            .json(&body)
            .send()
    };
    let first = run(Value::Null, 1, "r1").await.ok();
    assert_eq!(first["compared"], true);
    assert_eq!(
        first["results"][1]["record"]["fields"][""],
        json!({ "json": 1 })
    );
    assert_eq!(first["tokens"][0]["token"], 1 << 16);
    assert_eq!(
        run(Value::Null, 1, "r1").await.ok(),
        first,
        "a retry gets the first answer"
    );
    assert_eq!(run(Value::Null, 2, "r1").await.code(), "MUSIC-1012");

    let refused = run(json!({ "json": 7 }), 8, "r2").await.ok();
    assert_eq!(refused["compared"], false);
    assert_eq!(
        refused["results"][0]["record"]["fields"][""],
        json!({ "json": 1 })
    );
    let second = run(json!({ "json": 1 }), 2, "r3").await.ok();
    assert_eq!(second["compared"], true);
    let tokens = [&first, &second].map(|run| run["tokens"][0]["token"].as_u64());
    assert!(tokens[1] > tokens[0], "{tokens:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_not_granted_in_time_does_nothing_and_leaves_the_queue() {
    let fixture = Fixture::start().await;
    let holder = fixture.lock(0, &["a"]).await;
    let run = json!({ "keys": key_set(&["a"]), "wait_ms": 0, "then": [
        { "op": "delete", "table": "locks", "key": "a" },
    ]});
    let answer = || fixture.at(1, Method::POST, "/v1/run").json(&run).send();
    let problem = answer().await.problem();
    assert_eq!(
        (problem.code.as_str(), problem.retryable),
        ("MUSIC-3001", true)
    );
    fixture
        .post(&format!("/v1/locks/{holder}/release"))
        .send()
        .await
        .ok();
    let next = fixture.lock(2, &["a"]).await;
    fixture
        .at(2, Method::POST, &format!("/v1/locks/{next}/release"))
        .send()
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_finds_its_section() {
    let fixture = Fixture::start().await;
    let create = |keys: Value| {
        let body = json!({ "keys": keys, "wait_ms": 10_000 });
        fixture
            .post("/v1/locks")
            .header("idempotency-key", "c1")
            .json(&body)
            .send()
    };
    let first = create(key_set(&["a"])).await.ok();
    assert_eq!(create(key_set(&["a"])).await.ok(), first);
    assert_eq!(create(key_set(&["b"])).await.code(), "MUSIC-1012");
}
