//! Bodies: JSON of a known shape, or a value of any type.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE};
use music_api::code::Code;
use serde::de::DeserializeOwned;

use crate::http::app::App;
use crate::http::envelope::ContentType;
use crate::http::problem::Failure;

/// How much a body's buffer starts with, where its length is not told: a
/// client that promises a large body should have to send it.
const BUFFER_BYTES_START: usize = 16 * 1024;

/// Whose routes take JSON bodies, and how large ones.
pub(crate) trait JsonLimit: Sync {
    /// The most bytes, and how long they may take to arrive.
    fn json_limit(&self) -> (usize, Duration);
}

impl JsonLimit for Arc<App> {
    fn json_limit(&self) -> (usize, Duration) {
        (
            self.config.limits.body_bytes_max,
            self.config.limits.body_timeout,
        )
    }
}

/// A JSON body.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: JsonLimit> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = json_bytes(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default, S: JsonLimit> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = json_bytes(request, state).await?;
        if bytes.is_empty() {
            Ok(Self(T::default()))
        } else {
            parse(&bytes).map(Self)
        }
    }
}

/// A value of any type, as the cell that keeps it.
pub(crate) struct ValueBody(pub(crate) Bytes);

impl FromRequest<Arc<App>> for ValueBody {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Failure> {
        refuse_encoding(request.headers())?;
        let content_type = ContentType::from_header(request.headers().get(CONTENT_TYPE))
            .ok_or_else(|| Failure::new(Code::BadValue, "A content type has at most 255 bytes."))?;
        let body = request.into_body();
        let room = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        let cell = content_type.begin(room.min(BUFFER_BYTES_START));
        let limit = Limit {
            bytes: app.config.cluster.value_bytes_max,
            code: Code::ValueTooLarge,
            time: app.config.limits.body_timeout,
        };
        read(body, cell, &limit)
            .await
            .map(|cell| Self(cell.freeze()))
    }
}

/// Octets of a shape that the route knows.
pub(crate) struct OctetsBody(pub(crate) Bytes);

impl<S: JsonLimit> FromRequest<S> for OctetsBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        refuse_encoding(request.headers())?;
        bounded(request, state).await.map(Self)
    }
}

async fn json_bytes(request: Request, state: &impl JsonLimit) -> Result<Bytes, Failure> {
    refuse_encoding(request.headers())?;
    let empty = request.body().is_end_stream();
    if !empty && !is_json(request.headers()) {
        return Err(Failure::new(
            Code::UnsupportedMediaType,
            "This route takes JSON: send it with Content-Type: application/json.",
        ));
    }
    bounded(request, state).await
}

async fn bounded(request: Request, state: &impl JsonLimit) -> Result<Bytes, Failure> {
    let (bytes, time) = state.json_limit();
    let limit = Limit {
        bytes,
        code: Code::BodyTooLarge,
        time,
    };
    read(request.into_body(), BytesMut::new(), &limit)
        .await
        .map(BytesMut::freeze)
}

fn refuse_encoding(headers: &HeaderMap) -> Result<(), Failure> {
    let plain = |value: &[u8]| value.eq_ignore_ascii_case(b"identity");
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if !plain(encoding.as_bytes()) => Err(Failure::new(
            Code::UnsupportedMediaType,
            "Bodies are taken as they are: send them without Content-Encoding.",
        )),
        _ => Ok(()),
    }
}

/// Whether the body is said to be JSON, or not said to be anything.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    essence == b"application/json"
        || essence.starts_with(b"application/") && essence.ends_with(b"+json")
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::new(
            Code::MalformedBody,
            format!("The body is not what this route takes: {error}."),
        )
    })
}

struct Limit {
    bytes: usize,
    code: Code,
    time: Duration,
}

impl Limit {
    fn exceeded(&self) -> Failure {
        let limit = self.bytes;
        Failure::new(
            self.code,
            format!("At most {limit} bytes are taken here. Split it up."),
        )
    }
}

/// Appends the body to what `start` has, up to a limit.
async fn read(body: Body, start: BytesMut, limit: &Limit) -> Result<BytesMut, Failure> {
    if body.size_hint().lower() > u64::try_from(limit.bytes).unwrap_or(u64::MAX) {
        return Err(limit.exceeded());
    }
    if body.is_end_stream() {
        return Ok(start);
    }
    let all = tokio::time::timeout(limit.time, append(body, start, limit)).await;
    all.unwrap_or_else(|_| {
        let seconds = limit.time.as_secs_f32();
        Err(Failure::new(
            Code::BodyTooSlow,
            format!("The body did not arrive within {seconds} seconds. Try again."),
        ))
    })
}

async fn append(body: Body, mut bytes: BytesMut, limit: &Limit) -> Result<BytesMut, Failure> {
    let start = bytes.len();
    let mut frames = body.into_data_stream();
    while let Some(frame) = frames.next().await {
        let frame = frame.ok().ok_or_else(|| {
            Failure::new(
                Code::BadRequest,
                "The body broke off. Send the request again.",
            )
        })?;
        let length = bytes
            .len()
            .saturating_sub(start)
            .saturating_add(frame.len());
        if length > limit.bytes {
            return Err(limit.exceeded());
        }
        bytes.extend_from_slice(&frame);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(content_type: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        is_json(&headers)
    }

    #[test]
    fn json_goes_by_several_names() {
        assert!(is_json(&HeaderMap::new()));
        assert!(json("application/json; charset=utf-8") && json("Application/JSON"));
        assert!(json("application/merge-patch+json"));
        assert!(!json("text/plain") && !json("application/x-www-form-urlencoded"));
    }
}
