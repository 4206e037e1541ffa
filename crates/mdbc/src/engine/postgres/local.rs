//! PostgreSQL, as the owner of the logs sees it.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tokio_postgres::Row;

use super::apply::changes_schema;
use super::link::told;
use super::{Name, Postgres, Table, install};
use crate::engine::local::{self, Quiet};
use crate::engine::{Access, Applied, Position, TableKind};
use crate::error::{Result, SqlError};
use crate::partition::Partition;

impl Postgres {
    /// Does what other sites have done, with its positions; what follows each other
    /// and changes no schema in one local transaction. What is of this site and was
    /// committed here is left out, with its positions noted. How many digests are
    /// done, and why no more.
    ///
    /// # Errors
    /// A digest that does not apply: a row is not there or has other values,
    /// or its key is taken. The digests before it are applied, it and those
    /// behind it are not. So too where the database cannot be reached, but that
    /// those at hand may be applied.
    ///
    /// # Cancel safety
    /// A dropped future may have applied any number of the digests. To apply them
    /// again does no harm.
    pub async fn apply(&self, digests: &[Applied]) -> (usize, Result<()>) {
        if let Err(error) = self.finish_all().await {
            return (0, Err(error));
        }
        let mut done = 0_usize;
        let are_together =
            |one: &Applied, next: &Applied| !changes_schema(one) && !changes_schema(next);
        for run in digests.chunk_by(are_together) {
            if self.redo(run).await.is_ok() {
                done = done.saturating_add(run.len());
                continue;
            }
            // Alone each tells whether it is the one that fails.
            for digest in run {
                if let Err(error) = self.redo(std::slice::from_ref(digest)).await {
                    return (done, Err(error));
                }
                done = done.saturating_add(1);
            }
        }
        (done, Ok(()))
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

    async fn given(&self) -> Result<BTreeMap<u32, i64>> {
        let query = "SELECT number, given FROM mdbc_internal.given() WHERE given > 0";
        let keeper = self.inner.keeper.hold().await?;
        let rows = keeper.query(query, &[]).await.map_err(told)?;
        let given = |row: &Row| {
            let number: i32 = row.try_get(0).map_err(told)?;
            let number = u32::try_from(number).map_err(SqlError::internal)?;
            Ok((number, row.try_get(1).map_err(told)?))
        };
        rows.iter().map(given).collect()
    }

    async fn positions(&self) -> Result<BTreeMap<String, Position>> {
        Self::positions(self).await
    }

    async fn quiet(&self) -> Result<Quiet> {
        Ok(Quiet(None))
    }

    async fn apply(&self, _quiet: &Quiet, digests: Vec<Applied>) -> (usize, Result<()>) {
        Self::apply(self, &digests).await
    }
}

fn is_strong(table: &Table) -> bool {
    table.kind == TableKind::Strong
}
