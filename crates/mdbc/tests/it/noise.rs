//! Whatever a client sends, the site goes on.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use crate::site::TestSite;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// What a client without a password begins with.
const STARTUP: &[u8] = b"\0\0\0\x22\0\x03\0\0user\0mdbc\0database\0music\0\0";

/// Words of which texts are made that are nearly SQL.
const WORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "insert into",
    "values",
    "update",
    "set",
    "delete",
    "create table",
    "alter table",
    "drop table",
    "t",
    "a",
    "b",
    "1",
    "-1",
    "'x'",
    "null",
    "(",
    ")",
    ",",
    "*",
    "=",
    "<>",
    "+",
    "||",
    "::int",
    "::numeric",
    "[1]",
    "array[1,2]",
    "any(array[1])",
    "group by",
    "order by",
    "limit 1",
    "union",
    "with x as",
    "case when",
    "then",
    "end",
    "over ()",
    "count(*)",
    "sum(a)",
    "$1",
    "in",
    "not",
    "is null",
    "like",
    "between",
    "and",
    "join",
    "using (a)",
    ";",
    "begin",
    "commit",
    "rollback",
    "savepoint s",
    "copy t from stdin",
    "copy t to stdout",
    "now()",
    "interval '1 day'",
    "extract(year from",
    "json_build_object('a', 1)",
    "-> 'a'",
    "returning *",
    "on conflict do nothing",
    "primary key",
    "int",
    "text",
    "default",
    "\"",
    "'",
    "$$",
    "/*",
    "--",
    "9999999999999999999999",
    "1e400",
    "E'\\n'",
    "generate_series(1,3)",
    "unnest(array[1])",
    "regclass",
    "pg_catalog.pg_class",
    "explain",
    "declare c cursor for",
    "fetch 1 from c",
    "prepare p as",
    "execute p",
    "lateral",
    "grouping sets",
    "filter (where true)",
    "distinct",
    "exists",
    "values (1)",
];

fn nearly_sql() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        9 => proptest::sample::select(WORDS).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::vec(word, 1..25).prop_map(|words| words.join(" "))
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    let mut message = vec![kind];
    message.extend(length.to_be_bytes());
    message.extend(body);
    message
}

/// Sends bytes and reads to the end, or to the next `ReadyForQuery`.
async fn send(port: u16, bytes: &[u8]) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // It may hang up at any time.
    let _sent = socket.write_all(bytes).await;
    let _ended = socket.shutdown().await;
    let mut answer = Vec::new();
    let read = timeout(ANSWER_MAX, socket.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "no answer to {bytes:?}");
}

fn run<S: Strategy>(cases: u32, strategy: &S, case: impl Fn(&TestSite, S::Value) -> Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let site = runtime.block_on(TestSite::start());
    runtime.block_on(site.psql("create table t (a int primary key, b text)"));
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(strategy, |value| {
        let bytes = case(&site, value);
        runtime.block_on(send(site.port, &bytes));
        Ok(())
    });
    outcome.unwrap();
    let alive = runtime.block_on(site.psql_with(&["-At"], &[], "select 'alive'"));
    assert!(alive.contains("alive"), "{alive}");
}

#[test]
fn texts_that_are_nearly_sql_do_no_harm() {
    run(300, &nearly_sql(), |_, text| {
        let text = text.replace('\0', "");
        let mut bytes = STARTUP.to_vec();
        let limit = b"set statement_timeout = 200; set lock_timeout = 200\0";
        bytes.extend(frame(b'Q', limit));
        bytes.extend(frame(b'Q', format!("{text}\0").as_bytes()));
        bytes.extend(frame(b'P', format!("\0{text}\0\0\0").as_bytes()));
        bytes.extend(frame(b'D', b"S\0"));
        bytes.extend(frame(b'B', b"\0\0\0\0\0\0\0\0"));
        bytes.extend(frame(b'E', b"\0\0\0\0\0"));
        bytes.extend(frame(b'S', b""));
        bytes
    });
}

#[test]
fn messages_that_are_none_do_no_harm() {
    let kind = proptest::sample::select(b"QPBDECSHXdcfFp?\0".as_slice());
    let message = (
        kind,
        proptest::collection::vec(any::<u8>(), 0..60),
        any::<bool>(),
    );
    let messages = proptest::collection::vec(message, 1..12);
    run(300, &messages, |_, messages| {
        let mut bytes = STARTUP.to_vec();
        for (kind, body, is_framed) in messages {
            if is_framed {
                bytes.extend(frame(kind, &body));
            } else {
                bytes.push(kind);
                bytes.extend(body);
            }
        }
        bytes
    });
}

#[test]
fn beginnings_that_are_none_do_no_harm() {
    run(
        150,
        &proptest::collection::vec(any::<u8>(), 0..80),
        |_, bytes| bytes,
    );
}
