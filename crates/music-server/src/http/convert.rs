//! Between the API's shapes and the protocol's values.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hyper::header::HeaderValue;
use music_api::code::Code;
use music_api::lock::{FencingToken, Lock, LockMode, LockState};
use music_api::lock_ref::{KEYS_MAX, LockRef as LockRefText};
use music_api::name::{self, FieldChanges, KeyRef, Value};
use music_api::table::{self, Record as ApiRecord};
use music_client::Content;
use music_core::id::{Field, Key, Moves, RecordId, RequestId, TableId};
use music_core::lock_queue::Mode;
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::Lease;
use music_store::{Table, TableMode, TableName};

use crate::http::app::App;
use crate::http::envelope::{ContentType, StoredValue};
use crate::http::problem::Failure;
use crate::node::{self, Change, SectionRef, SectionView, State};

/// The most bytes that the keys of a set may have together: more would not
/// fit a lockRef string.
pub(crate) const KEY_SET_BYTES_MAX: usize = 8 * 1024;

/// The most fields that one write may change.
pub(crate) const FIELDS_MAX: usize = 256;

/// A table's name.
pub(crate) fn table_name(text: String) -> Result<TableName, Failure> {
    TableName::new(text)
        .map_err(|error| Failure::new(Code::BadTableName, format!("Not allowed: {error}.")))
}

/// A key of these bytes.
pub(crate) fn key(bytes: Vec<u8>) -> Result<Key, Failure> {
    Key::new(bytes).map_err(|error| {
        Failure::new(
            Code::BadKey,
            format!("Not allowed: {error}. Hash long keys, for instance."),
        )
    })
}

/// A key of a JSON body.
pub(crate) fn json_key(json: &name::Key) -> Result<Key, Failure> {
    let bytes = json.to_bytes().map_err(|error| {
        Failure::new(
            Code::BadKey,
            format!("The key's base64 is malformed: {error}."),
        )
    })?;
    key(bytes)
}

/// The key of an existing table that a JSON body names.
pub(crate) fn json_record(
    app: &App,
    table: &str,
    key: &name::Key,
) -> Result<(Table, RecordId), Failure> {
    let key = json_key(key)?;
    let table = app.node.table(&table_name(table.to_owned())?)?;
    Ok((
        table.clone(),
        RecordId {
            table: table.id,
            key,
        },
    ))
}

/// A field's name.
pub(crate) fn field(name: &str) -> Result<Field, Failure> {
    Field::new(name).map_err(|error| Failure::new(Code::BadField, format!("Not allowed: {error}.")))
}

/// The mode of a table, as the protocol has it.
pub(crate) fn table_mode(mode: table::TableMode) -> TableMode {
    match mode {
        table::TableMode::Critical => TableMode::Critical,
        table::TableMode::Eventual => TableMode::Eventual,
    }
}

/// A table, as the API has it.
pub(crate) fn api_table(table: &Table) -> table::Table {
    table::Table {
        name: table.name.to_string(),
        mode: match table.mode {
            TableMode::Critical => table::TableMode::Critical,
            TableMode::Eventual => table::TableMode::Eventual,
        },
    }
}

/// The cell that keeps a value of a JSON body.
pub(crate) fn cell(value: &Value, value_bytes_max: usize) -> Result<Bytes, Failure> {
    let stored = stored(value)?;
    if stored.body.len() > value_bytes_max {
        return Err(Failure::new(
            Code::ValueTooLarge,
            format!("A value has at most {value_bytes_max} bytes. Split it up."),
        ));
    }
    Ok(stored.seal())
}

fn stored(value: &Value) -> Result<StoredValue, Failure> {
    Ok(match value {
        Value::Json(json) => StoredValue {
            content_type: ContentType::Json,
            body: json.to_string().into(),
        },
        Value::Text(text) => StoredValue {
            content_type: ContentType::Text,
            body: text.clone().into(),
        },
        Value::Base64 { data, content_type } => {
            let body = STANDARD.decode(data).map_err(|error| {
                Failure::new(
                    Code::BadValue,
                    format!("A value's base64 is malformed: {error}."),
                )
            })?;
            let header = content_type
                .as_deref()
                .map(HeaderValue::from_str)
                .transpose();
            let content_type = header
                .ok()
                .and_then(|header| ContentType::from_header(header.as_ref()));
            let content_type = content_type.ok_or_else(|| {
                Failure::new(
                    Code::BadValue,
                    "A content type has at most 255 visible characters.",
                )
            })?;
            StoredValue {
                content_type,
                body: body.into(),
            }
        }
    })
}

/// A value of a JSON body as the client library has it.
pub(crate) fn content(value: &Value, value_bytes_max: usize) -> Result<Content, Failure> {
    let StoredValue { content_type, body } = StoredValue::open(&cell(value, value_bytes_max)?);
    let content_type = content_type.to_header();
    let content_type = String::from_utf8_lossy(content_type.as_bytes());
    Ok(Content::new(body, content_type))
}

/// A value of the client library as JSON has it.
pub(crate) fn content_value(content: &Content) -> Value {
    let header = HeaderValue::from_str(&content.content_type).ok();
    let content_type = ContentType::from_header(header.as_ref());
    let stored = StoredValue {
        content_type: content_type.unwrap_or(ContentType::Octets),
        body: content.bytes.clone(),
    };
    value(&stored.seal())
}

/// What a cell holds, as JSON has it.
pub(crate) fn value(cell: &Bytes) -> Value {
    let StoredValue { content_type, body } = StoredValue::open(cell);
    let readable = match content_type {
        ContentType::Json => serde_json::from_slice(&body)
            .ok()
            .filter(name::is_shallow)
            .map(Value::Json),
        ContentType::Text => String::from_utf8(body.to_vec()).ok().map(Value::Text),
        ContentType::Octets | ContentType::Other(_) => None,
    };
    readable.unwrap_or_else(|| Value::Base64 {
        data: STANDARD.encode(&body),
        content_type: (content_type != ContentType::Octets)
            .then(|| String::from_utf8_lossy(content_type.to_header().as_bytes()).into_owned()),
    })
}

/// Whether the value of a cell is the one expected: JSON is compared as JSON,
/// the rest as bytes, its content type only where `expected` has one.
pub(crate) fn equals(cell: Option<&Bytes>, expected: Option<&Value>) -> Result<bool, Failure> {
    let (cell, expected) = match (cell, expected) {
        (None, None) => return Ok(true),
        (Some(cell), Some(expected)) => (StoredValue::open(cell), expected),
        _ => return Ok(false),
    };
    if let Value::Json(json) = expected {
        let held = serde_json::from_slice::<serde_json::Value>(&cell.body);
        return Ok(held.is_ok_and(|held| held == *json));
    }
    let typed = matches!(
        expected,
        Value::Base64 {
            content_type: Some(_),
            ..
        }
    );
    let expected = stored(expected)?;
    let same_type = !typed || expected.content_type == cell.content_type;
    Ok(expected.body == cell.body && same_type)
}

/// The change that writes some fields of a JSON body together.
pub(crate) fn change(fields: &FieldChanges, value_bytes_max: usize) -> Result<Change, Failure> {
    if fields.is_empty() || fields.len() > FIELDS_MAX {
        return Err(Failure::new(
            Code::BadField,
            format!("A write names 1 to {FIELDS_MAX} fields. Delete the key to delete them all."),
        ));
    }
    let cells = fields.iter().map(|(name, value)| {
        let value = value
            .as_ref()
            .map(|value| cell(value, value_bytes_max))
            .transpose()?;
        Ok((field(name)?, value))
    });
    cells.collect::<Result<_, Failure>>().map(Change::Fields)
}

/// A record, as JSON has it.
pub(crate) fn record(key: &Key, record: &Record) -> ApiRecord {
    let fields = record
        .fields()
        .map(|(field, _, cell)| (field.as_str().to_owned(), value(cell)));
    ApiRecord {
        key: name::Key::from_bytes(key.as_bytes()),
        fields: fields.collect(),
        stamp: record.stamp_max().map_or(0, Stamp::get),
    }
}

/// A key set of a JSON body, in sorted order; all tables exist and are
/// critical.
pub(crate) fn key_set(app: &App, keys: &[KeyRef]) -> Result<Vec<RecordId>, Failure> {
    let bad = |detail: String| Failure::new(Code::BadKeySet, detail);
    if keys.is_empty() || keys.len() > KEYS_MAX {
        return Err(bad(format!("A lockRef covers 1 to {KEYS_MAX} keys.")));
    }
    let mut ids = Vec::with_capacity(keys.len());
    for KeyRef { table, key } in keys {
        let (table, id) = json_record(app, table, key)?;
        if table.mode != TableMode::Critical {
            return Err(node::Error::WrongMode { mode: table.mode }.into());
        }
        ids.push(id);
    }
    ids.sort_unstable();
    if let Some([twice, _]) = ids.array_windows().find(|[a, b]| a == b) {
        let key = twice.key.as_bytes().escape_ascii();
        return Err(bad(format!(
            "The key \"{key}\" is there twice: name each once."
        )));
    }
    let bytes = ids.iter().map(|id| id.key.as_bytes().len()).sum::<usize>();
    if bytes > KEY_SET_BYTES_MAX {
        return Err(bad(format!(
            "The keys of a lockRef have at most {KEY_SET_BYTES_MAX} bytes together, these have \
             {bytes}."
        )));
    }
    Ok(ids)
}

/// Exclusive or shared, as the protocol has it.
pub(crate) fn mode(mode: LockMode) -> Mode {
    match mode {
        LockMode::Exclusive => Mode::Exclusive,
        LockMode::Shared => Mode::Shared,
    }
}

/// Exclusive or shared, as the API has it.
pub(crate) fn api_mode(mode: Mode) -> LockMode {
    match mode {
        Mode::Exclusive => LockMode::Exclusive,
        Mode::Shared => LockMode::Shared,
    }
}

/// The lockRef string of a section.
pub(crate) fn lock_ref(section: &SectionRef) -> String {
    let keys = section
        .keys
        .iter()
        .map(|id| (id.table.0, id.key.as_bytes().to_vec()));
    LockRefText {
        request: section.request.0,
        mode: api_mode(section.mode),
        lease_ms: millis(section.lease),
        keys: keys.collect(),
    }
    .encode()
}

fn millis(lease: Lease) -> u64 {
    u64::try_from(lease.get().as_millis()).unwrap_or(u64::MAX)
}

/// The section that a lockRef string names.
pub(crate) fn section(text: &str) -> Result<SectionRef, Failure> {
    let malformed = || {
        Failure::new(
            Code::MalformedLockRef,
            "This is no lockRef: use the string exactly as POST /v1/locks returned it.",
        )
    };
    let decoded = LockRefText::decode(text).ok().ok_or_else(malformed)?;
    let keys = decoded.keys.into_iter().map(|(table, key)| {
        let key = Key::new(key).ok()?;
        Some(RecordId {
            table: TableId(table),
            key,
        })
    });
    let lease = Lease::new(Duration::from_millis(decoded.lease_ms));
    Ok(SectionRef {
        request: RequestId(decoded.request),
        keys: keys.collect::<Option<_>>().ok_or_else(malformed)?,
        mode: mode(decoded.mode),
        lease: lease.ok_or_else(malformed)?,
        moves: Moves::default(),
    })
}

/// A section and where it stands, as the API has it.
pub(crate) fn lock(app: &App, text: String, section: &SectionRef, view: &SectionView) -> Lock {
    Lock {
        lock_ref: text,
        state: match view.state {
            State::Waiting => LockState::Waiting,
            State::Granted => LockState::Granted,
            State::Lost(_) => LockState::Lost,
            State::Released => LockState::Released,
        },
        tokens: tokens(app, view),
        lease_ms: millis(section.lease),
        site: app.config.site.clone(),
    }
}

/// The fencing tokens of a section; a key whose table was dropped has none.
pub(crate) fn tokens(app: &App, view: &SectionView) -> Vec<FencingToken> {
    let token = |(id, token): &(RecordId, music_core::lock_ref::FencingToken)| {
        let table = app.node.table_by_id(id.table).ok()?.name.to_string();
        let key = name::Key::from_bytes(id.key.as_bytes());
        Some(FencingToken {
            key: KeyRef { table, key },
            token: token.get(),
        })
    };
    view.tokens.iter().filter_map(token).collect()
}

/// The cursor of a list whose last entry was this.
pub(crate) fn cursor(last: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// The last entry before a cursor.
pub(crate) fn after(cursor: &str) -> Result<Vec<u8>, Failure> {
    URL_SAFE_NO_PAD.decode(cursor).ok().ok_or_else(bad_cursor)
}

/// A cursor that no list gave out.
pub(crate) fn bad_cursor() -> Failure {
    Failure::new(
        Code::BadCursor,
        "This is no cursor of this list: use the one of the page before, or none.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    #[test]
    fn values_come_back_as_they_were() {
        let bytes = |content_type: Option<&str>| Value::Base64 {
            data: "AP8=".to_owned(),
            content_type: content_type.map(str::to_owned),
        };
        let values = [
            Value::Json(serde_json::json!({ "a": [1, null, "é"] })),
            Value::Text("é\n".to_owned()),
            bytes(None),
            bytes(Some("image/png")),
        ];
        for original in values {
            let cell = cell(&original, MAX).unwrap();
            assert_eq!(value(&cell), original);
            assert!(equals(Some(&cell), Some(&original)).unwrap());
            assert!(!equals(None, Some(&original)).unwrap());
        }
    }

    #[test]
    fn json_is_compared_as_json_and_bytes_as_bytes() {
        let stored = |content_type, body: &'static str| {
            StoredValue {
                content_type,
                body: body.into(),
            }
            .seal()
        };
        let spaced = stored(ContentType::Octets, "{ \"b\": 1, \"a\": 2 }");
        let expected = Value::Json(serde_json::json!({ "a": 2, "b": 1 }));
        assert!(equals(Some(&spaced), Some(&expected)).unwrap());
        let text = Value::Text("on".to_owned());
        assert!(equals(Some(&stored(ContentType::Octets, "on")), Some(&text)).unwrap());
        assert!(!equals(Some(&stored(ContentType::Text, "off")), Some(&text)).unwrap());
    }

    #[test]
    fn what_does_not_say_json_truly_is_given_as_bytes() {
        let cell = StoredValue {
            content_type: ContentType::Json,
            body: "{".into(),
        }
        .seal();
        let expected = Value::Base64 {
            data: "ew==".to_owned(),
            content_type: Some("application/json".to_owned()),
        };
        assert_eq!(value(&cell), expected);
    }

    #[test]
    fn json_that_would_make_its_answer_too_deep_to_read_is_given_as_bytes() {
        let nested = |depth: usize| {
            let body = format!("{}1{}", "[{\"a\":".repeat(depth), "}]".repeat(depth));
            let (content_type, body) = (ContentType::Json, body.into());
            value(&StoredValue { content_type, body }.seal())
        };
        assert!(matches!(nested(50), Value::Json(_)));
        for depth in [51, 60, 200] {
            assert!(matches!(nested(depth), Value::Base64 { .. }), "{depth}");
        }
    }

    #[test]
    fn values_beyond_the_limit_and_malformed_ones_are_refused() {
        let code = |value: &Value, max| cell(value, max).unwrap_err().code();
        assert_eq!(
            code(&Value::Text("four".to_owned()), 3),
            Code::ValueTooLarge
        );
        let base64 = |data: &str, content_type: &str| Value::Base64 {
            data: data.to_owned(),
            content_type: Some(content_type.to_owned()),
        };
        assert_eq!(code(&base64("?", "a/b"), MAX), Code::BadValue);
        assert_eq!(code(&base64("", "a\nb"), MAX), Code::BadValue);
    }
}
