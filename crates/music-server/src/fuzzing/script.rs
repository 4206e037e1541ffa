//! Requests in the bytes of an input.
//!
//! ```text
//! PUT /v1/tables/kv/keys/a
//! content-type: text/plain
//!
//! the body
//! %%
//! GET /v1/locks/$LOCK
//! ```
//!
//! `$LOCK` in a target is the lockRef that an answer before it had last. So
//! inputs are read and written by people as well as by a fuzzer, and reach
//! what only the holder of a lockRef can ask for.

use axum::body::Body;
use hyper::{Method, Request, Uri};

/// The most requests that an input is taken to have.
const REQUESTS_MAX: usize = 8;

/// Divides requests.
const DIVIDER: &[u8] = b"\n%%\n";

/// Stands for a lockRef.
const LOCK: &str = "$LOCK";

/// The requests of an input, each with its lines as they are.
pub(super) fn parts(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let (part, after) = divide(rest?, DIVIDER);
        rest = after;
        Some(part)
    })
    .take(REQUESTS_MAX)
}

/// The request that a part is; `None` where no server would be handed it,
/// because what reads its bytes from a connection refuses them.
pub(super) fn request(part: &[u8], lock: Option<&str>) -> Option<Request<Body>> {
    let (head, body) = divide(part, b"\n\n");
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, target) = divide(lines.next()?, b" ");
    let target = std::str::from_utf8(target?).ok()?;
    let target = target.replace(LOCK, lock.unwrap_or(LOCK));
    let body = body.unwrap_or_default();
    let mut request = Request::builder()
        .method(Method::from_bytes(method).ok()?)
        .uri(Uri::try_from(target).ok()?);
    for line in lines {
        let (name, value) = divide(line, b":");
        request = request.header(name, value?.trim_ascii());
    }
    let body = if body.is_empty() {
        Body::empty()
    } else {
        Body::from(body.to_vec())
    };
    request.body(body).ok()
}

/// What comes before the first `divider`, and what after it.
fn divide<'a>(bytes: &'a [u8], divider: &[u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let at = bytes
        .windows(divider.len())
        .position(|window| window == divider);
    let halves = at.and_then(|at| {
        let after = bytes.get(at.saturating_add(divider.len())..)?;
        Some((bytes.get(..at)?, after))
    });
    match halves {
        Some((before, after)) => (before, Some(after)),
        None => (bytes, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_written() {
        let input = b"PUT /v1/locks/$LOCK?a=b\nx-a: 1\n\none\n\ntwo\n%%\nGET /";
        let parts: Vec<_> = parts(input).collect();
        let [put, get] = parts.as_slice() else {
            panic!("{parts:?}")
        };
        let put = request(put, Some("L")).unwrap();
        assert_eq!(
            (put.method(), put.uri().path()),
            (&Method::PUT, "/v1/locks/L")
        );
        assert_eq!(put.headers()["x-a"], "1");
        assert!(request(get, None).is_some());
    }

    #[test]
    fn what_is_no_request_is_none() {
        for part in [&b""[..], b"GET", b"G T /", b"GET a b", b"GET /\nx"] {
            assert!(request(part, None).is_none(), "{}", part.escape_ascii());
        }
    }
}
