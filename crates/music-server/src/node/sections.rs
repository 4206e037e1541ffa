//! The sections that a node keeps, each behind a lock of its own.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_core::critical_section::{CriticalSection, Error, OpId, Reply};
use music_core::id::{RecordId, RequestId};
use music_core::lock_ref::LockRef;
use music_core::time::MonotonicTime;
use tokio::sync::{Notify, oneshot};
use tracing::Span;

/// How many maps the sections are spread over, so that looking one up seldom
/// waits.
const SHARDS: usize = 64;

/// How many sections that are over a node remembers, for clients that ask
/// again.
const ENDED_MAX: usize = 10_000;

/// How a client's operation ended.
pub(super) type OpResult = Result<Reply, Error>;

/// A section, and those who wait for it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) request: RequestId,
    machine: Mutex<Machine>,
    /// What traces have of it.
    pub(super) span: Span,
    /// Told at each change of the section's status.
    pub(super) changed: Notify,
}

/// What the lock of a slot guards.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) section: CriticalSection,
    /// Who waits for the reply to which operation.
    pub(super) replies: Vec<(OpId, oneshot::Sender<OpResult>)>,
    next_op: u64,
    /// The earliest wake-up under way.
    pub(super) wake_at: Option<MonotonicTime>,
}

impl Slot {
    pub(super) fn new(section: CriticalSection, span: Span) -> Arc<Self> {
        let request = section.terms().request;
        let machine = Machine {
            section,
            replies: Vec::new(),
            next_op: 0,
            wake_at: None,
        };
        Arc::new(Self {
            request,
            machine: Mutex::new(machine),
            span,
            changed: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Machine> {
        // A poisoned machine is one whose invariant broke: the node is as
        // good as dead to it, and its stamps keep others safe.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of a section that has no other.
pub(super) fn only_key(slot: &Slot) -> Option<RecordId> {
    let machine = slot.lock();
    let mut keys = machine.section.lock_refs();
    let (id, _) = keys.next()?;
    keys.next().is_none().then(|| id.clone())
}

impl Machine {
    /// Names a new operation and waits for its reply.
    pub(super) fn expect_reply(&mut self) -> (OpId, oneshot::Receiver<OpResult>) {
        let op = OpId(self.next_op);
        self.next_op = self.next_op.wrapping_add(1);
        let (sender, receiver) = oneshot::channel();
        self.replies.push((op, sender));
        (op, receiver)
    }

    /// Hands a reply to who waits for it; nobody may.
    pub(super) fn reply(&mut self, op: OpId, reply: OpResult) {
        if let Some(position) = self.replies.iter().position(|(waiting, _)| *waiting == op) {
            let (_, sender) = self.replies.swap_remove(position);
            // A client that is gone does not hear it.
            let _heard = sender.send(reply);
        }
    }
}

/// All sections of a node.
#[derive(Debug)]
pub(super) struct Sections {
    shards: Vec<Mutex<HashMap<RequestId, Arc<Slot>>>>,
    open: AtomicUsize,
    ended: Mutex<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    results: HashMap<RequestId, OpResult>,
    order: VecDeque<RequestId>,
}

impl Sections {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            open: AtomicUsize::new(0),
            ended: Mutex::default(),
        }
    }

    fn shard(&self, request: RequestId) -> Option<MutexGuard<'_, HashMap<RequestId, Arc<Slot>>>> {
        let shards = u128::try_from(self.shards.len()).ok()?;
        let index = usize::try_from(request.0.checked_rem(shards)?).ok()?;
        self.shards.get(index).map(lock)
    }

    pub(super) fn get(&self, request: RequestId) -> Option<Arc<Slot>> {
        self.shard(request)?.get(&request).cloned()
    }

    /// Adds a section; the one that is there already if there is one.
    pub(super) fn insert(&self, slot: Arc<Slot>) -> Result<Arc<Slot>, Arc<Slot>> {
        let request = slot.request;
        let Some(mut shard) = self.shard(request) else {
            return Ok(slot);
        };
        if let Some(present) = shard.get(&request) {
            return Err(present.clone());
        }
        shard.insert(request, slot.clone());
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(slot)
    }

    /// Drops a section, unless another has taken its place; whether it was there.
    pub(super) fn remove(&self, slot: &Arc<Slot>) -> bool {
        let Some(mut shard) = self.shard(slot.request) else {
            return false;
        };
        let present = shard.get(&slot.request);
        let is_there = present.is_some_and(|present| Arc::ptr_eq(present, slot));
        if is_there {
            shard.remove(&slot.request);
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        is_there
    }

    pub(super) fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// In how many queues the sections hold or wait.
    pub(super) fn queues(&self) -> usize {
        let mut keys = HashSet::new();
        for slot in self.all() {
            let machine = slot.lock();
            let tickets = machine.section.lock_refs();
            let tickets = tickets.filter(|(_, lock_ref)| *lock_ref != LockRef::NONE);
            keys.extend(tickets.map(|(key, _)| key.clone()));
        }
        keys.len()
    }

    /// All sections, in an order that depends on their ids alone.
    pub(super) fn all(&self) -> Vec<Arc<Slot>> {
        let mut all: Vec<Arc<Slot>> = self
            .shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect();
        all.sort_unstable_by_key(|slot| slot.request);
        all
    }

    /// Remembers how a section ended, for a client that asks again; what was
    /// remembered first stays.
    pub(super) fn remember(&self, request: RequestId, result: OpResult) {
        let mut ended = lock(&self.ended);
        if let Entry::Vacant(vacant) = ended.results.entry(request) {
            vacant.insert(result);
            ended.order.push_back(request);
        }
        if ended.order.len() > ENDED_MAX
            && let Some(oldest) = ended.order.pop_front()
        {
            ended.results.remove(&oldest);
        }
    }

    /// How a section that is over ended.
    pub(super) fn ended(&self, request: RequestId) -> Option<OpResult> {
        lock(&self.ended).results.get(&request).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
