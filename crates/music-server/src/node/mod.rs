//! A node: the protocol's machines, driven over an engine.
//!
//! Stateless in the protocol's sense: whatever a node forgets, the engine has.
//!
//! | module | what it does |
//! |---|---|
//! | `batch` | puts that are asked for together |
//! | `critical` | the operations of critical sections, as clients ask for them |
//! | `force` | sections and tickets that somebody takes for dead, by hand |
//! | `eventual`, `tables` | plain get and put, scans; tables |
//! | `drive` | steps a section's machine and makes the calls it asks for |
//! | `sections`, `timers`, `watches` | which sections there are, when they wake, what they listen to |
//! | `tenures`, `lines` | site affinity: tickets that are kept between sections, and sections that wait for one together |
//! | `neighbours`, `courier` | hints between nodes, where the lock engine has no watches |
//! | `relay` | enqueues by way of another node |
//! | `peeks` | looks at a queue that several sections ask for |
//! | `liveness` | the node's lease, and its suspicion of other nodes |
//! | `gate` | suspension, for the development controls |
//! | `spans` | what traces say of sections, their operations and calls |
//! | `world` | clocks and dice |

mod batch;
mod config;
mod courier;
mod critical;
mod drive;
mod error;
mod eventual;
mod force;
mod gate;
mod lines;
mod liveness;
mod neighbours;
mod peeks;
mod relay;
mod sections;
mod spans;
mod tables;
mod tenures;
mod timers;
mod view;
mod watches;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use music_core::critical_section::Input;
use music_core::id::{IdempotencyKey, Key, RecordId, RequestId, SessionId};
use music_core::lock_queue::LockQueue;
use music_core::lock_ref::LockRef;
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_store::engine::{LockEngine, StateEngine};
use music_store::{Applied, ScanRange, StateStore};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use batch::BatchPut;
pub use config::NodeConfig;
pub use error::Error;
pub use music_core::critical_section::{Change, Status as State};
pub use neighbours::NeighbourCounts;
#[cfg(test)]
pub(crate) use relay::TRIES_MAX;
pub(crate) use relay::{RelayedEnqueue, encode_answer};
use spans::About;
pub use tenures::Affinity;
pub use view::{NodeStatus, Released, SectionRef, SectionView};
pub use world::{World, request_id};

/// A node; clones are the same node.
#[derive(Clone, Debug)]
pub struct Node {
    inner: Arc<Inner>,
}

/// What the clones of a node share.
#[derive(Debug)]
struct Inner {
    config: NodeConfig,
    state: StateEngine,
    locks: LockEngine,
    clock: World,
    gate: gate::Gate,
    sections: sections::Sections,
    timers: timers::Timers,
    watches: watches::Watches,
    peeks: peeks::Peeks,
    tenures: tenures::Tenures,
    lines: lines::Lines,
    liveness: liveness::Liveness,
    neighbours: neighbours::Neighbours,
    relays: relay::Relays,
    writes: eventual::Writes,
    closing: AtomicBool,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Inner {
    /// Runs a task until it is done or the node stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks
            .spawn(async move { stop.run_until_cancelled_owned(task).await });
    }
}

impl Node {
    /// Starts a node on an engine's view of its site. Must be called within
    /// a tokio runtime.
    pub fn start(
        config: NodeConfig,
        world: World,
        (state, locks): (StateEngine, LockEngine),
    ) -> Self {
        let tells = !config.address.is_empty() && !locks.has_watches();
        let courier = tells.then(|| world.courier()).flatten();
        let inner = Arc::new(Inner {
            liveness: liveness::Liveness::new(world.session_id(), config.lease),
            neighbours: neighbours::Neighbours::new(courier),
            relays: relay::Relays::default(),
            config,
            state,
            locks,
            clock: world,
            gate: gate::Gate::open(),
            sections: sections::Sections::new(),
            timers: timers::Timers::default(),
            watches: watches::Watches::default(),
            peeks: peeks::Peeks::default(),
            tenures: tenures::Tenures::default(),
            lines: lines::Lines::default(),
            writes: eventual::Writes::default(),
            closing: AtomicBool::new(false),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        inner.spawn(inner.clone().run_session());
        inner.spawn(inner.clone().run_observer());
        inner.spawn(inner.clone().run_timers());
        inner.spawn(inner.clone().run_hints());
        inner.spawn(inner.clone().run_tenures());
        Self { inner }
    }

    /// Ends every section by a release, waits until that is done, at most for
    /// `limit`, and stops. Returns how many sections were still open.
    pub async fn shutdown(&self, limit: Duration) -> usize {
        self.inner.closing.store(true, Ordering::Relaxed);
        for slot in self.inner.sections.all() {
            let mut machine = slot.lock();
            let (op, _nobody_listens) = machine.expect_reply();
            let release = Input::Release { op, confirm: false };
            let effects = self.inner.step_locked(&slot, &mut machine, release);
            drop(machine);
            self.inner.perform(&slot, effects);
        }
        let all = async {
            self.inner.all_ended().await;
            self.inner.give_all_back().await;
        };
        let _in_time = tokio::time::timeout(limit, all).await;
        let open = self.inner.sections.len();
        self.kill();
        open
    }

    /// Ends everything in the node at once, as a crash would; nothing is
    /// released. What it had sent to an engine may still take effect.
    pub fn kill(&self) {
        self.inner.closing.store(true, Ordering::Relaxed);
        self.inner.stop.cancel();
        self.inner.tasks.close();
    }

    /// Stops everything in the node where it is, as SIGSTOP would.
    pub fn suspend(&self) {
        self.inner.gate.close();
    }

    /// Lets a suspended node go on.
    pub fn resume(&self) {
        self.inner.gate.reopen();
    }

    /// Whether the node is suspended.
    pub fn is_suspended(&self) -> bool {
        self.inner.gate.is_closed()
    }

    /// Waits while the node is suspended.
    pub async fn gate(&self) {
        self.inner.gate.pass().await;
    }

    /// Waits until the node may keep sections, at most for `limit`; whether
    /// it may.
    pub async fn ready(&self, limit: Duration) -> bool {
        self.inner.lease_valid(limit).await
    }

    /// Queues a section; waits up to `wait` for the grant.
    ///
    /// The same request again is the same section.
    ///
    /// # Errors
    /// [`Error::Store`] with an unknown outcome where the queues did not
    /// answer in time; the tickets are then taken back.
    ///
    /// # Cost
    /// The enqueue alone where the keys are free.
    ///
    /// # Cancel safety
    /// The section stays queued until its client's lease runs out.
    pub async fn create_lock_ref(
        &self,
        section: SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        let about = About::section(section.request);
        let work = self.inner.create_lock_ref(section, wait);
        self.inner.operation("createLockRef", about, work).await
    }

    /// Waits up to `wait` for the grant. A section that this node does not
    /// keep is taken over from the node that does.
    ///
    /// # Errors
    /// [`Error::NoSuchSection`] where it has no ticket in the queues.
    ///
    /// # Cost
    /// Nothing, or to take over: a peek, a consensus write, a majority read
    /// and write, a consensus write, for all keys at once.
    ///
    /// # Cancel safety
    /// Nothing is left behind but the section itself.
    pub async fn acquire(
        &self,
        section: &SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        let about = About::section(section.request);
        let work = self.inner.acquire(section, wait);
        self.inner.operation("acquire", about, work).await
    }

    /// Proves that the client lives; where the section stands.
    ///
    /// # Errors
    /// [`Error::NotHere`] where this node does not keep it.
    pub fn renew(&self, request: RequestId) -> Result<SectionView, Error> {
        self.inner.renew(request)
    }

    /// Where the section stands, without any effect.
    ///
    /// # Errors
    /// [`Error::NotHere`] where this node does not keep it.
    pub fn section(&self, request: RequestId) -> Result<SectionView, Error> {
        self.inner.section(request)
    }

    /// What traces have of the section, if this node keeps it.
    pub(crate) fn section_span(&self, request: RequestId) -> tracing::Span {
        let slot = self.inner.sections.get(request);
        slot.map_or_else(tracing::Span::none, |slot| slot.span.clone())
    }

    /// Waits until the section's state is another than `seen`.
    ///
    /// # Errors
    /// [`Error::NotHere`] once this node does not keep it.
    pub async fn section_changed(
        &self,
        request: RequestId,
        seen: State,
    ) -> Result<SectionView, Error> {
        self.inner.section_changed(request, seen).await
    }

    /// Reads a record inside the section.
    ///
    /// # Errors
    /// Those of the section; nothing is changed by a read.
    ///
    /// # Cost
    /// One round, then none for the same key in the same section.
    pub async fn critical_get(&self, request: RequestId, id: &RecordId) -> Result<Record, Error> {
        let about = About::section(request).at(id);
        let work = self.inner.critical_get(request, id);
        self.inner.operation("criticalGet", about, work).await
    }

    /// Writes a record inside the section; the stamp that a majority has.
    ///
    /// # Errors
    /// `Unknown` where the write may or may not take effect; a retry with the
    /// same idempotency key is the same put.
    ///
    /// # Cost
    /// One round.
    ///
    /// # Cancel safety
    /// The put goes on; a retry with the same idempotency key finds it.
    pub async fn critical_put(
        &self,
        request: RequestId,
        id: &RecordId,
        change: Change,
        key: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        let about = About::section(request).at(id);
        let work = self.inner.critical_put(request, id, change, key);
        self.inner.operation("criticalPut", about, work).await
    }

    /// Writes several records inside the section, in their order; the stamps
    /// that a majority has.
    ///
    /// # Errors
    /// Where this node does not keep the section; each put has its own beside,
    /// as [`Node::critical_put`].
    ///
    /// # Cost
    /// One round: one write for each key.
    ///
    /// # Cancel safety
    /// As [`Node::critical_put`].
    pub async fn critical_puts(
        &self,
        request: RequestId,
        puts: Vec<BatchPut>,
    ) -> Result<Vec<Result<Stamp, Error>>, Error> {
        let about = About::section(request).puts(puts.len());
        let work = self.inner.critical_puts(request, puts);
        self.inner.operation("criticalPuts", about, work).await
    }

    /// Ends the section. At a node that does not keep it, by force.
    ///
    /// # Errors
    /// Where the section was lost before, or, if `confirm` asks for it, where
    /// somebody else was granted in between. `Unknown` where a majority did
    /// not answer in time.
    ///
    /// # Cost
    /// Nothing that is waited for; a consensus write if `confirm` asks.
    ///
    /// # Cancel safety
    /// The release goes on.
    pub async fn release(&self, section: &SectionRef, confirm: bool) -> Result<Released, Error> {
        let about = About::section(section.request);
        let work = self.inner.release(section, confirm);
        self.inner.operation("release", about, work).await
    }

    /// Ends the section, whoever keeps it, as one that is taken for dead.
    /// Returns whether some ticket of it was there.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Cost
    /// A consensus write, for all keys at once; a few more within two seconds where
    /// it may be the section under a ticket that another node has kept.
    pub async fn force(&self, section: &SectionRef) -> Result<bool, Error> {
        let about = About::section(section.request);
        let work = self.inner.force(section);
        self.inner.operation("force", about, work).await
    }

    /// Takes in what the node with that session tells of queues.
    ///
    /// # Cost
    /// A look at each of them that a section here has to do with.
    pub async fn hear_hints(&self, from: SessionId, wanted: Vec<RecordId>, changed: Vec<RecordId>) {
        self.inner.gate.pass().await;
        self.inner.hear_hints(from, wanted, changed);
    }

    /// Enqueues for another node, which asks for it where both want a key at once.
    ///
    /// # Errors
    /// [`Error::NotHere`] where no section here has to do with the key, and those of
    /// the engine.
    ///
    /// # Cost
    /// A consensus write.
    ///
    /// # Cancel safety
    /// The ticket may be there; the node that asked finds it, or keeps it out.
    pub(crate) async fn enqueue_for(&self, asked: RelayedEnqueue) -> Result<Applied, Error> {
        self.inner.gate.pass().await;
        self.inner.enqueue_for(asked).await
    }

    /// How many hints it has told and heard, and enqueues that others made for it.
    pub fn neighbour_counts(&self) -> NeighbourCounts {
        self.inner.neighbours.counts.clone()
    }

    /// Forces the ticket of that number out of a key's queue. Returns whether
    /// it was there.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Cost
    /// A consensus write.
    pub async fn force_ticket(&self, id: &RecordId, lock_ref: LockRef) -> Result<bool, Error> {
        self.inner.force_ticket(id, lock_ref).await
    }

    /// The queue of a key, linearizable.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Cost
    /// A peek.
    pub async fn queue(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        self.inner.queue(id).await
    }

    /// How many sections stand in line here for a key: they have no tickets in its
    /// queue yet.
    pub fn in_line(&self, id: &RecordId) -> usize {
        self.inner.lines.waiting(id)
    }

    /// Waits until the queue of the key may have changed, or `limit` is over.
    pub async fn queue_changed(&self, id: &RecordId, limit: Duration) {
        self.inner.queue_changed(id, limit).await;
    }

    /// Reads a record at the local replica.
    ///
    /// # Errors
    /// Those of the engine.
    ///
    /// # Cost
    /// None over the wide area.
    pub async fn get(&self, id: &RecordId) -> Result<Record, Error> {
        let about = About::default().at(id);
        let work = self.inner.get(id);
        self.inner.operation("localGet", about, work).await
    }

    /// Writes a record of an eventual table at the local replica.
    ///
    /// # Errors
    /// [`Error::WrongMode`] on a critical table, and those of the engine.
    ///
    /// # Cost
    /// None over the wide area.
    pub async fn put(
        &self,
        id: &RecordId,
        change: Change,
        key: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        let about = About::default().at(id);
        let work = self.inner.put(id, change, key);
        self.inner.operation("localPut", about, work).await
    }

    /// Records of a table at the local replica, in key order.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        Ok(self.inner.state.scan(range).await?)
    }

    /// Tells of each record that changes at the local replica; `None` where the
    /// engine cannot tell.
    pub fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        self.inner.state.changes()
    }

    /// In how many queues the node's sections hold or wait. Looks at each.
    pub fn queues(&self) -> usize {
        self.inner.sections.queues()
    }

    /// The node as it sees itself.
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            session: self.inner.liveness.session().0,
            lease_valid: self.inner.lease_is_valid(),
            sections: self.inner.sections.len(),
            kept: self.inner.tenures.len(),
            in_line: self.inner.lines.len(),
        }
    }
}
