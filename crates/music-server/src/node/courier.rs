//! The way to other nodes: over sockets, or by calls in a simulation.

#[cfg(feature = "simulation")]
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderValue};
#[cfg(feature = "simulation")]
use music_client::error::FaultKind;
#[cfg(feature = "simulation")]
use music_client::in_process::Nodes;
use reqwest::{Method, Request, Response, StatusCode, Url};

/// How long a message and its answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// The largest answer: a full queue, and some room.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Who carries messages to other nodes.
#[derive(Clone, Debug)]
pub(super) enum Courier {
    Http(reqwest::Client),
    #[cfg(feature = "simulation")]
    InProcess(Arc<dyn Nodes>),
}

/// What a message has in its body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Json,
    Octets,
}

/// What became of a message.
#[derive(Debug)]
pub(super) enum Sent {
    Answered(StatusCode, Bytes),
    /// It has not arrived, and will not.
    Unreached,
    /// It may have arrived, or may do so still.
    Lost,
}

impl Courier {
    /// Posts a message to a route of the node at an address.
    pub(super) async fn post(
        &self,
        (address, route): (&str, &str),
        kind: Kind,
        body: Vec<u8>,
    ) -> Sent {
        let Ok(url) = Url::parse(&format!("http://{address}{route}")) else {
            return Sent::Unreached;
        };
        let mut request = Request::new(Method::POST, url);
        let content_type = match kind {
            Kind::Json => "application/json",
            Kind::Octets => "application/octet-stream",
        };
        let content_type = HeaderValue::from_static(content_type);
        request.headers_mut().insert(CONTENT_TYPE, content_type);
        *request.body_mut() = Some(body.into());
        let sent = tokio::time::timeout(PATIENCE, self.carry(request));
        sent.await.unwrap_or(Sent::Lost)
    }

    async fn carry(&self, request: Request) -> Sent {
        let answer = match self {
            Self::Http(client) => match client.execute(request).await {
                Ok(answer) => answer,
                Err(error) if error.is_connect() => return Sent::Unreached,
                Err(_) => return Sent::Lost,
            },
            #[cfg(feature = "simulation")]
            Self::InProcess(nodes) => match nodes.carry(request).await {
                Ok(answer) => answer,
                Err(FaultKind::NotConnected) => return Sent::Unreached,
                Err(_) => return Sent::Lost,
            },
        };
        let status = answer.status();
        match body(answer).await {
            Some(body) => Sent::Answered(status, body),
            None => Sent::Lost,
        }
    }
}

/// The body of an answer, unless it broke off or is too large.
async fn body(mut answer: Response) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.ok()? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.freeze())
}
