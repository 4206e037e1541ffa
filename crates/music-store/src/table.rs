//! Tables: named sets of keys, each with a mode.

use std::fmt;

use music_core::id::TableId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The longest table name, in bytes.
pub const TABLE_NAME_BYTES_MAX: usize = 64;

/// The table of the nodes' own records, such as their proofs of life: always
/// there, in no catalogue, and never dropped.
pub const SYSTEM_TABLE: TableId = TableId(0);

/// How the keys of a table may be written; fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TableMode {
    /// By the holder of the key's lock only.
    Critical,
    /// By anyone, at any one replica; the last writer wins.
    Eventual,
}

/// The name of a table: `a` to `z`, digits, `_`, `-` and `.`, the first a
/// letter, 1 to [`TABLE_NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName(#[serde(deserialize_with = "name")] String);

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = TableName::new(String::deserialize(deserializer)?);
    name.map(|TableName(name)| name).map_err(D::Error::custom)
}

impl TableName {
    /// Takes a name.
    ///
    /// # Errors
    /// Where it is not of the form above.
    pub fn new(name: impl Into<String>) -> Result<Self, TableNameError> {
        let name = name.into();
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
        let fits = name.len() <= TABLE_NAME_BYTES_MAX
            && name.bytes().all(allowed)
            && name
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_lowercase());
        if fits {
            Ok(Self(name))
        } else {
            Err(TableNameError)
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A table name of a form that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a table name has 1 to {TABLE_NAME_BYTES_MAX} characters of a-z, 0-9, _, - and ., \
     the first a letter"
)]
pub struct TableNameError;

/// A table of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Unique forever; a table created again under the same name has another.
    pub id: TableId,
    /// The name.
    pub name: TableName,
    /// The mode, fixed at creation.
    pub mode: TableMode,
}
