//! PostgreSQL, as the owner of the logs sees it.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::Postgres;
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
        Ok(BTreeMap::new())
    }

    async fn apply(&self, _digests: Vec<Applied>) -> Result<()> {
        Ok(())
    }
}
