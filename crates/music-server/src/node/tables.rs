//! The tables, as a node knows them.

use music_core::id::TableId;
use music_store::{StateStore, Table, TableMode, TableName};

use super::{Error, Node};

impl Node {
    /// Creates a table, or finds it; one of another mode is an error.
    ///
    /// # Errors
    /// [`Error::WrongMode`] where it is there with another mode.
    ///
    /// # Cost
    /// A consensus write.
    pub async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.inner.create_table(name, mode).await
    }

    /// Drops a table with all its records.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`] where it is not there.
    ///
    /// # Cost
    /// A consensus write.
    pub async fn drop_table(&self, name: &TableName) -> Result<(), Error> {
        self.inner.drop_table(name).await
    }

    /// The table of that name.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn table(&self, name: &TableName) -> Result<Table, Error> {
        self.inner.state.table(name).ok_or(Error::NoSuchTable)
    }

    /// The table of that number.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`].
    pub fn table_by_id(&self, id: TableId) -> Result<Table, Error> {
        self.inner.state.table_by_id(id).ok_or(Error::NoSuchTable)
    }

    /// All tables, in the order of their names.
    pub fn tables(&self) -> Vec<Table> {
        self.inner.state.tables()
    }
}
