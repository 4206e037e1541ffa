//! The port to the state: replicated records, last writer wins by stamp.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;

use music_core::id::{Key, RecordId, TableId};
use music_core::record::Record;
use tokio::sync::broadcast;

use crate::{Error, Table, TableMode, TableName};

/// How many replicas must take part before a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The replica of the node's own site.
    Local,
    /// More than half of all replicas, over all sites.
    Majority,
}

/// A part of a table, in the order of its keys' bytes.
#[derive(Clone, Debug)]
pub struct ScanRange {
    /// The table.
    pub table: TableId,
    /// Only keys that begin with these bytes; empty for all.
    pub prefix: Vec<u8>,
    /// Only keys after this one.
    pub after: Option<Key>,
    /// At most this many records.
    pub limit: usize,
}

impl ScanRange {
    /// What a copy of the records has in this range.
    pub(crate) fn of(self, records: &BTreeMap<RecordId, Record>) -> Vec<(Key, Record)> {
        let table = self.table;
        let after = self.after.map(|key| RecordId { table, key });
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let found = records
            .range((from, Bound::Unbounded))
            .filter(|(id, record)| {
                id.table == table && id.key.as_bytes().starts_with(&self.prefix) && record.exists()
            })
            .take(self.limit);
        found
            .map(|(id, record)| (id.key.clone(), record.clone()))
            .collect()
    }
}

/// One site's view of the replicated state.
pub trait StateStore: Clone + Send + Sync + 'static {
    /// Merges `change` into the record at the replicas, all of its cells or
    /// none at each; it reaches every replica in the end.
    ///
    /// Acknowledged means durable, at the local replica or at a majority.
    /// After an error the change may still land, now or much later.
    ///
    /// # Cost
    /// One round at [`Level::Majority`], none at [`Level::Local`].
    ///
    /// # Cancel safety
    /// A dropped call may have landed, and may land later.
    fn write(
        &self,
        id: &RecordId,
        change: Record,
        level: Level,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Reads a whole record. At [`Level::Majority`] what is returned is at a
    /// majority before it is returned: the read repairs the whole record.
    ///
    /// # Cost
    /// One round at [`Level::Majority`], two where the copies differed; none
    /// at [`Level::Local`].
    fn read(
        &self,
        id: &RecordId,
        level: Level,
    ) -> impl Future<Output = Result<Record, Error>> + Send;

    /// The records of a range that exist at the local replica, in key order.
    fn scan(
        &self,
        range: ScanRange,
    ) -> impl Future<Output = Result<Vec<(Key, Record)>, Error>> + Send;

    /// Creates a table; one that exists already is returned as it is, with
    /// its own mode.
    ///
    /// # Cost
    /// What a consensus write takes. Needs a majority.
    fn create_table(
        &self,
        name: &TableName,
        mode: TableMode,
    ) -> impl Future<Output = Result<Table, Error>> + Send;

    /// Drops a table with all its records. Returns whether it was there.
    ///
    /// # Cost
    /// What a consensus write takes. Needs a majority.
    fn drop_table(&self, name: &TableName) -> impl Future<Output = Result<bool, Error>> + Send;

    /// The table of that name, as this site knows it; free.
    fn table(&self, name: &TableName) -> Option<Table>;

    /// The table of that number, as this site knows it; free.
    fn table_by_id(&self, id: TableId) -> Option<Table>;

    /// All tables that this site knows, in the order of their names; free.
    fn tables(&self) -> Vec<Table>;

    /// Tells of each record that changes at the local replica: a hint, which
    /// may come twice or, to a receiver that lags behind, not at all. `None`
    /// where the engine cannot tell: look from time to time.
    fn changes(&self) -> Option<broadcast::Receiver<RecordId>>;
}
