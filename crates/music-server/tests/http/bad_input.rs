//! Each way to ask for nonsense has a clear refusal.

use music_api::problem::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Fixture, Request};

/// Refused, nothing changed, and the detail says something.
async fn refused(request: Request) -> String {
    let problem = request.send().await.problem();
    assert_eq!(problem.outcome, Outcome::NotApplied);
    assert!(problem.detail.len() >= 20, "{}", problem.detail);
    problem.code
}

fn create(keys: &Value) -> Value {
    json!({ "keys": keys })
}

fn key(key: impl Into<Value>) -> Value {
    json!({ "table": "locks", "key": key.into() })
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_tables_routes_and_methods() {
    let fixture = Fixture::start().await;
    for (request, code) in [
        (fixture.get("/v1/tables/none/keys/a"), "MUSIC-2001"),
        (
            fixture.put("/v1/tables/none/keys/a").body("x"),
            "MUSIC-2001",
        ),
        (fixture.get("/v1/tables/none/keys"), "MUSIC-2001"),
        (fixture.get("/v1/queues/none/a"), "MUSIC-2001"),
        (fixture.get("/v1/watch?table=none"), "MUSIC-2001"),
        (fixture.get("/v1/tables/Bad%20Name"), "MUSIC-1008"),
        (fixture.get("/v1/tables/%FF"), "MUSIC-1008"),
        (fixture.get("/v1/nothing"), "MUSIC-1003"),
        (fixture.get("/v1/tables/kv/keys/"), "MUSIC-1003"),
        (fixture.get("/v1/dev"), "MUSIC-1003"),
        (fixture.post("/v1/tables"), "MUSIC-1004"),
        (fixture.delete("/v1/run"), "MUSIC-1004"),
        (
            fixture.at(0, Method::from_bytes(b"BREW").unwrap(), "/v1/tables"),
            "MUSIC-1004",
        ),
        (fixture.get("/errors/MUSIC-9999"), "MUSIC-1003"),
    ] {
        assert_eq!(refused(request).await, code);
    }
    let allow = fixture.post("/v1/tables").send().await;
    assert!(allow.header("allow").contains("GET"), "{allow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_mode() {
    let fixture = Fixture::start().await;
    let run = json!({ "keys": [{ "table": "kv", "key": "a" }] });
    for request in [
        fixture.put("/v1/tables/locks/keys/a").body("x"),
        fixture.delete("/v1/tables/locks/keys/a"),
        fixture
            .patch("/v1/tables/locks/keys/a/fields")
            .json(&json!({ "fields": { "": { "text": "x" } } })),
        fixture
            .post("/v1/locks")
            .json(&create(&json!([{ "table": "kv", "key": "a" }]))),
        fixture.post("/v1/run").json(&run),
        fixture.get("/v1/queues/kv/a"),
        fixture.get("/v1/watch?queue_table=kv&queue_key=a"),
    ] {
        assert_eq!(refused(request).await, "MUSIC-2002");
    }
    assert_eq!(
        fixture.get("/v1/tables/locks/keys/a").send().await.code(),
        "MUSIC-2004"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_foreign_lock_refs() {
    let fixture = Fixture::start().await;
    let lock = fixture.lock(0, &["a"]).await;
    let cut = &lock[..lock.len() - 1];
    let changed = lock.replacen(&lock[8..9], if &lock[8..9] == "A" { "B" } else { "A" }, 1);
    for text in [
        "x",
        "%20",
        "%FF",
        cut,
        &changed,
        &format!("{lock}="),
        &"A".repeat(20_000),
    ] {
        for path in ["", "/events"] {
            let request = fixture.get(&format!("/v1/locks/{text}{path}"));
            assert_eq!(refused(request).await, "MUSIC-1015", "{text}");
        }
        let path = format!("/v1/locks/{text}/tables/locks/keys/a");
        assert_eq!(refused(fixture.put(&path).body("x")).await, "MUSIC-1015");
    }
    let foreign = music_api::lock_ref::LockRef {
        request: 1,
        mode: music_api::lock::LockMode::Exclusive,
        lease_ms: 10_000,
        keys: vec![(u64::MAX, b"a".to_vec())],
    };
    let text = foreign.encode();
    for action in ["acquire", "force"] {
        let request = fixture.post(&format!("/v1/locks/{text}/{action}"));
        assert_eq!(refused(request).await, "MUSIC-3010");
    }
    assert_eq!(
        refused(fixture.get(&format!("/v1/locks/{text}"))).await,
        "MUSIC-3009"
    );
    let lock: Value = fixture.get(&format!("/v1/locks/{lock}")).send().await.ok();
    assert_eq!(lock["state"], "granted", "the true one is untouched");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_fields_beyond_their_limits() {
    let fixture = Fixture::start().await;
    let longest = "k".repeat(1024);
    let path = |key: &str| format!("/v1/tables/kv/keys/{key}");
    fixture.put(&path(&longest)).body("x").send().await.ok();
    for key in [&format!("{longest}k"), "a%2", "a%zz"] {
        assert_eq!(
            refused(fixture.put(&path(key)).body("x")).await,
            "MUSIC-1007",
            "{key}"
        );
    }
    for name in [
        json!(""),
        json!(longest.clone() + "k"),
        json!({ "base64": "?" }),
    ] {
        let body = create(&json!([key(name)]));
        assert_eq!(
            refused(fixture.post("/v1/locks").json(&body)).await,
            "MUSIC-1007"
        );
    }
    let field = "f".repeat(255);
    fixture
        .put(&format!("{}?field={field}", path("a")))
        .body("x")
        .send()
        .await
        .ok();
    let request = fixture
        .put(&format!("{}?field={field}f", path("a")))
        .body("x");
    assert_eq!(refused(request).await, "MUSIC-1009");
    let fields: Value = (0..257).map(|n| (format!("f{n}"), json!(null))).collect();
    for fields in [json!({}), fields] {
        let request = fixture.patch("/v1/tables/kv/keys/a/fields");
        assert_eq!(
            refused(request.json(&json!({ "fields": fields }))).await,
            "MUSIC-1009"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_and_bodies_beyond_their_limits() {
    let fixture = Fixture::start().await;
    let path = "/v1/tables/kv/keys/a";
    fixture.put(path).body(vec![1; 1 << 20]).send().await.ok();
    assert_eq!(
        refused(fixture.put(path).body(vec![1; (1 << 20) + 1])).await,
        "MUSIC-1010"
    );
    let text = "x".repeat((1 << 20) + 1);
    let fields = json!({ "fields": { "": { "text": text } } });
    let request = fixture.patch(&format!("{path}/fields")).json(&fields);
    assert_eq!(refused(request).await, "MUSIC-1010");
    let blank = vec![b' '; (4 << 20) + 1];
    let request = fixture
        .post("/v1/run")
        .header("content-type", "application/json")
        .body(blank);
    assert_eq!(refused(request).await, "MUSIC-1005");
    assert_eq!(
        fixture.get(path).send().await.body.len(),
        1 << 20,
        "the first is untouched"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_leases_waits_and_limits() {
    let fixture = Fixture::start().await;
    let with = |name: &str, value: Value| {
        let mut body = create(&json!([key("a")]));
        body[name] = value;
        fixture.post("/v1/locks").json(&body)
    };
    for (name, value) in [
        ("lease_ms", json!(0)),
        ("lease_ms", json!(99)),
        ("lease_ms", json!(600_001)),
        ("lease_ms", json!(u64::MAX)),
        ("wait_ms", json!(60_001)),
        ("wait_ms", json!(u64::MAX)),
    ] {
        assert_eq!(
            refused(with(name, value.clone())).await,
            "MUSIC-1014",
            "{name} {value}"
        );
    }
    for value in [json!(-1), json!(1.5), json!("1s"), json!(1e300)] {
        assert_eq!(
            refused(with("lease_ms", value.clone())).await,
            "MUSIC-1001",
            "{value}"
        );
        assert_eq!(
            refused(with("wait_ms", value.clone())).await,
            "MUSIC-1001",
            "{value}"
        );
    }
    for limit in ["0", "1001", "-1", "x", ""] {
        let request = fixture.get(&format!("/v1/tables/kv/keys?limit={limit}"));
        assert_eq!(refused(request).await, "MUSIC-1014", "{limit}");
    }
    for number in ["0", "x", "-1", "99999999999"] {
        let request = fixture.delete(&format!("/v1/queues/locks/a/{number}"));
        assert_eq!(refused(request).await, "MUSIC-1014", "{number}");
    }
    let queue = fixture.get("/v1/queues/locks/a").send().await.ok();
    assert_eq!(queue["last"], 0, "nothing was queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies() {
    let fixture = Fixture::start().await;
    let post = |body: &[u8]| {
        let request = fixture
            .post("/v1/locks")
            .header("content-type", "application/json");
        request.body(body.to_vec())
    };
    let deep = "[".repeat(100_000);
    for body in [
        &b"\xff\xfe"[..],
        b"{\"keys\": [{\"table\": \"locks\", \"key\": \"\xff\"}]}",
        b"",
        b"{",
        b"[]",
        b"{\"keys\": 7}",
        b"{\"keys\": [], \"colour\": 1}",
        b"{\"keys\": [{\"table\": \"locks\"}]}",
        deep.as_bytes(),
    ] {
        assert_eq!(refused(post(body)).await, "MUSIC-1001");
    }
    let form = fixture
        .post("/v1/locks")
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(refused(form.body("{}")).await, "MUSIC-1006");
    let packed = fixture
        .put("/v1/tables/kv/keys/a")
        .header("content-encoding", "gzip");
    assert_eq!(refused(packed.body("x")).await, "MUSIC-1006");
    let fields = |value: Value| {
        let body = json!({ "fields": { "": value } });
        fixture.patch("/v1/tables/kv/keys/a/fields").json(&body)
    };
    assert_eq!(
        refused(fields(json!({ "base64": { "data": "?" } }))).await,
        "MUSIC-1017"
    );
    assert_eq!(
        refused(fields(json!({ "text": "a", "json": 1 }))).await,
        "MUSIC-1001"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn key_sets_of_a_wrong_size() {
    let fixture = Fixture::start().await;
    let many: Vec<Value> = (0..33).map(|number| key(format!("k{number}"))).collect();
    let long: Vec<Value> = (0..9)
        .map(|n| key(format!("{n}{}", "k".repeat(1000))))
        .collect();
    let twice = json!([key("a"), key("b"), key(json!({ "base64": "YQ==" }))]);
    for keys in [json!([]), json!(many), json!(long), twice] {
        assert_eq!(
            refused(fixture.post("/v1/locks").json(&create(&keys))).await,
            "MUSIC-1016"
        );
    }
    let most: Vec<Value> = (0..32)
        .map(|n| key(format!("{n:02}{}", "k".repeat(254))))
        .collect();
    let body = json!({ "keys": most, "wait_ms": 10_000 });
    let lock = fixture.post("/v1/locks").json(&body).send().await.ok();
    let lock_ref = lock["lock_ref"].as_str().unwrap();
    let last = lock["tokens"][31]["key"].as_str().unwrap().to_owned();
    let path = format!("/v1/locks/{lock_ref}/tables/locks/keys/{last}");
    fixture.put(&path).body("x").send().await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_queries_cursors_conditions_and_idempotency_keys() {
    let fixture = Fixture::start().await;
    for (path, code) in [
        ("/v1/tables?colour=red", "MUSIC-1002"),
        ("/v1/tables/kv/keys?limit=1&limit=2", "MUSIC-1002"),
        ("/v1/tables/kv/keys?prefix=%zz", "MUSIC-1002"),
        ("/v1/tables/kv/keys/a?field=%FF", "MUSIC-1002"),
        ("/v1/status?x=1", "MUSIC-1002"),
        ("/v1/watch", "MUSIC-1002"),
        ("/v1/watch?table=kv&queue_table=locks", "MUSIC-1002"),
        ("/v1/watch?table=kv&key=a&prefix=a", "MUSIC-1002"),
        ("/v1/watch?queue_table=locks", "MUSIC-1002"),
        ("/v1/tables?cursor=%21", "MUSIC-1013"),
        ("/v1/tables/kv/keys?cursor=", "MUSIC-1013"),
        ("/v1/queues/locks/a?cursor=x", "MUSIC-1013"),
    ] {
        assert_eq!(refused(fixture.get(path)).await, code, "{path}");
    }
    let put = || fixture.put("/v1/tables/kv/keys/a").body("x");
    assert_eq!(
        refused(put().header("if-match", "\"1\"")).await,
        "MUSIC-1018"
    );
    assert_eq!(
        refused(put().header("if-none-match", "*")).await,
        "MUSIC-1018"
    );
    assert_eq!(
        refused(put().header("idempotency-key", "")).await,
        "MUSIC-1011"
    );
    assert_eq!(
        refused(put().header("idempotency-key", &"k".repeat(256))).await,
        "MUSIC-1011"
    );
    put()
        .header("idempotency-key", &"k".repeat(255))
        .send()
        .await
        .ok();
    assert_eq!(
        refused(put().header("sec-fetch-site", "cross-site")).await,
        "MUSIC-1020"
    );
    put()
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_steps_and_keys_outside_the_set() {
    let fixture = Fixture::start().await;
    let step = json!({ "op": "get", "table": "locks", "key": "a" });
    let steps = vec![step.clone(); 129];
    let lock = fixture.lock(0, &["a"]).await;
    let batch = fixture.post(&format!("/v1/locks/{lock}/batch"));
    assert_eq!(
        refused(batch.json(&json!({ "steps": steps }))).await,
        "MUSIC-1021"
    );
    let run = json!({ "keys": [key("b")], "then": steps });
    assert_eq!(
        refused(fixture.post("/v1/run").json(&run)).await,
        "MUSIC-1021"
    );
    let run = json!({ "keys": [key("b")], "then": [step] });
    assert_eq!(
        refused(fixture.post("/v1/run").json(&run)).await,
        "MUSIC-3005"
    );
    let path = format!("/v1/locks/{lock}/tables/locks/keys/b");
    assert_eq!(refused(fixture.get(&path)).await, "MUSIC-3005");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_is_kept_where_it_is_one() {
    let fixture = Fixture::start().await;
    let path = "/v1/tables/kv/keys/none";
    let answer = fixture
        .get(path)
        .header("x-request-id", "mine-1")
        .send()
        .await;
    assert_eq!(answer.problem().request_id.as_deref(), Some("mine-1"));
    for odd in ["two words", &"x".repeat(129)] {
        let answer = fixture.get(path).header("x-request-id", odd).send().await;
        assert_ne!(answer.problem().request_id.as_deref(), Some(odd));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_nobody_and_about_nothing() {
    let fixture = Fixture::start().await;
    let session = "0".repeat(32);
    for (from, keys) in [
        (&session, vec![key("a"); 257]),
        (&"x".repeat(32), vec![]),
        (&"1".to_owned(), vec![]),
    ] {
        let hints = json!({ "from": from, "wanted": keys });
        let told = fixture.post("/v1/hints").json(&hints);
        assert_eq!(refused(told).await, "MUSIC-1000");
    }
    let unknown = json!({ "table": "none", "key": "a" });
    let hints = json!({ "from": session, "wanted": [key("a")], "changed": [unknown, key("b")] });
    let told = fixture.post("/v1/hints").json(&hints).send().await;
    assert_eq!(told.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn enqueues_for_nobody() {
    let fixture = Fixture::start().await;
    for message in [&b""[..], b"{}", &[0xff; 64]] {
        let relayed = fixture.post("/v1/relay").body(message.to_vec());
        assert_eq!(refused(relayed).await, "MUSIC-1001");
    }
}
