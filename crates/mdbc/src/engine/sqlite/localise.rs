//! Another site's database made this site's.
//!
//! | what | whose it is then |
//! |---|---|
//! | tables, their stamps, the schema, positions, rows that wait | as they came |
//! | letters of this site that the donor has not applied | applied here as well |
//! | the outbox | this site's: from its old file, and from MUSIC |
//! | how many letters of each site are applied | with the donor's own, without this site's |
//! | the number of the last letter | the highest that anybody has heard of |
//! | sequences | this site's; beyond all values that the tables have, where there is no old file |
//! | conflicts, rows of local tables | this site's, from its old file |

use std::path::Path;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, OpenFlags, params};

use super::context::{Context, Counters};
use super::copy::Contents;
use super::error::Translated;
use super::lane::Held;
use super::{Options, conflicts, mail, open, rows, stamps, store};
use crate::catalog::schema::{Relation, Schema, Sequence, Table, TableKind};
use crate::clock;
use crate::dialect::parse::quote;
use crate::dialect::stored_columns;
use crate::engine::{Rows, Stamped};
use crate::error::{Result, SqlError, state};
use crate::outbox::Letter;
use crate::status::Board;
use crate::types::datetime;

/// How many values of a sequence are left out where it is not known which ones
/// this site has given: those of the last moment before its disk was lost.
const SKIPPED_MAX: i64 = 100_000;
/// Of the values that there are, at most this part is left out.
const SKIPPED_PART: i64 = 100;
/// Letters that are applied at a time.
const BATCH: u64 = 32;

/// Whose a snapshot becomes.
#[derive(Debug, Clone)]
pub(crate) struct Localisation {
    /// This site's name.
    pub(crate) own: String,
    /// The site that gave it.
    pub(crate) donor: String,
    /// The last letter of this site that anybody has heard of.
    pub(crate) written: u64,
    /// Letters of this site that its old file lacks.
    pub(crate) letters: Vec<Letter>,
    pub(crate) options: Options,
}

/// What an old file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) contents: Contents,
    /// The first letter in its outbox; none where that is empty.
    pub(crate) first_letter: Option<u64>,
}

/// Looks at an old file that nobody has open, and puts everything into that one
/// file; none where it is not there, or no database of mdbc.
pub(crate) fn survey(path: &Path) -> Result<Option<Survey>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = Connection::open(path).plain()?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .plain()?;
    if mode != "delete" {
        return Err(SqlError::new(
            state::LOCK_NOT_AVAILABLE,
            "the local database is open elsewhere",
        ));
    }
    let is_there: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'mdbc_outbox')",
            [],
            |row| row.get(0),
        )
        .plain()?;
    if !is_there {
        return Ok(None);
    }
    let first: Option<i64> = connection
        .query_row("SELECT min(sequence) FROM mdbc_outbox", [], |row| {
            row.get(0)
        })
        .plain()?;
    Ok(Some(Survey {
        contents: Contents::of(&connection)?,
        first_letter: first.map(stamps::unsigned),
    }))
}

/// Makes the snapshot at `path` this site's, with what the old file has of its
/// own. Nothing else has either of them open.
///
/// # Errors
///
/// When something of this site's is missing that may not be; the snapshot is of
/// no use then. The old file is never changed.
pub(crate) fn localise(path: &Path, old: Option<&Path>, what: &Localisation) -> Result<()> {
    let old_schema = old.map(schema_of).transpose()?;
    let counters = Counters {
        stride: i64::from(what.options.sites_max),
        site: i64::from(what.options.site),
        ..Counters::default()
    };
    let context = Context::new(Arc::new(Mutex::new(counters)), Board::default());
    let started = datetime::of_unix(clock::unix_micros());
    let connection = open(path, &context, started)?;
    store::prepare(&connection)?;
    if let Some(old) = old {
        let old = old.to_string_lossy();
        connection
            .execute("ATTACH ?1 AS old", [old.as_ref()])
            .plain()?;
    }
    let schema = store::load_shared(&connection)?;
    context.lock().schema = Arc::clone(&schema);
    let held = Held {
        connection,
        context,
        savepoints: Vec::new(),
        top: None,
    };
    // Rows of local tables come as they were, whatever keys say meanwhile.
    held.connection
        .execute_batch("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")
        .plain()?;
    let case = Case {
        held: &held,
        schema: &schema,
        old_schema: old_schema.as_ref(),
        what,
    };
    case.run()?;
    held.connection.execute_batch("COMMIT").plain()?;
    if old.is_some() {
        held.connection.execute_batch("DETACH old").plain()?;
    }
    held.connection
        .execute_batch("PRAGMA journal_mode = DELETE")
        .plain()
}

fn schema_of(path: &Path) -> Result<Schema> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).plain()?;
    store::load(&connection)
}

struct Case<'a> {
    held: &'a Held,
    schema: &'a Schema,
    old_schema: Option<&'a Schema>,
    what: &'a Localisation,
}

impl Case<'_> {
    fn run(&self) -> Result<()> {
        let covered = self.settle_inbox()?;
        self.take_outbox()?;
        self.replace_own("mdbc_conflicts", conflicts::TABLE)?;
        self.take_sequences()?;
        for table in self.schema.tables() {
            if table.kind == TableKind::Local {
                self.take_local(table)?;
            }
        }
        self.apply_letters(covered)?;
        rows::set_last_letter(self.connection(), self.what.written)
    }

    fn connection(&self) -> &Connection {
        &self.held.connection
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection().execute(sql, []).plain().map(drop)
    }

    /// The donor's letters are in it; how many of this site's are, is returned.
    fn settle_inbox(&self) -> Result<u64> {
        let connection = self.connection();
        let received = mail::received(connection)?;
        let covered = received.get(&self.what.own).copied().unwrap_or_default();
        connection
            .execute("DELETE FROM mdbc_inbox WHERE site = ?1", [&self.what.own])
            .plain()?;
        let last = rows::last_letter(connection)?;
        if last > 0 {
            // When it is not known any more, it may be as old as can be.
            connection
                .execute(
                    "INSERT OR REPLACE INTO mdbc_inbox VALUES (?1, ?2, \
                     (SELECT coalesce(max(at_us), 0) FROM main.mdbc_outbox))",
                    params![self.what.donor, stamps::signed(last)],
                )
                .plain()?;
        }
        Ok(covered)
    }

    fn take_outbox(&self) -> Result<()> {
        let connection = self.connection();
        self.execute("DELETE FROM main.mdbc_outbox")?;
        if self.old_schema.is_some() {
            self.execute("INSERT INTO main.mdbc_outbox SELECT * FROM old.mdbc_outbox")?;
            let highest: i64 = connection
                .query_row(
                    "SELECT coalesce(max(value), 0) FROM old.mdbc_meta WHERE name = 'stamp_us'",
                    [],
                    |row| row.get(0),
                )
                .plain()?;
            stamps::see(connection, stamps::unsigned(highest))?;
        }
        for letter in &self.what.letters {
            mail::keep(connection, (letter.sequence, &letter.stamp), &letter.digest)?;
        }
        Ok(())
    }

    /// A table of mdbc's own is as the old file has it.
    fn replace_own(&self, name: &str, columns: &str) -> Result<()> {
        self.execute(&format!("DELETE FROM main.{name}"))?;
        if self.old_schema.is_none() {
            return Ok(());
        }
        self.execute(&format!(
            "INSERT INTO main.{name} ({columns}) SELECT {columns} FROM old.{name}"
        ))
    }

    fn take_sequences(&self) -> Result<()> {
        self.replace_own("mdbc_sequences", "oid, given")?;
        let given = store::given(self.connection())?;
        for relation in self.schema.relations() {
            if let Relation::Sequence(sequence) = relation
                && !given.contains_key(&sequence.oid)
            {
                self.outrun(sequence)?;
            }
        }
        Ok(())
    }

    /// What this site has given of a sequence, whose file did not say, is told by
    /// the values that are in the table.
    fn outrun(&self, sequence: &Sequence) -> Result<()> {
        let Some((table, column)) = &sequence.owner else {
            return Ok(());
        };
        let counters = self.held.context.counters();
        let (stride, site) = (counters.stride, counters.site);
        drop(counters);
        let column = quote(column);
        let sql = format!(
            "SELECT max({column}) FROM main.{} WHERE {column} % ?1 = ?2 % ?1",
            quote(table)
        );
        let highest: Option<i64> = self
            .connection()
            .query_row(&sql, [stride, site], |row| row.get(0))
            .plain()?;
        let Some(highest) = highest.filter(|value| *value >= site) else {
            return Ok(());
        };
        let given = (highest - site) / stride + 1;
        let given = given.saturating_add(skipped(given, sequence.most / stride));
        store::store_given(self.connection(), sequence.oid, given)
    }

    /// The rows of a local table are this site's.
    fn take_local(&self, table: &Table) -> Result<()> {
        let name = quote(&table.name);
        self.execute(&format!("DELETE FROM main.{name}"))?;
        let old = self.old_schema.and_then(|schema| {
            let mut tables = schema.tables();
            tables.find(|old| old.oid == table.oid && old.kind == TableKind::Local)
        });
        let Some(old) = old else { return Ok(()) };
        let both = stored_columns(table).filter_map(|column| {
            let mut others = stored_columns(old);
            let other = others.find(|other| other.number == column.number)?;
            Some((quote(&column.name), quote(&other.name)))
        });
        let (columns, others): (Vec<String>, Vec<String>) = both.unzip();
        if columns.is_empty() {
            return Ok(());
        }
        self.execute("SAVEPOINT local_rows")?;
        let copied = self.execute(&format!(
            "INSERT INTO main.{name} ({}) SELECT {} FROM old.{}",
            columns.join(", "),
            others.join(", "),
            quote(&old.name)
        ));
        if let Err(error) = copied {
            tracing::error!(
                table = table.name,
                %error,
                "rows of a local table do not fit it any more, and are in the old file alone"
            );
            self.execute("ROLLBACK TO local_rows")?;
        }
        self.execute("RELEASE local_rows")
    }

    /// What this site wrote, and the donor had not applied.
    fn apply_letters(&self, covered: u64) -> Result<()> {
        let mut last = covered;
        while last < self.what.written {
            let letters = self.held.letters(last.saturating_add(1), BATCH)?;
            let next = letters.first().map(|letter| letter.sequence);
            if next != Some(last.saturating_add(1)) {
                return Err(SqlError::new(
                    state::DATA_CORRUPTED,
                    format!(
                        "letter {} of this site is neither here nor at its replica of MUSIC, and \
                         {} had not applied it",
                        last.saturating_add(1),
                        self.what.donor
                    ),
                )
                .with_hint("Other sites may have applied it: restore from one of them."));
            }
            for letter in letters {
                last = letter.sequence;
                let rows = Rows::decode(&letter.digest).map_err(SqlError::internal)?;
                let stamped = Stamped {
                    stamp: letter.stamp,
                    sequence: letter.sequence,
                    rows,
                };
                self.held.take_rows(&stamped, self.schema)?;
            }
        }
        Ok(())
    }
}

/// How many values of a sequence are left out that has given so many of all.
pub(super) fn skipped(given: i64, all: i64) -> i64 {
    let left = all.saturating_sub(given).max(0);
    SKIPPED_MAX.min(left / SKIPPED_PART)
}

#[cfg(test)]
mod tests;
