//! The recipes over HTTP.

mod bad_input;
mod counting;
mod holding;
mod telling;
mod waiting;
mod working;

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Events, Fixture, Request};

/// The request of a recipe at a site, by what follows `/v1/recipes/`.
fn at(fixture: &Fixture, site: usize, method: Method, recipe: &str) -> Request {
    fixture.at(site, method, &format!("/v1/recipes/{recipe}"))
}

async fn get(fixture: &Fixture, site: usize, recipe: &str) -> Value {
    at(fixture, site, Method::GET, recipe).send().await.ok()
}

async fn post(fixture: &Fixture, site: usize, recipe: &str, body: Value) -> Value {
    let request = at(fixture, site, Method::POST, recipe);
    request.json(&body).send().await.ok()
}

async fn put(fixture: &Fixture, site: usize, recipe: &str, body: Value) -> Value {
    let request = at(fixture, site, Method::PUT, recipe);
    request.json(&body).send().await.ok()
}

/// The code of a `POST` that is refused.
async fn refused(fixture: &Fixture, recipe: &str, body: Value) -> String {
    let request = at(fixture, 0, Method::POST, recipe);
    request.json(&body).send().await.code()
}

/// An item that was pushed and taken, for this test alone.
async fn taken(fixture: &Fixture) -> Value {
    let items = json!({ "items": [{ "value": { "text": "x" } }] });
    post(fixture, 0, "queues/doc/push", items).await;
    let taken = post(fixture, 0, "queues/doc/take", json!({})).await;
    taken["items"][0].clone()
}

/// Waits until so many are in the queue of a record of table `recipes`.
async fn queue(fixture: &Fixture, key: &str, length: u64) {
    let key = key.replace('/', "%2F");
    let path = format!("/v1/watch?queue_table=recipes&queue_key={key}");
    let mut events = Events::of(fixture.get(&path)).await;
    while events.next().await.unwrap().1["length"] != length {}
}

/// A body that the operation of a recipe takes, where the recipe is ready for
/// it.
pub(crate) async fn body(fixture: &Fixture, method: &str, recipe: &str) -> Option<Value> {
    let (kind, rest) = recipe.split_once('/')?;
    let lock_ref = async |recipe, body| {
        let lock_ref = post(fixture, 0, recipe, body).await["lock_ref"].clone();
        assert!(lock_ref.is_string(), "{recipe}");
        lock_ref
    };
    let campaign = ("elections/doc/campaign", json!({ "candidate": "doc" }));
    let begin = ("once/doc/begin", json!({}));
    Some(match (method, kind, rest.rsplit('/').next()?) {
        ("POST" | "PUT", "counters", _) => json!({ "number": 1 }),
        ("PUT", "registers", _) => json!({ "value": { "text": "x" } }),
        ("POST", "latches", "wait") => json!({ "count": 1, "wait_ms": 100 }),
        ("POST", "latches", _) => json!({ "count": 1 }),
        ("POST", "barriers", _) => json!({ "parties": 1 }),
        ("POST", "double-barriers", _) => json!({ "parties": 1, "party": "a", "wait_ms": 100 }),
        ("POST", "semaphores", _) => json!({ "permits": 1 }),
        ("POST", "elections", "campaign") => json!({ "candidate": "a", "wait_ms": 100 }),
        ("POST", "elections", "proclaim") => {
            let lock_ref = lock_ref(campaign.0, campaign.1).await;
            json!({ "lock_ref": lock_ref, "value": { "json": 1 } })
        }
        ("POST", "elections", "resign") => {
            json!({ "lock_ref": lock_ref(campaign.0, campaign.1).await })
        }
        ("POST", "once", "done") => {
            json!({ "lock_ref": lock_ref(begin.0, begin.1).await, "result": 1 })
        }
        ("POST", "once", "undone") => {
            json!({ "lock_ref": lock_ref(begin.0, begin.1).await })
        }
        ("POST", "queues", "push") => json!({ "items": [{ "value": { "text": "x" } }] }),
        ("POST", "queues", "take") => json!({ "wait_ms": 10_000 }),
        ("POST", "queues", action) => {
            let item = taken(fixture).await;
            let mut body = json!({ "id": item["id"], "token": item["token"] });
            if action == "renew" {
                body["claim_ms"] = json!(1000);
            }
            body
        }
        ("POST", "active-passive", "activate") => {
            json!({ "active": 1, "replica": "a", "site": "ohio" })
        }
        ("POST", "active-passive", "save") => {
            let body = json!({ "active": 1, "replica": "a", "site": "ohio" });
            let lock_ref = lock_ref("active-passive/doc/activate", body).await;
            json!({ "lock_ref": lock_ref, "state": { "text": "x" } })
        }
        ("POST", "once", "settle") => json!({ "result": 1 }),
        _ => return None,
    })
}
