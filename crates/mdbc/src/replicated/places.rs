//! What of a database is in which log.

use std::collections::BTreeMap;

use crate::engine::{Change, Database, Digest, TableKind};
use crate::error::{Result, SqlError};
use crate::partition::Partition;

/// The partition of the schema. No table has such a name.
pub const SCHEMA: &str = "mdbc_schema";

pub(super) fn schema() -> Result<Partition> {
    table(SCHEMA)
}

pub(super) fn table(name: &str) -> Result<Partition> {
    Partition::of_table(name).map_err(SqlError::refused)
}

/// The part of a digest that is in the log: changes of the schema, and of rows in
/// strong tables. Of a table that is new in this transaction the changes are all
/// there: who makes it owns it.
pub(super) fn strong(digest: &Digest, database: &Database) -> Digest {
    let kinds: BTreeMap<u32, TableKind> = database
        .tables()
        .into_iter()
        .map(|(_, oid, kind)| (oid, kind))
        .collect();
    let is_strong = |change: &&Change| {
        let kind = change.table().and_then(|oid| kinds.get(&oid));
        kind.is_none_or(|kind| *kind == TableKind::Strong)
    };
    Digest {
        changes: digest.changes.iter().filter(is_strong).cloned().collect(),
        ..digest.clone()
    }
}
