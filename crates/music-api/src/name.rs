//! Keys and values as JSON has them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// A key: a string, or `{"base64": "…"}` where its bytes are no UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Key {
    /// A key of UTF-8 text.
    Text(String),
    /// A key of any bytes.
    Bytes {
        /// The bytes in standard base64.
        base64: String,
    },
}

impl Key {
    /// The JSON form of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: STANDARD.encode(bytes),
            },
        }
    }

    /// The bytes of the key.
    ///
    /// # Errors
    /// Where the base64 is not valid.
    pub fn to_bytes(&self) -> Result<Vec<u8>, base64::DecodeError> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Bytes { base64 } => STANDARD.decode(base64),
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A key of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRef {
    /// The table's name.
    pub table: String,
    /// The key.
    pub key: Key,
}

/// A value: exactly one of `json`, `text` and `base64`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// JSON; its content type is `application/json`. Where more than 100
    /// arrays and objects lie in each other, an answer has it as base64.
    Json(serde_json::Value),
    /// Text; its content type is `text/plain; charset=utf-8`.
    Text(String),
    /// Any bytes in standard base64, of any content type.
    Base64 {
        /// The bytes.
        data: String,
        /// The content type, `application/octet-stream` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content_type: Option<String>,
    },
}

/// How deep arrays and objects of a value may lie in each other where it
/// stands as JSON in another document: readers refuse documents of more than
/// 127 or so, and one such value would hide all that stands beside it.
const JSON_DEPTH_MAX: usize = 100;

/// Whether JSON may stand in another document: whether at most 100 arrays and
/// objects lie in each other.
pub fn is_shallow(json: &serde_json::Value) -> bool {
    is_within(json, JSON_DEPTH_MAX)
}

fn is_within(json: &serde_json::Value, depth: usize) -> bool {
    let inner = |value| is_within(value, depth.saturating_sub(1));
    match json {
        serde_json::Value::Array(values) => depth > 0 && values.iter().all(inner),
        serde_json::Value::Object(entries) => depth > 0 && entries.values().all(inner),
        _ => true,
    }
}

/// The fields of a record; the default field has the empty name.
pub type Fields = BTreeMap<String, Value>;

/// Fields to write; `null` deletes a field.
pub type FieldChanges = BTreeMap<String, Option<Value>>;
