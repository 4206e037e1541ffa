//! Successful answers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use music_api::code::Code;
use serde::Serialize;

use crate::http::problem::Failure;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// How a handler ends.
pub(crate) type Answer = Result<Response, Failure>;

/// An answer with a JSON body; a moment's state, which no cache may keep.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    Ok(json_bytes(status, bytes(body)?))
}

/// The JSON of an answer.
pub(crate) fn bytes(body: &impl Serialize) -> Result<Bytes, Failure> {
    let bytes = serde_json::to_vec(body).map_err(|error| {
        // Only a map with keys that are no strings does not serialize.
        Failure::new(
            Code::Internal,
            format!("The answer cannot be written: {error}."),
        )
    })?;
    Ok(bytes.into())
}

/// An answer whose body is JSON already.
pub(crate) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = with(status, bytes);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// An answer with a JSON body and status 200.
pub(crate) fn ok(body: &impl Serialize) -> Answer {
    json(StatusCode::OK, body)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    with(status, Bytes::new())
}

/// An answer with a body.
pub(crate) fn with(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
}

/// Sets a header whose value is made here and holds no control characters.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
