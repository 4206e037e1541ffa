//! SQLite, as the owner of the logs sees it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::lane::{Held, Lane};
use super::mail::MailState;
use super::{Applied, Database, Position};
use crate::engine::local::{self, Quiet};
use crate::engine::{Access, Digest, Stamped};
use crate::error::{Result, SqlError};
use crate::outbox::Letter;
use crate::partition::Partition;

/// The session that reads: no client's.
const SESSION: u64 = 0;

/// The local database.
#[derive(Debug)]
pub(crate) struct Local {
    database: Database,
    /// A connection of its own, which waits for no transaction.
    reader: Lane,
}

impl Local {
    pub(crate) fn open(database: Database) -> Result<Self> {
        let reader = database.reader().map_err(SqlError::internal)?;
        Ok(Self { database, reader })
    }
}

#[async_trait]
impl local::Local for Local {
    fn partitions(&self) -> Result<BTreeSet<Partition>> {
        self.database.partitions()
    }

    fn touched(&self, access: &Access) -> Result<(BTreeSet<Partition>, BTreeSet<Partition>)> {
        self.database.touched(access)
    }

    fn check_owned(&self, digest: &Digest, owned: &BTreeSet<Partition>) -> Result<()> {
        self.database.check_owned(digest, owned)
    }

    async fn given(&self) -> Result<BTreeMap<u32, i64>> {
        self.reader.call(SESSION, |held| held.given()).await
    }

    fn hurry(&self) {
        self.database.hurry();
    }

    fn outrun_sequences(&self, said: &BTreeMap<u32, i64>) {
        self.database.outrun_sequences(said);
    }

    async fn positions(&self) -> Result<BTreeMap<String, Position>> {
        self.reader.call(SESSION, Held::positions).await
    }

    async fn quiet(&self) -> Result<Quiet> {
        Ok(Quiet(Some(self.database.quiet().await?)))
    }

    async fn apply(&self, quiet: &Quiet, digests: Vec<Applied>) -> (usize, Result<()>) {
        let Quiet(Some(permit)) = quiet else {
            let error = SqlError::internal("the right to write is of another database");
            return (0, Err(error));
        };
        self.database.apply_at_once(permit, digests).await
    }

    async fn mail_state(&self) -> Result<MailState> {
        self.reader.call(SESSION, Held::mail_state).await
    }

    async fn letters(&self, first: u64, count: u64) -> Result<Vec<Letter>> {
        self.reader
            .call(SESSION, move |held| held.letters(first, count))
            .await
    }

    async fn receive(&self, letters: Vec<Stamped>) -> Result<()> {
        self.database.receive(letters).await
    }

    async fn forget(&self, letters: u64, others: Vec<String>, before_us: u64) -> Result<()> {
        self.database.forget(letters, others, before_us).await
    }
}
