//! Hints: which sections wait at which queue, and who else looks at it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_core::critical_section::Input;
use music_core::id::{RecordId, RequestId};
use music_core::lock_queue::Marks;
use music_store::engine::LockEngine;
use music_store::{Hint, LockStore};
use tokio::sync::Notify;

use super::Inner;

#[derive(Debug, Default)]
struct Watchers {
    sections: Vec<RequestId>,
    /// Told at each hint, for those who only look on.
    onlookers: Arc<Notify>,
    looking_on: usize,
}

/// Who is to be told of a hint.
#[derive(Debug, Default)]
pub(super) struct Watches {
    keys: Mutex<HashMap<RecordId, Watchers>>,
}

impl Watches {
    fn keys(&self) -> MutexGuard<'_, HashMap<RecordId, Watchers>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, locks: &LockEngine, id: RecordId, request: RequestId) {
        locks.watch(&id);
        self.keys().entry(id).or_default().sections.push(request);
    }

    pub(super) fn remove(&self, locks: &LockEngine, id: &RecordId, request: RequestId) {
        locks.unwatch(id);
        let mut keys = self.keys();
        let Some(watchers) = keys.get_mut(id) else {
            return;
        };
        if let Some(position) = watchers.sections.iter().position(|other| *other == request) {
            watchers.sections.swap_remove(position);
        }
        if watchers.sections.is_empty() && watchers.looking_on == 0 {
            keys.remove(id);
        }
    }

    fn look_on(&self, locks: &LockEngine, id: &RecordId) -> Arc<Notify> {
        locks.watch(id);
        let mut keys = self.keys();
        let watchers = keys.entry(id.clone()).or_default();
        watchers.looking_on += 1;
        watchers.onlookers.clone()
    }

    fn look_away(&self, locks: &LockEngine, id: &RecordId) {
        locks.unwatch(id);
        let mut keys = self.keys();
        let Some(watchers) = keys.get_mut(id) else {
            return;
        };
        watchers.looking_on = watchers.looking_on.saturating_sub(1);
        if watchers.sections.is_empty() && watchers.looking_on == 0 {
            keys.remove(id);
        }
    }

    /// Whether a section here has to do with the key, or its ticket is kept.
    pub(super) fn has_sections(&self, id: &RecordId) -> bool {
        self.sections_at(id) > 0
    }

    /// How many sections here have to do with the key, a kept ticket included.
    pub(super) fn sections_at(&self, id: &RecordId) -> usize {
        let keys = self.keys();
        keys.get(id).map_or(0, |watchers| watchers.sections.len())
    }

    fn sections(&self, id: &RecordId) -> Vec<RequestId> {
        let keys = self.keys();
        let Some(watchers) = keys.get(id) else {
            return Vec::new();
        };
        watchers.onlookers.notify_waiters();
        watchers.sections.clone()
    }
}

/// Looks on at a queue while it lives.
struct Onlooker<'a> {
    node: &'a Inner,
    id: &'a RecordId,
}

impl Drop for Onlooker<'_> {
    fn drop(&mut self) {
        self.node.watches.look_away(&self.node.locks, self.id);
    }
}

impl Inner {
    /// Passes hints on to the sections they concern, until the node stops.
    pub(super) async fn run_hints(self: Arc<Self>) {
        let mut hints = self.locks.hints();
        while let Some(Hint { id, marks }) = hints.recv().await {
            self.gate.pass().await;
            self.hint(&id, marks);
        }
    }

    /// Passes a hint on to the sections it concerns.
    pub(super) fn hint(self: &Arc<Self>, id: &RecordId, marks: Option<Marks>) {
        for request in self.watches.sections(id) {
            let Some(slot) = self.sections.get(request) else {
                continue;
            };
            let key = slot.lock().section.key_index(id);
            if let Some(key) = key {
                self.step(&slot, Input::Hint { key, marks });
            }
        }
        self.hint_kept(id, marks);
    }

    /// Waits for a hint about a queue, at most for `limit`.
    pub(super) async fn queue_changed(&self, id: &RecordId, limit: Duration) {
        let notify = self.watches.look_on(&self.locks, id);
        let _onlooker = Onlooker { node: self, id };
        let _hinted = tokio::time::timeout(limit, notify.notified()).await;
    }
}
