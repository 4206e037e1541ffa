//! Leases: the node's own proof of life, and its eye on the owners ahead of
//! its waiters.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use music_core::critical_section::Input;
use music_core::id::{Field, Key, RecordId, RequestId, SessionId, TableId};
use music_core::record::Record;
use music_core::session::{NodeSession, Observer};
use music_core::stamp::Stamp;
use music_core::time::{Lease, MonotonicTime};
use music_store::{Level, StateStore};
use tokio::sync::Notify;

use super::Inner;

/// The table of node sessions' counters, and where their nodes are reached;
/// every engine has it.
const SESSIONS: TableId = TableId(0);

/// Leases, as one node sees them.
#[derive(Debug)]
pub(super) struct Liveness {
    /// The session and until when its lease is valid, for every step to read.
    valid: RwLock<(SessionId, MonotonicTime)>,
    own: Mutex<NodeSession>,
    observer: Mutex<Observer>,
    /// Which sections want to hear when a session is suspect, and how long.
    interest: Mutex<BTreeMap<SessionId, BTreeMap<RequestId, MonotonicTime>>>,
    wanted: Notify,
    lease: Lease,
    raised: Notify,
}

impl Liveness {
    pub(super) fn new(session: SessionId, lease: Lease) -> Self {
        let own = NodeSession::new(session, lease);
        Self {
            valid: RwLock::new((own.id(), own.valid_until())),
            own: Mutex::new(own),
            observer: Mutex::default(),
            interest: Mutex::default(),
            wanted: Notify::new(),
            lease,
            raised: Notify::new(),
        }
    }

    /// The session, and until when its lease is valid.
    pub(super) fn session(&self) -> (SessionId, MonotonicTime) {
        *self.valid.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants `request` to hear if `session` goes unheard.
    pub(super) fn observe(
        &self,
        session: SessionId,
        lease: Lease,
        request: RequestId,
        now: MonotonicTime,
    ) {
        // Its waiters ask again with each slow poll, once a lease.
        let until = now.after(self.lease.get().saturating_mul(3));
        lock(&self.observer).observe(session, lease, now, until);
        lock(&self.interest)
            .entry(session)
            .or_default()
            .insert(request, until);
        self.wanted.notify_one();
    }

    fn interested(&self, session: SessionId, now: MonotonicTime) -> Vec<RequestId> {
        let mut interest = lock(&self.interest);
        let Some(sections) = interest.get_mut(&session) else {
            return Vec::new();
        };
        sections.retain(|_, until| now < *until);
        let requests = sections.keys().copied().collect();
        if sections.is_empty() {
            interest.remove(&session);
        }
        requests
    }

    fn publish(&self, own: &NodeSession) {
        let valid = (own.id(), own.valid_until());
        *self.valid.write().unwrap_or_else(PoisonError::into_inner) = valid;
        self.raised.notify_waiters();
    }
}

impl Inner {
    /// Whether the node may keep sections.
    pub(super) fn lease_is_valid(&self) -> bool {
        self.clock.now() < self.liveness.session().1
    }

    /// Waits until the node may keep sections, at most for `limit`.
    pub(super) async fn lease_valid(&self, limit: Duration) -> bool {
        let wait = async {
            loop {
                let raised = self.liveness.raised.notified();
                if self.lease_is_valid() {
                    return;
                }
                raised.await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Proves life three times a lease, until the node stops.
    pub(super) async fn run_session(self: Arc<Self>) {
        let mut own = lock(&self.liveness.own).clone();
        loop {
            self.gate.pass().await;
            let began = self.clock.now();
            if own.is_over(began) {
                own = NodeSession::new(self.clock.session_id(), self.config.lease);
                self.liveness.publish(&own);
                self.tell_all_lost();
            }
            let raise = self.raise(&mut own);
            let raised = tokio::time::timeout(own.raise_interval(), raise).await;
            self.gate.pass().await;
            let next = if matches!(raised, Ok(Ok(()))) {
                own.raised(began, self.clock.now());
                self.liveness.publish(&own);
                own.raise_interval()
            } else {
                // Often enough to come back soon after a cut is healed.
                own.raise_interval() / 3
            };
            tokio::time::sleep_until(self.clock.instant(began.after(next))).await;
        }
    }

    fn raise(
        &self,
        own: &mut NodeSession,
    ) -> impl Future<Output = Result<(), music_store::Error>> + use<> {
        let counter = Stamp::counter(own.raise());
        let record = Record::write(
            counter,
            [(Field::DEFAULT, Some(self.config.address.clone()))],
        );
        let (state, session) = (self.state.clone(), own.id());
        async move {
            match counter_id(session) {
                Some(id) => state.write(&id, record, Level::Majority).await,
                None => Ok(()),
            }
        }
    }

    /// The lease ran out: every section is told, so that its client is.
    fn tell_all_lost(self: &Arc<Self>) {
        self.forget_kept();
        self.relays.forget_others(self.liveness.session().0);
        for slot in self.sections.all() {
            self.step(&slot, Input::Wake);
        }
    }

    /// Reads the counters of the owners ahead of this node's waiters, until
    /// the node stops.
    pub(super) async fn run_observer(self: Arc<Self>) {
        let interval = self.config.lease.get() / 8;
        loop {
            self.gate.pass().await;
            let due = lock(&self.liveness.observer).due(self.clock.now());
            if due.is_empty() {
                self.liveness.wanted.notified().await;
                continue;
            }
            for session in due {
                self.clone().spawn_read(session);
            }
            tokio::time::sleep(interval).await;
            self.gate.pass().await;
            let suspects = lock(&self.liveness.observer).suspects();
            for session in suspects {
                for request in self.liveness.interested(session, self.clock.now()) {
                    if let Some(slot) = self.sections.get(request) {
                        self.step(&slot, Input::Suspect(session));
                    }
                }
            }
        }
    }

    fn spawn_read(self: Arc<Self>, session: SessionId) {
        let node = self.clone();
        self.spawn(async move {
            let Some(id) = counter_id(session) else {
                return;
            };
            let began = node.clock.now();
            let read = node.state.read(&id, Level::Majority);
            let limit = node.config.call_timeout;
            let Ok(Ok(record)) = tokio::time::timeout(limit, read).await else {
                return;
            };
            node.gate.pass().await;
            let counter = record.stamp_max().map_or(0, Stamp::get);
            let now = node.clock.now();
            lock(&node.liveness.observer).read(session, counter, began, now);
        });
    }
}

pub(super) fn counter_id(session: SessionId) -> Option<RecordId> {
    let key = Key::new(session.0.to_be_bytes().to_vec()).ok()?;
    Some(RecordId {
        table: SESSIONS,
        key,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
