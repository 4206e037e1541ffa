//! Who wants to know of which queues, and the hints for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use music_core::id::RecordId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::register::Register;
use super::{Shared, chance, worker};
use crate::Hint;

/// How many hints wait for the node; more are lost.
const HINTS_MAX: usize = 1_024;

/// The watched keys of a node.
#[derive(Default)]
pub(super) struct Watches {
    watched: Mutex<BTreeMap<RecordId, Watched>>,
    hints: Mutex<Option<mpsc::Sender<Hint>>>,
}

struct Watched {
    count: usize,
    /// Ends what follows the register.
    life: CancellationToken,
}

impl Watches {
    /// Adds a watch. Returns the life of what is to follow the register, where
    /// nothing does yet.
    pub(super) fn add(&self, id: &RecordId, all: &CancellationToken) -> Option<CancellationToken> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = watched.get_mut(id) {
            watched.count = watched.count.saturating_add(1);
            return None;
        }
        let life = all.child_token();
        let first = Watched {
            count: 1,
            life: life.clone(),
        };
        watched.insert(id.clone(), first);
        Some(life)
    }

    pub(super) fn remove(&self, id: &RecordId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = watched.get_mut(id) {
            one.count = one.count.saturating_sub(1);
            if one.count == 0 {
                one.life.cancel();
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

    fn send(&self, hint: Hint) {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*hints
            && sender.try_send(hint).is_err()
        {
            tracing::debug!("a hint was lost: the node does not keep up, or has left");
        }
    }
}

/// Follows a register for as long as it is watched.
pub(super) async fn follow<R: Register>(shared: Arc<Shared<R>>, id: RecordId) {
    for failures in 0_u32.. {
        let changed = |seen| {
            let known = worker::known(&seen).ok();
            let forced = known.as_ref().map(|known| known.value.queue.forced());
            if let Some(known) = known {
                shared.keys.hear(&id, known);
            }
            let id = id.clone();
            shared.watches.send(Hint { id, forced });
        };
        let failure = shared.register.follow(&id, changed).await;
        tracing::debug!(?failure, "a watch broke and begins again");
        chance::back_off(failures).await;
    }
}
