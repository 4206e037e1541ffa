//! Hints from queues that tell nobody of their changes: a watched queue is
//! looked at from time to time, and when somebody says that it has changed, at
//! the replica of the own data centre.
//!
//! That replica may be behind, or miss a change for good; a hint that is lost
//! costs time and no more. What this node has changed itself, or has read, is
//! no news.

use std::sync::{Arc, Weak};

use music_core::id::RecordId;
use tokio::sync::Notify;

use super::pace::Glances;
use super::queues::Queues;

/// Looks at a queue until its watch ends, or the node's view of Cassandra.
pub(super) async fn follow(queues: Weak<Queues>, id: RecordId, said: Arc<Notify>) {
    let mut glances = Glances::new();
    let mut told = None;
    loop {
        tokio::select! {
            () = glances.wait() => {}
            // It may be on its way to this replica still.
            () = said.notified() => glances.restart(),
        }
        let Some(queues) = queues.upgrade() else {
            return;
        };
        match queues.glance(&id).await {
            Ok(Some(news)) if told != Some(news.at) => {
                told = Some(news.at);
                queues.watches().tell(&id, Some(news.marks));
                glances.restart();
            }
            Ok(_) => {}
            Err(failure) => tracing::debug!(?failure, "a watched queue could not be looked at"),
        }
    }
}
