//! What is done where a group could not be committed at once.

use std::sync::Arc;

use super::super::lane::Held;
use super::Member;
use crate::catalog::schema::Schema;
use crate::error::{Result, SqlError, state};

/// Members of a group that was rolled back, done again one by one.
pub(super) struct Redo {
    pub(super) schema: Arc<Schema>,
    /// Whether one before was not acknowledged.
    has_failed: bool,
    /// What an acknowledged one could not be applied for: nor can those behind it.
    stopped: Option<SqlError>,
}

impl Redo {
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        Self {
            schema,
            has_failed: false,
            stopped: None,
        }
    }

    pub(super) fn member(
        &mut self,
        held: &mut Held,
        member: &Member,
        fate: Result<()>,
    ) -> Result<()> {
        self.has_failed |= fate.is_err();
        fate?;
        let is_in_log = member.is_in_log();
        if !is_in_log && (self.has_failed || member.is_only_here) {
            return Err(SqlError::again(
                "a transaction before it, whose changes it may have read, failed",
            ));
        }
        let done = match &self.stopped {
            Some(error) => Err(error.clone()),
            None => held.redo(member, &self.schema),
        };
        match done {
            Ok(schema) => {
                self.schema = schema;
                if member.is_only_here {
                    let lost = "its changes of tables of this site alone are lost";
                    return Err(SqlError::new(state::IO_ERROR, lost).in_log());
                }
                Ok(())
            }
            Err(error) => {
                self.stopped.get_or_insert_with(|| error.clone());
                Err(if is_in_log { error.in_log() } else { error })
            }
        }
    }
}
