//! Who at a site wants to know of what: hints about queues, changed records.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use music_core::id::RecordId;
use music_core::replica::acceptor::Acceptor;
use tokio::sync::{broadcast, mpsc};

use crate::Hint;

/// How many hints wait for a node; more are lost.
const HINTS_MAX: usize = 1_024;
/// How many changed records wait for the slowest listener; it loses more.
const CHANGES_MAX: usize = 4_096;

/// One site's listeners.
pub(super) struct Hub {
    watched: Mutex<BTreeMap<RecordId, usize>>,
    hints: Mutex<Option<mpsc::Sender<Hint>>>,
    changes: broadcast::Sender<RecordId>,
}

impl Default for Hub {
    fn default() -> Self {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        Self {
            watched: Mutex::default(),
            hints: Mutex::default(),
            changes,
        }
    }
}

impl Hub {
    pub(super) fn watch(&self, id: &RecordId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let count = watched.entry(id.clone()).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn unwatch(&self, id: &RecordId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = watched.get_mut(id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                watched.remove(id);
            }
        }
    }

    /// Begins a new stream of hints, and ends the one before.
    pub(super) fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(HINTS_MAX);
        *self.hints.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<RecordId> {
        self.changes.subscribe()
    }

    /// Tells that the site's replica of a record changed.
    pub(super) fn record_changed(&self, id: RecordId) {
        if self.changes.receiver_count() > 0 && self.changes.send(id).is_err() {
            tracing::trace!("the last listener has just left");
        }
    }

    /// Tells that the site's copy of a queue changed.
    pub(super) fn queue_changed(&self, id: RecordId, acceptor: &Acceptor) {
        if !self
            .watched
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&id)
        {
            return;
        }
        let queue = &acceptor.value().queue;
        let marks = Some(queue.marks_beyond(acceptor.released()));
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*hints
            && sender.try_send(Hint { id, marks }).is_err()
        {
            tracing::debug!("a hint was lost: the node does not keep up, or has left");
        }
    }
}

#[cfg(test)]
mod tests {
    use music_core::id::{Key, TableId};

    use super::*;

    fn id(key: &'static str) -> RecordId {
        RecordId {
            table: TableId(1),
            key: Key::new(key).unwrap(),
        }
    }

    #[test]
    fn only_watched_keys_are_hinted_until_the_last_watch_is_taken_back() {
        let hub = Hub::default();
        let mut hints = hub.hints();
        hub.watch(&id("a"));
        hub.watch(&id("a"));
        hub.unwatch(&id("a"));
        hub.queue_changed(id("a"), &Acceptor::default());
        hub.queue_changed(id("b"), &Acceptor::default());
        assert_eq!(hints.try_recv().unwrap().id, id("a"));
        hub.unwatch(&id("a"));
        hub.queue_changed(id("a"), &Acceptor::default());
        assert!(hints.try_recv().is_err());
    }

    #[test]
    fn a_second_stream_of_hints_ends_the_first() {
        let hub = Hub::default();
        let mut first = hub.hints();
        let mut second = hub.hints();
        hub.watch(&id("a"));
        hub.queue_changed(id("a"), &Acceptor::default());
        assert_eq!(
            first.try_recv(),
            Err(mpsc::error::TryRecvError::Disconnected)
        );
        assert!(second.try_recv().is_ok());
    }
}
