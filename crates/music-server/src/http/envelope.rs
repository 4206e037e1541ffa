//! How a value and its content type are kept in one cell.
//!
//! ```text
//!   tag 0     application/octet-stream    | body …
//!   tag 1     application/json            | body …
//!   tag 2     text/plain; charset=utf-8   | body …
//!   tag 255   another: its length (1 byte), its name | body …
//! ```
//!
//! The body comes last, so that it leaves as a slice of the cell, uncopied. A
//! cell that is no envelope, as another program may have written it, is
//! octets from its first byte on.

use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::HeaderValue;

const TAG_OTHER: u8 = 255;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// The content type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContentType {
    /// `application/octet-stream`, and what came without a type.
    Octets,
    /// `application/json`.
    Json,
    /// `text/plain; charset=utf-8`.
    Text,
    /// Another, of 1 to 255 bytes.
    Other(HeaderValue),
}

impl ContentType {
    /// Takes a header's value; `None` where it is longer than 255 bytes.
    pub(crate) fn from_header(value: Option<&HeaderValue>) -> Option<Self> {
        let Some(value) = value else {
            return Some(Self::Octets);
        };
        Some(match value.as_bytes() {
            b"" => Self::Octets,
            bytes if bytes == OCTETS.as_bytes() => Self::Octets,
            bytes if bytes == JSON.as_bytes() => Self::Json,
            bytes if bytes == TEXT.as_bytes() => Self::Text,
            bytes if bytes.len() > usize::from(u8::MAX) => return None,
            _ => Self::Other(value.clone()),
        })
    }

    /// The header's value.
    pub(crate) fn to_header(&self) -> HeaderValue {
        match self {
            Self::Octets => OCTETS,
            Self::Json => JSON,
            Self::Text => TEXT,
            Self::Other(value) => value.clone(),
        }
    }

    /// Whether a browser might run what a value of this type says.
    pub(crate) fn is_active(&self) -> bool {
        let Self::Other(value) = self else {
            return false;
        };
        let value = value.as_bytes().to_ascii_lowercase();
        let contains = |part: &[u8]| value.windows(part.len()).any(|window| window == part);
        contains(b"html") || contains(b"xml") || contains(b"svg")
    }

    /// Begins an envelope, to which `capacity` bytes of body are appended.
    pub(crate) fn begin(&self, capacity: usize) -> BytesMut {
        let mut cell = BytesMut::with_capacity(capacity.saturating_add(self.overhead()));
        match self {
            Self::Octets => cell.put_u8(0),
            Self::Json => cell.put_u8(1),
            Self::Text => cell.put_u8(2),
            Self::Other(value) => {
                cell.put_u8(TAG_OTHER);
                cell.put_u8(u8::try_from(value.len()).unwrap_or(u8::MAX));
                cell.put_slice(value.as_bytes());
            }
        }
        cell
    }

    /// How many bytes of an envelope come before the body.
    pub(crate) fn overhead(&self) -> usize {
        match self {
            Self::Octets | Self::Json | Self::Text => 1,
            Self::Other(value) => value.len().saturating_add(2),
        }
    }
}

/// What a cell holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredValue {
    /// The type of the body.
    pub(crate) content_type: ContentType,
    /// The body, as it was put.
    pub(crate) body: Bytes,
}

impl StoredValue {
    /// Opens a cell.
    pub(crate) fn open(cell: &Bytes) -> Self {
        let rest = |from: usize| cell.slice(from.min(cell.len())..);
        let simple = |content_type| Self {
            content_type,
            body: rest(1),
        };
        match cell.first() {
            Some(0) => simple(ContentType::Octets),
            Some(1) => simple(ContentType::Json),
            Some(2) => simple(ContentType::Text),
            Some(&TAG_OTHER) => Self::open_other(cell).unwrap_or_else(|| Self::raw(cell)),
            _ => Self::raw(cell),
        }
    }

    fn open_other(cell: &Bytes) -> Option<Self> {
        let length = usize::from(*cell.get(1).filter(|length| **length > 0)?);
        let end = length.checked_add(2)?;
        let content_type = ContentType::Other(HeaderValue::from_bytes(cell.get(2..end)?).ok()?);
        Some(Self {
            content_type,
            body: cell.slice(end..),
        })
    }

    fn raw(cell: &Bytes) -> Self {
        Self {
            content_type: ContentType::Octets,
            body: cell.clone(),
        }
    }

    /// The cell.
    pub(crate) fn seal(&self) -> Bytes {
        let mut cell = self.content_type.begin(self.body.len());
        cell.put_slice(&self.body);
        cell.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_sealed_is_opened(
            content_type in "[ -~]{0,255}",
            body in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let header = HeaderValue::from_str(&content_type).unwrap();
            let content_type = ContentType::from_header(Some(&header)).unwrap();
            let value = StoredValue { content_type, body: body.into() };
            let cell = value.seal();
            prop_assert_eq!(cell.len(), value.content_type.overhead() + value.body.len());
            prop_assert_eq!(StoredValue::open(&cell), value);
        }

        #[test]
        fn any_cell_opens(cell in proptest::collection::vec(any::<u8>(), 0..300)) {
            let value = StoredValue::open(&cell.into());
            prop_assert!(!value.content_type.to_header().is_empty());
        }
    }

    #[test]
    fn a_type_of_256_bytes_is_refused() {
        let header = HeaderValue::from_str(&"a".repeat(256)).unwrap();
        assert_eq!(ContentType::from_header(Some(&header)), None);
    }

    #[test]
    fn what_a_browser_might_run_is_known() {
        let active = |text| {
            let header = HeaderValue::from_static(text);
            ContentType::from_header(Some(&header)).unwrap().is_active()
        };
        assert!(active("text/HTML; charset=utf-8") && active("image/svg+xml"));
        assert!(!active("application/json") && !active("image/png"));
    }
}
