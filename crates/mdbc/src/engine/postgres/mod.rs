//! The local engine: the site's own PostgreSQL, in a database that mdbc alone
//! writes.
//!
//! Each client's session has a connection of its own to it, and SQL passes
//! through unchanged; all transactions are serializable there. What they change
//! is captured by triggers within the transaction, and read back before it ends:
//!
//! ```text
//!  COMMIT ─▶ mdbc.seal(id)        what was captured; the id is in mdbc.own
//!         ─▶ PREPARE TRANSACTION  nothing can fail any more
//!         ─▶ the log              acknowledged
//!         ─▶ COMMIT PREPARED, note_own(id, positions)
//! ```
//!
//! Positions are not in the client's transaction: a row that all transactions
//! change would make each wait for the one before it. The id is, and it is in
//! the digest. Positions are written behind, in order, and the ids that they
//! have passed are removed with them; whoever replays an entry whose id is in
//! `mdbc.own` moves the positions alone.
//!
//! *The worst failure survived*: the process ends between the log's
//! acknowledgement and `COMMIT PREPARED`. The next start rolls back whatever is
//! prepared, and the log is replayed.

mod digest;
mod local;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sqlite::Position;
use super::{Access, Digest, TableKind};
use crate::error::{Result, SqlError};

pub use digest::{Captured, Change, Delta, Id, Name, Statement};
pub use model::{Model, Table, Touch, Unknown, View};

/// Where the site's PostgreSQL is, and how it is used.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Where it is, as `postgres://user@host:port/database`. The user must be a
    /// superuser there.
    pub url: String,
    /// The number of this site, from 1.
    pub site: u16,
    /// How many sites there may be.
    pub sites_max: u16,
    /// What tables are that do not say.
    pub default_kind: TableKind,
}

/// Why the site's PostgreSQL cannot be used. Nothing but the schema `mdbc` may
/// have been changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// The address is none.
    #[error("the address of the local PostgreSQL is wrong")]
    Url(#[source] tokio_postgres::Error),
    /// It cannot be reached, is not set up for mdbc, or was changed by another
    /// program.
    #[error("the local PostgreSQL cannot be used: {0}")]
    Database(#[source] SqlError),
}

/// The site's PostgreSQL. Clones are the same.
#[derive(Debug, Clone)]
pub struct Postgres {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: tokio_postgres::Config,
    options: PostgresOptions,
}

/// What a client's connection to the local PostgreSQL needs; given back when
/// dropped. One connection at a time may use it.
#[derive(Debug)]
pub struct Slot {
    number: u32,
}

impl Slot {
    /// What the connection gives as `options` when it starts: the slot, and that
    /// transactions are serializable.
    pub fn startup_options(&self) -> String {
        format!(
            "-c mdbc.slot={} -c default_transaction_isolation=serializable",
            self.number
        )
    }
}

impl Postgres {
    /// Connects, makes mdbc's own schema or checks the one that is there, ends
    /// what an earlier process left behind: its connections, and transactions
    /// that it had prepared.
    ///
    /// # Errors
    /// [`PostgresError`].
    ///
    /// # Cancel safety
    /// It may have happened in part; the next start does the rest.
    pub async fn open(options: PostgresOptions) -> Result<Self, PostgresError> {
        let server = options.url.parse().map_err(PostgresError::Url)?;
        let inner = Inner { server, options };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where clients' connections go: address, user, password and database.
    pub fn server(&self) -> &tokio_postgres::Config {
        &self.inner.server
    }

    /// A slot for one more connection.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    ///
    /// # Cancel safety
    /// Nothing is taken.
    pub async fn slot(&self) -> Result<Slot> {
        Err(SqlError::internal("no slot"))
    }

    /// The schema, as it is committed here.
    pub fn model(&self) -> Arc<Model> {
        Arc::default()
    }

    /// Reads the schema anew: a transaction that has changed it was committed.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    ///
    /// # Cancel safety
    /// The model is the one before, or the new one.
    pub async fn reload(&self) -> Result<()> {
        Ok(())
    }

    /// What a client's connection runs before a change of the schema, in the same
    /// transaction.
    pub fn before_ddl(&self) -> &'static str {
        "SELECT mdbc.before_ddl()"
    }

    /// What it runs after it: the statement without what PostgreSQL does not
    /// know of it, and the kind that it gave, if any.
    pub fn after_ddl(&self, statement: &str, kind: Option<TableKind>) -> String {
        let kind = kind.unwrap_or(self.inner.options.default_kind);
        format!(
            "SELECT mdbc.after_ddl({}, {}, mdbc.settings())",
            digest::literal(statement),
            digest::literal(kind.name())
        )
    }

    /// What a client's connection runs when its transaction is complete: returns
    /// rows of [`Captured`], each of four texts, in order. Nothing may be changed
    /// after it.
    pub fn seal(&self, id: Id) -> String {
        format!("SELECT kind, schema_name, relation, body FROM mdbc.seal('{id}')")
    }

    /// What was captured, as a digest; an empty one where nothing has changed.
    ///
    /// # Errors
    /// Where it is too large.
    pub fn digest(&self, id: Id, rows: Vec<Captured>) -> Result<Digest> {
        digest::digest(id, rows, self.inner.options.default_kind)
    }

    /// That a transaction which owns so much may have changed this.
    ///
    /// # Errors
    /// Where it may not. It has had no effect.
    pub fn check_owned(&self, digest: &Digest, owned: &Access) -> Result<()> {
        digest::check_owned(digest, owned)
    }

    /// Notes that a transaction of this site is committed here, and where it is
    /// in the logs. To be called before [`Replication::ended`](super::Replication::ended).
    pub async fn note_own(&self, _id: Id, _positions: &BTreeMap<String, Position>) {}

    /// Ends a transaction that may be prepared and whose connection is lost, with
    /// the process of the local server that it had, once that is possible.
    ///
    /// # Errors
    /// When it is told to stop before. The next start rolls it back, and what is
    /// in the log is replayed.
    ///
    /// # Cancel safety
    /// It may or may not have ended.
    pub async fn finish(&self, _id: Id, _process: i32, _is_committed: bool) -> Result<()> {
        Ok(())
    }

    /// A mark in time: to be taken before a transaction takes its snapshot.
    pub fn moment(&self) -> u64 {
        0
    }

    /// Whether what other sites did to tables was applied here after a moment: a
    /// snapshot of then may lack it. To be asked where a transaction that has a
    /// snapshot touches more, when [`Replication::before`](super::Replication::before)
    /// has returned.
    pub fn has_changed_since(&self, _access: &Access, _moment: u64) -> bool {
        false
    }
}
