//! Site affinity: the tickets that this node keeps between its sections.
//!
//! ```text
//!  section ends ──▶ nobody else lately? ──▶ asked ──known──▶ kept ──▶ next section
//!                          │ no               │ taken over     │ somebody waits, idle
//!                          └─▶ released       └─▶ not ours     └─▶ released
//! ```
//!
//! A ticket is kept where this node had the one before as well: a key that
//! several sites use in turn is released at once, as its next holder would
//! have to ask for it first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_core::critical_section::{Input, Kept, KeyIndex};
use music_core::id::{Moves, RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, Marks, Mode, Outcome};
use music_core::lock_ref::{HandOvers, LockRef};
use music_core::time::MonotonicTime;
use music_store::LockStore;
use tokio::sync::Notify;
use tracing::Span;

use super::sections::Slot;
use super::{Inner, SectionRef, spans};

/// How many tickets a node keeps.
const KEPT_MAX: usize = 10_000;
/// Of how many keys a node remembers its last ticket.
const RECENT_MAX: usize = 50_000;
/// How long hints are relied on: then the queue of a ticket that goes from
/// section to section is looked at, while the section goes on.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a ticket goes from section to section without a look at its queue
/// that was answered: then it is released.
const UNSEEN_MAX: Duration = Duration::from_secs(2);
/// Between two tries to release a ticket, or to keep it.
const RETRY: Duration = Duration::from_millis(500);

/// What a ticket that was not kept before is kept as.
const FIRST: HandOvers = HandOvers(1);

/// What a node keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// How long a ticket is kept that no section uses; zero to keep none.
    pub idle_max: Duration,
    /// How many sections may have one ticket after its first.
    pub hand_overs_max: u16,
    /// How long a ticket goes from section to section while others wait behind it.
    pub turn_max: Duration,
}

impl Default for Affinity {
    fn default() -> Self {
        Self {
            idle_max: Duration::from_secs(5),
            hand_overs_max: 1_000,
            turn_max: Duration::from_millis(400),
        }
    }
}

/// The tickets that a node keeps.
#[derive(Debug, Default)]
pub(super) struct Tenures {
    state: Mutex<State>,
    /// Told where something is kept that was not.
    wanted: Notify,
    /// Told at the end of each question whether a ticket is kept.
    settled: Notify,
    /// How many releases are under way.
    returning: AtomicUsize,
    returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<RecordId, Entry>,
    recent: HashMap<RecordId, Recent>,
}

#[derive(Debug)]
struct Entry {
    kept: Kept,
    since: MonotonicTime,
    /// The queue knows that it is kept.
    known: bool,
    /// What its watch is known by.
    name: RequestId,
}

/// The last ticket that this node had of a key.
#[derive(Clone, Copy, Debug)]
struct Recent {
    lock_ref: LockRef,
    at: MonotonicTime,
}

impl State {
    fn note(&mut self, id: &RecordId, lock_ref: LockRef, now: MonotonicTime, idle_max: Duration) {
        if self.recent.len() >= RECENT_MAX {
            self.recent
                .retain(|_, recent| now < recent.at.after(idle_max));
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.clear();
        }
        let recent = Recent { lock_ref, at: now };
        self.recent.insert(id.clone(), recent);
    }

    /// Whether this node had the ticket before that one too, a short time ago.
    fn follows(&self, kept: &Kept, now: MonotonicTime, idle_max: Duration) -> bool {
        let recent = self.recent.get(kept.id());
        recent.is_some_and(|recent| {
            now < recent.at.after(idle_max)
                && recent.lock_ref.next() == Some(kept.holding().lock_ref)
        })
    }
}

impl Tenures {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tickets are kept.
    pub(super) fn len(&self) -> usize {
        self.state().kept.len()
    }

    fn next_idle(&self, idle_max: Duration) -> Option<MonotonicTime> {
        let state = self.state();
        let known = state.kept.values().filter(|entry| entry.known);
        let since = known.map(|entry| entry.since).min();
        since.map(|since| since.after(idle_max))
    }

    /// Takes out the known tickets of which this is so.
    fn take_where(&self, is_so: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut state = self.state();
        let taken = |_: &RecordId, entry: &mut Entry| entry.known && is_so(entry);
        let taken = state.kept.extract_if(.., taken);
        taken.map(|(_, entry)| entry).collect()
    }
}

impl Inner {
    pub(super) fn affinity(&self) -> Option<Affinity> {
        let affinity = self.config.affinity;
        (affinity.idle_max > Duration::ZERO).then_some(affinity)
    }

    /// Takes what is kept for a new section. Waits where it is being asked
    /// whether a ticket is kept: that takes no longer than another enqueue.
    pub(super) async fn take_kept(
        &self,
        section: &SectionRef,
        owner: SessionId,
    ) -> Vec<(KeyIndex, Kept)> {
        // A client that has moved may have a ticket of its own: it is found by
        // an enqueue.
        let moved = section.moves != Moves::default();
        if self.affinity().is_none() || section.mode != Mode::Exclusive || moved {
            return Vec::new();
        }
        let taken = async {
            loop {
                let settled = self.tenures.settled.notified();
                if let Some(taken) = self.take_known(&section.keys, owner) {
                    return taken;
                }
                settled.await;
            }
        };
        let limit = self.config.call_timeout;
        let taken = tokio::time::timeout(limit, taken).await;
        taken.unwrap_or_default()
    }

    /// What is kept of these keys; `None` where a question is under way.
    fn take_known(&self, keys: &[RecordId], owner: SessionId) -> Option<Vec<(KeyIndex, Kept)>> {
        let mut state = self.tenures.state();
        let asking = |id: &RecordId| state.kept.get(id).is_some_and(|entry| !entry.known);
        if keys.iter().any(asking) {
            return None;
        }
        let mut taken = Vec::new();
        for (key, id) in (0..).map(KeyIndex).zip(keys) {
            let own = state.kept.get(id).map(|entry| entry.kept.owner()) == Some(owner);
            if let Some(entry) = own.then(|| state.kept.remove(id)).flatten() {
                // Its section listens from now on.
                self.watches.remove(&self.locks, id, entry.name);
                taken.push((key, entry.kept));
            }
        }
        Some(taken)
    }

    /// A section has begun with kept tickets: their queues are looked at now
    /// and then, for a hint may be lost.
    pub(super) fn hand_over(self: &Arc<Self>, slot: &Arc<Slot>, taken: &[(KeyIndex, Kept)]) {
        for (key, kept) in taken {
            if self.clock.now() >= kept.looked_at().after(LOOK_EVERY) {
                let (key, marks) = (*key, None);
                self.step(slot, Input::Hint { key, marks });
            }
        }
    }

    /// Notes which ticket of a key this node had last.
    pub(super) fn note_release(&self, id: &RecordId, lock_ref: LockRef) {
        if let Some(affinity) = self.affinity() {
            let now = self.clock.now();
            self.tenures
                .state()
                .note(id, lock_ref, now, affinity.idle_max);
        }
    }

    /// Keeps a ticket for the next section of its key, or releases it.
    pub(super) fn keep(self: &Arc<Self>, kept: Kept) {
        if !self.is_to_keep(&kept) {
            return self.give_back(kept);
        }
        let (id, name) = (kept.id().clone(), self.clock.request_id());
        let known = kept.is_known();
        let question = (!known).then(|| kept.clone());
        let entry = Entry {
            kept,
            since: self.clock.now(),
            known,
            name,
        };
        self.watches.add(&self.locks, id.clone(), name);
        if let Some(old) = self.tenures.state().kept.insert(id.clone(), entry) {
            self.watches.remove(&self.locks, &id, old.name);
        }
        self.tenures.wanted.notify_one();
        if known && self.neighbours.is_wanted(&id) {
            self.look_soon(&id);
        }
        if let Some(kept) = question {
            let node = Arc::clone(self);
            let span = self.alone_span("engine keep", kept.id(), self.locks.command_rounds());
            self.spawn(async move { node.make_known(kept, name, span).await });
        }
    }

    fn is_to_keep(&self, kept: &Kept) -> bool {
        let Some(affinity) = self.affinity() else {
            return false;
        };
        let now = self.clock.now();
        let state = self.tenures.state();
        let first = kept.hand_overs() == FIRST;
        (!first || state.follows(kept, now, affinity.idle_max))
            && !kept.is_followed()
            && state.kept.len() < KEPT_MAX
            && self.may_hand_over(kept)
    }

    /// Whether another section may have a ticket, as far as no other site is
    /// concerned.
    pub(super) fn may_hand_over(&self, kept: &Kept) -> bool {
        self.clock.now() < kept.looked_at().after(UNSEEN_MAX)
            && kept.hand_overs() <= HandOvers(self.config.affinity.hand_overs_max)
            && kept.owner() == self.liveness.session().0
            && !self.closing.load(Ordering::Relaxed)
    }

    /// Tells the queue that a ticket is kept; it may have been taken over.
    async fn make_known(self: Arc<Self>, kept: Kept, name: RequestId, span: Span) {
        let command = Command::Keep {
            holding: kept.holding(),
            owner: kept.owner(),
            name,
        };
        while kept.owner() == self.liveness.session().0 {
            let applied = self.in_time(self.locks.apply(kept.id(), command));
            let applied = spans::within(span.clone(), applied).await;
            self.gate.pass().await;
            if let Ok(applied) = applied {
                return self.settle(&kept, name, applied.outcome, applied.queue.marks());
            }
            tokio::time::sleep(RETRY).await;
        }
        self.forget_kept();
    }

    fn settle(self: &Arc<Self>, kept: &Kept, name: RequestId, outcome: Outcome, marks: Marks) {
        let id = kept.id().clone();
        let lock_ref = kept.holding().lock_ref;
        let mut returned = None;
        {
            let mut state = self.tenures.state();
            let is_it = state.kept.get(&id).is_some_and(|entry| entry.name == name);
            let entry = is_it.then(|| state.kept.remove(&id)).flatten();
            if let (Some(mut entry), true) = (entry, outcome != Outcome::Gone) {
                if let Outcome::Done(holding) = outcome {
                    entry.kept = entry.kept.known_as(holding, self.clock.now());
                }
                entry.known = true;
                let alone = marks.last <= lock_ref && !self.closing.load(Ordering::Relaxed);
                if alone && matches!(outcome, Outcome::Done(_)) {
                    state.kept.insert(id.clone(), entry);
                } else {
                    returned = Some(entry);
                }
            } else {
                self.watches.remove(&self.locks, &id, name);
            }
        }
        if let Some(entry) = returned {
            self.give_back_unused(entry);
        }
        self.tenures.wanted.notify_one();
        self.tenures.settled.notify_waiters();
        self.tenures.returned.notify_waiters();
    }

    /// Releases a kept ticket; tried again until it is done, or its node
    /// session is over.
    pub(super) fn give_back(self: &Arc<Self>, kept: Kept) {
        self.note_release(kept.id(), kept.holding().lock_ref);
        let node = Arc::clone(self);
        self.tenures.returning.fetch_add(1, Ordering::Relaxed);
        let span = self.alone_span("engine release", kept.id(), 1);
        self.spawn(async move {
            while kept.owner() == node.liveness.session().0 {
                let release = node.in_time(node.locks.release(kept.id(), kept.holding()));
                if spans::within(span.clone(), release).await.is_ok() {
                    node.tell_askers(kept.id());
                    break;
                }
                tokio::time::sleep(RETRY).await;
                node.gate.pass().await;
            }
            node.tenures.returning.fetch_sub(1, Ordering::Relaxed);
            node.tenures.returned.notify_waiters();
        });
    }

    /// No section has it: stops listening, and releases it.
    fn give_back_unused(self: &Arc<Self>, entry: Entry) {
        self.watches
            .remove(&self.locks, entry.kept.id(), entry.name);
        self.give_back(entry.kept);
    }

    /// Releases tickets that were taken for a section that did not begin.
    pub(super) fn give_back_taken(self: &Arc<Self>, taken: Vec<(KeyIndex, Kept)>) {
        for (_, kept) in taken {
            self.give_back(kept);
        }
    }

    /// Releases all that is kept, and waits until that is done.
    pub(super) async fn give_all_back(self: &Arc<Self>) {
        loop {
            let returned = self.tenures.returned.notified();
            for entry in self.tenures.take_where(|_| true) {
                self.give_back_unused(entry);
            }
            let none = self.tenures.len() == 0;
            if none && self.tenures.returning.load(Ordering::Relaxed) == 0 {
                return;
            }
            returned.await;
        }
    }

    /// Forgets what an earlier session of the node kept: others force it.
    pub(super) fn forget_kept(&self) {
        let owner = self.liveness.session().0;
        let forgotten: Vec<Entry> = {
            let mut state = self.tenures.state();
            let is_old = |_: &RecordId, entry: &mut Entry| entry.kept.owner() != owner;
            let old = state.kept.extract_if(.., is_old);
            old.map(|(_, entry)| entry).collect()
        };
        for entry in forgotten {
            self.watches
                .remove(&self.locks, entry.kept.id(), entry.name);
        }
        self.tenures.settled.notify_waiters();
        self.tenures.returned.notify_waiters();
    }

    /// The queue of a key may have changed: others are let in.
    pub(super) fn hint_kept(self: &Arc<Self>, id: &RecordId, marks: Option<Marks>) {
        let lock_ref = {
            let state = self.tenures.state();
            let entry = state.kept.get(id).filter(|entry| entry.known);
            let Some(entry) = entry else {
                return;
            };
            entry.kept.holding().lock_ref
        };
        match marks {
            Some(marks) if marks.last <= lock_ref && marks.forced < lock_ref => {}
            Some(_) => {
                let is_it = |entry: &Entry| entry.kept.id() == id;
                for entry in self.tenures.take_where(is_it) {
                    self.give_back_unused(entry);
                }
            }
            None => {
                let (node, id) = (Arc::clone(self), id.clone());
                self.spawn(async move {
                    if let Ok(queue) = node.peek_together(&id).await {
                        node.gate.pass().await;
                        node.tell_keeper(&id, queue.marks());
                    }
                });
            }
        }
    }

    /// Releases what has been kept for long enough, until the node stops.
    pub(super) async fn run_tenures(self: Arc<Self>) {
        let Some(Affinity { idle_max, .. }) = self.affinity() else {
            return;
        };
        loop {
            let Some(next) = self.tenures.next_idle(idle_max) else {
                self.tenures.wanted.notified().await;
                continue;
            };
            tokio::time::sleep_until(self.clock.instant(next)).await;
            self.gate.pass().await;
            let now = self.clock.now();
            let idle = |entry: &Entry| now >= entry.since.after(idle_max);
            for entry in self.tenures.take_where(idle) {
                self.give_back_unused(entry);
            }
        }
    }
}
