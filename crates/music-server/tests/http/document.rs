//! The OpenAPI document against the routes it describes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::fixture::{Answer, Fixture, Request};
use crate::{recipes, schema};

const METHODS: [&str; 5] = ["GET", "PUT", "POST", "PATCH", "DELETE"];

/// A path of the document as one that can be asked for.
fn filled(path: &str, lock: &str) -> String {
    let table = if path.contains("{lock_ref}") || path.contains("queues") {
        "locks"
    } else {
        "kv"
    };
    let path = path
        .replace("{lock_ref}", lock)
        .replace("{table}", table)
        .replace("{key}", "doc");
    let path = path
        .replace("{number}", "77")
        .replace("{code}", "MUSIC-1000")
        .replace("{name}", "doc")
        .replace("{member}", "m");
    match path.as_str() {
        "/v1/watch" => "/v1/watch?table=kv&key=doc".to_owned(),
        "/v1/recipes/latches/doc" => "/v1/recipes/latches/doc?count=1".to_owned(),
        _ => path,
    }
}

/// A body that the operation takes.
fn body(method: &str, path: &str) -> Option<Value> {
    let keys = json!([{ "table": "locks", "key": "doc-run" }]);
    let get = json!({ "op": "get", "table": "locks", "key": "doc" });
    match (method, path.rsplit('/').next()?) {
        ("PUT", "{table}") => Some(json!({ "mode": "eventual" })),
        ("PATCH", "fields") => Some(json!({ "fields": { "": { "text": "x" } } })),
        ("POST", "locks") => Some(json!({ "keys": [{ "table": "locks", "key": "doc-2" }] })),
        ("POST", "batch") => Some(json!({ "steps": [get] })),
        ("POST", "hints") => Some(json!({ "from": "0".repeat(32), "wanted": keys })),
        ("POST", "run") => Some(json!({ "keys": keys })),
        ("PUT", "{key}") => Some(json!("a value")),
        _ => None,
    }
}

async fn head_of(request: Request) -> Answer {
    // An event stream never ends: its head is enough.
    let response = request.open().await;
    let (status, headers) = (response.status(), response.headers().clone());
    let stream = headers
        .get("content-type")
        .is_some_and(|kind| kind == "text/event-stream");
    let body = if stream {
        Vec::new()
    } else {
        response.bytes().await.unwrap().to_vec()
    };
    Answer {
        status,
        headers,
        body,
    }
}

/// What may be answered, for a status: the responses of that very status, or
/// the default.
fn check(document: &Value, operation: &Value, answer: &Answer) -> Result<(), String> {
    let responses = &operation["responses"];
    let own = &responses[answer.status.as_str()];
    let response = if own.is_null() {
        &responses["default"]
    } else {
        own
    };
    if response.is_null() {
        return Err(format!("{} is not documented", answer.status));
    }
    let kind = answer.header("content-type");
    let content = &response["content"];
    if !kind.starts_with("application/json") && kind != "application/problem+json" {
        return Ok(());
    }
    let schema = content[kind]
        .get("schema")
        .ok_or(format!("{kind} is not documented"))?;
    schema::check(document, schema, &answer.json())
}

async fn try_operation(fixture: &Fixture, document: &Value, (path, method): (&str, &str)) {
    let lock = fixture.lock(0, &["doc"]).await;
    let operation = &document["paths"][path][method.to_lowercase()];
    let mut request = fixture.at(0, method.parse().unwrap(), &filled(path, &lock));
    let body = match path.strip_prefix("/v1/recipes/") {
        Some(recipe) => recipes::body(fixture, method, recipe).await,
        None => body(method, path),
    };
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = head_of(request).await;
    // Only nodes know what to say there, and those of this engine do not.
    let is_refused = path == "/v1/relay" && answer.code() == "MUSIC-1001";
    let known = answer.status.is_success()
        || is_refused
        || answer.status.as_u16() == 404 && answer.code() != "MUSIC-1003";
    assert!(known, "{method} {path}: {answer:?}");
    check(document, operation, &answer).unwrap_or_else(|fault| panic!("{method} {path}: {fault}"));
    let release = fixture
        .post(&format!("/v1/locks/{lock}/force"))
        .send()
        .await;
    release.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_operation_answers_as_documented() {
    let fixture = Fixture::start().await;
    let document = fixture.get("/openapi.json").send().await.ok();
    let paths: Vec<String> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert!(paths.len() >= 50, "{paths:?}");
    // A table of its own is dropped last; puts come before gets.
    for method in ["PUT", "PATCH", "POST", "GET", "DELETE"] {
        for path in paths.iter().rev() {
            if document["paths"][path].get(method.to_lowercase()).is_some() {
                try_operation(&fixture, &document, (path, method)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_documented_is_not_there() {
    let fixture = Fixture::start().await;
    let document = fixture.get("/openapi.json").send().await.ok();
    let lock = fixture.lock(0, &["doc"]).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS {
            if item.get(method.to_lowercase()).is_none() {
                let method: Method = method.parse().unwrap();
                let answer = fixture
                    .at(0, method.clone(), &filled(path, &lock))
                    .send()
                    .await;
                assert_eq!(answer.code(), "MUSIC-1004", "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controls_are_documented_at_their_own_address() {
    let fixture = Fixture::start().await;
    let document = fixture
        .control(Method::GET, "/openapi.json")
        .send()
        .await
        .ok();
    let status = fixture.control(Method::GET, "/v1/dev").send().await;
    check(&document, &document["paths"]["/v1/dev"]["get"], &status).unwrap();
    let none = fixture
        .control(Method::POST, "/v1/dev/sites/none/cut")
        .send()
        .await;
    let path = "/v1/dev/sites/{site}/{action}";
    check(&document, &document["paths"][path]["post"], &none).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_name_each_route_and_their_units() {
    let fixture = Fixture::start().await;
    fixture
        .put("/v1/tables/kv/keys/m")
        .body("x")
        .send()
        .await
        .ok();
    fixture.get("/v1/tables/kv/keys/none").send().await.code();
    let metrics = fixture.get("/metrics").send().await;
    let text = String::from_utf8(metrics.body.clone()).unwrap();
    let route = "/v1/tables/{table}/keys/{key}";
    let label = |method| format!("{{method=\"{method}\",route=\"{route}\"");
    for line in [
        format!("music_requests_total{},status=\"200\"}} 1", label("PUT")),
        format!("music_requests_total{},status=\"404\"}} 1", label("GET")),
        format!("music_request_seconds_count{}}} 1", label("PUT")),
        "music_sections_open 0".to_owned(),
        "music_puts_unknown_total 0".to_owned(),
        "music_hints_told_total 0".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is missing of:\n{text}"
        );
    }
    let status = fixture.get("/v1/status").send().await.ok();
    assert_eq!(
        (&status["site"], &status["engine"]),
        (&json!("a"), &json!("embedded"))
    );
}
