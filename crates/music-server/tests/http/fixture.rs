//! A deployment over loopback, and a client that tells what it was answered.

use std::time::Duration;

use music_api::problem::Problem;
use music_server::dev::{Deployment, DevConfig};
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(30);

/// Three sites in one building, in memory.
pub(crate) struct Fixture {
    pub(crate) deployment: Deployment,
    pub(crate) client: reqwest::Client,
    urls: Vec<String>,
}

/// What a request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.body.escape_ascii()))
    }

    /// The value, of a request that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(
            self.status.is_success(),
            "{self:?}: {}",
            self.body.escape_ascii()
        );
        self.json()
    }

    /// The problem, whose document must agree with the answer it came in.
    #[track_caller]
    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status.as_u16());
        assert_eq!(
            problem.request_id.as_deref(),
            Some(self.header("x-request-id"))
        );
        assert_eq!(problem.r#type, format!("/errors/{}", problem.code));
        let code = problem.known_code().unwrap();
        assert_eq!(
            (code.status(), code.title()),
            (problem.status, problem.title.as_str())
        );
        problem
    }

    /// The problem's code, `MUSIC-nnnn`.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.problem().code
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A request to be sent.
pub(crate) struct Request(pub(crate) reqwest::RequestBuilder);

impl Request {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn body(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.0.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer {
            status,
            headers,
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    /// The response, its body not read yet.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.0.send().await.unwrap()
    }
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(DevConfig {
            base_port: 0,
            ..DevConfig::new("local3")
        })
        .await
    }

    pub(crate) async fn with(config: DevConfig) -> Self {
        let deployment = Deployment::start(config).await.unwrap();
        let urls = deployment
            .nodes()
            .into_iter()
            .map(|node| node.url)
            .collect();
        // What a test of a suspended node must not wait for is bounded by the
        // test itself.
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            deployment,
            client,
            urls,
        }
    }

    /// The address of the node of a site, by the site's number.
    pub(crate) fn url(&self, site: usize) -> &str {
        &self.urls[site]
    }

    pub(crate) fn at(&self, site: usize, method: Method, path: &str) -> Request {
        let builder = self
            .client
            .request(method, format!("{}{path}", self.urls[site]));
        Request(builder)
    }

    pub(crate) fn control(&self, method: Method, path: &str) -> Request {
        let url = format!("{}{path}", self.deployment.control_url());
        Request(self.client.request(method, url))
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.at(0, Method::GET, path)
    }

    pub(crate) fn put(&self, path: &str) -> Request {
        self.at(0, Method::PUT, path)
    }

    pub(crate) fn post(&self, path: &str) -> Request {
        self.at(0, Method::POST, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Request {
        self.at(0, Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Request {
        self.at(0, Method::DELETE, path)
    }

    /// A lockRef for keys of `locks`, granted.
    pub(crate) async fn lock(&self, site: usize, keys: &[&str]) -> String {
        let keys: Vec<Value> = keys
            .iter()
            .map(|key| json!({ "table": "locks", "key": key }))
            .collect();
        let body = json!({ "keys": keys, "wait_ms": 10_000 });
        let lock = self
            .at(site, Method::POST, "/v1/locks")
            .json(&body)
            .send()
            .await
            .ok();
        assert_eq!(lock["state"], "granted", "{lock}");
        lock["lock_ref"].as_str().unwrap().to_owned()
    }
}

/// A stream, event by event.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    pub(crate) async fn of(request: Request) -> Self {
        let response = request.open().await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            response,
            buffer: String::new(),
        }
    }

    /// The next event's name and data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        tokio::time::timeout(DEADLINE, self.next_unbounded())
            .await
            .unwrap()
    }

    async fn next_unbounded(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((frame, rest)) = self.buffer.split_once("\n\n") {
                let frame = frame.to_owned();
                self.buffer = rest.to_owned();
                let line = |name| frame.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(event), Some(data)) = (line("event: "), line("data: ")) {
                    return Some((event.to_owned(), serde_json::from_str(data).unwrap()));
                }
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.buffer += std::str::from_utf8(&chunk).unwrap();
        }
    }
}
