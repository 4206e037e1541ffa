//! A node that answers as the test says, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::soon;

/// What a node was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The method and the path, as `GET /v1/status`.
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The idempotency key.
    pub(crate) fn key(&self) -> &str {
        self.headers
            .get("idempotency-key")
            .map_or("", String::as_str)
    }

    /// Whether it is one to this path's end.
    pub(crate) fn is(&self, end: &str) -> bool {
        self.line.ends_with(end)
    }
}

/// What a node does about a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It answers.
    Json(u16, Value),
    /// It closes the connection without an answer.
    HangUp,
    /// It never answers.
    Silence,
    /// It waits until the test says so, then answers.
    Later(watch::Receiver<bool>, Box<Reply>),
    /// It begins a stream of events with this text, which never ends.
    Events(String),
}

type Handler = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// A node that answers as the test says.
pub(crate) struct FakeNode {
    pub(crate) url: String,
    log: watch::Sender<Vec<Request>>,
    server: JoinHandle<()>,
}

impl FakeNode {
    /// Starts; the handler gets the request and how many like it came before.
    pub(crate) async fn start(
        handler: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = watch::Sender::new(Vec::new());
        let (handler, seen): (Arc<Handler>, _) = (Arc::new(handler), log.clone());
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&handler), seen.clone()));
            }
        });
        Self { url, log, server }
    }

    /// All it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.borrow().clone()
    }

    /// What it was asked whose line ends so.
    pub(crate) fn asked(&self, end: &str) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.is(end))
            .collect()
    }

    /// Waits until it was asked that often what ends so.
    pub(crate) async fn when_asked(&self, end: &str, times: usize) {
        let enough = |log: &Vec<Request>| log.iter().filter(|r| r.is(end)).count() >= times;
        soon(self.log.subscribe().wait_for(enough)).await.unwrap();
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(stream: TcpStream, handler: Arc<Handler>, log: watch::Sender<Vec<Request>>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(request) = read(&mut reader).await {
        let before = log
            .borrow()
            .iter()
            .filter(|other| other.line == request.line)
            .count();
        log.send_modify(|log| log.push(request.clone()));
        let mut reply = handler(&request, before);
        if let Reply::Later(mut when, then) = reply {
            when.wait_for(|now| *now).await.unwrap();
            reply = *then;
        }
        let text = match reply {
            Reply::Json(status, body) => answer(status, &body),
            Reply::HangUp | Reply::Later(..) => return,
            Reply::Silence => return std::future::pending().await,
            Reply::Events(text) => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                writer
                    .write_all(format!("{head}{text}").as_bytes())
                    .await
                    .unwrap();
                return std::future::pending().await;
            }
        };
        if writer.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: u16, body: &Value) -> String {
    let body = body.to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {body}"
    )
}

async fn read(reader: &mut BufReader<OwnedReadHalf>) -> Option<Request> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .await
        .ok()
        .filter(|bytes| *bytes > 0)?;
    let line = line.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await.ok()?;
    Some(Request {
        line,
        headers,
        body,
    })
}

/// A lock in that state.
pub(crate) fn lock(state: &str) -> Value {
    let tokens = match state {
        "granted" => json!([{"table": "t", "key": "k", "token": 7}]),
        _ => json!([]),
    };
    json!({"lock_ref": "L", "state": state, "tokens": tokens, "lease_ms": 2000, "site": "s"})
}

/// A problem of that code.
pub(crate) fn problem(code: music_client::api::code::Code) -> Reply {
    let body = json!({
        "type": format!("/errors/{code}"), "title": code.title(), "status": code.status(),
        "detail": "as the test says", "code": code.to_string(), "outcome": code.outcome(),
        "retryable": code.is_retryable(),
    });
    Reply::Json(code.status(), body)
}

/// What a node answers that has no troubles.
pub(crate) fn fine(request: &Request) -> Reply {
    let line = request.line.as_str();
    let stamp = || Reply::Json(200, json!({"stamp": 1}));
    if line == "POST /v1/locks" {
        Reply::Json(201, lock("granted"))
    } else if line.ends_with("/acquire") || line.ends_with("/renew") {
        Reply::Json(200, lock("granted"))
    } else if line.ends_with("/release") {
        Reply::Json(200, json!({"state": "released", "confirmed": true}))
    } else if line.ends_with("/events") {
        Reply::Events(String::new())
    } else {
        stamp()
    }
}
