//! mdbc's own tables in the local database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::error::Translated;
use super::{conflicts, mail, rows, stamps};
use crate::catalog::FIRST_OID;
use crate::catalog::schema::{Relation, Schema};
use crate::error::{Result, SqlError, state};

/// The version of these tables.
const FORMAT: i64 = 2;

const TABLES: &str = "
CREATE TABLE mdbc_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE mdbc_relations (oid INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    definition TEXT NOT NULL) STRICT;
CREATE TABLE mdbc_sequences (oid INTEGER PRIMARY KEY, given INTEGER NOT NULL) STRICT;
CREATE TABLE mdbc_positions (partition TEXT PRIMARY KEY, position INTEGER NOT NULL,
    id BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
";

pub(super) fn get(connection: &Connection, name: &str) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT value FROM mdbc_meta WHERE name = ?1")
        .and_then(|mut statement| statement.query_row([name], |row| row.get(0)).optional())
        .plain()
}

pub(super) fn set(connection: &Connection, name: &str, value: i64) -> Result<()> {
    connection
        .execute(
            "INSERT INTO mdbc_meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2",
            params![name, value],
        )
        .plain()
        .map(drop)
}

/// Makes the tables, or checks those that are there.
pub(super) fn prepare(connection: &Connection) -> Result<()> {
    let count: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .plain()?;
    if count == 0 {
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {TABLES}"))
            .plain()?;
        for tables in [
            stamps::TABLES,
            mail::TABLES,
            conflicts::TABLES,
            rows::TABLES,
        ] {
            connection.execute_batch(tables).plain()?;
        }
        set(connection, "format", FORMAT)?;
        set(connection, "schema_version", 0)?;
        set(connection, "next_oid", i64::from(FIRST_OID))?;
        set(connection, "fingerprint", fingerprint(connection)?)?;
        return connection.execute_batch("COMMIT").plain();
    }
    let format = get(connection, "format").map_err(|_| {
        SqlError::new(
            state::DATA_CORRUPTED,
            "the file is a database of another program",
        )
        .with_hint("Give mdbc a file of its own.")
    })?;
    if format != Some(FORMAT) {
        let has = format.map_or("none".to_owned(), |format| format.to_string());
        let hint = if format > Some(FORMAT) {
            "A newer mdbc has written it: use that one."
        } else {
            "Restore it from another site, with this mdbc."
        };
        return Err(SqlError::new(
            state::DATA_CORRUPTED,
            format!("the local database has the format {has}, and this mdbc knows only {FORMAT}"),
        )
        .with_hint(hint));
    }
    if get(connection, "fingerprint")? != Some(fingerprint(connection)?) {
        return Err(SqlError::new(
            state::DATA_CORRUPTED,
            "the schema of the local database was changed by another program",
        )
        .with_hint("Undo that, or restore the database from another site."));
    }
    Ok(())
}

/// A number that is another for another schema of SQLite.
fn fingerprint(connection: &Connection) -> Result<i64> {
    let mut statement = connection
        .prepare(
            "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema \
         ORDER BY type, name",
        )
        .plain()?;
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .plain()?;
    // FNV-1a: it need only notice, not withstand.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for row in rows {
        for byte in row.plain()?.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    Ok(hash.cast_signed())
}

/// The version of the schema; reading it takes a snapshot.
pub(super) fn schema_version(connection: &Connection) -> Result<i64> {
    Ok(get(connection, "schema_version")?.unwrap_or_default())
}

/// The schema as it is stored.
pub(super) fn load(connection: &Connection) -> Result<Schema> {
    let version = get(connection, "schema_version")?.unwrap_or_default();
    let mut statement = connection
        .prepare_cached("SELECT definition FROM mdbc_relations")
        .plain()?;
    let rows = statement
        .query_map([], |row| row.get::<_, String>(0))
        .plain()?;
    let mut relations: Vec<Relation> = Vec::new();
    for row in rows {
        let definition = row.plain()?;
        relations.push(serde_json::from_str(&definition).map_err(|error| {
            SqlError::new(
                state::DATA_CORRUPTED,
                format!("a stored definition is damaged: {error}"),
            )
        })?);
    }
    Ok(Schema::new(version, relations))
}

/// The first object id that is free.
pub(super) fn next_oid(connection: &Connection) -> Result<u32> {
    let next = get(connection, "next_oid")?.unwrap_or_default();
    u32::try_from(next).map_err(|_| SqlError::internal("object ids have run out"))
}

/// Stores what a change of the schema has made of it.
pub(super) fn store(
    connection: &Connection,
    change: &crate::dialect::ddl::Change,
    next_oid: u32,
) -> Result<()> {
    for name in &change.removed {
        connection
            .execute("DELETE FROM mdbc_relations WHERE name = ?1", [name])
            .plain()?;
    }
    for relation in &change.put {
        let definition = serde_json::to_string(relation).map_err(SqlError::internal)?;
        connection
            .execute(
                "INSERT INTO mdbc_relations VALUES (?1, ?2, ?3, ?4) ON CONFLICT (oid) DO \
                 UPDATE SET name = ?2, \
                 definition = ?4",
                params![relation.oid(), relation.name(), relation.noun(), definition],
            )
            .plain()?;
    }
    let version = get(connection, "schema_version")?.unwrap_or_default();
    set(connection, "schema_version", version + 1)?;
    set(connection, "next_oid", i64::from(next_oid))?;
    set(connection, "fingerprint", fingerprint(connection)?)
}

/// How many values each sequence has given.
pub(super) fn given(connection: &Connection) -> Result<HashMap<u32, i64>> {
    let mut statement = connection
        .prepare("SELECT oid, given FROM mdbc_sequences")
        .plain()?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .plain()?;
    rows.collect::<rusqlite::Result<_>>().plain()
}

pub(super) fn store_given(connection: &Connection, oid: u32, given: i64) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO mdbc_sequences VALUES (?1, ?2) ON CONFLICT DO UPDATE SET given = ?2",
        )
        .plain()?
        .execute(params![oid, given])
        .plain()
        .map(drop)
}

/// How far a log has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The position of the last entry that is applied.
    pub position: u64,
    /// The id of that entry.
    pub id: Vec<u8>,
}

pub(super) fn positions(connection: &Connection) -> Result<BTreeMap<String, Position>> {
    let mut statement = connection
        .prepare_cached("SELECT partition, position, id FROM mdbc_positions")
        .plain()?;
    let row = |row: &rusqlite::Row<'_>| {
        let position = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        Ok((
            row.get(0)?,
            Position {
                position,
                id: row.get(2)?,
            },
        ))
    };
    let rows = statement.query_map([], row).plain()?;
    rows.collect::<rusqlite::Result<_>>().plain()
}

pub(super) fn set_position(connection: &Connection, partition: &str, at: &Position) -> Result<()> {
    let position = i64::try_from(at.position).map_err(SqlError::internal)?;
    connection
        .prepare_cached(
            "INSERT INTO mdbc_positions VALUES (?1, ?2, ?3) ON CONFLICT DO \
         UPDATE SET position = ?2, id = ?3",
        )
        .plain()?
        .execute(params![partition, position, at.id])
        .plain()
        .map(drop)
}

/// The schema in memory, shared.
pub(super) fn load_shared(connection: &Connection) -> Result<Arc<Schema>> {
    load(connection).map(Arc::new)
}
