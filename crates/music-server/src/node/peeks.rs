//! Peeks of one queue that were asked for before it began are one peek.
//!
//! A hint concerns all that wait for a key at this node. If each looked for
//! itself, a queue of n would be looked at n times for each that leaves it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use music_core::critical_section::Failure;
use music_core::id::RecordId;
use music_core::lock_queue::LockQueue;
use music_store::LockStore;

use super::Inner;

/// How long a peek waits for the one before it: that may be one that is not
/// answered at all.
const PATIENCE: Duration = Duration::from_millis(500);

type Looked = Result<Arc<LockQueue>, Failure>;

/// The peeks of one key.
#[derive(Default)]
struct Turns {
    /// Held by the peek that is under way.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The one that has not begun yet.
    next: Option<Shared<BoxFuture<'static, Looked>>>,
    /// How many wait for either.
    waiting: usize,
}

/// The peeks of a node, by key. A key is there while somebody waits.
#[derive(Default)]
pub(super) struct Peeks {
    keys: Mutex<HashMap<RecordId, Turns>>,
}

impl std::fmt::Debug for Peeks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys = self.keys();
        f.debug_set().entries(keys.keys()).finish()
    }
}

impl Peeks {
    fn keys(&self) -> MutexGuard<'_, HashMap<RecordId, Turns>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next peek of that key begins: who asks from now on is of another.
    fn begin(&self, id: &RecordId) {
        if let Some(turns) = self.keys().get_mut(id) {
            turns.next = None;
        }
    }

    fn leave(&self, id: &RecordId) {
        let mut keys = self.keys();
        let Some(turns) = keys.get_mut(id) else {
            return;
        };
        turns.waiting = turns.waiting.saturating_sub(1);
        if turns.waiting == 0 {
            keys.remove(id);
        }
    }
}

/// One that waits for a peek.
struct Waiting<'a> {
    peeks: &'a Peeks,
    id: &'a RecordId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.peeks.leave(self.id);
    }
}

impl Inner {
    /// A peek that begins after it was asked for.
    pub(super) async fn peek_together(self: &Arc<Self>, id: &RecordId) -> Looked {
        let looked = {
            let mut keys = self.peeks.keys();
            let turns = keys.entry(id.clone()).or_default();
            turns.waiting += 1;
            let turn = Arc::clone(&turns.turn);
            let next = || Arc::clone(self).look(id.clone(), turn).boxed().shared();
            turns.next.get_or_insert_with(next).clone()
        };
        let _waiting = Waiting {
            peeks: &self.peeks,
            id,
        };
        looked.await
    }

    async fn look(self: Arc<Self>, id: RecordId, turn: Arc<tokio::sync::Mutex<()>>) -> Looked {
        let _turn = tokio::time::timeout(PATIENCE, turn.lock()).await;
        self.peeks.begin(&id);
        self.within(self.locks.peek(&id)).await
    }
}
