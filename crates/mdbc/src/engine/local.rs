//! What the owner of the logs needs of a local database, whichever engine it is.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use super::sqlite::mail::MailState;
use super::{Applied, Database, Position, Postgres, Stamped, TableKind};
use crate::error::{Result, SqlError};
use crate::outbox::Letter;

/// The engine of a site's local database.
#[derive(Debug, Clone)]
pub enum Engine {
    /// SQLite, in this process.
    Sqlite(Database),
    /// The site's own PostgreSQL.
    Postgres(Postgres),
}

impl From<Database> for Engine {
    fn from(database: Database) -> Self {
        Self::Sqlite(database)
    }
}

impl From<Postgres> for Engine {
    fn from(postgres: Postgres) -> Self {
        Self::Postgres(postgres)
    }
}

impl Engine {
    /// Its name: all sites of a database have the same engine.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    pub(crate) fn open(self) -> Result<Arc<dyn Local>> {
        Ok(match self {
            Self::Sqlite(database) => Arc::new(super::sqlite::local::Local::open(database)?),
            Self::Postgres(postgres) => Arc::new(postgres),
        })
    }
}

/// The right to apply what other sites have done; SQLite has one writer.
#[derive(Debug)]
pub(crate) struct Quiet(pub(crate) Option<OwnedSemaphorePermit>);

/// A local database that applies what other sites have done.
#[async_trait]
pub(crate) trait Local: fmt::Debug + Send + Sync + 'static {
    /// The names of the tables with their object ids and kinds, in their order.
    fn tables(&self) -> Vec<(String, u32, TableKind)>;

    /// How far the logs are applied, by partition, as it is on the disk. Waits for
    /// no transaction: one that is open for long must not keep other sites from
    /// what this one has applied.
    async fn positions(&self) -> Result<BTreeMap<String, Position>>;

    /// Waits until no own transaction stands in the way of what other sites have
    /// done, and keeps it so.
    async fn quiet(&self) -> Result<Quiet>;

    /// Does what another site has done, with its positions in one local
    /// transaction. What is of this site and was committed here is left out, if
    /// the database can tell.
    ///
    /// A dropped future may have applied it.
    async fn apply_one(&self, quiet: &Quiet, digest: Applied) -> Result<()>;

    /// What is known of letters; nothing, where there are no eventual tables.
    async fn mail_state(&self) -> Result<MailState> {
        Ok(MailState::default())
    }

    /// Letters of this site from a number on, at most so many.
    async fn letters(&self, _first: u64, _count: u64) -> Result<Vec<Letter>> {
        Ok(Vec::new())
    }

    /// Applies letters of other sites in one local transaction; those that are
    /// applied already are left out.
    async fn receive(&self, _letters: Vec<Stamped>) -> Result<()> {
        Err(SqlError::refused("an eventual table in PostgreSQL"))
    }

    /// Forgets letters up to one, and stamps of rows deleted before a time in
    /// microseconds since 1970, where each of the other sites has written since.
    async fn forget(&self, _letters: u64, _others: Vec<String>, _before_us: u64) -> Result<()> {
        Ok(())
    }
}
