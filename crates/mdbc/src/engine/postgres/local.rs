//! PostgreSQL, as the owner of the logs sees it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::link::told;
use super::{Postgres, install};
use crate::engine::local::{self, Quiet};
use crate::engine::{Applied, Position, TableKind};
use crate::error::Result;

impl Postgres {
    /// Does what other sites have done, each digest with its positions in one
    /// local transaction. What is of this site and was committed here is left
    /// out, with its positions noted.
    ///
    /// # Errors
    /// A digest that does not apply: a row is not there or has other values,
    /// or its key is taken. The digests before it are applied, it and those
    /// behind it are not. So too where the database cannot be reached, but that
    /// the digest at hand may be applied.
    ///
    /// # Cancel safety
    /// A dropped future may have applied any number of the digests. To apply them
    /// again does no harm.
    pub async fn apply(&self, digests: Vec<Applied>) -> Result<()> {
        self.finish_all().await?;
        for digest in &digests {
            self.redo(digest).await?;
        }
        Ok(())
    }

    /// How far the logs are applied, by partition, as it is on the disk.
    ///
    /// # Errors
    /// When the database cannot be reached.
    ///
    /// # Cancel safety
    /// Positions of transactions that are committed may be written.
    pub async fn positions(&self) -> Result<BTreeMap<String, Position>> {
        self.write_noted().await?;
        let query = "SELECT partition, position, id FROM mdbc_internal.positions";
        let keeper = self.inner.keeper.hold().await?;
        let rows = keeper.query(query, &[]).await.map_err(told)?;
        rows.iter().map(install::position).collect()
    }
}

#[async_trait]
impl local::Local for Postgres {
    fn tables(&self) -> Vec<(String, u32, TableKind)> {
        let model = self.model();
        let tables = model.tables.iter();
        tables
            .map(|(name, table)| (name.to_string(), table.oid, table.kind))
            .collect()
    }

    async fn positions(&self) -> Result<BTreeMap<String, Position>> {
        Self::positions(self).await
    }

    async fn quiet(&self) -> Result<Quiet> {
        Ok(Quiet(None))
    }

    async fn apply(&self, _quiet: &Quiet, digests: Vec<Applied>) -> (usize, Result<()>) {
        let count = digests.len();
        for (at, digest) in digests.into_iter().enumerate() {
            if let Err(error) = self.apply(vec![digest]).await {
                return (at, Err(error));
            }
        }
        (count, Ok(()))
    }
}
