//! A field's value as the body of an answer.

use axum::response::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use music_api::code::Code;
use music_api::header::STAMP;
use music_api::table::Written;
use music_core::id::Field;
use music_core::record::Record;
use music_core::stamp::Stamp;

use crate::http::convert;
use crate::http::envelope::StoredValue;
use crate::http::problem::Failure;
use crate::http::request::{Query, headers};
use crate::http::respond::{self, Answer};

const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
const STAMP_NAME: HeaderName = HeaderName::from_static(STAMP);

/// The field that `?field=` names; the default field if absent.
pub(crate) fn field(query: Query) -> Result<Field, Failure> {
    match query.only(&["field"])?.text("field")? {
        None => Ok(Field::DEFAULT),
        Some(name) => convert::field(name),
    }
}

/// The value of a field as it was put, or 304 where the client has it.
pub(crate) fn answer(record: &Record, field: &Field, request: &HeaderMap) -> Answer {
    let cell = record
        .cells()
        .find(|(name, _)| *name == field)
        .map(|(_, cell)| cell);
    let Some((stamp, value)) = cell.and_then(|cell| Some((cell.stamp, cell.value.as_ref()?)))
    else {
        return Err(absent(record, field));
    };
    let stored = StoredValue::open(value);
    let etag = etag(stamp, value);
    let unchanged = headers::none_match_names(request, &etag);
    let mut response = if unchanged {
        respond::empty(StatusCode::NOT_MODIFIED)
    } else {
        respond::with(StatusCode::OK, stored.body)
    };
    let headers = response.headers_mut();
    if !unchanged {
        headers.insert(CONTENT_TYPE, stored.content_type.to_header());
        if stored.content_type.is_active() {
            // What somebody put must not run as the node's own page would.
            respond::set(headers, "content-security-policy", "sandbox");
            respond::set(headers, "x-content-type-options", "nosniff");
        }
    }
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(STAMP_NAME, HeaderValue::from(stamp.get()));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(ETAG, etag);
    }
    Ok(response)
}

fn absent(record: &Record, field: &Field) -> Failure {
    let detail = match (record.exists(), field.as_str()) {
        (false, _) => {
            "The key has no value here. It may be on its way from another site.".to_owned()
        }
        (true, "") => {
            "The key has named fields only: ask for one with ?field=, or for all at …/fields."
                .to_owned()
        }
        (true, name) => format!("The key has no field \"{}\".", name.escape_debug()),
    };
    Failure::new(Code::NoValue, detail)
}

/// Names this value of this field. A critical stamp does so alone; two
/// eventual writes may share one.
fn etag(stamp: Stamp, value: &[u8]) -> String {
    let number = stamp.get();
    if stamp.is_critical() {
        return format!("\"{number:x}\"");
    }
    // FNV-1a over words: quick, and it only has to tell two values apart.
    let sum = value
        .chunks(8)
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, chunk| {
            let word = chunk
                .iter()
                .fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            (sum ^ word).wrapping_mul(0x0100_0000_01b3)
        });
    format!("\"{number:x}-{sum:x}\"")
}

/// The answer to a write: its stamp, in the body and as a header.
pub(crate) fn written(stamp: Stamp) -> Answer {
    let mut response = respond::ok(&Written { stamp: stamp.get() })?;
    response
        .headers_mut()
        .insert(STAMP_NAME, HeaderValue::from(stamp.get()));
    Ok(response)
}

/// A record with all its fields, with its stamp as a header too.
pub(crate) fn fields(key: &music_core::id::Key, record: &Record) -> Result<Response, Failure> {
    if !record.exists() {
        return Err(absent(record, &Field::DEFAULT));
    }
    let mut response = respond::ok(&convert::record(key, record))?;
    let stamp = record.stamp_max().map_or(0, Stamp::get);
    response
        .headers_mut()
        .insert(STAMP_NAME, HeaderValue::from(stamp));
    Ok(response)
}
