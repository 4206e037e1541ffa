//! Values as they are written and read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use music_api::name::{self, Value};
use serde::Serialize;

use crate::error::Invalid;

/// The content type of text.
pub const TEXT: &str = "text/plain; charset=utf-8";
/// The content type of JSON.
pub const JSON: &str = "application/json";
/// The content type of plain bytes.
pub const BYTES: &str = "application/octet-stream";

/// A value: bytes, and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The bytes.
    pub bytes: Bytes,
    /// What they are, as an HTTP content type; returned as it was stored.
    pub content_type: String,
}

impl Content {
    /// A value of any content type.
    pub fn new(bytes: impl Into<Bytes>, content_type: impl Into<String>) -> Self {
        Self {
            bytes: bytes.into(),
            content_type: content_type.into(),
        }
    }

    /// A value as JSON.
    ///
    /// # Errors
    /// Where it has no JSON.
    pub fn json(value: &impl Serialize) -> Result<Self, Invalid> {
        Ok(Self::new(
            serde_json::to_vec(value).map_err(Invalid::Json)?,
            JSON,
        ))
    }

    /// The value as JSON shapes have it.
    pub fn to_value(&self) -> Value {
        let kind = self
            .content_type
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        // What nests too deep would hide all of the document that it stands in.
        let json = || {
            let json = serde_json::from_slice(&self.bytes).ok();
            json.filter(name::is_shallow).map(Value::Json)
        };
        let text = || self.text().map(|text| Value::Text(text.to_owned()));
        let value = match kind {
            JSON => json(),
            "text/plain" => text(),
            _ => None,
        };
        value.unwrap_or_else(|| Value::Base64 {
            data: STANDARD.encode(&self.bytes),
            content_type: Some(self.content_type.clone()),
        })
    }

    /// A value that a JSON shape had.
    ///
    /// # Errors
    /// Where its base64 is not valid.
    pub fn from_value(value: Value) -> Result<Self, base64::DecodeError> {
        Ok(match value {
            Value::Json(json) => Self::new(json.to_string().into_bytes(), JSON),
            Value::Text(text) => text.into(),
            Value::Base64 { data, content_type } => {
                let content_type = content_type.unwrap_or_else(|| BYTES.to_owned());
                Self::new(STANDARD.decode(data)?, content_type)
            }
        })
    }

    /// The value as text, where it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec(), TEXT)
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes(), TEXT)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes, BYTES)
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::new(bytes, BYTES)
    }
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub content: Content,
    /// The stamp that orders the write it comes from.
    pub stamp: u64,
}
