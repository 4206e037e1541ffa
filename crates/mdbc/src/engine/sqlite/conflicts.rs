//! The conflict log: versions of rows that lost against others, where neither
//! writer had seen the other's. Clients read it as the table `mdbc_conflicts`;
//! each site keeps its own.

use rusqlite::{Connection, params};

use super::Database;
use super::error::Translated;
use super::lane::Held;
use super::stamps::{signed, unsigned};
use crate::catalog::schema::{Column, Table};
use crate::clock;
use crate::dialect::stored_columns;
use crate::engine::eventual::Version;
use crate::error::{Result, SqlError};
use crate::outbox::Stamp;
use crate::types::{Look, Value, datetime, json, text};

/// How many conflicts are kept: of more, the oldest go.
pub const CONFLICTS_MAX: i64 = 10_000;

/// The session that counts: no client's.
const SESSION: u64 = 0;

/// The columns of the table.
pub(super) const TABLE: &str =
    "number, noted_at, relation, key, lost, lost_site, lost_at, kept_site, kept_at";

pub(super) const TABLES: &str = "
CREATE TABLE mdbc_conflicts (number INTEGER PRIMARY KEY, noted_at INTEGER NOT NULL,
    relation TEXT NOT NULL, key TEXT NOT NULL, lost TEXT, lost_site TEXT NOT NULL,
    lost_at INTEGER NOT NULL, kept_site TEXT NOT NULL, kept_at INTEGER NOT NULL) STRICT;
";

/// Notes what a row is not, at any site; `lost` is none where that was a deletion.
pub(super) fn note(
    connection: &Connection,
    (table, key): (&Table, &[Value]),
    lost: Option<&[Value]>,
    (lost_version, kept): (&Version, &Version),
) -> Result<()> {
    let key_columns = table.key().iter().filter_map(|name| table.column(name));
    let key = document(key_columns, key)?;
    let lost = lost
        .map(|values| document(stored_columns(table), values))
        .transpose()?;
    let at = |stamp: &Stamp| datetime::of_unix(signed(stamp.at_us));
    connection
        .prepare_cached(
            "INSERT INTO mdbc_conflicts (noted_at, relation, key, lost, lost_site, lost_at, \
             kept_site, kept_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )
        .plain()?
        .execute(params![
            datetime::of_unix(clock::unix_micros()),
            table.name,
            key,
            lost,
            lost_version.stamp.site,
            at(&lost_version.stamp),
            kept.stamp.site,
            at(&kept.stamp),
        ])
        .plain()?;
    connection
        .prepare_cached("DELETE FROM mdbc_conflicts WHERE number <= ?1")
        .plain()?
        .execute([connection.last_insert_rowid().saturating_sub(CONFLICTS_MAX)])
        .plain()
        .map(drop)
}

impl Database {
    /// How many conflicts were noted, in all.
    pub(crate) async fn conflicts(&self) -> Result<u64> {
        let reader = self.reader().map_err(SqlError::internal)?;
        let count = |held: &mut Held| {
            let sql = "SELECT coalesce(max(number), 0) FROM mdbc_conflicts";
            let count = held.connection.query_row(sql, [], |row| row.get(0));
            count.plain().map(unsigned)
        };
        reader.call(SESSION, count).await
    }
}

/// Values as a JSON object of their columns' names and texts.
fn document<'c>(columns: impl Iterator<Item = &'c Column>, values: &[Value]) -> Result<String> {
    let mut object = serde_json::Map::new();
    for (column, value) in columns.zip(values) {
        let shown = match value {
            Value::Null => serde_json::Value::Null,
            value => text::print(column.ty, value, &Look::default())?.into(),
        };
        object.insert(column.name.clone(), shown);
    }
    json::normalize(&serde_json::Value::from(object).to_string())
}
