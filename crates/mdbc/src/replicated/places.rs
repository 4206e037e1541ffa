//! What of a database is in which log.

use crate::error::{Result, SqlError};
use crate::partition::Partition;

/// The partition of the schema. No table has such a name.
pub const SCHEMA: &str = "mdbc_schema";

pub(super) fn schema() -> Result<Partition> {
    Partition::of_table(SCHEMA).map_err(SqlError::refused)
}
