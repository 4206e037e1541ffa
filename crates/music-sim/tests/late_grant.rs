//! Grants that arrive later than the lease they are for, or not at all.

#![allow(
    clippy::unwrap_used,
    reason = "what does not go as planned ends the test"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Response;
use music_client::in_process::{Answer, Nodes};
use music_client::{Client, Options};

const LEASE_MS: u64 = 2_000;

/// Lets virtual time pass.
async fn pass(ms: u64) {
    let never = std::future::pending::<()>();
    let passed = tokio::time::timeout(Duration::from_millis(ms), never).await;
    assert!(passed.is_err());
}

fn granted() -> String {
    format!(
        r#"{{"lock_ref": "L", "state": "granted", "lease_ms": {LEASE_MS}, "site": "s",
            "tokens": [{{"table": "t", "key": "k", "token": 7}}]}}"#
    )
}

/// A node that takes long to grant, and hears its client meanwhile.
#[derive(Debug, Default)]
struct Slow {
    renewals: AtomicUsize,
}

impl Nodes for Slow {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let path = request.url().path().to_owned();
        if path.ends_with("/renew") {
            self.renewals.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(async move {
            if path == "/v1/locks" {
                pass(LEASE_MS * 3 / 2).await;
            }
            if path.ends_with("/events") {
                std::future::pending::<()>().await;
            }
            Ok(Response::new(reqwest::Body::from(granted())).into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_section_that_was_granted_late_is_held_all_the_same() {
    let node = Arc::new(Slow::default());
    let client = Client::in_process(["http://n0"], Options::default(), node.clone()).unwrap();
    let section = client.lock([("t", "k")]).acquire().await.unwrap();
    assert_eq!(node.renewals.load(Ordering::Relaxed), 1, "at once");
    pass(LEASE_MS / 4).await;
    assert_eq!(section.is_lost(), None);
}

/// A node that cannot enqueue the first request in time, and gives it up.
#[derive(Debug, Default)]
struct GivesUp {
    /// The idempotency keys of all requests for a lock.
    keys: Mutex<Vec<String>>,
}

impl Nodes for GivesUp {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let key = request.headers().get("idempotency-key");
        let key = key.map(|key| key.to_str().unwrap().to_owned());
        let (status, body) = if request.url().path() == "/v1/locks" {
            let mut keys = self.keys.lock().unwrap();
            let (key, problem) = (key.unwrap(), |code| {
                let outcome = if code == "MUSIC-4002" {
                    "unknown"
                } else {
                    "not_applied"
                };
                let retryable = outcome == "unknown";
                format!(
                    r#"{{"code": "{code}", "outcome": "{outcome}", "retryable": {retryable},
                        "detail": "", "type": "", "title": "", "status": 0, "request_id": ""}}"#
                )
            });
            keys.push(key.clone());
            match keys.iter().position(|known| *known == key) {
                Some(0) if keys.len() == 1 => (504, problem("MUSIC-4002")),
                Some(0) => (409, problem("MUSIC-3003")),
                _ => (200, granted()),
            }
        } else {
            (200, granted())
        };
        Box::pin(async move {
            let answer = Response::builder().status(status);
            Ok(answer.body(reqwest::Body::from(body)).unwrap().into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_its_node_gave_up_is_made_anew() {
    let node = Arc::new(GivesUp::default());
    let client = Client::in_process(["http://n0"], Options::default(), node.clone()).unwrap();
    let section = client.lock([("t", "k")]).acquire().await.unwrap();
    assert_eq!(section.is_lost(), None);
    let keys = node.keys.lock().unwrap().clone();
    assert_eq!(
        keys.len(),
        3,
        "once without an answer, once refused, once anew"
    );
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[1], keys[2]);
}
