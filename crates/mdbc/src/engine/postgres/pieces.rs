//! What a copy of a database is made of, in this order: the changes of its schema, and
//! then tables, each with its rows behind it. First those of mdbc's own that tell which
//! entries are in it.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::digest::{Name, Statement, statement};
use crate::error::{Result, SqlError, state};

/// The bytes of rows in a piece, at most.
pub(super) const ROWS_BYTES: usize = 256 << 10;

/// Tables of mdbc's own that are copied.
pub(super) const OWN: [&str; 2] = ["positions", "own"];

/// What a copy is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The version of the server, as it numbers itself.
    pub server: i32,
    /// How many sites there may be.
    pub sites_max: u16,
    /// How many changes of the schema there were.
    pub changes: i64,
}

/// A table of mdbc's own.
pub(super) fn own(relation: &str) -> Name {
    Name {
        schema: "mdbc_internal".to_owned(),
        relation: relation.to_owned(),
    }
}

/// The table whose rows follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Heading {
    pub(super) table: Name,
    /// Its columns in quotes, in the order of the values.
    pub(super) columns: Vec<String>,
}

impl Heading {
    /// What copies the rows in or out.
    pub(super) fn copy(&self, direction: &str) -> String {
        let columns = self.columns.join(", ");
        format!("COPY {} ({columns}) {direction}", self.table.quoted())
    }
}

/// A piece of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The next change of the schema.
    Change(Statement),
    Table(Heading),
    /// Some of the table's rows, as `COPY` writes them; cut anywhere.
    Rows(Bytes),
}

const CHANGE: u8 = b'c';
const TABLE: u8 = b't';
const ROWS: u8 = b'r';

fn tagged(tag: u8, bytes: &[u8]) -> Bytes {
    let mut piece = BytesMut::with_capacity(bytes.len().saturating_add(1));
    piece.put_u8(tag);
    piece.put_slice(bytes);
    piece.freeze()
}

impl Piece {
    /// A change of the schema, as it is noted.
    pub(super) fn of_change(text: &str) -> Bytes {
        tagged(CHANGE, text.as_bytes())
    }

    pub(super) fn of_table(heading: &Heading) -> Result<Bytes> {
        let heading = serde_json::to_vec(heading).map_err(SqlError::internal)?;
        Ok(tagged(TABLE, &heading))
    }

    pub(super) fn of_rows(rows: &[u8]) -> Bytes {
        tagged(ROWS, rows)
    }

    /// A piece that was made so.
    pub(super) fn read(mut bytes: Bytes) -> Result<Self> {
        let body = bytes.split_off(bytes.len().min(1));
        match bytes.first() {
            Some(&CHANGE) => {
                let text = std::str::from_utf8(&body).map_err(damaged)?;
                statement(text).map(Self::Change).map_err(damaged)
            }
            Some(&TABLE) => serde_json::from_slice(&body)
                .map(Self::Table)
                .map_err(damaged),
            Some(&ROWS) => Ok(Self::Rows(body)),
            _ => Err(damaged("a piece that there is not")),
        }
    }
}

/// What is said of a copy that is none.
pub(super) fn damaged(reason: impl std::fmt::Display) -> SqlError {
    SqlError::new(
        state::DATA_CORRUPTED,
        format!("it is no copy of a database: {reason}"),
    )
    .with_hint("The local database is as it was.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_they_were_made() {
        let change = "{\"text\": \"x\", \"kind\": \"strong\", \"group\": null, \
                      \"settings\": {\"datestyle\": \"ISO, MDY\"}}";
        let heading = Heading {
            table: own("positions"),
            columns: vec!["\"a\"".to_owned()],
        };
        let pieces = [
            (
                Piece::of_change(change),
                Piece::Change(statement(change).unwrap()),
            ),
            (
                Piece::of_table(&heading).unwrap(),
                Piece::Table(heading.clone()),
            ),
            (
                Piece::of_rows(b"1\n"),
                Piece::Rows(Bytes::from_static(b"1\n")),
            ),
        ];
        for (bytes, piece) in pieces {
            assert_eq!(Piece::read(bytes).unwrap(), piece);
        }
        for wrong in [&b""[..], b"x", b"t{}", b"c{}", b"c\xff"] {
            assert!(Piece::read(Bytes::from_static(wrong)).is_err());
        }
    }
}
