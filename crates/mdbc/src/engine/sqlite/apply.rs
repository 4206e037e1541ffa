//! Digests of other sites, done again here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use rusqlite::params_from_iter;
use tokio::sync::OwnedSemaphorePermit;

use super::Database;
use super::error::Translated;
use super::group::Member;
use super::history::Tables;
use super::lane::Held;
use super::run::Setting;
use super::store::{self, Position};
use crate::catalog::Facts;
use crate::catalog::schema::{Relation, Schema, Table};
use crate::dialect::parse::quote;
use crate::dialect::stored_columns;
use crate::engine::digest::{Change, Digest};
use crate::engine::{Notes, Stamped};
use crate::error::{Result, SqlError, state};
use crate::types::Value;

/// The session that applies: no client's.
const SESSION: u64 = 0;

/// A digest, and how far the logs are applied with it.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// What to do.
    pub digest: Digest,
    /// The new positions, by partition.
    pub positions: BTreeMap<String, Position>,
}

impl Database {
    /// Does what other sites have done, each digest with its positions.
    ///
    /// Waits until no local transaction writes.
    ///
    /// # Errors
    ///
    /// A digest that does not apply: a row is not there or has other values,
    /// or its key is taken. The digests before it are applied, it and those
    /// behind it are not.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may have applied any number of the digests.
    pub async fn apply(&self, digests: Vec<Applied>) -> Result<()> {
        let quiet = self.quiet().await?;
        self.apply_at_once(&quiet, digests).await.1
    }

    /// The same, for who has the permit: in one local transaction, or in one each
    /// where that does not go well. How many are applied, and why no more.
    pub(crate) async fn apply_at_once(
        &self,
        _quiet: &OwnedSemaphorePermit,
        digests: Vec<Applied>,
    ) -> (usize, Result<()>) {
        let database = self.clone();
        let apply = move |held: &mut Held| {
            let at_once = database.apply_here(held, &digests);
            if at_once.is_ok() || digests.len() < 2 {
                return Ok((if at_once.is_ok() { digests.len() } else { 0 }, at_once));
            }
            for (at, digest) in digests.iter().enumerate() {
                let applied = database.apply_here(held, std::slice::from_ref(digest));
                if applied.is_err() {
                    return Ok((at, applied));
                }
            }
            Ok((digests.len(), Ok(())))
        };
        let called = self.inner.writer.call(SESSION, apply).await;
        called.unwrap_or_else(|error| (0, Err(error)))
    }

    fn apply_here(&self, held: &mut Held, digests: &[Applied]) -> Result<()> {
        let schema = held.apply(digests, &self.schema())?;
        self.set_schema(schema);
        let tables = digests.iter().map(|applied| Tables::of(&applied.digest));
        self.note_commit(tables.fold(Tables::default(), |all, one| all.and(&one)));
        Ok(())
    }

    /// Leaves out values of sequences that this site has given, though the file does
    /// not know it: it is a new one, or an old copy.
    pub(crate) fn outrun_sequences(&self, said: &BTreeMap<u32, i64>) {
        let schema = self.schema();
        let counters = &self.inner.counters;
        let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
        let stride = counters.stride;
        counters.outrun(said, |oid| {
            let mut relations = schema.relations();
            let most = relations.find_map(|relation| match relation {
                Relation::Sequence(sequence) if sequence.oid == oid => Some(sequence.most),
                _ => None,
            });
            // One that comes yet is that of an integer, or a larger one.
            most.unwrap_or(i64::from(i32::MAX)) / stride
        });
    }

    /// How far the logs are applied, by partition, as it is on the disk.
    ///
    /// Waits until no local transaction writes.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed.
    pub async fn positions(&self) -> Result<BTreeMap<String, Position>> {
        let _permit = self.quiet().await?;
        self.inner.writer.call(SESSION, Held::positions).await
    }
}

impl Held {
    /// How far the logs are applied, as this connection sees it.
    pub(crate) fn positions(&mut self) -> Result<BTreeMap<String, Position>> {
        store::positions(&self.connection)
    }

    /// How many values of each sequence this site has given, as this connection sees
    /// it.
    pub(crate) fn given(&self) -> Result<BTreeMap<u32, i64>> {
        Ok(store::given(&self.connection)?.into_iter().collect())
    }

    /// Does digests again, in a local transaction of their own.
    fn apply(&mut self, digests: &[Applied], schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        // What foreign keys did there is part of the digest.
        self.connection
            .execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")
            .plain()?;
        let mut digests = digests.iter();
        let applied = digests.try_fold(Arc::clone(schema), |schema, applied| {
            self.apply_one(applied, schema)
        });
        let ended = self.end(applied);
        if ended.is_ok() {
            self.context.counters().unstored.clear();
        }
        self.connection
            .execute_batch("PRAGMA foreign_keys = ON")
            .plain()?;
        ended
    }

    /// Does a member of a group again that was rolled back; the schema that it
    /// leaves.
    pub(super) fn redo(&mut self, member: &Member, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        let Notes {
            positions,
            rows,
            letter,
        } = &member.notes;
        if let (Some(rows), Some(letter)) = (rows, letter) {
            self.redo_letter(rows, letter, schema)?;
            return Ok(Arc::clone(schema));
        }
        let mut digest = member.digest.clone();
        digest.stamp = rows.as_ref().map(|stamped| stamped.stamp.clone());
        let positions = positions.clone();
        self.apply(&[Applied { digest, positions }], schema)
    }

    fn apply_one(&mut self, applied: &Applied, schema: Arc<Schema>) -> Result<Arc<Schema>> {
        let mut setting = Setting {
            schema,
            facts: Arc::new(Facts {
                database: String::new(),
                roles: Vec::new(),
                settings: Vec::new(),
            }),
            default_kind: applied.digest.default_kind,
            result_bytes_max: 0,
        };
        let version = setting.schema.version;
        for change in &applied.digest.changes {
            match change {
                Change::Schema(text) => {
                    setting.schema = self.run_ddl(text, "", &setting)?.0;
                }
                Change::Postgres(_) => {
                    return Err(does_not_apply(
                        "the engine of the site that made it is PostgreSQL",
                    ));
                }
                row => self.apply_row(row, &setting.schema)?,
            }
        }
        self.note_used(&applied.digest, &setting.schema);
        self.store_counters()?;
        let Digest { rows, stamp, .. } = &applied.digest;
        if let Some(stamp) = stamp {
            let stamped = Stamped {
                stamp: stamp.clone(),
                sequence: 0,
                rows: rows.clone(),
            };
            self.take_rows(&stamped, &setting.schema)?;
        }
        if setting.schema.version != version {
            self.take_waiting(&setting.schema)?;
        }
        for (partition, position) in &applied.positions {
            store::set_position(&self.connection, partition, position)?;
        }
        Ok(setting.schema)
    }

    /// Notes which values of sequences the rows have: an entry may be of this site,
    /// which has forgotten it.
    fn note_used(&self, digest: &Digest, schema: &Schema) {
        let sequences = schema.relations().filter_map(|relation| match relation {
            Relation::Sequence(sequence) => Some((sequence.oid, sequence.owner.as_ref()?)),
            _ => None,
        });
        for (oid, (table, column)) in sequences {
            let Some(Relation::Table(table)) = schema.get(table) else {
                continue;
            };
            let mut columns = stored_columns(table).enumerate();
            let Some((at, column)) = columns.find(|(_, own)| own.name == *column) else {
                continue;
            };
            for value in used(digest, table.oid, (at, column.number)) {
                self.context.counters().note_used(oid, value);
            }
        }
    }

    fn apply_row(&self, change: &Change, schema: &Schema) -> Result<()> {
        let oid = change.table().unwrap_or_default();
        let table = schema.tables().find(|table| table.oid == oid);
        let table = table.ok_or_else(|| does_not_apply(&format!("there is no table {oid}")))?;
        let columns: Vec<String> = stored_columns(table)
            .map(|column| quote(&column.name))
            .collect();
        let (sql, values) = statement(table, &columns, change);
        let width_is_right = match change {
            Change::Insert { row, .. } | Change::Delete { row, .. } => row.len() == columns.len(),
            Change::Update { before, after, .. } => {
                before.len() == columns.len() && after.len() == columns.len()
            }
            Change::Schema(_) | Change::Touch { .. } | Change::Postgres(_) => false,
        };
        if !width_is_right {
            return Err(does_not_apply(&format!(
                "table {} has other columns",
                table.name
            )));
        }
        let count = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| statement.execute(params_from_iter(values)))
            .translated(schema)
            .map_err(|error| does_not_apply(&error.message))?;
        if count != 1 {
            return Err(does_not_apply(&format!(
                "a row of table {} is not as it was",
                table.name
            )));
        }
        Ok(())
    }
}

/// The numbers that rows of a table have in a column, by its place and number.
fn used(digest: &Digest, oid: u32, (at, number): (usize, i16)) -> impl Iterator<Item = i64> {
    let strong = digest
        .changes
        .iter()
        .filter_map(move |change| match change {
            Change::Insert { table, row } if *table == oid => row.get(at),
            Change::Update { table, after, .. } if *table == oid => after.get(at)?.as_ref(),
            _ => None,
        });
    let rows = digest.rows.rows.iter().filter(move |row| row.table == oid);
    let eventual = rows.filter_map(move |row| {
        let mut values = row.values.iter().flatten();
        values
            .find(|(own, _)| *own == number)
            .map(|(_, value)| value)
    });
    strong.chain(eventual).filter_map(|value| match value {
        Value::Integer(value) => Some(*value),
        _ => None,
    })
}

fn statement<'c>(
    table: &Table,
    columns: &[String],
    change: &'c Change,
) -> (String, Vec<&'c Value>) {
    let name = quote(&table.name);
    match change {
        Change::Insert { row, .. } => {
            let marks = vec!["?"; row.len()].join(", ");
            (
                format!(
                    "INSERT INTO {name} ({}) VALUES ({marks})",
                    columns.join(", ")
                ),
                row.iter().collect(),
            )
        }
        Change::Delete { row, .. } => {
            let tests: Vec<String> = columns
                .iter()
                .map(|column| format!("{column} IS ?"))
                .collect();
            (
                format!("DELETE FROM {name} WHERE {}", tests.join(" AND ")),
                row.iter().collect(),
            )
        }
        Change::Update { before, after, .. } => {
            let given = |values: &'c [Option<Value>], suffix: &str| -> Vec<(String, &'c Value)> {
                let pairs = columns.iter().zip(values);
                let given = pairs.filter_map(|(column, value)| {
                    Some((format!("{column}{suffix}"), value.as_ref()?))
                });
                given.collect()
            };
            let (new, old) = (given(after, " = ?"), given(before, " IS ?"));
            let text = |pairs: &[(String, &Value)], separator: &str| {
                let texts: Vec<&str> = pairs.iter().map(|(text, _)| text.as_str()).collect();
                texts.join(separator)
            };
            let sql = format!(
                "UPDATE {name} SET {} WHERE {}",
                text(&new, ", "),
                text(&old, " AND ")
            );
            (
                sql,
                new.iter().chain(&old).map(|(_, value)| *value).collect(),
            )
        }
        Change::Schema(_) | Change::Touch { .. } | Change::Postgres(_) => {
            (String::new(), Vec::new())
        }
    }
}

fn does_not_apply(reason: &str) -> SqlError {
    SqlError::new(
        state::DATA_CORRUPTED,
        format!("a change of another site does not apply here: {reason}"),
    )
    .with_hint("The local database differs from the log. Restore it from another site.")
}
