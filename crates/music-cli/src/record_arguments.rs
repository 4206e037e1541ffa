//! What the commands on single records have in common.

use std::time::Duration;

use clap::Args;
use music_client::{Cell, Client, CriticalSection, Error, RecordKey};
use rustix::process::Signal;

use crate::duration;
use crate::failure::Failure;
use crate::signals::Signals;

/// How long releases may take at the end.
const RELEASE_MAX: Duration = Duration::from_secs(10);

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
    pub(crate) timeout: Option<Duration>,
}

impl Locking {
    /// Does some work in a section of that key, exclusive or shared.
    pub(crate) async fn within<T>(
        &self,
        (client, key): (&Client, RecordKey),
        shared: bool,
        work: impl AsyncFnOnce(&CriticalSection) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let mut request = client.lock([key]);
        if shared {
            request = request.shared();
        }
        if let Some(timeout) = self.timeout {
            request = request.wait(timeout);
        }
        let work = async {
            let section = request.acquire().await?;
            let done = work(&section).await?;
            section.release().await?;
            Ok(done)
        };
        interruptible(client, Failure::Interrupted, work).await
    }
}

/// Does some work that a signal ends, and gives up what is left of it.
pub(crate) async fn interruptible<T>(
    client: &Client,
    interrupted: fn(Signal) -> Failure,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut signals = Signals::new()?;
    let result = tokio::select! {
        result = work => result,
        signal = signals.next() => Err(interrupted(signal)),
    };
    close(client).await;
    result
}

/// Gives up what is left of sections, which would hold others up. Whether that
/// was done in time.
pub(crate) async fn close(client: &Client) -> bool {
    tokio::time::timeout(RELEASE_MAX, client.close())
        .await
        .is_ok()
}
