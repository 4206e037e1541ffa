//! Identifiers: who and what the protocol speaks of.

use alloc::string::String;
use core::fmt;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest field name, in bytes.
pub const FIELD_BYTES_MAX: usize = 255;

/// A copy of the state; in the embedded engine, the index of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplicaId(pub u8);

/// A table, unique forever: a table dropped and created again gets another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableId(pub u64);

/// One life of a node. A node whose lease ran out takes a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub u128);

/// A client's request for one critical section; kept in each of its tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u128);

/// How often a client had moved its section from one node to another when it
/// asked a node to keep it. What was asked of a node before the last move is
/// late, and takes nothing.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Moves(pub u64);

impl Moves {
    /// Those of a ticket that its node has for itself: more than any client has.
    pub const OF_NODE: Self = Self(u64::MAX);
}

/// What a client calls a changing request, so that a retry is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey(pub u128);

/// The name of a key within its table: any bytes, 1 to [`KEY_BYTES_MAX`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key(#[serde(deserialize_with = "key")] Bytes);

fn key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let key = Key::new(Bytes::deserialize(deserializer)?);
    key.map(|Key(name)| name).map_err(D::Error::custom)
}

impl Key {
    /// Takes a key's name.
    ///
    /// # Errors
    /// The length, where it is not 1 to [`KEY_BYTES_MAX`] bytes.
    pub fn new(name: impl Into<Bytes>) -> Result<Self, KeyLengthError> {
        let name = name.into();
        if name.is_empty() || name.len() > KEY_BYTES_MAX {
            return Err(KeyLengthError { bytes: name.len() });
        }
        Ok(Self(name))
    }

    /// The bytes of the name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A key of a length that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has 1 to {KEY_BYTES_MAX} bytes, this one has {bytes}")]
pub struct KeyLengthError {
    /// The length of the refused key, in bytes.
    pub bytes: usize,
}

/// A named field of a key; the empty name is the default field.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Field(#[serde(deserialize_with = "field")] String);

fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let field = Field::new(String::deserialize(deserializer)?);
    field.map(|Field(name)| name).map_err(D::Error::custom)
}

impl Field {
    /// The field of plain key-value use.
    pub const DEFAULT: Self = Self(String::new());

    /// Takes a field's name; empty means the default field.
    ///
    /// # Errors
    /// The length, where it is above [`FIELD_BYTES_MAX`] bytes.
    pub fn new(name: impl Into<String>) -> Result<Self, FieldLengthError> {
        let name = name.into();
        if name.len() > FIELD_BYTES_MAX {
            return Err(FieldLengthError { bytes: name.len() });
        }
        Ok(Self(name))
    }

    /// The name; empty for the default field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A field name that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a field name has at most {FIELD_BYTES_MAX} bytes, this one has {bytes}")]
pub struct FieldLengthError {
    /// The length of the refused name, in bytes.
    pub bytes: usize,
}

/// A key of a table: what is locked, and what is replicated as one record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// The table.
    pub table: TableId,
    /// The key within the table.
    pub key: Key,
}
