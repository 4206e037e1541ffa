//! What is made again after a failure, where, and what never is.

use crate::fake_node::{FakeNode, Reply, fine, problem};
use crate::support::{client, soon};
use music_client::api::code::Code;
use music_client::api::table::TableMode;
use music_client::{Error, Outcome};

const PUT: &str = "PUT /v1/tables/t/keys/k";

/// An address where nothing listens.
async fn nobody() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[tokio::test]
async fn a_put_without_an_answer_is_made_again_at_the_same_node_with_the_same_key() {
    let node = FakeNode::start(|request, before| match before {
        0 | 1 => Reply::HangUp,
        _ => fine(request),
    })
    .await;
    let other = FakeNode::start(|request, _| fine(request)).await;
    soon(client([&node.url, &other.url]).put(("t", "k"), "v"))
        .await
        .unwrap();
    let puts = node.asked(PUT);
    assert_eq!(puts.len(), 3);
    assert!(
        puts.iter()
            .all(|put| put.key() == puts[0].key() && !put.key().is_empty())
    );
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_put_that_may_have_happened_is_never_made_at_another_node() {
    let node = FakeNode::start(|_, _| Reply::HangUp).await;
    let other = FakeNode::start(|request, _| fine(request)).await;
    let error = soon(client([&node.url, &other.url]).put(("t", "k"), "v"))
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn an_unknown_outcome_stays_unknown_whatever_the_last_attempt_says() {
    let node = FakeNode::start(|_, before| match before {
        0 => Reply::HangUp,
        _ => problem(Code::Unavailable),
    })
    .await;
    let error = soon(client([&node.url]).put(("t", "k"), "v"))
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(error.code(), Some(Code::Unavailable));
}

#[tokio::test]
async fn a_put_that_was_never_sent_goes_to_the_next_node() {
    let other = FakeNode::start(|request, _| fine(request)).await;
    let client = client([&nobody().await, &other.url]);
    soon(client.put(("t", "k"), "v")).await.unwrap();
    soon(client.put(("t", "k"), "w")).await.unwrap();
    assert_eq!(other.asked(PUT).len(), 2);
}

#[tokio::test]
async fn reads_and_new_tables_go_to_any_node() {
    let node = FakeNode::start(|_, _| Reply::HangUp).await;
    let other = FakeNode::start(|request, _| match request.line.as_str() {
        "PUT /v1/tables/t" => {
            Reply::Json(200, serde_json::json!({"name": "t", "mode": "critical"}))
        }
        _ => fine(request),
    })
    .await;
    let client = client([&node.url, &other.url]);
    soon(client.create_table("t", TableMode::Critical))
        .await
        .unwrap();
    soon(client.get(("t", "k"))).await.unwrap();
}

#[tokio::test]
async fn what_a_node_refuses_is_asked_once() {
    for code in [Code::WrongMode, Code::NoSuchTable, Code::ValueTooLarge] {
        let node = FakeNode::start(move |_, _| problem(code)).await;
        let error = soon(client([&node.url]).put(("t", "k"), "v"))
            .await
            .unwrap_err();
        assert_eq!(node.requests().len(), 1);
        assert_eq!(
            (error.code(), error.outcome()),
            (Some(code), Outcome::NotApplied)
        );
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn no_value_is_no_error() {
    let node = FakeNode::start(|_, _| problem(Code::NoValue)).await;
    let client = client([&node.url]);
    assert_eq!(soon(client.get(("t", "k"))).await.unwrap(), None);
    assert_eq!(soon(client.fields(("t", "k"))).await.unwrap(), None);
}

#[tokio::test]
async fn another_program_at_the_address_is_told_apart() {
    let node = FakeNode::start(|_, _| Reply::Json(404, serde_json::json!({"page": 1}))).await;
    let error = soon(client([&node.url]).put(("t", "k"), "v"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
}

#[tokio::test]
async fn a_table_is_scanned_page_by_page() {
    use futures_util::{StreamExt as _, pin_mut};
    use serde_json::json;

    let node = FakeNode::start(|request, _| {
        let record = |key| json!({"key": key, "fields": {"": {"text": "v"}}, "stamp": 1});
        let page = match request.line.as_str() {
            "GET /v1/tables/t/keys?limit=1" => json!({"records": [record("a")], "cursor": "c/"}),
            "GET /v1/tables/t/keys?limit=1&cursor=c%2F" => json!({"records": [record("b")]}),
            line => panic!("{line}"),
        };
        Reply::Json(200, page)
    })
    .await;
    let options = music_client::ScanOptions {
        page_size: Some(1),
        ..Default::default()
    };
    let pages = client([&node.url]).scan("t", options);
    pin_mut!(pages);
    let mut keys = Vec::new();
    while let Some(page) = soon(pages.next()).await {
        keys.extend(page.unwrap().into_iter().map(|record| record.key));
    }
    assert_eq!(keys, ["a", "b"].map(music_client::api::name::Key::from));
}
