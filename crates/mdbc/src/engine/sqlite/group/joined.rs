//! A member that waits for its answer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::super::Database;
use super::{Fate, Group, abandoned};
use crate::error::Result;

/// How a transaction has ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is in the local database.
    Committed,
    /// It is in the log, and will be in the local database before anybody begins
    /// to read there.
    Acknowledged,
}

/// A member whose session waits for its answer. Dropped, it is left to the group.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(super) database: Database,
    pub(super) group: Arc<Group>,
    pub(super) answered: oneshot::Receiver<Result<()>>,
    /// How it ends, where that is enough for an answer.
    pub(super) acknowledged: Option<Fate>,
    pub(in super::super) permit: Option<OwnedSemaphorePermit>,
}

impl Joined {
    /// Waits until it is in the log, or committed here. The next transaction may
    /// begin meanwhile.
    pub(crate) async fn outcome(mut self) -> Result<End> {
        let group = Arc::clone(&self.group);
        let permit = self.permit.take();
        if group.is_settled() {
            // Nothing is to be waited for: no need to give the permit away first.
            self.database.end_group(&group).await?;
        }
        drop(permit);
        group.note_left();
        let fate = self.acknowledged.clone();
        let acknowledged = async {
            match self.acknowledged {
                Some(fate) => {
                    if fate.await.is_ok() {
                        return;
                    }
                }
                // Others may join as long as it would have to wait anyway.
                None => group.first().await,
            }
            // The group tells what has become of it.
            group.wanted.cancel();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            answer = self.answered => match answer.unwrap_or_else(|_gone| Err(abandoned())) {
                Ok(()) => Ok(End::Committed),
                // The log has it, whatever has become of it here by now.
                Err(_) if fate.is_some_and(|fate| matches!(fate.peek(), Some(Ok(())))) => {
                    Ok(End::Acknowledged)
                }
                Err(error) => Err(error),
            },
            () = acknowledged => {
                group.seats().is_answered = true;
                Ok(End::Acknowledged)
            }
        }
    }
}
