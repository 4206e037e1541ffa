//! What a transaction has done, to be done again elsewhere.

use serde::{Deserialize, Serialize};

use super::eventual::Rows;
use crate::catalog::schema::TableKind;
use crate::engine::postgres;
use crate::outbox::Stamp;
use crate::types::Value;

/// Bytes that the changes of one transaction may take.
pub(crate) const DIGEST_BYTES_MAX: usize = 64 << 20;
/// The first byte of an encoded digest.
const FORMAT: u8 = 3;

/// One change, as it was made. Tables are named by their object ids, which are
/// the same at all sites.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Change {
    /// A row is new: the values of all columns that are not generated.
    Insert {
        /// The table's object id.
        table: u32,
        /// The values.
        row: Vec<Value>,
    },
    /// A row has other values.
    Update {
        /// The table's object id.
        table: u32,
        /// The values before: of the primary key, and of what has changed.
        before: Vec<Option<Value>>,
        /// The values after, of what has changed.
        after: Vec<Option<Value>>,
    },
    /// A row is gone.
    Delete {
        /// The table's object id.
        table: u32,
        /// The values that it had.
        row: Vec<Value>,
    },
    /// The schema is another: the statement, to be run as it stands.
    Schema(String),
    /// A row of an eventual table is another, or gone. What it has become is
    /// read when the transaction is complete; in no log.
    Touch {
        /// The table's object id.
        table: u32,
        /// The values of its primary key.
        key: Vec<Value>,
    },
    /// A change of a database whose engine is PostgreSQL.
    Postgres(postgres::Change),
}

impl Change {
    /// Roughly how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let all = |values: &[Value]| -> usize { values.iter().map(Value::size).sum() };
        let some = |values: &[Option<Value>]| -> usize {
            values
                .iter()
                .map(|value| value.as_ref().map_or(1, Value::size))
                .sum()
        };
        match self {
            Self::Insert { row, .. } | Self::Delete { row, .. } => all(row),
            Self::Update { before, after, .. } => some(before) + some(after),
            Self::Schema(text) => text.len(),
            Self::Touch { key, .. } => all(key),
            Self::Postgres(change) => change.size(),
        }
    }

    /// The table whose row it changes; none for a change of the schema.
    pub fn table(&self) -> Option<u32> {
        match self {
            Self::Insert { table, .. }
            | Self::Update { table, .. }
            | Self::Delete { table, .. }
            | Self::Touch { table, .. } => Some(*table),
            Self::Schema(_) | Self::Postgres(_) => None,
        }
    }
}

/// What one transaction has done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Digest {
    /// The changes of the schema and of strong tables, in the order in which
    /// they were made.
    pub changes: Vec<Change>,
    /// What has become of rows in eventual tables.
    pub rows: Rows,
    /// Their stamp, once it is given.
    pub stamp: Option<Stamp>,
    /// What new tables are that do not say.
    pub default_kind: TableKind,
}

/// A digest that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// It was written by a version of mdbc that this one does not know.
    #[error("a digest has the format {0}, and this version of mdbc knows only {FORMAT}")]
    Format(u8),
    /// It is damaged, or none.
    #[error("a digest cannot be decoded")]
    Broken(#[source] postcard::Error),
    /// There is nothing in it.
    #[error("a digest is empty")]
    Empty,
    /// It cannot be written.
    #[error("a digest cannot be encoded")]
    Unwritable(#[source] postcard::Error),
}

impl Digest {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.rows.is_empty()
    }

    /// The digest as bytes.
    ///
    /// # Errors
    ///
    /// [`DigestError::Unwritable`], which no digest is known to cause.
    pub fn encode(&self) -> Result<Vec<u8>, DigestError> {
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_allocvec(self).map_err(DigestError::Unwritable)?);
        Ok(bytes)
    }

    /// The digest that [`encode`](Self::encode) made into these bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are none that it made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DigestError> {
        match bytes.split_first() {
            None => Err(DigestError::Empty),
            Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(DigestError::Broken),
            Some((format, _)) => Err(DigestError::Format(*format)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_goes_both_ways() {
        let row = vec![
            Value::Null,
            Value::Integer(-1),
            Value::Real(0.5),
            Value::Text("ä".into()),
            Value::Blob(vec![0]),
        ];
        let digest = Digest {
            changes: vec![
                Change::Insert {
                    table: 1,
                    row: row.clone(),
                },
                Change::Update {
                    table: 1,
                    before: vec![Some(Value::Null), None],
                    after: vec![None],
                },
                Change::Delete { table: 2, row },
                Change::Schema("create table t (id int primary key)".into()),
            ],
            default_kind: TableKind::Eventual,
            ..Digest::default()
        };
        assert_eq!(Digest::decode(&digest.encode().unwrap()).unwrap(), digest);
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        assert!(matches!(Digest::decode(&[]), Err(DigestError::Empty)));
        assert!(matches!(
            Digest::decode(&[9, 1]),
            Err(DigestError::Format(9))
        ));
        assert!(matches!(
            Digest::decode(&[FORMAT, 255, 255]),
            Err(DigestError::Broken(_))
        ));
    }
}
