//! The spans of critical sections.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use music_api::lock::Step;
use music_api::name::{Key, KeyRef, Value};
use music_api::run::Run;
use music_client::CriticalSection;
use music_store::fault::{Call, Fault};
use opentelemetry::trace::TraceContextExt as _;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::fixture::{Fixture, Trace, run};

const KEY: (&str, &str) = ("locks", "k");
const PUTS: usize = 5;

/// A caller's own span, and the trace that it begins.
fn caller() -> (tracing::Span, String) {
    let span = tracing::info_span!(target: "music_trace", "caller");
    let trace = span.context().span().span_context().trace_id();
    (span, trace.to_string())
}

async fn puts_at_once(fixture: &Fixture, section: &CriticalSection, key: &str) {
    for _ in 0..PUTS {
        fixture.faults.next(Call::Write, Fault::HoldRequest);
    }
    let puts = join_all((0..PUTS).map(|number| {
        let field = format!("f{number}");
        async move { section.put((KEY.0, key, field.as_str()), "x").await }
    }));
    let let_go = async {
        fixture.faults.held(PUTS).await;
        fixture.faults.release_held();
    };
    let (puts, ()) = tokio::join!(puts, let_go);
    assert!(puts.iter().all(Result::is_ok), "{puts:?}");
}

/// A section that uses all that is cheap.
async fn section(fixture: &Fixture, key: &str) {
    let client = fixture.client(0);
    let section = client.lock([(KEY.0, key)]).acquire().await.unwrap();
    section.get((KEY.0, key)).await.unwrap();
    puts_at_once(fixture, &section, key).await;
    section.get((KEY.0, key)).await.unwrap();
    fixture.faults.next(Call::Release, Fault::HoldRequest);
    // Answered while the engine is not.
    section.release().await.unwrap();
    fixture.faults.held(1).await;
    fixture.faults.release_held();
}

fn check_section(trace: &Trace, key: &str) {
    let calls = ["engine enqueue", "engine majority read", "engine release"];
    let writes = trace.named("engine majority write");
    assert_eq!(writes.len(), PUTS);
    let others: Vec<&str> = trace
        .calls()
        .into_iter()
        .filter(|name| *name != "engine majority write")
        .collect();
    assert_eq!(others, calls, "one enqueue, and no peek");

    let section = trace.only("critical section");
    let create = trace.parent(section);
    assert_eq!(create.name, "createLockRef");
    assert_eq!(trace.parent(create).name, "POST /v1/locks");
    assert_eq!(section.events, ["granted", "released"]);
    assert_eq!(section.get("music.keys"), format!("locks/{key}"));
    assert_eq!(section.get("music.outcome"), "ok");
    let enqueue = trace.only("engine enqueue");
    assert_eq!(trace.parent(enqueue).id, create.id);
    assert_eq!(enqueue.get("music.rounds"), "2");
    assert_eq!(create.get("music.rounds"), "2");

    let last_began = writes.iter().map(|write| write.began).max();
    let first_ended = writes.iter().map(|write| write.ended).min();
    assert!(last_began <= first_ended, "puts at once: {writes:#?}");
    for write in &writes {
        assert_eq!(write.get("music.rounds"), "1");
        let put = trace.parent(write);
        assert_eq!(
            (put.name.as_str(), put.get("music.rounds")),
            ("criticalPut", "1")
        );
        assert_eq!((put.get("music.table"), put.get("music.key")), (KEY.0, key));
        let request = trace.parent(put);
        assert_eq!(request.get("http.response.status_code"), "200");
    }

    let mut gets: Vec<&str> = trace
        .named("criticalGet")
        .iter()
        .map(|get| get.get("music.rounds"))
        .collect();
    gets.sort_unstable();
    assert_eq!(gets, ["0", "1"], "the second one asks nobody");

    let release = trace.only("release");
    assert_eq!(release.get("music.rounds"), "0");
    let call = trace.only("engine release");
    assert_eq!(trace.parent(call).id, release.id);
    assert!(release.ended <= call.ended, "{trace:#?}");
}

fn is_over(trace: &Trace) -> bool {
    let ends = ["critical section", "engine release"];
    ends.iter().all(|name| trace.has(name)) && trace.has("POST /v1/locks/{lock_ref}/release")
}

#[test]
fn a_section_is_in_the_trace_of_its_caller() {
    run(async |fixture| {
        let (caller, id) = caller();
        section(&fixture, KEY.1).instrument(caller.clone()).await;
        let span = caller.context().span().span_context().span_id();
        drop(caller);
        let trace = Trace::when(&id, |trace| is_over(trace) && trace.has("caller")).await;
        check_section(&trace, KEY.1);
        for request in trace.0.iter().filter(|span| span.name.contains(" /v1/")) {
            assert_eq!(request.parent, span.to_string(), "{request:#?}");
        }
    });
}

#[test]
fn a_section_whose_client_has_no_trace_is_one_of_its_own() {
    run(async |fixture| {
        section(&fixture, "alone").await;
        let id = Trace::with(|span| span.get("music.keys") == "locks/alone").await;
        let trace = Trace::when(&id, is_over).await;
        check_section(&trace, "alone");
        assert_eq!(trace.only("POST /v1/locks").parent, "");
        let section = trace.only("critical section");
        for put in trace.named("PUT /v1/locks/{lock_ref}/tables/{table}/keys/{key}") {
            assert_eq!(put.parent, section.id);
        }
    });
}

#[test]
fn a_run_is_one_request() {
    run(async |fixture| {
        let (caller, id) = caller();
        let put = |key: &str| Step::Put {
            table: KEY.0.to_owned(),
            key: Key::from_bytes(key.as_bytes()),
            fields: BTreeMap::from([(String::new(), Some(Value::Text("x".to_owned())))]),
        };
        let key = KeyRef {
            table: KEY.0.to_owned(),
            key: Key::from_bytes(KEY.1.as_bytes()),
        };
        let asked = Run {
            keys: vec![key],
            wait_ms: None,
            compare: Vec::new(),
            then: vec![put(KEY.1), put(KEY.1)],
            otherwise: Vec::new(),
        };
        let client = fixture.client(0);
        client.run(&asked).instrument(caller.clone()).await.unwrap();
        drop(caller);
        let trace = Trace::when(&id, |trace| {
            let ends = [
                "critical section",
                "engine release",
                "POST /v1/run",
                "caller",
            ];
            ends.iter().all(|name| trace.has(name))
        })
        .await;
        let request = trace.only("POST /v1/run");
        for operation in ["createLockRef", "criticalPuts", "release"] {
            let span = trace.only(operation);
            assert_eq!(trace.parent(span).id, request.id);
        }
        assert_eq!(trace.only("criticalPuts").get("music.rounds"), "1");
        let write = trace.only("engine majority write");
        assert_eq!(write.get("music.puts"), "2", "one message a replica");
        let calls = ["engine enqueue", "engine majority write", "engine release"];
        assert_eq!(trace.calls(), calls);
    });
}

#[test]
fn a_section_that_waits_looks_when_it_is_told() {
    run(async |fixture| {
        let holder = fixture.client(0).lock([KEY]).acquire().await.unwrap();
        let (caller, id) = caller();
        let waiter = fixture.client(1).lock([KEY]);
        let waiting = tokio::spawn(waiter.acquire().instrument(caller.clone()));
        while fixture.client(2).queue(KEY).await.unwrap().length < 2 {}
        holder.release().await.unwrap();
        waiting.await.unwrap().unwrap().release().await.unwrap();
        drop(caller);
        let trace = Trace::when(&id, |trace| trace.has("critical section")).await;
        let section = trace.only("critical section");
        assert_eq!(section.events, ["granted", "released"]);
        assert_eq!(trace.named("engine enqueue").len(), 1);
        let peeks = trace.named("engine peek");
        assert!(!peeks.is_empty(), "{trace:#?}");
        for peek in peeks {
            assert_eq!(trace.parent(peek).id, section.id, "no operation made it");
        }
    });
}

#[test]
fn a_recipe_is_below_the_request_for_it() {
    run(async |fixture| {
        let (caller, id) = caller();
        let url = format!("{}/v1/recipes/counters/visits/add", fixture.url(0));
        let context = caller.context();
        let span = context.span().span_context().clone();
        let parent = format!("00-{}-{}-01", span.trace_id(), span.span_id());
        let add = reqwest::Client::new()
            .post(url)
            .header("traceparent", parent);
        let answer = add.json(&serde_json::json!({"number": 1})).send().await;
        assert!(answer.unwrap().status().is_success());
        drop(caller);
        let trace = Trace::when(&id, |trace| {
            trace.has("critical section") && trace.has("POST /v1/recipes/counters/{name}/add")
        })
        .await;
        let recipe = trace.only("POST /v1/recipes/counters/{name}/add");
        // It may be asked more than once: the first time there is no table.
        for request in trace.named("POST /v1/locks") {
            assert_eq!(trace.parent(request).id, recipe.id);
        }
    });
}
