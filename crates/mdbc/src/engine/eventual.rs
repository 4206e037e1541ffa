//! Rows of eventual tables, and which of two versions of one prevails.
//!
//! What travels is the whole row as a transaction has left it, or its deletion,
//! by primary key. Its *stamp* decides: the highest wins at every site, in
//! whatever order they come. Columns go by their numbers, which are never used
//! again, so that sites may differ in how much of the schema they have.
//!
//! Two versions are in *conflict* where neither writer had seen the other. A
//! clock never stays below a stamp that it has seen, so only the later one may
//! have seen the earlier: it did where both are of one site, where the letters
//! that its site had applied cover the earlier one's, or where, for one that
//! came by a log, the version that it replaced was that or a later one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::digest::DigestError;
use crate::outbox::Stamp;
use crate::types::Value;

/// The first byte of encoded rows.
const FORMAT: u8 = 1;

/// Rows of eventual tables, as one transaction has left them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    /// The version of the schema that they were written under: changes of the
    /// schema are counted alike at all sites.
    pub schema: i64,
    /// The last letter of each other site that the writer's database had applied.
    pub seen: BTreeMap<String, u64>,
    /// The rows, each once.
    pub rows: Vec<Row>,
}

/// What has become of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The table's object id.
    pub table: u32,
    /// The values of its primary key, in the key's order.
    pub key: Vec<Value>,
    /// The numbers and values of its columns, but for generated ones; none where
    /// it is deleted.
    pub values: Option<Vec<(i16, Value)>>,
    /// The stamp of the version that it replaced, where there was one.
    pub over: Option<Stamp>,
}

/// Rows with the stamp that they have everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Their stamp, with the writer's site.
    pub stamp: Stamp,
    /// The number of the letter that they came in, from 1; 0 for those that
    /// came in the log.
    pub sequence: u64,
    /// The rows.
    pub rows: Rows,
}

impl Rows {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows as bytes.
    ///
    /// # Errors
    ///
    /// [`DigestError::Unwritable`], which no rows are known to cause.
    pub fn encode(&self) -> Result<Vec<u8>, DigestError> {
        encode(self)
    }

    /// The rows that [`encode`](Self::encode) made into these bytes.
    ///
    /// # Errors
    ///
    /// When the bytes are none that it made.
    pub fn decode(bytes: &[u8]) -> Result<Self, DigestError> {
        decode(bytes)
    }
}

impl Stamped {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, DigestError> {
        encode(self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DigestError> {
        decode(bytes)
    }

    /// The version that one of the rows is.
    pub(crate) fn version(&self, row: &Row) -> Version {
        Version {
            stamp: self.stamp.clone(),
            sequence: self.sequence,
            seen: self.rows.seen.clone(),
            over: row.over.clone(),
        }
    }
}

fn encode(what: &impl Serialize) -> Result<Vec<u8>, DigestError> {
    let mut bytes = vec![FORMAT];
    bytes.extend(postcard::to_allocvec(what).map_err(DigestError::Unwritable)?);
    Ok(bytes)
}

fn decode<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, DigestError> {
    match bytes.split_first() {
        None => Err(DigestError::Empty),
        Some((&FORMAT, rest)) => postcard::from_bytes(rest).map_err(DigestError::Broken),
        Some((format, _)) => Err(DigestError::Format(*format)),
    }
}

/// Where a version of a row comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Version {
    pub(crate) stamp: Stamp,
    /// The number of its letter; 0 where it came by a log.
    pub(crate) sequence: u64,
    /// The letters that its writer's site had applied.
    pub(crate) seen: BTreeMap<String, u64>,
    /// The version that it replaced there.
    pub(crate) over: Option<Stamp>,
}

impl Version {
    /// Whether the writer of this version, which is the later one, had seen an
    /// earlier one.
    fn saw(&self, earlier: &Self) -> bool {
        let site = &earlier.stamp.site;
        if self.stamp.site == *site {
            return true;
        }
        let is_covered = match earlier.sequence {
            0 => false,
            sequence => self.seen.get(site).is_some_and(|seen| *seen >= sequence),
        };
        is_covered || (earlier.sequence == 0 && self.over.as_ref() >= Some(&earlier.stamp))
    }

    /// Whether neither writer had seen the other's version.
    pub(crate) fn is_in_conflict_with(&self, other: &Self) -> bool {
        let (later, earlier) = if self.stamp > other.stamp {
            (self, other)
        } else {
            (other, self)
        };
        !later.saw(earlier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(site: &str, at_us: u64, sequence: u64) -> Version {
        let stamp = Stamp {
            at_us,
            site: site.to_owned(),
        };
        Version {
            stamp,
            sequence,
            seen: BTreeMap::new(),
            over: None,
        }
    }

    #[test]
    fn a_writer_that_had_the_letter_is_in_no_conflict() {
        let earlier = version("ohio", 5, 3);
        let mut later = version("oregon", 9, 1);
        for (seen, is_conflict) in [(None, true), (Some(2), true), (Some(3), false)] {
            later.seen = seen
                .map(|seen| ("ohio".to_owned(), seen))
                .into_iter()
                .collect();
            assert_eq!(later.is_in_conflict_with(&earlier), is_conflict);
            assert_eq!(earlier.is_in_conflict_with(&later), is_conflict);
        }
        assert!(
            !version("ohio", 9, 4).is_in_conflict_with(&earlier),
            "a site saw what it wrote"
        );
    }

    #[test]
    fn a_writer_that_replaced_what_came_by_the_log_is_in_no_conflict() {
        let earlier = version("ohio", 5, 0);
        let mut later = version("oregon", 9, 1);
        later.seen = [("ohio".to_owned(), 7)].into();
        for (over, is_conflict) in [
            (None, true),
            (Some(4), true),
            (Some(5), false),
            (Some(6), false),
        ] {
            later.over = over.map(|at_us| Stamp {
                at_us,
                site: "ohio".to_owned(),
            });
            assert_eq!(later.is_in_conflict_with(&earlier), is_conflict);
        }
    }

    #[test]
    fn rows_go_both_ways() {
        let row = Row {
            table: 7,
            key: vec![Value::Integer(1)],
            values: Some(vec![(1, Value::Integer(1)), (3, Value::Null)]),
            over: Some(Stamp {
                at_us: 1,
                site: "ohio".to_owned(),
            }),
        };
        let rows = Rows {
            schema: 2,
            seen: [("ohio".to_owned(), 4)].into(),
            rows: vec![row],
        };
        assert_eq!(Rows::decode(&rows.encode().unwrap()).unwrap(), rows);
        assert!(matches!(Rows::decode(&[]), Err(DigestError::Empty)));
        assert!(matches!(Rows::decode(&[9]), Err(DigestError::Format(9))));
    }
}
