//! What the owner of the logs needs of a local database, whichever engine it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use super::sqlite::mail::MailState;
use super::{Access, Applied, Database, Digest, Position, Postgres, Stamped};
use crate::error::{Result, SqlError};
use crate::outbox::Letter;
use crate::partition::Partition;

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
    /// The partitions of all strong tables.
    fn partitions(&self) -> Result<BTreeSet<Partition>>;

    /// The partitions that a statement reads, and those that it writes.
    fn touched(&self, access: &Access) -> Result<(BTreeSet<Partition>, BTreeSet<Partition>)>;

    /// Makes sure that each row that has changed is in a partition that is owned
    /// for writing, where rows of a table are in several.
    fn check_owned(&self, _digest: &Digest, _owned: &BTreeSet<Partition>) -> Result<()> {
        Ok(())
    }

    /// How many values of each sequence this site has given, as the disk has it;
    /// nothing, where the database keeps that to itself.
    async fn given(&self) -> Result<BTreeMap<u32, i64>> {
        Ok(BTreeMap::new())
    }

    /// Leaves out values of sequences that this site has given.
    fn outrun_sequences(&self, _said: &BTreeMap<u32, i64>) {}

    /// How far the logs are applied, by partition, as it is on the disk. Waits for
    /// no transaction: one that is open for long must not keep other sites from
    /// what this one has applied.
    async fn positions(&self) -> Result<BTreeMap<String, Position>>;

    /// Waits until no own transaction stands in the way of what other sites have
    /// done, and keeps it so.
    async fn quiet(&self) -> Result<Quiet>;

    /// Has own transactions that are acknowledged committed soon.
    fn hurry(&self) {}

    /// Does what other sites have done, in this order, each with its positions in
    /// the same local transaction. What is of this site and was committed here is
    /// left out, if the database can tell. How many are done, and why no more.
    ///
    /// A dropped future may have applied any number of them.
    async fn apply(&self, quiet: &Quiet, digests: Vec<Applied>) -> (usize, Result<()>);

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
