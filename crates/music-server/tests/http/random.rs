//! Whatever bytes arrive, a node answers, and never that it failed.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fixture::Fixture;

const DEADLINE: Duration = Duration::from_secs(30);

/// A segment that means something, or any bytes.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 25] = [
        "v1", "tables", "kv", "locks", "keys", "fields", "queues", "run", "watch", "status",
        "batch", "acquire", "release", "force", "events", "errors", "AQAA", "recipes", "counters",
        "add", "latches", "groups", "members", "once", "settle",
    ];
    prop_oneof![
        4 => proptest::sample::select(&WORDS[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => "[!-~&&[^?#/]]{0,12}".prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| {
            bytes.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect()
        }),
        1 => proptest::collection::vec(0x21_u8..=0xff, 0..8),
    ]
}

/// JSON of some shape, a part of it, or any bytes.
fn body() -> impl Strategy<Value = Vec<u8>> {
    const SHAPES: [&str; 9] = [
        r#"{"keys":[{"table":"locks","key":"a"}],"wait_ms":0}"#,
        r#"{"keys":[{"table":"locks","key":"a"}],
            "then":[{"op":"get","table":"locks","key":{"base64":"YQ=="}}]}"#,
        r#"{"fields":{"a":{"text":"x"},"b":null,"c":{"base64":{"data":"AA=="}}}}"#,
        r#"{"mode":"eventual"}"#,
        r#"{"steps":[{"op":"delete","table":"locks","key":"a"}]}"#,
        r#"{"confirm":true}"#,
        r#"{"number":1,"expected":0}"#,
        r#"{"count":1}"#,
        r#"{"result":[1]}"#,
    ];
    let shape = proptest::sample::select(&SHAPES[..]);
    prop_oneof![
        2 => shape.clone().prop_map(|shape| shape.as_bytes().to_vec()),
        2 => (shape, any::<usize>(), any::<u8>()).prop_map(|(shape, at, byte)| {
            let mut bytes = shape.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..64),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = proptest::sample::select(&["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"][..]);
    let path = proptest::collection::vec(segment(), 0..8);
    let query = proptest::option::of(proptest::collection::vec(0x21_u8..=0xff, 0..24));
    let kind = proptest::option::of(proptest::sample::select(
        &["application/json", "text/plain", "\u{e9}", ""][..],
    ));
    let key = proptest::option::of(proptest::collection::vec(0x20_u8..=0xff, 0..16));
    (method, path, query, (kind, key), body()).prop_map(|(method, path, query, head, body)| {
        let mut bytes = format!("{method} /").into_bytes();
        bytes.extend(path.join(&b'/'));
        if let Some(query) = query {
            bytes.push(b'?');
            bytes.extend(query);
        }
        bytes.extend(b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
        if let Some(kind) = head.0 {
            bytes.extend(format!("content-type: {kind}\r\n").into_bytes());
        }
        if let Some(key) = head.1 {
            bytes.extend(b"idempotency-key: ");
            bytes.extend(key.into_iter().filter(|byte| *byte != 0x7f));
            bytes.extend(b"\r\n");
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).into_bytes());
        bytes.extend(body);
        bytes
    })
}

/// The status of the answer.
async fn status(address: SocketAddr, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut head = Vec::new();
    // An event stream does not end: the first line is enough.
    while head.len() < 12 {
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(&mut head))
            .await
            .unwrap();
        assert!(read.unwrap() > 0, "no answer to {}", request.escape_ascii());
    }
    std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap()
}

#[test]
fn any_request_is_answered_and_none_is_the_node_s_fault() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fixture = runtime.block_on(Fixture::start());
    let address = fixture
        .url(0)
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    let config = ProptestConfig {
        cases: 2000,
        ..ProptestConfig::default()
    };
    let outcome = TestRunner::new(config).run(&request(), |request| {
        let status = runtime.block_on(status(address, &request));
        prop_assert!((200..500).contains(&status), "{}", status);
        Ok(())
    });
    outcome.unwrap();
}
