//! What every answer must be, whatever was asked.

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode};
use music_api::header::{REQUEST_ID, SITE};
use music_api::problem::{CONTENT_TYPE as PROBLEM, Problem};
use serde_json::Value;

/// How many pieces of a stream of events are read: it does not end.
const PIECES_MAX: usize = 1;

/// An answer that has arrived.
pub(super) struct Answer {
    head: Parts,
    body: Bytes,
}

impl Answer {
    /// Reads an answer to its end, or the beginning of a stream of events.
    ///
    /// # Panics
    /// Where it breaks off.
    pub(super) async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let mut pieces = body.into_data_stream();
        let mut body = BytesMut::new();
        let mut left = if is(&head, "text/event-stream") {
            PIECES_MAX
        } else {
            usize::MAX
        };
        while left > 0
            && let Some(piece) = pieces.next().await
        {
            assert!(piece.is_ok(), "{head:?} breaks off");
            body.extend_from_slice(&piece.unwrap_or_default());
            left = left.saturating_sub(1);
        }
        let body = body.freeze();
        Self { head, body }
    }

    /// The lockRef in the body, if there is one.
    pub(super) fn lock_ref(&self) -> Option<String> {
        if !is(&self.head, "application/json") {
            return None;
        }
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        body.get("lock_ref")?.as_str().map(str::to_owned)
    }

    /// Judges the answer to a request of that method.
    ///
    /// # Panics
    /// Where it is not what clients rely on.
    pub(super) fn judge(&self, method: &Method) {
        let Self { head, body } = self;
        // Nothing is wrong with the engine: a fault is the request's.
        assert!((200..500).contains(&head.status.as_u16()), "{head:?}");
        for name in [REQUEST_ID, SITE] {
            assert!(head.headers.contains_key(name), "{head:?} has no {name}");
        }
        if is_empty(method, head.status) {
            assert!(body.is_empty(), "{head:?}: {body:?}");
            return;
        }
        if let Some(length) = head.headers.get(CONTENT_LENGTH) {
            assert_eq!(length, body.len().to_string().as_str(), "{head:?}");
        }
        if head.status.as_u16() >= 400 {
            self.is_problem();
        } else if is(head, "application/json") && is_made_here(head) {
            let json = serde_json::from_slice::<Value>(body);
            assert!(json.is_ok(), "{head:?}: {json:?}");
        } else if is(head, "text/event-stream") {
            assert!(body.ends_with(b"\n\n"), "{head:?}: {body:?}");
        }
    }

    fn is_problem(&self) {
        let Self { head, body } = self;
        assert!(is(head, PROBLEM), "{head:?}");
        let problem = serde_json::from_slice::<Problem>(body);
        assert!(problem.is_ok(), "{problem:?}: {body:?}");
        let Ok(problem) = problem else { return };
        let code = problem.known_code();
        assert!(code.is_some(), "{problem:?}");
        let Some(code) = code else { return };
        assert_eq!(problem.status, head.status.as_u16(), "{problem:?}");
        assert_eq!(problem.status, code.status(), "{problem:?}");
        assert_eq!(problem.title, code.title(), "{problem:?}");
        assert_eq!(problem.r#type, format!("/errors/{code}"));
        let id = head.headers.get(REQUEST_ID).map(HeaderValue::as_bytes);
        assert_eq!(problem.request_id.as_deref().map(str::as_bytes), id);
    }
}

fn is(head: &Parts, content_type: &str) -> bool {
    head.headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == content_type)
}

/// Whether a body of JSON is the node's own, not a value as it was put.
fn is_made_here(head: &Parts) -> bool {
    !head.headers.contains_key(hyper::header::ETAG)
}

fn is_empty(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}
