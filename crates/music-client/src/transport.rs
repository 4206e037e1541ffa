//! One attempt of a request at one node: sent, answered, and understood.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use music_api::header;
use music_api::problem::{self, Outcome};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::call::{Call, Reach};
use crate::content::BYTES;
use crate::error::{AnswerFault, Error, Invalid, Problem};
use crate::fault::{FaultKind, TransportFault};
use crate::in_process::{self, Nodes};
use crate::options::Options;

/// The largest answer that is read, in bytes: a page of the largest values.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a connection is kept without a request.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// A successful answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    endpoint: String,
    changes: bool,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|fault| Error::Answer {
            endpoint: self.endpoint.clone(),
            outcome: outcome_after_sending(self.changes),
            reason: AnswerFault::Body(fault.to_string()),
        })
    }

    /// The body's content type.
    pub(crate) fn content_type(&self) -> &str {
        header_text(&self.headers, CONTENT_TYPE.as_str()).unwrap_or(BYTES)
    }

    /// The stamp that the answer names, 0 if none.
    pub(crate) fn stamp(&self) -> u64 {
        let text = header_text(&self.headers, header::STAMP);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    }
}

/// Sends requests; clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
    /// What answers in the place of sockets.
    nodes: Option<Arc<dyn Nodes>>,
    options: Options,
}

impl Transport {
    /// Opens no connection yet.
    pub(crate) fn new(options: &Options) -> Result<Self, Invalid> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            // Nodes are reached directly: a proxy from the environment would
            // see values, and its failures would look like a node's.
            .no_proxy()
            // Before the node closes it: a request on a connection that is
            // being closed would have an unknown outcome.
            .pool_idle_timeout(IDLE_MAX)
            .tcp_nodelay(true);
        if options.http2_prior_knowledge {
            builder = builder.http2_prior_knowledge();
        }
        let http = builder.build().map_err(Invalid::Options)?;
        Ok(Self {
            http,
            nodes: None,
            options: options.clone(),
        })
    }

    /// Asks these nodes of the same process from now on.
    pub(crate) fn stay_in_process(&mut self, nodes: Arc<dyn Nodes>) {
        self.nodes = Some(nodes);
    }

    /// Sends a request once and reads the answer to its end.
    pub(crate) async fn send(&self, endpoint: &str, call: &Call) -> Result<Answer, Error> {
        let limit = match call.reach {
            Reach::Local => self.options.local_timeout,
            Reach::Majority => self.options.majority_timeout,
        };
        let limit = limit.saturating_add(call.wait).min(call.limit);
        let request = self.request(endpoint, call).timeout(limit);
        let response = self.carry(request).await;
        let response = response.map_err(|fault| transport(endpoint, call, fault))?;
        let response = refuse(endpoint, call, response).await?;
        let headers = response.headers().clone();
        let body = read(endpoint, call, response).await?;
        let answer = Answer {
            headers,
            body,
            endpoint: endpoint.to_owned(),
            changes: call.changes(),
        };
        Ok(answer)
    }

    /// Sends a request once; the answer is a stream without an end.
    pub(crate) async fn open(&self, endpoint: &str, call: &Call) -> Result<Response, Error> {
        let sent = self.carry(self.request(endpoint, call));
        let response = tokio::time::timeout(self.options.local_timeout, sent).await;
        let Ok(response) = response else {
            return Err(Error::Unavailable {
                attempts: 1,
                outcome: Outcome::NotApplied,
                last: Box::new(Error::TimedOut {
                    waited: self.options.local_timeout,
                }),
            });
        };
        let response = response.map_err(|fault| transport(endpoint, call, fault))?;
        refuse(endpoint, call, response).await
    }

    async fn carry(&self, request: RequestBuilder) -> Result<Response, TransportFault> {
        if let Some(nodes) = &self.nodes {
            return in_process::carry(nodes, request.build()?).await;
        }
        Ok(request.send().await?)
    }

    fn request(&self, endpoint: &str, call: &Call) -> RequestBuilder {
        let url = format!("{endpoint}{}", call.path);
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(key) = call.idempotency_key {
            request = request.header(header::IDEMPOTENCY_KEY, key.to_string());
        }
        if let Some(moves) = call.moves {
            request = request.header(header::MOVES, moves);
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, &body.content_type)
                .body(body.bytes.clone());
        }
        #[cfg(feature = "opentelemetry")]
        let request = crate::trace_context::name_span(request);
        request
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn outcome_after_sending(changes: bool) -> Outcome {
    if changes {
        Outcome::Unknown
    } else {
        Outcome::NotApplied
    }
}

fn transport(endpoint: &str, call: &Call, fault: impl Into<TransportFault>) -> Error {
    let source = fault.into();
    let sent = source.kind != FaultKind::NotConnected;
    Error::Transport {
        endpoint: endpoint.to_owned(),
        outcome: outcome_after_sending(call.changes() && sent),
        source,
    }
}

/// The response if it is a success, else what it says.
async fn refuse(endpoint: &str, call: &Call, response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = read(endpoint, call, response).await?;
    match serde_json::from_slice::<problem::Problem>(&body) {
        Ok(problem) => Err(Error::Problem(Box::new(understand(problem, call)))),
        Err(_) => Err(Error::Answer {
            endpoint: endpoint.to_owned(),
            outcome: outcome_of_status(status, call),
            reason: AnswerFault::Status(status.as_u16()),
        }),
    }
}

fn outcome_of_status(status: StatusCode, call: &Call) -> Outcome {
    outcome_after_sending(call.changes() && !status.is_client_error())
}

fn understand(problem: problem::Problem, call: &Call) -> Problem {
    let mut problem = Problem::from(problem);
    if !call.changes() {
        problem.outcome = Outcome::NotApplied;
    }
    problem
}

async fn read(endpoint: &str, call: &Call, mut response: Response) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|f| transport(endpoint, call, f))?
    {
        if body.is_empty() && response.content_length() == Some(chunk.len() as u64) {
            return Ok(chunk);
        }
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Error::Answer {
                endpoint: endpoint.to_owned(),
                outcome: outcome_after_sending(call.changes()),
                reason: AnswerFault::TooLarge(ANSWER_BYTES_MAX),
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
