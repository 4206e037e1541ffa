//! Puts that are under way at once, from the client's call to the engine's:
//! what is sent, how much of it at a time, and what is told beyond that.

use std::time::Duration;

use futures_util::future::join_all;
use music_client::api::code::Code;
use music_client::api::lock::StepResult;
use music_client::{Batch, CriticalSection, Outcome, StepOutcome};
use music_core::critical_section::PUTS_PENDING_MAX;
use music_store::fault::{Call, Fault, Faults};
use serde_json::json;

use crate::sites::{KEY, Sites, TABLE, client_with_lease, soon};

/// How many puts a client has under way at a time.
const UNDER_WAY_MAX: usize = 128;

/// Three sites whose calls are counted and held, and a section at the first.
struct Counted {
    faults: Faults,
    sites: Sites,
    section: CriticalSection,
}

impl Counted {
    async fn start(keys: &[&str]) -> Self {
        let faults = Faults::default();
        let sites = Sites::counted(&faults).await;
        for url in &sites.urls {
            soon(ready(url)).await;
        }
        // So long that it proves no life in a test.
        let client = client_with_lease([sites.urls[0].clone()], Duration::from_mins(5));
        let keys = keys.iter().map(|key| (TABLE, *key));
        let section = soon(client.lock(keys).acquire()).await.unwrap();
        Self {
            faults,
            sites,
            section,
        }
    }

    fn writes(&self) -> u64 {
        self.faults.calls(Call::Write)
    }

    /// None of the next writes takes effect before it is let go.
    fn hold(&self, writes: usize) {
        for _ in 0..writes {
            self.faults.next(Call::Write, Fault::HoldRequest);
        }
    }

    /// What a later section of another site finds in a field.
    async fn read(self, key: &str, field: &str) -> Option<String> {
        soon(self.section.release()).await.unwrap();
        let client = self.sites.client(&[2]);
        let section = soon(client.lock([(TABLE, key)]).acquire()).await.unwrap();
        let stored = soon(section.get((TABLE, key, field))).await.unwrap();
        stored.map(|stored| stored.content.text().unwrap().to_owned())
    }
}

/// Waits until a node has proved life: no write of its own comes later.
async fn ready(url: &str) {
    let ready = format!("{url}/readyz");
    while !reqwest::get(&ready).await.unwrap().status().is_success() {}
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn puts_awaited_together_are_at_the_engine_together() {
    let counted = Counted::start(&["k"]).await;
    let (before, fields) = (counted.writes(), numbers(40));
    counted.hold(40);
    let puts = join_all(fields.iter().map(|field| {
        let cell = (TABLE, "k", field.as_str());
        counted.section.put(cell, field.clone())
    }));
    let let_go = async {
        counted.faults.held(40).await;
        counted.faults.release_held();
    };
    let (stamps, ()) = soon(async { tokio::join!(puts, let_go) }).await;
    assert!(stamps.iter().all(Result::is_ok), "{stamps:?}");
    assert_eq!(counted.writes() - before, 40);
    assert_eq!(counted.read("k", "39").await.as_deref(), Some("39"));
}

#[tokio::test]
async fn a_batch_is_one_write_a_record() {
    let counted = Counted::start(&["a", "b", "c"]).await;
    let (before, fields) = (counted.writes(), numbers(30));
    counted.hold(3);
    let puts = fields.iter().flat_map(|field| {
        let cell = move |key| ((TABLE, key, field.as_str()), field.clone());
        ["a", "b", "c"].map(cell)
    });
    let together = async {
        counted.faults.held(3).await;
        counted.faults.release_held();
    };
    let puts = counted.section.put_all(puts);
    let (stamps, ()) = soon(async { tokio::join!(puts, together) }).await;
    let stamps = stamps.unwrap();
    assert_eq!(stamps.len(), 90, "each put has a stamp of its own");
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert_eq!(counted.writes() - before, 3);
    assert_eq!(counted.read("c", "29").await.as_deref(), Some("29"));
}

#[tokio::test]
async fn the_order_of_a_batch_is_kept_in_its_one_write() {
    let counted = Counted::start(&["k"]).await;
    let before = counted.writes();
    let text = |text: &str| music_client::Content::from(text).to_value();
    let batch = Batch::new()
        .put(KEY, text("first"))
        .delete(KEY)
        .put(KEY, text("second"))
        .put(KEY, text("last"));
    let outcomes = soon(counted.section.batch(batch)).await.unwrap();
    let stamps: Vec<u64> = outcomes
        .iter()
        .map(|outcome| match outcome {
            StepOutcome::Written(stamp) => *stamp,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    assert_eq!(counted.writes() - before, 1);
    let own = soon(counted.section.get(KEY)).await.unwrap().unwrap();
    assert_eq!(own.content.text(), Some("last"));
    assert_eq!(counted.read("k", "").await.as_deref(), Some("last"));
}

#[tokio::test]
async fn a_batch_whose_write_fails_fails_as_a_whole_and_can_be_tried_again() {
    let counted = Counted::start(&["k"]).await;
    let puts = [((TABLE, "k", "a"), "1"), ((TABLE, "k", "b"), "2")];
    counted.faults.next(Call::Write, Fault::LoseAnswer);
    let error = soon(counted.section.put_all(puts)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    let stamps = soon(counted.section.put_all(puts)).await.unwrap();
    assert_eq!(stamps.len(), 2);
    assert_eq!(counted.read("k", "b").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn more_puts_than_may_be_under_way_wait_in_the_client() {
    let counted = Counted::start(&["k"]).await;
    let (before, fields) = (counted.writes(), numbers(PUTS_PENDING_MAX + 50));
    counted.hold(UNDER_WAY_MAX);
    let puts = join_all(fields.iter().map(|field| {
        let cell = (TABLE, "k", field.as_str());
        counted.section.put(cell, "x")
    }));
    let let_go = async {
        counted.faults.held(UNDER_WAY_MAX).await;
        let first = counted.writes() - before;
        counted.faults.release_held();
        first
    };
    let (stamps, first) = soon(async { tokio::join!(puts, let_go) }).await;
    assert!(stamps.iter().all(Result::is_ok), "{stamps:?}");
    assert_eq!(first, UNDER_WAY_MAX as u64);
}

#[tokio::test]
async fn batches_wait_for_one_another_by_their_steps() {
    let counted = Counted::start(&["k"]).await;
    let (before, fields) = (counted.writes(), numbers(100));
    counted.hold(1);
    let puts = |value: &'static str| {
        let puts = fields
            .iter()
            .map(move |field| ((TABLE, "k", field.as_str()), value));
        counted.section.put_all(puts)
    };
    // Four at once would be more puts than a node takes.
    let all = join_all(["1", "2", "3", "4"].map(puts));
    let let_go = async {
        counted.faults.held(1).await;
        let first = counted.writes() - before;
        counted.faults.release_held();
        first
    };
    let (stamps, first) = soon(async { tokio::join!(all, let_go) }).await;
    assert!(stamps.iter().all(Result::is_ok), "{stamps:?}");
    assert_eq!(first, 1);
    assert_eq!(counted.writes() - before, 4);
    assert_eq!(counted.read("k", "99").await.as_deref(), Some("4"));
}

/// What another program does at a section that has no room.
#[tokio::test]
async fn a_put_beyond_the_bound_is_refused_and_may_be_tried_again() {
    let counted = Counted::start(&["k"]).await;
    let fields = numbers(UNDER_WAY_MAX);
    assert_eq!(PUTS_PENDING_MAX, 2 * UNDER_WAY_MAX);
    counted.hold(UNDER_WAY_MAX + 1);
    let section = &counted.section;
    let url = format!("{}/v1/locks/{}", section.endpoint(), section.lock_ref());
    let http = reqwest::Client::new();
    let steps: Vec<_> = (0..UNDER_WAY_MAX)
        .map(|number| {
            let fields = json!({ format!("raw{number}"): { "text": "x" } });
            json!({ "op": "put", "table": TABLE, "key": "k", "fields": fields })
        })
        .collect();
    let ours = join_all(
        fields
            .iter()
            .map(|field| section.put((TABLE, "k", field.as_str()), "x")),
    );
    let one_write = http
        .post(format!("{url}/batch"))
        .json(&json!({ "steps": steps }))
        .send();
    let theirs = async {
        counted.faults.held(UNDER_WAY_MAX).await;
        let beyond = async {
            counted.faults.held(UNDER_WAY_MAX + 1).await;
            let put = http.put(format!("{url}/tables/{TABLE}/keys/k")).body("x");
            let refused = put.send().await.unwrap();
            assert_eq!(refused.status(), 429);
            assert!(refused.headers().contains_key("retry-after"));
            let problem: serde_json::Value = refused.json().await.unwrap();
            assert_eq!(problem["code"], Code::TooManyPuts.to_string());
            assert_eq!(problem["outcome"], "not_applied");
            assert_eq!(problem["retryable"], true);
            counted.faults.release_held();
        };
        tokio::join!(one_write, beyond).0.unwrap()
    };
    let (ours, theirs) = soon(async { tokio::join!(ours, theirs) }).await;
    assert!(ours.iter().all(Result::is_ok), "{ours:?}");
    let results: music_client::api::lock::BatchResult = theirs.json().await.unwrap();
    let written = |result: &StepResult| matches!(result, StepResult::Written { .. });
    assert!(results.results.iter().all(written), "{results:?}");
    let put = http.put(format!("{url}/tables/{TABLE}/keys/k")).body("x");
    assert!(put.send().await.unwrap().status().is_success());
}
