//! Who wants to know of which queues, and the hints for them: what engines that
//! are services of their own have in common.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use music_core::id::RecordId;
use music_core::lock_queue::Marks;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::Hint;

/// How many hints wait for the node; more are lost.
const HINTS_MAX: usize = 1_024;

/// The watched keys of a node.
#[derive(Default)]
pub(crate) struct Watches {
    watched: Mutex<BTreeMap<RecordId, Watched>>,
    hints: Mutex<Option<mpsc::Sender<Hint>>>,
}

struct Watched {
    count: usize,
    /// Ends what follows the queue.
    life: CancellationToken,
    /// Somebody says that it has changed.
    said: Arc<Notify>,
}

impl Watches {
    /// Adds a watch. Returns the life of what is to follow the queue, where
    /// nothing does yet.
    pub(crate) fn add(&self, id: &RecordId, all: &CancellationToken) -> Option<CancellationToken> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watched.get_mut(id) {
            watched.count = watched.count.saturating_add(1);
            return None;
        }
        let life = all.child_token();
        let first = Watched {
            count: 1,
            life: life.clone(),
            said: Arc::default(),
        };
        watched.insert(id.clone(), first);
        Some(life)
    }

    pub(crate) fn remove(&self, id: &RecordId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = watched.get_mut(id) {
            one.count = one.count.saturating_sub(1);
            if one.count == 0 {
                one.life.cancel();
                watched.remove(id);
            }
        }
    }

    /// What is told where somebody says that a watched queue has changed.
    #[cfg(feature = "cassandra")]
    pub(crate) fn said(&self, id: &RecordId) -> Option<Arc<Notify>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.get(id).map(|one| Arc::clone(&one.said))
    }

    /// Begins a new stream of hints, and ends the one before.
    pub(crate) fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(HINTS_MAX);
        *self.hints.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Tells of a change at a queue, if anybody wants to know.
    pub(crate) fn tell(&self, id: &RecordId, marks: Option<Marks>) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if !watched.contains_key(id) {
            return;
        }
        drop(watched);
        let hint = Hint {
            id: id.clone(),
            marks,
        };
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*hints
            && sender.try_send(hint).is_err()
        {
            tracing::debug!("a hint was lost: the node does not keep up, or has left");
        }
    }
}
