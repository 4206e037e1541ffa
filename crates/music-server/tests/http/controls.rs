//! The controls of a development deployment, and what they do to its nodes.

use std::time::Duration;

use music_api::problem::Outcome;
use music_core::time::Lease;
use music_server::dev::DevConfig;
use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::Fixture;

/// Longer than anything here takes, shorter than anyone's patience.
const DEADLINE: Duration = Duration::from_secs(30);

impl Fixture {
    async fn control_ok(&self, path: &str) -> Value {
        self.control(Method::POST, path).send().await.ok()
    }

    fn node(&self, site: usize) -> String {
        self.deployment.nodes()[site].name.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_is_shown_whole() {
    let fixture = Fixture::start().await;
    let status = fixture.control(Method::GET, "/v1/dev").send().await.ok();
    assert_eq!(status["profile"], "local3");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["nodes"][1]["url"], fixture.url(1));
    assert_eq!(status["sites"][2], json!({ "name": "c", "running": true }));
    assert_eq!(status["links"].as_array().unwrap().len(), 3);
    fixture.control(Method::GET, "/healthz").send().await.ok();
    let page = fixture.control(Method::GET, "/").send().await;
    assert!(page.header("content-type").starts_with("text/html"));
    let lock = fixture.lock(0, &["a/b"]).await;
    let queue = fixture
        .control(Method::GET, "/v1/dev/queues/locks/a%2Fb")
        .send()
        .await
        .ok();
    assert_eq!(queue["tickets"][0]["holds"], true);
    drop(lock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_node_stands_still_and_goes_on_later() {
    let fixture = Fixture::start().await;
    fixture
        .put("/v1/tables/kv/keys/a")
        .body("x")
        .send()
        .await
        .ok();
    let node = fixture.node(0);
    let status = fixture
        .control_ok(&format!("/v1/dev/nodes/{node}/suspend"))
        .await;
    assert_eq!(status["nodes"][0]["state"], "suspended");
    let mut request = Box::pin(fixture.get("/v1/tables/kv/keys/a").send());
    // The node next to it answers three times; the suspended one does not.
    for _ in 0..3 {
        let other = fixture.at(1, Method::GET, "/v1/status").send();
        tokio::select! {
            biased;
            answer = &mut request => panic!("a suspended node answered: {answer:?}"),
            answer = other => drop(answer.ok()),
        }
    }
    fixture
        .control_ok(&format!("/v1/dev/nodes/{node}/resume"))
        .await;
    let answer = tokio::time::timeout(DEADLINE, request).await.unwrap();
    assert_eq!(answer.body, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_gone_and_comes_back_at_its_address() {
    let fixture = Fixture::start().await;
    fixture
        .put("/v1/tables/kv/keys/a")
        .body("x")
        .send()
        .await
        .ok();
    let watch = fixture.get("/v1/watch?table=kv").open().await;
    let node = fixture.node(0);
    let status = fixture
        .control_ok(&format!("/v1/dev/nodes/{node}/kill"))
        .await;
    assert_eq!(status["nodes"][0]["state"], "stopped");
    assert!(watch.bytes().await.is_err(), "the stream breaks off");
    let refused = fixture.get("/v1/status").0.send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    let again = fixture.control(Method::POST, &format!("/v1/dev/nodes/{node}/kill"));
    assert_eq!(again.send().await.code(), "MUSIC-5002");
    fixture
        .control_ok(&format!("/v1/dev/nodes/{node}/start"))
        .await;
    assert_eq!(fixture.get("/v1/tables/kv/keys/a").send().await.body, b"x");
}

#[tokio::test(flavor = "multi_thread")]
async fn controls_of_what_is_not_there_are_refused() {
    let fixture = Fixture::start().await;
    let node = fixture.node(0);
    for (path, code) in [
        ("/v1/dev/nodes/none/suspend".to_owned(), "MUSIC-5001"),
        (format!("/v1/dev/nodes/{node}/start"), "MUSIC-5002"),
        (format!("/v1/dev/nodes/{node}/explode"), "MUSIC-1003"),
        ("/v1/dev/links/a/z/cut".to_owned(), "MUSIC-5001"),
        ("/v1/dev/links/a/a/cut".to_owned(), "MUSIC-1000"),
        (
            "/v1/dev/links/a/b/cut?oneway=maybe".to_owned(),
            "MUSIC-1002",
        ),
        ("/v1/dev/links/a/b/delay".to_owned(), "MUSIC-1001"),
        (
            "/v1/dev/links/a/b/delay?oneway=true".to_owned(),
            "MUSIC-1002",
        ),
        ("/v1/dev/sites/z/stop".to_owned(), "MUSIC-5001"),
        ("/v1/dev/sites/%FF/stop".to_owned(), "MUSIC-5001"),
    ] {
        assert_eq!(
            fixture.control(Method::POST, &path).send().await.code(),
            code,
            "{path}"
        );
    }
    for rtt in [json!(-1), json!(1e9)] {
        let request = fixture.control(Method::POST, "/v1/dev/links/a/b/delay");
        let body = json!({ "rtt_ms": rtt });
        assert_eq!(request.json(&body).send().await.code(), "MUSIC-1014");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_cut_healed_and_delayed() {
    let fixture = Fixture::start().await;
    let link = |status: &Value| status["links"][0].clone();
    let cut = fixture
        .control_ok("/v1/dev/links/a/b/cut?oneway=true")
        .await;
    assert_eq!(
        (&link(&cut)["a"], &link(&cut)["b"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(link(&cut)["cut_a_to_b"], true);
    assert_eq!(link(&cut)["cut_b_to_a"], false);
    let both = fixture.control_ok("/v1/dev/links/b/a/cut").await;
    assert_eq!(link(&both)["cut_b_to_a"], true);
    let healed = fixture.control_ok("/v1/dev/links/a/b/heal").await;
    assert_eq!(link(&healed)["cut_a_to_b"], false);
    let delay = fixture.control(Method::POST, "/v1/dev/links/a/b/delay");
    let delayed = delay.json(&json!({ "rtt_ms": 12.5 })).send().await.ok();
    assert_eq!(link(&delayed)["rtt_ms"], 12.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_cut_off_goes_on_locally_and_agrees_when_healed() {
    let fixture = Fixture::start().await;
    fixture.control_ok("/v1/dev/sites/c/cut").await;
    let path = "/v1/tables/kv/keys/a";
    fixture
        .at(2, Method::PUT, path)
        .body("from c")
        .send()
        .await
        .ok();
    assert_eq!(
        fixture.at(2, Method::GET, path).send().await.body,
        b"from c"
    );
    let keys = json!({ "keys": [{ "table": "locks", "key": "a" }] });
    let alone = fixture
        .at(2, Method::POST, "/v1/locks")
        .json(&keys)
        .send()
        .await
        .problem();
    assert!(
        alone.retryable && matches!(alone.status, 503 | 504),
        "{alone:?}"
    );
    fixture.lock(0, &["a"]).await;
    fixture.control_ok("/v1/dev/sites/c/heal").await;
    // Told by site a's own replica, when the write has arrived there.
    let mut events = fixture.get("/v1/watch?table=kv&key=a").open().await;
    let arrived = async {
        let mut text = String::new();
        while !text.contains("\"stamp\":1") {
            text += str::from_utf8(&events.chunk().await.unwrap().unwrap()).unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, arrived).await.unwrap();
    assert_eq!(fixture.get(path).send().await.body, b"from c");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_began_had_no_effect_and_may_be_repeated() {
    let fixture = Fixture::start().await;
    fixture.control_ok("/v1/dev/sites/c/cut").await;
    let body = json!({
        "keys": [{ "table": "locks", "key": "a" }],
        "then": [{ "op": "put", "table": "locks", "key": "a", "fields": { "": { "text": "x" } } }],
    });
    let run = || {
        let request = fixture.at(2, Method::POST, "/v1/run");
        request.header("idempotency-key", "r1").json(&body).send()
    };
    let alone = run().await.problem();
    assert_eq!(
        (alone.status, alone.outcome),
        (503, Outcome::NotApplied),
        "{alone:?}"
    );
    fixture.control_ok("/v1/dev/sites/c/heal").await;
    let again = async {
        loop {
            // The node's lease comes back some time after its links.
            let answer = run().await;
            if answer.status.is_success() {
                return answer.ok();
            }
            assert!(answer.problem().retryable);
        }
    };
    let done = tokio::time::timeout(DEADLINE, again).await.unwrap();
    assert!(done["results"][0]["written"]["stamp"].is_u64(), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_site_is_not_ready_and_comes_back() {
    let fixture = Fixture::start().await;
    let ready = fixture.get("/readyz").send().await;
    assert_eq!(ready.status.as_u16(), 200);
    fixture.control_ok("/v1/dev/sites/a/stop").await;
    assert_eq!(fixture.get("/readyz").send().await.code(), "MUSIC-4010");
    let get = fixture.get("/v1/tables/kv/keys/a").send().await;
    assert_eq!(get.code(), "MUSIC-4001");
    fixture.get("/healthz").send().await.ok();
    fixture.control_ok("/v1/dev/sites/a/start").await;
    assert_eq!(
        fixture.get("/v1/tables/kv/keys/a").send().await.code(),
        "MUSIC-2004"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_suspended_beyond_its_lease_has_lost_its_sections() {
    let node_lease = Lease::new(Duration::from_millis(400));
    let client_lease = Lease::new(Duration::from_mins(1));
    let config = DevConfig {
        base_port: 0,
        node_lease,
        client_lease,
        ..DevConfig::new("local3")
    };
    let fixture = Fixture::with(config).await;
    let lock = fixture.lock(0, &["a"]).await;
    let path = format!("/v1/locks/{lock}/tables/locks/keys/a");
    fixture.put(&path).body("old").send().await.ok();
    let node = fixture.node(0);
    fixture
        .control_ok(&format!("/v1/dev/nodes/{node}/suspend"))
        .await;

    let next = fixture.lock(1, &["a"]).await;
    let next_path = format!("/v1/locks/{next}/tables/locks/keys/a");
    assert_eq!(
        fixture.at(1, Method::GET, &next_path).send().await.body,
        b"old"
    );
    fixture
        .at(1, Method::PUT, &next_path)
        .body("new")
        .send()
        .await
        .ok();

    let stale = fixture.put(&path).body("stale").send();
    let resume = format!("/v1/dev/nodes/{node}/resume");
    let resume = fixture.control_ok(&resume);
    let (stale, _) = tokio::join!(stale, resume);
    let stale = stale.problem();
    assert!(
        ["MUSIC-3002", "MUSIC-4002"].contains(&stale.code.as_str()),
        "{stale:?}"
    );
    assert_eq!(
        fixture.put(&path).body("stale").send().await.code(),
        "MUSIC-3002"
    );
    let release = fixture.post(&format!("/v1/locks/{lock}/release"));
    let confirm = release.json(&json!({ "confirm": true })).send().await;
    assert_eq!(confirm.code(), "MUSIC-3002");
    assert_eq!(
        fixture.at(1, Method::GET, &next_path).send().await.body,
        b"new"
    );
}
