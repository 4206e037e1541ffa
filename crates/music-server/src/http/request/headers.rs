//! The headers that mean something here.

use axum::extract::FromRequestParts;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use music_api::code::Code;
use music_api::header::{IDEMPOTENCY_KEY, IDEMPOTENCY_KEY_BYTES_MAX, MOVES};
use music_core::id::{IdempotencyKey, Moves};

use crate::http::problem::Failure;

/// The request's idempotency key, where it has one.
///
/// Clients choose any string; it is known by its 128-bit hash from here on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idempotency(pub(crate) Option<IdempotencyKey>);

impl<S: Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY) else {
            return Ok(Self(None));
        };
        if value.is_empty() || value.len() > IDEMPOTENCY_KEY_BYTES_MAX {
            return Err(Failure::new(
                Code::BadIdempotencyKey,
                format!(
                    "An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes. Use a UUID."
                ),
            ));
        }
        Ok(Self(Some(IdempotencyKey(hash(SEED, value.as_bytes())))))
    }
}

impl Idempotency {
    /// The key of one step of the request.
    pub(crate) fn step(self, number: usize) -> Option<IdempotencyKey> {
        let IdempotencyKey(key) = self.0?;
        Some(IdempotencyKey(hash(
            hash(SEED, &key.to_be_bytes()),
            &number.to_be_bytes(),
        )))
    }
}

const SEED: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a with 128 bits: clients choose keys that differ, and harm only
/// themselves with two that collide.
fn hash(seed: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

/// How often the client has moved its section, where it says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MovesHeader(pub(crate) Moves);

impl<S: Sync> FromRequestParts<S> for MovesHeader {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get(MOVES) else {
            return Ok(Self(Moves::default()));
        };
        let number = value.to_str().ok().and_then(|text| text.parse().ok());
        let number = number.filter(|number| *number < Moves::OF_NODE.0);
        let number = number.ok_or_else(|| {
            Failure::new(
                Code::BadRequest,
                format!("{MOVES} is a whole number: how often the section has moved."),
            )
        })?;
        Ok(Self(Moves(number)))
    }
}

/// What a write says about itself; one with conditions is refused, for it
/// would be deceived.
pub(crate) struct Write {
    /// Its name.
    pub(crate) key: Option<IdempotencyKey>,
}

const CONDITIONS: [HeaderName; 5] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
];

impl<S: Sync> FromRequestParts<S> for Write {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        if let Some(name) = CONDITIONS
            .iter()
            .find(|name| parts.headers.contains_key(*name))
        {
            return Err(Failure::new(
                Code::ConditionUnsupported,
                format!(
                    "Writes take no `{name}`: without a lock a condition holds at one replica \
                     only. Compare and put with POST /v1/run, on a critical table."
                ),
            ));
        }
        let Idempotency(key) = Idempotency::from_request_parts(parts, state).await?;
        Ok(Self { key })
    }
}

/// Whether `If-None-Match` names the value that the client would be sent.
pub(crate) fn none_match_names(headers: &HeaderMap, etag: &str) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter();
    tags.filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_keys_of_their_own() {
        let request = Idempotency(Some(IdempotencyKey(7)));
        let keys: std::collections::BTreeSet<_> = (0..100).map(|n| request.step(n)).collect();
        assert_eq!(keys.len(), 100);
        assert_eq!(
            request.step(3),
            Idempotency(Some(IdempotencyKey(7))).step(3)
        );
        assert_eq!(Idempotency(None).step(3), None);
    }

    #[test]
    fn if_none_match_is_a_list() {
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, "\"a\", W/\"b\"".parse().unwrap());
        assert!(none_match_names(&headers, "\"b\""));
        assert!(!none_match_names(&headers, "\"c\""));
        headers.insert(header::IF_NONE_MATCH, "*".parse().unwrap());
        assert!(none_match_names(&headers, "\"c\""));
    }
}
