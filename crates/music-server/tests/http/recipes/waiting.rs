//! Barriers, and clients that stop waiting.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, get, post, queue};
use crate::fixture::{Events, Fixture};

/// Long enough for a wait that must end before.
const LONG_MS: u64 = 30_000;

#[tokio::test(flavor = "multi_thread")]
async fn parties_at_three_sites_wait_for_each_other() {
    let fixture = Fixture::start().await;
    for number in 1..3 {
        let parties = (0..3).map(|site| {
            let body = json!({ "parties": 3, "wait_ms": LONG_MS });
            post(&fixture, site, "barriers/b/wait", body)
        });
        let answers = join_all(parties).await;
        let last = answers.iter().filter(|answer| answer["last"] == true);
        assert_eq!(last.count(), 1, "{answers:?}");
        for answer in &answers {
            assert_eq!(
                (&answer["crossed"], &answer["number"]),
                (&json!(true), &json!(number))
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_does_not_wait_any_longer_has_not_arrived() {
    let fixture = Fixture::start().await;
    let body = json!({ "parties": 2, "party": "a", "wait_ms": 200 });
    let alone = post(&fixture, 0, "barriers/b/wait", body.clone()).await;
    assert_eq!(alone, json!({ "crossed": false }));
    let mut events = Events::of(at(&fixture, 0, Method::GET, "barriers/b/events")).await;
    let (name, state) = events.next().await.unwrap();
    assert_eq!(name, "barrier");
    assert_eq!(state["arrived"], 0, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_hangs_up_is_withdrawn() {
    let fixture = Fixture::start().await;
    let mut events = Events::of(at(&fixture, 0, Method::GET, "barriers/b/events")).await;
    let none = json!({ "parties": null, "crossed": 0, "arrived": 0 });
    assert_eq!(events.next().await.unwrap().1, none);
    let body = json!({ "parties": 2, "wait_ms": LONG_MS });
    let waits = tokio::spawn(
        at(&fixture, 0, Method::POST, "barriers/b/wait")
            .json(&body)
            .send(),
    );
    let arrived = |arrived| json!({ "parties": 2, "crossed": 0, "arrived": arrived });
    assert_eq!(events.next().await.unwrap().1, arrived(1));
    waits.abort();
    assert_eq!(events.next().await.unwrap().1, arrived(0));
    queue(&fixture, "barrier/b", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_in_a_queue_leaves_no_ticket_behind() {
    let fixture = Fixture::start().await;
    let permits = json!({ "permits": 1 });
    let permit = post(&fixture, 1, "semaphores/s/acquire", permits).await;
    let leader = post(
        &fixture,
        1,
        "elections/e/campaign",
        json!({ "candidate": "a" }),
    )
    .await;
    let step = post(&fixture, 1, "once/o/begin", json!({})).await;
    let wait = |recipe: &str, mut body: Value| {
        body["wait_ms"] = json!(LONG_MS);
        tokio::spawn(at(&fixture, 0, Method::POST, recipe).json(&body).send())
    };
    let waits = [
        wait("semaphores/s/acquire", json!({ "permits": 1 })),
        wait("elections/e/campaign", json!({ "candidate": "b" })),
        wait("once/o/begin", json!({})),
    ];
    for key in ["permit/s/0", "election/e", "once/o"] {
        queue(&fixture, key, 2).await;
    }
    for wait in waits {
        wait.abort();
    }
    for lock in [&permit["held"][0], &leader, &step] {
        let lock_ref = lock["lock_ref"].as_str().unwrap();
        let release = format!("/v1/locks/{lock_ref}/release");
        fixture.at(1, Method::POST, &release).send().await.ok();
    }
    for key in ["semaphore/s", "permit/s/0", "election/e", "once/o"] {
        queue(&fixture, key, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parties_enter_and_leave_together() {
    let fixture = Fixture::start().await;
    let body = |party| json!({ "parties": 2, "party": party, "wait_ms": LONG_MS });
    for (way, number) in [("enter", 1), ("leave", 2), ("enter", 3)] {
        let recipe = format!("double-barriers/d/{way}");
        let parties = ["a", "b"].into_iter().enumerate();
        let answers = parties.map(|(site, party)| post(&fixture, site, &recipe, body(party)));
        for answer in join_all(answers).await {
            assert_eq!(
                (&answer["crossed"], &answer["number"]),
                (&json!(true), &json!(number))
            );
        }
    }
    let early = json!({ "parties": 2, "party": "a", "wait_ms": 100 });
    let entered = post(&fixture, 2, "double-barriers/d/enter", early).await;
    assert_eq!(entered, json!({ "crossed": false }), "all are inside still");
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_end_when_their_node_stops() {
    let fixture = Fixture::start().await;
    let leads = json!({ "candidate": "a" });
    post(&fixture, 1, "elections/e/campaign", leads).await;
    let party = json!({ "parties": 2, "wait_ms": LONG_MS });
    let candidate = json!({ "candidate": "b", "wait_ms": LONG_MS });
    let waits = [
        ("barriers/b/wait", party),
        ("elections/e/campaign", candidate),
    ];
    let waits = waits.map(|(recipe, body)| {
        let request = at(&fixture, 0, Method::POST, recipe);
        tokio::spawn(request.json(&body).send())
    });
    let mut events = Events::of(at(&fixture, 1, Method::GET, "barriers/b/events")).await;
    while events.next().await.unwrap().1["arrived"] != 1 {}
    queue(&fixture, "election/e", 2).await;
    let stopping = tokio::spawn(fixture.deployment.shutdown());
    for wait in waits {
        let problem = wait.await.unwrap().problem();
        assert_eq!(problem.code, "MUSIC-4008", "{problem:?}");
        assert!(problem.retryable);
    }
    stopping.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_asks_itself_is_not_counted() {
    let fixture = Fixture::start().await;
    post(&fixture, 0, "counters/c/add", json!({ "number": 1 })).await;
    get(&fixture, 0, "counters/c").await;
    let metrics = fixture.get("/metrics").send().await;
    let text = String::from_utf8(metrics.body).unwrap();
    let routes: Vec<_> = text
        .lines()
        .filter(|line| line.contains("requests_total{"))
        .collect();
    assert_eq!(routes.len(), 2, "{routes:?}");
    assert!(text.contains("route=\"/v1/recipes/counters/{name}/add\",status=\"200\"} 1"));
}
