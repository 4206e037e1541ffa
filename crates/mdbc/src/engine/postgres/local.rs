//! PostgreSQL, as the owner of the logs sees it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::link::told;
use super::{Name, Postgres, Table, install};
use crate::engine::local::{self, Quiet};
use crate::engine::{Access, Applied, Position, TableKind};
use crate::error::Result;
use crate::partition::Partition;

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
    fn partitions(&self) -> Result<BTreeSet<Partition>> {
        let model = self.model();
        let strong = model.tables.iter().filter(|(_, table)| is_strong(table));
        strong
            .map(|(name, table)| name.partition(table.group.as_deref()))
            .collect()
    }

    fn touched(&self, access: &Access) -> Result<(BTreeSet<Partition>, BTreeSet<Partition>)> {
        let model = self.model();
        let tables = model.tables.iter();
        let tables: BTreeMap<String, (&Name, &Table)> =
            tables.map(|entry| (entry.0.to_string(), entry)).collect();
        let of = |names: &BTreeSet<String>| -> Result<BTreeSet<Partition>> {
            // A table that is not there is being made, by a change of the schema that
            // has named its partition.
            let known = names.iter().filter_map(|name| tables.get(name));
            let owned = known.filter(|(_, table)| is_strong(table) || access.is_schema);
            owned
                .map(|(name, table)| name.partition(table.group.as_deref()))
                .collect()
        };
        let (reads, mut writes) = (of(&access.reads)?, of(&access.writes)?);
        writes.extend(access.partitions.iter().cloned());
        Ok((reads, writes))
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

fn is_strong(table: &Table) -> bool {
    table.kind == TableKind::Strong
}
