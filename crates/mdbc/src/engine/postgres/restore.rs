//! Another site's copy in the place of what is here, in one local transaction.
//!
//! | what | whose it is then |
//! |---|---|
//! | rows of strong tables | as they came |
//! | positions, and ids that they have not passed | as they came |
//! | the schema | this site's, with the changes that it lacks |
//! | local tables and their rows | this site's |
//! | sequences | this site's, beyond what it has said to have given, and what rows have |
//!
//! The schema is changed by the same statements in the same order at all sites, as far
//! as each is. So those that are missing are run on empty strong tables, and rows come
//! after them.
//!
//! *The worst failure survived*: the process, the donor or the local server ends
//! anywhere. The database is the one that it was, or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};

use bytes::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use tokio_postgres::{CopyInSink, Transaction};

use super::apply::{SETTINGS, process};
use super::copy::strong;
use super::digest::{Name, Statement, statement};
use super::link::told;
use super::pieces::{Heading, OWN, Origin, Piece, damaged, own};
use super::tables::change_schema;
use super::{Postgres, names};
use crate::error::{Result, SqlError, state};

/// How long it waits for what another program has locked, in milliseconds.
const LOCK_WAIT_MS: u32 = 30_000;
/// Of the version of a server, what tells its releases apart.
const MINOR_VERSIONS: i32 = 10_000;

impl Postgres {
    /// Puts what a copy of another site's database has in the place of what is here.
    /// Nothing else may use the database, and it is to be opened anew.
    ///
    /// `said` is how many values of sequences this site has given, by their numbers.
    ///
    /// # Errors
    /// Where the pieces fail, or cannot be had here. Nothing is changed, but that
    /// sequences may have gone on.
    ///
    /// # Cancel safety
    /// All of it is done, or nothing.
    pub async fn restore<S, E>(
        &self,
        origin: Origin,
        pieces: S,
        said: &BTreeMap<u32, i64>,
    ) -> Result<(), E>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
        E: From<SqlError> + Send,
    {
        let mut held = self.inner.replayer.hold().await?;
        let process = process(&held).await?;
        let work = async {
            let transaction = held.transaction().await.map_err(told)?;
            let taking = Taking {
                transaction: &transaction,
                pieces,
                next: None,
            };
            self.check_origin(&transaction, origin).await?;
            taking.run(origin, said).await?;
            transaction.commit().await.map_err(told)?;
            Ok(())
        };
        self.unblocked(process, work).await
    }

    async fn check_origin(&self, transaction: &Transaction<'_>, origin: Origin) -> Result<()> {
        let version = "SELECT current_setting('server_version_num')::int";
        let version = transaction.query_one(version, &[]).await;
        let version: i32 = version.and_then(|row| row.try_get(0)).map_err(told)?;
        let major = |version: i32| version / MINOR_VERSIONS;
        let sites_max = self.inner.options.sites_max;
        if major(version) != major(origin.server) {
            return Err(unlike(format!(
                "it is of PostgreSQL {}, and this site has {}",
                major(origin.server),
                major(version)
            )));
        }
        if sites_max != origin.sites_max {
            return Err(unlike(format!(
                "it was made with sites_max = {}, and this site with {sites_max}",
                origin.sites_max
            )));
        }
        Ok(())
    }
}

/// What is said of a copy that cannot be this site's.
fn unlike(reason: impl Into<String>) -> SqlError {
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, reason)
        .with_hint("The local database is as it was.")
}

/// A copy that is being taken.
struct Taking<'t, 'c, S> {
    transaction: &'t Transaction<'c>,
    pieces: S,
    /// The piece that comes next, where it was looked at.
    next: Option<Piece>,
}

impl<S, E> Taking<'_, '_, S>
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin,
    E: From<SqlError> + Send,
{
    async fn run(mut self, origin: Origin, said: &BTreeMap<u32, i64>) -> Result<(), E> {
        let wait = format!("{SETTINGS}; SET LOCAL lock_timeout = {LOCK_WAIT_MS}");
        self.run_own(&wait).await?;
        let query = "SELECT number FROM mdbc_internal.sequences";
        let rows = self.transaction.query(query, &[]).await.map_err(told)?;
        let numbers = rows.iter().map(|row| row.try_get(0));
        let known: Vec<i32> = numbers.collect::<Result<_, _>>().map_err(told)?;
        self.run_own("SELECT mdbc_internal.empty_tables()").await?;
        self.take_changes(origin.changes).await?;
        for relation in OWN {
            let table = own(relation);
            let empty = format!("DELETE FROM {}", table.quoted());
            self.run_own(&empty).await?;
            match self.heading().await? {
                Some(heading) if heading.table == table => self.fill(heading).await?,
                _ => return Err(damaged(format!("it lacks {table}")).into()),
            }
        }
        let tables = strong(self.transaction).await?;
        let mut tables: BTreeSet<Name> = tables.into_iter().map(|(_, name)| name).collect();
        while let Some(heading) = self.heading().await? {
            if !tables.remove(&heading.table) {
                return Err(
                    unlike(format!("there is no strong table {} here", heading.table)).into(),
                );
            }
            self.fill(heading).await?;
        }
        if let Some(table) = tables.first() {
            return Err(unlike(format!("it lacks the rows of {table}")).into());
        }
        let said = serde_json::to_string(said).map_err(SqlError::internal)?;
        let outrun = "SELECT mdbc_internal.outrun_sequences($1::text::jsonb, $2)";
        let done = self.transaction.execute(outrun, &[&said, &known]).await;
        done.map_err(told)?;
        Ok(())
    }

    async fn run_own(&self, text: &str) -> Result<()> {
        self.transaction.batch_execute(text).await.map_err(told)
    }

    /// Looks at the next piece; none after the last.
    async fn look(&mut self) -> Result<Option<&Piece>, E> {
        if self.next.is_none()
            && let Some(bytes) = self.pieces.next().await
        {
            self.next = Some(Piece::read(bytes?)?);
        }
        Ok(self.next.as_ref())
    }

    /// The next change of the schema; none where something else comes.
    async fn change(&mut self) -> Result<Option<Statement>, E> {
        self.look().await?;
        Ok(match self.next.take() {
            Some(Piece::Change(statement)) => Some(statement),
            other => {
                self.next = other;
                None
            }
        })
    }

    /// The table that comes next; none after the last.
    async fn heading(&mut self) -> Result<Option<Heading>, E> {
        self.look().await?;
        match self.next.take() {
            None => Ok(None),
            Some(Piece::Table(heading)) => Ok(Some(heading)),
            Some(_) => Err(damaged("a table was to come").into()),
        }
    }

    /// The next rows of a table; none after its last.
    async fn rows(&mut self) -> Result<Option<Bytes>, E> {
        self.look().await?;
        Ok(match self.next.take() {
            Some(Piece::Rows(rows)) => Some(rows),
            other => {
                self.next = other;
                None
            }
        })
    }

    /// Does what changes of the schema were not done here. Those that were must be the
    /// same.
    async fn take_changes(&mut self, count: i64) -> Result<(), E> {
        let mut version = 0_i64;
        while let Some(change) = self.change().await? {
            version = version.saturating_add(1);
            match self.own_change(version).await? {
                None => self.make(version, &change).await?,
                Some(own) if own == change => {}
                Some(_) => {
                    return Err(unlike(format!(
                        "the change {version} of the schema is another one than in this site's \
                         database, which is of another history: empty that"
                    ))
                    .into());
                }
            }
        }
        if version != count {
            return Err(damaged(format!("{version} of {count} changes of the schema")).into());
        }
        if self.own_change(version.saturating_add(1)).await?.is_some() {
            return Err(unlike(format!(
                "it is too old: it has {version} changes of the schema, and this site more"
            ))
            .into());
        }
        Ok(())
    }

    async fn own_change(&self, version: i64) -> Result<Option<Statement>> {
        let query = "SELECT statement::text FROM mdbc_internal.statements WHERE version = $1";
        let row = self.transaction.query_opt(query, &[&version]).await;
        let Some(row) = row.map_err(told)? else {
            return Ok(None);
        };
        statement(row.try_get(0).map_err(told)?).map(Some)
    }

    async fn make(&self, version: i64, change: &Statement) -> Result<()> {
        // It may be one that adds a label to an enum.
        let may_add = change.text.to_ascii_lowercase().contains("value");
        let mut labels: Vec<u32> = Vec::new();
        if may_add {
            let rows = self.transaction.query("SELECT oid FROM pg_enum", &[]).await;
            for row in rows.map_err(told)? {
                labels.push(row.try_get(0).map_err(told)?);
            }
        }
        let changed = change_schema(self.transaction, change).await;
        changed.map_err(|error| {
            unlike(format!(
                "the change {version} of the schema cannot be made here: {}",
                error.message
            ))
        })?;
        if may_add {
            let free = "SELECT mdbc_internal.free_labels($1)";
            let done = self.transaction.execute(free, &[&labels]).await;
            done.map_err(told)?;
        }
        Ok(())
    }

    /// Puts rows into a table.
    async fn fill(&mut self, heading: Heading) -> Result<(), E> {
        let columns = names::columns(self.transaction, &heading.table).await?;
        let ours: BTreeSet<String> = columns.stored().into_iter().collect();
        if ours != heading.columns.iter().cloned().collect() {
            let table = &heading.table;
            return Err(unlike(format!("the columns of {table} are others here")).into());
        }
        // Functions of constraints and indexes look for what they name.
        self.run_own("SET LOCAL search_path TO DEFAULT").await?;
        let refused = |error| {
            let SqlError {
                message, detail, ..
            } = told(error);
            let detail = detail.map(|detail| format!(": {detail}"));
            unlike(format!(
                "rows of {} do not fit here: {message}{}",
                heading.table,
                detail.unwrap_or_default()
            ))
        };
        let sink = self.transaction.copy_in(&heading.copy("FROM STDIN")).await;
        let sink: CopyInSink<Bytes> = sink.map_err(refused)?;
        let mut sink: Pin<&mut CopyInSink<Bytes>> = pin!(sink);
        while let Some(rows) = self.rows().await? {
            sink.send(rows).await.map_err(refused)?;
        }
        sink.finish().await.map_err(refused)?;
        self.run_own(SETTINGS).await?;
        Ok(())
    }
}
