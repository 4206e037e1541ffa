//! The tables there are: one register, and what this node has read of it.
//!
//! A table's records lie in a CQL table of its own, named by its number. The
//! number is taken first, so that a CQL table without an entry is garbage: of
//! a table that was dropped. Where an entry has no CQL table yet, because its
//! creator is still about it or has died, whoever needs it creates it.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use music_core::id::TableId;
use tokio::sync::Mutex;

use super::failure::Failure;
use super::register::{Contents, Place, Register};
use super::schema;
use super::session::Cql;
use crate::catalogue::Catalogue;
use crate::table::SYSTEM_TABLE;
use crate::{Error, Table, TableMode, TableName};

/// The tables, as this node knows them.
pub(super) struct Tables {
    cql: Arc<Cql>,
    call_time: Duration,
    known: RwLock<Arc<Contents<Catalogue>>>,
    /// One transaction of this node at a time.
    turn: Mutex<()>,
}

impl Tables {
    pub(super) fn new(cql: Arc<Cql>, call_time: Duration) -> Self {
        Self {
            cql,
            call_time,
            known: RwLock::default(),
            turn: Mutex::new(()),
        }
    }

    /// The tables, as this node knows them.
    pub(super) fn known(&self) -> Arc<Contents<Catalogue>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn learn(&self, contents: Contents<Catalogue>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if contents.version > known.version {
            *known = Arc::new(contents);
        }
    }

    /// Reads the tables again. One round.
    pub(super) async fn refresh(&self) -> Result<(), Failure> {
        let place = place();
        let cql = &self.cql;
        let register = Register::new(cql, &place);
        self.learn(register.read_at_last(self.call_time).await?);
        Ok(())
    }

    /// Makes sure that there is a table of that number.
    ///
    /// Free where this node knows it, or knows that it was dropped; else it
    /// reads the tables again.
    pub(super) async fn expect(&self, id: TableId) -> Result<(), Error> {
        if !self.is_listed(id) && !self.known().state.value.is_dropped(id) {
            self.refresh().await?;
        }
        if self.is_listed(id) {
            Ok(())
        } else {
            Err(Error::NoSuchTable)
        }
    }

    fn is_listed(&self, id: TableId) -> bool {
        id == SYSTEM_TABLE || self.known().state.value.table_by_id(id).is_some()
    }

    /// What is to be done where Cassandra does not know a table's CQL table:
    /// creates it if the table is there.
    pub(super) async fn restore(&self, id: TableId) -> Result<(), Error> {
        self.refresh().await?;
        if !self.is_listed(id) {
            return Err(Error::NoSuchTable);
        }
        Ok(schema::create_cells(&self.cql, id).await?)
    }

    /// Adds a table; one that is there already is returned as it is.
    pub(super) async fn create(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        let (table, is_new) = self
            .change(|catalogue| {
                let is_new = catalogue.table(name).is_none();
                (catalogue.create(name, mode), is_new)
            })
            .await?;
        if is_new {
            schema::create_cells(&self.cql, table.id).await?;
        }
        Ok(table)
    }

    /// Takes a table out. Returns whether it was there.
    pub(super) async fn remove(&self, name: &TableName) -> Result<bool, Error> {
        let Some(table) = self.change(|catalogue| catalogue.remove(name)).await? else {
            return Ok(false);
        };
        // The table is gone already; what is left is swept at the next `init`.
        if let Err(failure) = schema::drop_cells(&self.cql, table.id).await {
            tracing::warn!(?failure, %name, "the records of a dropped table are still there");
        }
        Ok(true)
    }

    async fn change<R>(&self, change: impl Fn(&mut Catalogue) -> R) -> Result<R, Error> {
        let _turn = self.turn.lock().await;
        let place = place();
        let cql = &self.cql;
        let register = Register::new(cql, &place);
        let seen = Contents::clone(&self.known());
        let changed = register
            .transact(seen, self.call_time, |catalogue, _| change(catalogue))
            .await;
        let done = changed.map_err(|undone| undone.failure)?;
        self.learn(done.contents);
        Ok(done.result)
    }
}

/// The register of the tables.
pub(super) fn place() -> Place {
    Place {
        table_id: schema::OWN_REGISTERS,
        key: b"tables".to_vec(),
    }
}
