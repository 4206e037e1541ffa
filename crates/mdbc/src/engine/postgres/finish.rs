//! The ends of this site's transactions: their positions, and those whose
//! connection is lost.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use super::digest::{Id, literal};
use super::link::told;
use super::progress::Noted;
use super::{NOTED_MAX, Postgres};
use crate::clock;
use crate::engine::Position;
use crate::error::{Result, SqlError, state};

/// How long a transaction whose connection is lost is tried to be ended, before
/// its client is told.
const FINISH_WAIT: Duration = Duration::from_secs(10);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);

impl Postgres {
    /// Notes that a transaction of this site is committed here, and where it is
    /// in the logs. To be called before [`Replication::ended`](crate::engine::Replication::ended).
    ///
    /// # Cancel safety
    /// It is noted.
    pub async fn note_own(&self, id: Id, positions: BTreeMap<String, Position>) {
        let count = {
            let mut noted = self.inner.noted();
            noted.push(Noted { id, positions });
            noted.len()
        };
        if count >= NOTED_MAX
            && let Err(error) = self.write_noted().await
        {
            tracing::warn!(%error, "positions cannot be written");
        }
    }

    /// Writes the positions that are noted, as far as those before them are.
    pub(super) async fn write_noted(&self) -> Result<()> {
        if self.inner.noted().is_empty() {
            return Ok(());
        }
        let mut keeper = self.inner.keeper.hold().await?;
        let transaction = keeper.transaction().await.map_err(told)?;
        let written = self.written(&transaction).await?;
        let passed = self.write(&transaction, written, &[]).await?;
        transaction.commit().await.map_err(told)?;
        self.inner
            .noted()
            .retain(|noted| !passed.contains(&noted.id));
        Ok(())
    }

    /// Ends a transaction that may be prepared and whose connection is lost, with
    /// the process of the local server that it had, as soon as that is possible.
    ///
    /// # Errors
    /// Where it was not possible within 10 s. It is ended before anything else is
    /// applied, or by the next start.
    ///
    /// # Cancel safety
    /// It is ended later, as where it was not possible.
    pub async fn finish(&self, id: Id, process: i32, is_committed: bool) -> Result<()> {
        self.unfinished().insert(id, is_committed);
        let ended = async {
            loop {
                match self.try_finish(id, Some(process), is_committed).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(%error, "a prepared transaction cannot be ended yet");
                        clock::sleep(AGAIN).await;
                    }
                }
            }
        };
        let ended = tokio::time::timeout(FINISH_WAIT, ended).await;
        ended.map_err(|_late| {
            SqlError::new(
                state::CANNOT_CONNECT_NOW,
                "the local PostgreSQL does not end a transaction",
            )
        })
    }

    /// Ends what could not be ended.
    pub(super) async fn finish_all(&self) -> Result<()> {
        let unfinished = self.unfinished().clone();
        for (id, is_committed) in unfinished {
            self.try_finish(id, None, is_committed).await?;
        }
        Ok(())
    }

    async fn try_finish(&self, id: Id, process: Option<i32>, is_committed: bool) -> Result<()> {
        let keeper = self.inner.keeper.hold().await?;
        if let Some(process) = process {
            // What it was told last may still prepare the transaction.
            let end = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity \
                       WHERE pid = $1 AND usename = current_user";
            keeper.execute(end, &[&process]).await.map_err(told)?;
        }
        let is_prepared = "SELECT FROM pg_prepared_xacts WHERE gid = $1";
        let prepared = keeper.query_opt(is_prepared, &[&id.gid()]).await;
        if prepared.map_err(told)?.is_some() {
            let end = if is_committed { "COMMIT" } else { "ROLLBACK" };
            let text = format!("{end} PREPARED {}", literal(&id.gid()));
            keeper.batch_execute(&text).await.map_err(told)?;
        }
        self.unfinished().remove(&id);
        Ok(())
    }

    fn unfinished(&self) -> MutexGuard<'_, BTreeMap<Id, bool>> {
        let unfinished = &self.inner.unfinished;
        unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
