//! Statements on a connection.

use std::sync::Arc;

use rusqlite::Connection;

use super::context::SessionState;
use super::error::{Translated, name_foreign_key, translate};
use super::functions::value_of;
use super::lane::Held;
use super::store;
use crate::catalog::schema::{Relation, Schema, TableKind};
use crate::catalog::{self, Facts};
use crate::dialect::{self, Environment, Run, Verb, ddl};
use crate::engine::Access;
use crate::engine::digest::Change;
use crate::error::{Result, SqlError, state};
use crate::types::Value;

/// What a statement has done.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) rows: Vec<Vec<Value>>,
    /// Rows that were changed, or that there are.
    pub(crate) count: u64,
}

/// What a statement runs with.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) schema: Arc<Schema>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) default_kind: TableKind,
    /// Bytes that a result may take.
    pub(crate) result_bytes_max: usize,
}

impl Held {
    /// Runs `job` for a session: its settings are where functions find them.
    pub(crate) fn for_session<T>(
        &mut self,
        session: &mut SessionState,
        setting: &Setting,
        job: impl FnOnce(&mut Self) -> T,
    ) -> T {
        {
            let mut inner = self.context.lock();
            inner.session = std::mem::take(session);
            inner.schema = Arc::clone(&setting.schema);
        }
        let result = job(self);
        *session = std::mem::take(&mut self.context.lock().session);
        result
    }

    /// Runs a statement; what it changed is undone if it fails.
    pub(crate) fn run(
        &mut self,
        run: &Run,
        parameters: &[Value],
        setting: &Setting,
    ) -> Result<Outcome> {
        if run.uses_catalog {
            self.fill_catalog(setting)?;
        }
        let mark = self.context.lock().capture.changes.len();
        let result = execute(&self.connection, run, parameters, setting);
        if result.is_err() {
            self.context.lock().capture.truncate(mark);
        }
        result.map_err(|error| {
            let table = run
                .access
                .writes
                .iter()
                .next()
                .filter(|_| run.access.writes.len() == 1);
            let direct = table.map(String::as_str);
            name_foreign_key(error, &setting.schema, direct)
        })
    }

    /// What a change of the schema does, and the object id that is free after it.
    fn understand_ddl(
        &self,
        text: &str,
        user: &str,
        setting: &Setting,
    ) -> Result<(ddl::Change, u32)> {
        let look = crate::types::Look::default();
        let environment = Environment {
            schema: &setting.schema,
            default_kind: setting.default_kind,
            parameters: &[],
            look: &look,
            user,
            database: &setting.facts.database,
        };
        ddl::change(text, &environment, store::next_oid(&self.connection)?)
    }

    /// What a change of the schema touches: the tables that it makes, changes or
    /// drops, and the partitions of those that it makes or changes.
    pub(crate) fn access_of_ddl(
        &self,
        text: &str,
        user: &str,
        setting: &Setting,
    ) -> Result<Access> {
        let (change, _) = self.understand_ddl(text, user, setting)?;
        let mut access = Access {
            is_schema: true,
            ..Access::default()
        };
        for relation in &change.put {
            if let Relation::Table(table) = relation {
                let partitions = table.owned.partitions(&table.name, None);
                access
                    .partitions
                    .extend(partitions.map_err(SqlError::refused)?);
                access.writes.insert(table.name.clone());
            }
        }
        let removed = change.removed.into_iter();
        access
            .writes
            .extend(removed.filter(|name| setting.schema.table(name).is_some()));
        Ok(access)
    }

    /// Changes the schema; the new one is returned.
    pub(crate) fn run_ddl(
        &mut self,
        text: &str,
        user: &str,
        setting: &Setting,
    ) -> Result<(Arc<Schema>, Vec<String>)> {
        let (change, next_oid) = self.understand_ddl(text, user, setting)?;
        let mark = self.context.lock().capture.changes.len();
        // Rows that are changed with the schema are changed so at all sites.
        let was_on = std::mem::replace(&mut self.context.lock().capture.is_on, false);
        let result = self.apply_change(&change, next_oid, &setting.schema);
        {
            let mut inner = self.context.lock();
            inner.capture.is_on = was_on;
            inner.capture.truncate(mark);
        }
        let schema = result?;
        let mut inner = self.context.lock();
        inner.schema = Arc::clone(&schema);
        if was_on {
            inner.capture.push(Change::Schema(text.to_owned()))?;
        }
        Ok((schema, change.notices))
    }

    fn apply_change(
        &self,
        change: &ddl::Change,
        next_oid: u32,
        schema: &Schema,
    ) -> Result<Arc<Schema>> {
        let connection = &self.connection;
        connection.execute_batch("SAVEPOINT \"mdbc ddl\"").plain()?;
        let result = run_all(connection, &change.sql, schema)
            .and_then(|()| store::store(connection, change, next_oid))
            .and_then(|()| store::load_shared(connection));
        let end = if result.is_ok() {
            "RELEASE \"mdbc ddl\""
        } else {
            "ROLLBACK TO \"mdbc ddl\"; RELEASE \"mdbc ddl\""
        };
        connection
            .execute_batch("PRAGMA writable_schema = RESET")
            .plain()?;
        connection.execute_batch(end).plain()?;
        result
    }

    /// Fills the tables of the catalogues, unless they are as they should be.
    fn fill_catalog(&self, setting: &Setting) -> Result<()> {
        let connection = &self.connection;
        let known: rusqlite::Result<i64> =
            connection.query_row("SELECT version FROM pg_catalog.mdbc_version", [], |row| {
                row.get(0)
            });
        if known
            .as_ref()
            .is_ok_and(|version| *version == setting.schema.version)
        {
            return Ok(());
        }
        let fill = || -> rusqlite::Result<()> {
            if known.is_err() {
                for (name, table) in catalog::system_tables() {
                    let columns: Vec<String> = table
                        .columns
                        .iter()
                        .map(|(name, _)| dialect::parse::quote(name))
                        .collect();
                    connection.execute_batch(&format!(
                        "CREATE TABLE IF NOT EXISTS {}.{} ({})",
                        table.schema,
                        dialect::parse::quote(name),
                        columns.join(", ")
                    ))?;
                }
            }
            for (name, table) in catalog::system_tables() {
                connection.execute(
                    &format!(
                        "DELETE FROM {}.{}",
                        table.schema,
                        dialect::parse::quote(name)
                    ),
                    [],
                )?;
            }
            for row in catalog::rows(&setting.schema, &setting.facts) {
                let place = if row.schema == "pg_catalog" {
                    dialect::parse::Place::Catalog
                } else {
                    dialect::parse::Place::Information
                };
                let Some(table) = catalog::find(place, row.table) else {
                    continue;
                };
                let marks = vec!["?"; table.columns.len()].join(", ");
                let sql = format!(
                    "INSERT INTO {}.\"{}\" VALUES ({marks})",
                    row.schema, row.table
                );
                let values = row.into_values(&table.columns);
                connection
                    .prepare_cached(&sql)?
                    .execute(rusqlite::params_from_iter(values))?;
            }
            Ok(())
        };
        fill().plain()
    }
}

fn run_all(connection: &Connection, statements: &[String], schema: &Schema) -> Result<()> {
    for sql in statements {
        let mut statement = connection.prepare(sql).translated(schema)?;
        let mut rows = statement.query([]).translated(schema)?;
        while rows
            .next()
            .translated(schema)
            .map_err(|error| of_index(error, sql))?
            .is_some()
        {}
    }
    Ok(())
}

/// The error of an index that the rows do not allow.
fn of_index(error: SqlError, sql: &str) -> SqlError {
    let name = sql
        .strip_prefix("CREATE UNIQUE INDEX ")
        .and_then(|rest| rest.split(" ON ").next());
    match name {
        Some(name) if error.state == state::UNIQUE_VIOLATION => SqlError::new(
            state::UNIQUE_VIOLATION,
            format!("could not create unique index {name}"),
        )
        .with_detail("Some rows have the same key."),
        _ => error,
    }
}

fn execute(
    connection: &Connection,
    run: &Run,
    parameters: &[Value],
    setting: &Setting,
) -> Result<Outcome> {
    let schema = &setting.schema;
    let Some((last, before)) = run.sql.split_last() else {
        return Ok(Outcome::default());
    };
    run_all(connection, before, schema)?;
    let mut statement = connection.prepare_cached(last).translated(schema)?;
    for (index, value) in (1..=statement.parameter_count()).zip(parameters) {
        statement
            .raw_bind_parameter(index, value)
            .translated(schema)?;
    }
    let Some(columns) = &run.columns else {
        return count_changes(&mut statement, run.verb, schema);
    };
    let width = columns.len();
    let mut outcome = Outcome::default();
    let mut bytes = 0_usize;
    let mut rows = statement.raw_query();
    let mut depths = std::collections::HashMap::new();
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => return Err(translate(error, schema)),
        };
        let values = if matches!(run.verb, Verb::Explain | Verb::ExplainJson) {
            vec![plan_line(row, &mut depths).plain()?]
        } else {
            let values: Result<Vec<Value>> = (0..width)
                .map(|index| value_of(row.get_ref(index).translated(schema)?))
                .collect();
            values?
        };
        bytes = bytes.saturating_add(values.iter().map(Value::size).sum());
        if bytes > setting.result_bytes_max {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "a result takes more than {} bytes",
                    setting.result_bytes_max
                ),
            )
            .with_hint("Use LIMIT, or raise result_bytes_max."));
        }
        outcome.rows.push(values);
    }
    if run.verb == Verb::ExplainJson {
        let plan = plan_document(std::mem::take(&mut outcome.rows));
        outcome.rows.push(vec![Value::Text(plan)]);
    }
    outcome.count = u64::try_from(outcome.rows.len()).unwrap_or(u64::MAX);
    Ok(outcome)
}

/// Runs a statement that has no rows to tell.
fn count_changes(
    statement: &mut rusqlite::Statement<'_>,
    verb: Verb,
    schema: &Schema,
) -> Result<Outcome> {
    let count = if verb == Verb::Truncate {
        let mut rows = statement.raw_query();
        while rows.next().translated(schema)?.is_some() {}
        0
    } else {
        statement.raw_execute().translated(schema)?
    };
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    Ok(Outcome {
        count,
        ..Outcome::default()
    })
}

/// The lines of a plan as one document.
fn plan_document(lines: Vec<Vec<Value>>) -> String {
    let lines = lines.into_iter().flatten();
    let lines: Vec<String> = lines.filter_map(Value::into_text).collect();
    serde_json::json!([{"Plan": {"Node Type": "Query", "Steps": lines}}]).to_string()
}

/// A line of SQLite's plan, indented as a tree.
fn plan_line(
    row: &rusqlite::Row<'_>,
    depths: &mut std::collections::HashMap<i64, usize>,
) -> rusqlite::Result<Value> {
    let (id, parent): (i64, i64) = (row.get(0)?, row.get(1)?);
    let depth = depths.get(&parent).map_or(0, |depth| depth + 1);
    depths.insert(id, depth);
    let detail: String = row.get(3)?;
    let arrow = if depth == 0 { "" } else { "->  " };
    Ok(Value::Text(format!(
        "{}{arrow}{detail}",
        "  ".repeat(depth)
    )))
}
