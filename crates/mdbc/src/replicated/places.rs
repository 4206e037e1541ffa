//! What of a database is in which log.

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
