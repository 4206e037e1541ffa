//! A catalogue of tables as one value, for the engines that have no other.

use std::collections::BTreeMap;

use music_core::id::TableId;
use serde::{Deserialize, Serialize};

use crate::table::SYSTEM_TABLE;
use crate::{Table, TableMode, TableName};

/// The tables there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    tables: BTreeMap<TableName, Table>,
    next: u64,
}

impl Default for Catalogue {
    fn default() -> Self {
        Self {
            tables: BTreeMap::new(),
            next: SYSTEM_TABLE.0.saturating_add(1),
        }
    }
}

impl Catalogue {
    /// Adds a table; one that is there already is returned as it is.
    pub(crate) fn create(&mut self, name: &TableName, mode: TableMode) -> Table {
        if let Some(table) = self.tables.get(name) {
            return table.clone();
        }
        let table = Table {
            id: TableId(self.next),
            name: name.clone(),
            mode,
        };
        self.next = self.next.saturating_add(1);
        self.tables.insert(name.clone(), table.clone());
        table
    }

    /// Takes a table out.
    pub(crate) fn remove(&mut self, name: &TableName) -> Option<Table> {
        self.tables.remove(name)
    }

    /// Whether the table was there once and is not any more.
    pub(crate) fn is_dropped(&self, table: TableId) -> bool {
        table != SYSTEM_TABLE && table.0 < self.next && self.table_by_id(table).is_none()
    }

    /// The table of that name.
    pub(crate) fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(name)
    }

    /// The table of that number.
    pub(crate) fn table_by_id(&self, id: TableId) -> Option<&Table> {
        self.tables().find(|table| table.id == id)
    }

    /// All tables, in the order of their names.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }
}
