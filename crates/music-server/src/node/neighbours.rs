//! Hints between nodes, where the lock engine has no watches.
//!
//! ```text
//!  a waiter's node ──── wanted k ───▶ the nodes ahead of it    they look, and keep nothing
//!  a waiter's node ◀─── changed k ─── each as it releases      it looks
//! ```
//!
//! Nothing rests on them: whatever one says, it causes a look at a queue, and
//! one that is lost costs the time to the next glance of the engine. A node is
//! reached where the record of its session says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_api::hint::{HINTS_MAX, Hints};
use music_api::name::{Key, KeyRef};
use music_core::id::{Field, RecordId, SessionId};
use music_core::time::MonotonicTime;
use music_store::{Level, LockStore as _, StateStore};
use prometheus_client::metrics::counter::Counter;

use super::Inner;
use super::courier::{Courier, Kind, Sent};
use super::liveness::counter_id;

/// How many other nodes are told of something at a time.
const NEIGHBOURS_MAX: usize = 256;
/// Of how many keys one of them is to be told, at most.
const OUTBOX_MAX: usize = 16 * HINTS_MAX;
/// Of how many keys is remembered who wants to hear.
const WANTED_MAX: usize = 50_000;
/// How many nodes are remembered of one key.
const ASKERS_MAX: usize = 16;
/// Of how many sessions the address is remembered.
const ADDRESSES_MAX: usize = 1_000;
/// How long it may take to look one up.
const ADDRESS_TIME_MAX: Duration = Duration::from_millis(500);
/// How long a node that did not answer is taken for one that does not.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// What is told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    /// This node waits for it.
    Wanted,
    /// This node has released it.
    Changed,
}

/// What nodes told each other, each of one key.
#[derive(Clone, Debug, Default)]
pub struct NeighbourCounts {
    /// Hints that another node has taken.
    pub told: Counter,
    /// Hints that it could not be told, or that had no room.
    pub lost: Counter,
    /// Hints that this node has taken.
    pub heard: Counter,
    /// Enqueues that another node has made for this one.
    pub relayed: Counter,
}

/// What this node tells others of queues, and who wants to hear of which.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Nobody is told anything where there is none.
    courier: Option<Courier>,
    pub(super) counts: NeighbourCounts,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is to be told to a session; one that is here is being told.
    outboxes: HashMap<SessionId, BTreeMap<RecordId, News>>,
    /// Who wants to hear of a key.
    askers: HashMap<RecordId, BTreeSet<SessionId>>,
    addresses: HashMap<SessionId, String>,
    /// Who did not answer, and until when it is taken for one that does not.
    silent: HashMap<SessionId, MonotonicTime>,
}

impl Neighbours {
    /// Tells others by this courier, if there is one.
    pub(super) fn new(courier: Option<Courier>) -> Self {
        Self {
            courier,
            counts: NeighbourCounts::default(),
            state: Mutex::default(),
        }
    }

    /// Whether another node wants to hear of a key.
    pub(super) fn is_wanted(&self, id: &RecordId) -> bool {
        self.state().askers.contains_key(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Remembers that a node wants to hear of a key.
    fn ask(&mut self, id: &RecordId, session: SessionId) {
        if self.askers.len() >= WANTED_MAX && !self.askers.contains_key(id) {
            return;
        }
        let askers = self.askers.entry(id.clone()).or_default();
        if askers.len() < ASKERS_MAX {
            askers.insert(session);
        }
    }

    /// Puts something into an outbox; whether somebody must begin to tell it.
    ///
    /// Fails where there is no room.
    fn put(&mut self, to: SessionId, id: RecordId, news: News) -> Option<bool> {
        let begins = !self.outboxes.contains_key(&to);
        if begins && self.outboxes.len() >= NEIGHBOURS_MAX {
            return None;
        }
        let outbox = self.outboxes.entry(to).or_default();
        if outbox.len() >= OUTBOX_MAX {
            return None;
        }
        outbox.insert(id, news);
        Some(begins)
    }

    /// The next message to a session; when there is none its outbox is gone.
    fn next(&mut self, to: SessionId) -> Option<Vec<(RecordId, News)>> {
        let outbox = self.outboxes.get_mut(&to)?;
        let mut message = Vec::new();
        while message.len() < HINTS_MAX {
            let Some(news) = outbox.pop_first() else {
                break;
            };
            message.push(news);
        }
        if message.is_empty() {
            self.outboxes.remove(&to);
            return None;
        }
        Some(message)
    }
}

impl Inner {
    /// A section here waits behind a ticket of that session.
    pub(super) fn want(self: &Arc<Self>, session: SessionId, id: RecordId) {
        self.tell(session, id, News::Wanted);
    }

    /// A ticket of this node has left a queue: those who wait are told.
    pub(super) fn tell_askers(self: &Arc<Self>, id: &RecordId) {
        let askers = self.neighbours.state().askers.remove(id);
        for session in askers.into_iter().flatten() {
            self.tell(session, id.clone(), News::Changed);
        }
    }

    /// A node waits for a key that a section here has to do with.
    pub(super) fn note_asker(&self, id: &RecordId, session: SessionId) {
        self.neighbours.state().ask(id, session);
    }

    /// Takes in what another node tells.
    pub(super) fn hear_hints(
        self: &Arc<Self>,
        from: SessionId,
        wanted: Vec<RecordId>,
        changed: Vec<RecordId>,
    ) {
        let count = wanted.len().saturating_add(changed.len());
        self.neighbours.counts.heard.inc_by(count as u64);
        for id in wanted {
            if !self.watches.has_sections(&id) {
                // It was released before the message came.
                self.tell(from, id, News::Changed);
                continue;
            }
            self.note_asker(&id, from);
            if self.affinity().is_some() {
                self.look_soon(&id);
            }
        }
        // The own replica may not have it yet: who waits looks for himself.
        for id in changed {
            self.hint(&id, None);
        }
    }

    /// A queue is said to have changed.
    pub(super) fn look_soon(self: &Arc<Self>, id: &RecordId) {
        if !self.locks.glance(id) {
            self.hint(id, None);
        }
    }

    fn tell(self: &Arc<Self>, to: SessionId, id: RecordId, news: News) {
        if !self.has_courier() || to == self.liveness.session().0 {
            return;
        }
        let put = self.neighbours.state().put(to, id, news);
        let Some(begins) = put else {
            self.neighbours.counts.lost.inc();
            return;
        };
        if !begins {
            return;
        }
        let node = Arc::clone(self);
        self.spawn(async move {
            loop {
                let message = node.neighbours.state().next(to);
                let Some(message) = message else { return };
                let (counts, keys) = (&node.neighbours.counts, message.len() as u64);
                if node.deliver(to, message).await {
                    counts.told.inc_by(keys);
                    continue;
                }
                counts.lost.inc_by(keys);
                tracing::debug!(session = %to.0, "a node could not be told of queues");
            }
        });
    }

    async fn deliver(&self, to: SessionId, message: Vec<(RecordId, News)>) -> bool {
        let keys = |which: News| {
            let those = message.iter().filter(|(_, news)| *news == which);
            those.filter_map(|(id, _)| self.key_ref(id)).collect()
        };
        let hints = Hints {
            from: format!("{:032x}", self.liveness.session().0.0),
            wanted: keys(News::Wanted),
            changed: keys(News::Changed),
        };
        let Ok(body) = serde_json::to_vec(&hints) else {
            return false;
        };
        let sent = self.post(to, "/v1/hints", Kind::Json, body).await;
        matches!(sent, Sent::Answered(status, _) if status.is_success())
    }

    /// Whether nodes are told anything.
    pub(super) fn has_courier(&self) -> bool {
        self.neighbours.courier.is_some()
    }

    /// Whether a node has not answered, a short time ago.
    pub(super) fn is_silent(&self, session: SessionId) -> bool {
        let until = self.neighbours.state().silent.get(&session).copied();
        until.is_some_and(|until| self.clock.now() < until)
    }

    /// Posts a message to the node of a session.
    pub(super) async fn post(&self, to: SessionId, route: &str, kind: Kind, body: Vec<u8>) -> Sent {
        let Some(courier) = &self.neighbours.courier else {
            return Sent::Unreached;
        };
        let address = tokio::time::timeout(ADDRESS_TIME_MAX, self.address_of(to)).await;
        let Ok(Some(address)) = address else {
            return Sent::Unreached;
        };
        let sent = courier.post((&address, route), kind, body).await;
        let mut state = self.neighbours.state();
        if matches!(sent, Sent::Answered(..)) {
            state.silent.remove(&to);
        } else {
            state.addresses.remove(&to);
            if state.silent.len() >= ADDRESSES_MAX {
                state.silent.clear();
            }
            state.silent.insert(to, self.clock.now().after(SILENT_FOR));
        }
        sent
    }

    /// Where a session's node is reached.
    async fn address_of(&self, session: SessionId) -> Option<String> {
        if let Some(address) = self.neighbours.state().addresses.get(&session) {
            return Some(address.clone());
        }
        let id = counter_id(session)?;
        let record = self.state.read(&id, Level::Local).await.ok()?;
        let address = std::str::from_utf8(record.value(&Field::DEFAULT)?).ok()?;
        if address.is_empty() {
            return None;
        }
        let mut state = self.neighbours.state();
        if state.addresses.len() >= ADDRESSES_MAX {
            state.addresses.clear();
        }
        state.addresses.insert(session, address.to_owned());
        Some(address.to_owned())
    }

    fn key_ref(&self, id: &RecordId) -> Option<KeyRef> {
        let table = self.state.table_by_id(id.table)?.name.to_string();
        let key = Key::from_bytes(id.key.as_bytes());
        Some(KeyRef { table, key })
    }
}
