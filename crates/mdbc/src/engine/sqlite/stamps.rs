//! The stamps of rows in eventual tables, those of deleted ones too.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::Translated;
use super::store;
use crate::catalog::schema::Table;
use crate::engine::eventual::Version;
use crate::error::{Result, SqlError, state};
use crate::outbox::Stamp;
use crate::types::{Class, Value, numeric};

pub(super) const TABLES: &str = "
CREATE TABLE mdbc_stamps (relation INTEGER NOT NULL, key BLOB NOT NULL, at_us INTEGER NOT NULL,
    site TEXT NOT NULL, sequence INTEGER NOT NULL, seen BLOB NOT NULL, over_us INTEGER,
    over_site TEXT, is_deleted INTEGER NOT NULL, PRIMARY KEY (relation, key)) STRICT, WITHOUT ROWID;
CREATE INDEX mdbc_deleted ON mdbc_stamps (at_us) WHERE is_deleted;
";

/// The name in [`store`] of the highest stamp that the database has seen.
const HIGHEST: &str = "stamp_us";

/// Stamps of deleted rows that are forgotten in one local transaction.
const FORGOTTEN_MAX: i64 = 10_000;

/// A number as SQLite keeps it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// A primary key as bytes: the same for keys that are equal.
pub(super) fn name(table: &Table, key: &[Value]) -> Result<Vec<u8>> {
    let columns = table.key().iter().map(|name| table.column(name));
    let pairs = columns.zip(key);
    let plain: Result<Vec<Value>> = pairs
        .map(
            |(column, value)| match (column.map(|column| column.ty.class()), value) {
                (Some(Class::Numeric), Value::Text(text)) => Ok(Value::Text(numeric::print(
                    &numeric::parse(text)?.normalized(),
                ))),
                (_, Value::Real(number)) if *number == 0.0 => Ok(Value::Real(0.0)),
                (_, value) => Ok(value.clone()),
            },
        )
        .collect();
    postcard::to_allocvec(&plain?).map_err(SqlError::internal)
}

/// The version of a row that prevails so far.
pub(super) fn get(connection: &Connection, relation: u32, name: &[u8]) -> Result<Option<Version>> {
    let found = connection
        .prepare_cached(
            "SELECT at_us, site, sequence, seen, over_us, over_site FROM mdbc_stamps \
             WHERE relation = ?1 AND key = ?2",
        )
        .plain()?
        .query_row(params![relation, name], |row| {
            Ok((version(row)?, row.get::<_, Vec<u8>>(3)?))
        })
        .optional()
        .plain()?;
    let Some((version, seen)) = found else {
        return Ok(None);
    };
    let seen = postcard::from_bytes(&seen).map_err(|error| damaged(&error))?;
    Ok(Some(Version { seen, ..version }))
}

fn damaged(error: &postcard::Error) -> SqlError {
    let message = format!("the stamp of a row is damaged: {error}");
    SqlError::new(state::DATA_CORRUPTED, message)
}

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let stamp = |at_us: i64, site| Stamp {
        at_us: unsigned(at_us),
        site,
    };
    let over: (Option<i64>, Option<String>) = (row.get(4)?, row.get(5)?);
    Ok(Version {
        stamp: stamp(row.get(0)?, row.get(1)?),
        sequence: unsigned(row.get(2)?),
        seen: std::collections::BTreeMap::new(),
        over: over.0.zip(over.1).map(|(at_us, site)| stamp(at_us, site)),
    })
}

/// Makes a version of a row the one that prevails.
pub(super) fn put(
    connection: &Connection,
    (relation, name): (u32, &[u8]),
    version: &Version,
    is_deleted: bool,
) -> Result<()> {
    let Version {
        stamp,
        sequence,
        seen,
        over,
    } = version;
    let seen = postcard::to_allocvec(seen).map_err(SqlError::internal)?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO mdbc_stamps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )
        .plain()?
        .execute(params![
            relation,
            name,
            signed(stamp.at_us),
            stamp.site,
            signed(*sequence),
            seen,
            over.as_ref().map(|over| signed(over.at_us)),
            over.as_ref().map(|over| &over.site),
            is_deleted,
        ])
        .plain()
        .map(drop)
}

/// Notes a stamp that the database has seen.
pub(super) fn see(connection: &Connection, at_us: u64) -> Result<()> {
    if at_us > highest(connection)? {
        store::set(connection, HIGHEST, signed(at_us))?;
    }
    Ok(())
}

/// The highest stamp that the database has seen, in microseconds since 1970.
pub(super) fn highest(connection: &Connection) -> Result<u64> {
    Ok(store::get(connection, HIGHEST)?.map_or(0, unsigned))
}

/// Forgets stamps of deleted rows below a time. Returns how many.
pub(super) fn forget(connection: &Connection, before_us: u64) -> Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM mdbc_stamps WHERE (relation, key) IN \
             (SELECT relation, key FROM mdbc_stamps \
             WHERE is_deleted AND at_us < ?1 ORDER BY at_us LIMIT ?2)",
        )
        .plain()?
        .execute(params![signed(before_us), FORGOTTEN_MAX])
        .plain()
}
