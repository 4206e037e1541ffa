//! Names of records and of fields, and how a URL carries them.

use bytes::Bytes;
use music_api::name::{Key, KeyRef};

use crate::error::Invalid;

/// A key of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The table's name.
    pub table: String,
    /// The key: any bytes, 1 to 1024.
    pub key: Bytes,
}

impl RecordKey {
    /// Names a record.
    pub fn new(table: impl Into<String>, key: impl Into<Bytes>) -> Self {
        Self {
            table: table.into(),
            key: key.into(),
        }
    }

    /// The name as JSON has it.
    pub(crate) fn to_api(&self) -> KeyRef {
        KeyRef {
            table: self.table.clone(),
            key: Key::from_bytes(&self.key),
        }
    }

    /// `/tables/{table}/keys/{key}`.
    pub(crate) fn path(&self) -> Result<String, Invalid> {
        let table = segment(self.table.as_bytes())?;
        Ok(format!("/tables/{table}/keys/{}", segment(&self.key)?))
    }
}

impl From<(&str, &str)> for RecordKey {
    fn from((table, key): (&str, &str)) -> Self {
        Self::new(table, key.as_bytes().to_vec())
    }
}

impl From<(&str, &String)> for RecordKey {
    fn from((table, key): (&str, &String)) -> Self {
        Self::new(table, key.as_bytes().to_vec())
    }
}

impl From<(&str, &[u8])> for RecordKey {
    fn from((table, key): (&str, &[u8])) -> Self {
        Self::new(table, key.to_vec())
    }
}

impl From<&RecordKey> for RecordKey {
    fn from(key: &RecordKey) -> Self {
        key.clone()
    }
}

/// One value's place: a field of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// The record.
    pub record: RecordKey,
    /// The field; the default field has the empty name.
    pub field: String,
}

impl From<(&str, &str, &str)> for Cell {
    fn from((table, key, field): (&str, &str, &str)) -> Self {
        Self {
            record: (table, key).into(),
            field: field.to_owned(),
        }
    }
}

impl<T: Into<RecordKey>> From<T> for Cell {
    fn from(record: T) -> Self {
        Self {
            record: record.into(),
            field: String::new(),
        }
    }
}

/// Bytes as one segment of a URL's path.
pub(crate) fn segment(bytes: &[u8]) -> Result<String, Invalid> {
    // Of these three, URL parsers make other paths, percent-encoded or not.
    if matches!(bytes, b"" | b"." | b"..") {
        return Err(Invalid::PathSegment(
            String::from_utf8_lossy(bytes).into_owned(),
        ));
    }
    Ok(percent_encode(bytes))
}

/// Bytes as part of a URL: all but RFC 3986's unreserved ones encoded.
pub(crate) fn percent_encode(bytes: &[u8]) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or('0');
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_with_slashes_is_one_segment() {
        let key = RecordKey::from(("a b", "x/y?z#ü"));
        assert_eq!(key.path().unwrap(), "/tables/a%20b/keys/x%2Fy%3Fz%23%C3%BC");
    }

    #[test]
    fn what_a_url_cannot_carry_is_refused() {
        for key in ["", ".", ".."] {
            assert!(RecordKey::from(("t", key)).path().is_err());
        }
    }

    proptest! {
        #[test]
        fn a_url_parser_leaves_a_segment_as_it_is(
            key in proptest::collection::vec(any::<u8>(), 1..64),
        ) {
            let Ok(text) = segment(&key) else { return Ok(()) };
            let url = reqwest::Url::parse(&format!("http://h/a/{text}/z")).unwrap();
            prop_assert_eq!(url.path(), format!("/a/{text}/z"));
        }
    }
}
