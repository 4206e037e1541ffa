//! PostgreSQL, as the owner of the logs sees it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::link::told;
use super::{Postgres, install};
use crate::engine::{Applied, Position, TableKind, local};
use crate::error::Result;

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
        self.write_noted().await?;
        let query = "SELECT partition, position, id FROM mdbc_internal.positions";
        let keeper = self.inner.keeper.hold().await?;
        let rows = keeper.query(query, &[]).await.map_err(told)?;
        rows.iter().map(install::position).collect()
    }

    async fn apply(&self, digests: Vec<Applied>) -> Result<()> {
        self.finish_all().await?;
        for digest in &digests {
            self.apply_one(digest).await?;
        }
        Ok(())
    }
}
