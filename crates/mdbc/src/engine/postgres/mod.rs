//! The local engine: the site's own PostgreSQL, in a database that mdbc alone
//! writes.
//!
//! Each client's session has a connection of its own to it, and SQL passes
//! through unchanged; all transactions are serializable there. What they change
//! is captured by triggers within the transaction, and read back before it ends:
//!
//! ```text
//!  COMMIT ─▶ mdbc_internal.seal(id)        what was captured; the id is in mdbc_internal.own
//!         ─▶ PREPARE TRANSACTION  nothing can fail any more
//!         ─▶ the log              acknowledged
//!         ─▶ COMMIT PREPARED, note_own(id, positions)
//! ```
//!
//! Positions are not in the client's transaction: a row that all transactions
//! change would make each wait for the one before it. The id is, and it is in
//! the digest. Positions are written behind, in order, and the ids that they
//! have passed are removed with them; whoever replays an entry whose id is in
//! `mdbc_internal.own` moves the positions alone.
//!
//! Another site gets a copy of all that is committed ([`Postgres::copy`]), and puts it in
//! the place of what it has ([`Postgres::restore`]).
//!
//! *The worst failure survived*: the process ends between the log's
//! acknowledgement and `COMMIT PREPARED`. The next start rolls back whatever is
//! prepared, and the log is replayed.

mod apply;
mod copy;
mod digest;
mod finish;
mod install;
mod link;
mod load;
mod local;
mod model;
mod moments;
mod names;
mod pieces;
mod progress;
mod restore;
mod slots;
mod tables;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use self::link::{Held, Link, told};
use self::moments::Moments;
use self::progress::Noted;
use self::slots::Slots;

use super::{Access, Digest, TableKind};
use crate::clock;
use crate::error::{Result, SqlError, state};

/// How long a local PostgreSQL may take to start that was started beside this
/// process.
const START_WAIT: Duration = Duration::from_secs(10);
/// Between two looks whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long is waited for changes of the schema that are being applied.
const STILL_WAIT: Duration = Duration::from_secs(1);
/// Transactions that are committed and whose positions are not written yet.
const NOTED_MAX: usize = 256;

pub use copy::Copy;
pub use digest::{Captured, Change, Delta, Id, Name, Statement};
pub use model::{Model, Table, Touch, Unknown, View};
pub use pieces::Origin;
pub use slots::Slot;

/// Where the site's PostgreSQL is, and how it is used.
#[derive(Clone)]
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

impl fmt::Debug for PostgresOptions {
    // There may be a password in the address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("site", &self.site)
            .finish_non_exhaustive()
    }
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

/// What the tables are that a statement makes, as far as it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableOptions {
    /// How they are kept the same at all sites.
    pub kind: Option<TableKind>,
    /// What they are owned with.
    pub group: Option<String>,
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
    /// For what is done in a moment.
    keeper: Link,
    /// For what other sites have done.
    replayer: Link,
    slots: Arc<Slots>,
    model: Mutex<Arc<Model>>,
    moments: Moments,
    /// Whether the schema may be another than the one that is known here.
    is_schema_moving: watch::Sender<bool>,
    noted: Mutex<Vec<Noted>>,
    /// Transactions that are to be ended, and whether they are committed.
    unfinished: Mutex<BTreeMap<Id, bool>>,
}

impl Inner {
    fn noted(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn model(&self) -> MutexGuard<'_, Arc<Model>> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
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
        let inner = Inner {
            keeper: Link::new(&server, install::KEEPER_SETUP),
            replayer: Link::new(&server, install::SETUP),
            server,
            options,
            slots: Arc::default(),
            model: Mutex::default(),
            moments: Moments::default(),
            is_schema_moving: watch::Sender::new(false),
            noted: Mutex::default(),
            unfinished: Mutex::default(),
        };
        let postgres = Self {
            inner: Arc::new(inner),
        };
        let prepared = postgres.prepare().await;
        prepared.map_err(PostgresError::Database)?;
        Ok(postgres)
    }

    async fn prepare(&self) -> Result<()> {
        let keeper = self.first_hold().await;
        let mut keeper = keeper.map_err(install::not_alone)?;
        install::prepare(&mut keeper, &self.inner.options).await?;
        drop(keeper);
        self.reload().await
    }

    /// The first connection: a server that was just started takes one in a moment.
    async fn first_hold(&self) -> Result<Held<'_>> {
        let began = clock::now();
        let is_late = || clock::now().saturating_duration_since(began) >= START_WAIT;
        loop {
            match self.inner.keeper.hold().await {
                Err(error) if error.state == state::CANNOT_CONNECT_NOW && !is_late() => {
                    tracing::info!(%error, "waiting for the local PostgreSQL");
                    clock::sleep(LOOK_EVERY).await;
                }
                held => return held,
            }
        }
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
        let (slot, is_new) = self.inner.slots.take();
        if is_new {
            self.make_slot(slot.number()).await?;
        }
        Ok(slot)
    }

    async fn make_slot(&self, number: u32) -> Result<()> {
        let text = format!(
            "BEGIN; SET LOCAL mdbc.ddl = 'on'; SELECT mdbc_internal.make_slot({number}); COMMIT"
        );
        let keeper = self.inner.keeper.hold().await?;
        keeper.batch_execute(&text).await.map_err(told)
    }

    /// The schema, as it is committed here.
    pub fn model(&self) -> Arc<Model> {
        Arc::clone(&self.inner.model())
    }

    /// Reads the schema anew: a transaction that has changed it was committed.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    ///
    /// # Cancel safety
    /// The model is the one before, or the new one.
    pub async fn reload(&self) -> Result<()> {
        // Held until it is the model: of two, the one that was read later stays.
        let keeper = self.inner.keeper.hold().await?;
        let mut model = load::load(&*keeper).await?;
        let mut known = self.inner.model();
        model.version = known.version.saturating_add(1);
        *known = Arc::new(model);
        Ok(())
    }

    /// What a client's connection runs before a change of the schema, in the same
    /// transaction.
    pub fn before_ddl(&self) -> &'static str {
        "SELECT mdbc_internal.before_ddl()"
    }

    /// What it runs after it: the statement without what PostgreSQL does not
    /// know of it, and the options that it gave.
    pub fn after_ddl(&self, statement: &str, options: &TableOptions) -> String {
        let kind = options.kind.unwrap_or(self.inner.options.default_kind);
        let group = options.group.as_deref().map(digest::literal);
        format!(
            "SELECT mdbc_internal.after_ddl({}, {}, {}, mdbc_internal.settings())",
            digest::literal(statement),
            digest::literal(kind.name()),
            group.as_deref().unwrap_or("NULL")
        )
    }

    /// What a client's connection runs when its transaction is complete: returns
    /// rows of [`Captured`], each of four texts, in order. Nothing may be changed
    /// after it.
    pub fn seal(&self, id: Id) -> String {
        format!("SELECT kind, schema_name, relation, body FROM mdbc_internal.seal('{id}')")
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

    /// A mark in time: to be taken before a transaction takes its snapshot.
    pub fn moment(&self) -> u64 {
        self.inner.moments.now()
    }

    /// Waits until no change of the schema is being applied: as long as one is, what
    /// is known of it here may be less than statements see. Not for long, since the
    /// change may wait for whoever waits here; then that is false.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(crate) async fn schema_is_still(&self) -> bool {
        let mut moving = self.inner.is_schema_moving.subscribe();
        let still = moving.wait_for(|is_moving| !is_moving);
        tokio::time::timeout(STILL_WAIT, still).await.is_ok()
    }

    /// Whether what other sites did to tables was applied here after a moment: a
    /// snapshot of then may lack it. To be asked where a transaction that has a
    /// snapshot touches more, when [`Replication::before`](super::Replication::before)
    /// has returned.
    pub fn has_changed_since(&self, access: &Access, moment: u64) -> bool {
        self.inner.moments.has_changed_since(access, moment)
    }
}
