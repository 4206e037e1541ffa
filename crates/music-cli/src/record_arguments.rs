//! What the commands on single records have in common.

use clap::Args;
use music_client::{Cell, CriticalSection, RecordKey};

use crate::arguments::Global;
use crate::duration;
use crate::failure::Failure;

/// Names a value.
#[derive(Clone, Debug, Args)]
pub(crate) struct Place {
    /// The table
    #[arg(short, long)]
    pub(crate) table: String,
    /// The field of the record; the default field if left out
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(crate) field: String,
    /// The key
    pub(crate) key: String,
}

impl Place {
    /// The record.
    pub(crate) fn record(&self) -> RecordKey {
        RecordKey::from((self.table.as_str(), self.key.as_str()))
    }

    /// The value's place.
    pub(crate) fn cell(&self) -> Cell {
        Cell {
            record: self.record(),
            field: self.field.clone(),
        }
    }
}

/// Whether, and how, to take the key's lock.
#[derive(Clone, Debug, Args)]
pub(crate) struct Locking {
    /// Do it in a critical section of its own, as a critical table needs
    #[arg(long)]
    pub(crate) critical: bool,
    /// How long to wait for the lock at most, with --critical
    #[arg(long, value_name = "TIME", value_parser = duration::parse, requires = "critical")]
    pub(crate) timeout: Option<std::time::Duration>,
}

impl Locking {
    /// Begins the section, exclusive or shared.
    pub(crate) async fn begin(
        &self,
        global: &Global,
        key: RecordKey,
        shared: bool,
    ) -> Result<CriticalSection, Failure> {
        let mut request = global.client()?.lock([key]);
        if shared {
            request = request.shared();
        }
        if let Some(timeout) = self.timeout {
            request = request.wait(timeout);
        }
        Ok(request.acquire().await?)
    }
}
