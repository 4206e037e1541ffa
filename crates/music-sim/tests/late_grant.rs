//! A grant that arrives later than the lease it is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
            let body = format!(
                r#"{{"lock_ref": "L", "state": "granted", "lease_ms": {LEASE_MS}, "site": "s",
                    "tokens": [{{"table": "t", "key": "k", "token": 7}}]}}"#
            );
            Ok(Response::new(reqwest::Body::from(body)).into())
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
