//! Replicas over a network that fails, all under one seed.
//!
//! The replicas and those who coordinate them are the values of
//! [`music_core::replica`], as in the embedded engine; what lies between them
//! is simulated: messages are late, lost, repeated and overtaken, links cut in
//! one direction, replicas crash and start again, disks are slow. On a runtime
//! of one thread whose time is paused, the same seed gives the same history.
//!
//! | module | what it holds |
//! |---|---|
//! | [`network`] | what becomes of a message |
//! | `replica` | what a replica has on disk |
//! | `records`, `queues` | a site's side of the two ports |
//! | `site` | the two ports, as a site has them |
//! | `healing` | how replicas come to agree |

mod healing;
pub mod network;
mod queues;
mod records;
mod replica;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use music_core::id::{RecordId, ReplicaId, TableId};
use music_core::lock_queue::LockQueue;
use music_core::lock_ref::LockRef;
use music_core::quorum::{Tally, majority};
use music_core::record::Record;
use music_core::replica::acceptor::{Acceptor, Request, Value};
use tokio::sync::{broadcast, mpsc};

use self::network::Network;
use self::replica::{Answer, Ask, Changed, Replica};
use crate::catalogue::Catalogue;
use crate::error::{Needed, Outcome};
use crate::{Error, Hint};

/// How long a call may take.
const CALL_MAX: Duration = Duration::from_secs(2);
/// The same where it waits for the turns of all others at its key: one that gave
/// up just before its own would make all that came after it give up, too.
const ORDERLY_CALL_MAX: Duration = Duration::from_secs(30);
/// How many hints, or changed records, wait for a listener; it loses more.
const HINTS_MAX: usize = 1_024;

/// What the transactions of one key at one site take turns by.
type Turn = Arc<tokio::sync::Mutex<()>>;
type Answers = mpsc::UnboundedSender<(ReplicaId, Answer)>;

/// A deployment: a replica a site, and the network between them.
#[derive(Clone, Debug)]
pub struct Deployment {
    shared: Arc<Shared>,
}

/// One node's view of its site.
#[derive(Clone, Debug)]
pub struct Site {
    shared: Arc<Shared>,
    index: usize,
    view: Arc<View>,
}

/// What a view listens to.
#[derive(Debug)]
struct View {
    site: usize,
    watched: Mutex<BTreeMap<RecordId, usize>>,
    hints: Mutex<Option<mpsc::Sender<Hint>>>,
    changes: broadcast::Sender<RecordId>,
}

#[derive(Debug)]
struct Shared {
    network: Network,
    replicas: Mutex<Vec<Replica>>,
    /// How long a disk may take for a change, by site.
    disks: Mutex<Vec<Duration>>,
    /// The longest time between two comparisons of replicas.
    healing: Mutex<Duration>,
    /// At one site, the transactions of one key take turns.
    turns: Mutex<BTreeMap<(usize, RecordId), Turn>>,
    /// Whether those of all sites do.
    is_orderly: AtomicBool,
    /// Nobody hears of changes, and nodes are in each other's way.
    is_deaf: AtomicBool,
    catalogue: Mutex<Catalogue>,
    views: Mutex<Vec<Weak<View>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next answer; never, where none comes any more.
async fn answered(inbox: &mut mpsc::UnboundedReceiver<(ReplicaId, Answer)>) -> (ReplicaId, Answer) {
    match inbox.recv().await {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

impl Deployment {
    /// A replica at each of so many sites. Must be called within a runtime.
    pub fn start(sites: usize, network: Network) -> Self {
        let shared = Arc::new(Shared {
            network,
            replicas: Mutex::new(vec![Replica::default(); sites]),
            disks: Mutex::new(vec![Duration::from_micros(200); sites]),
            healing: Mutex::new(Duration::from_millis(500)),
            turns: Mutex::default(),
            is_orderly: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            catalogue: Mutex::default(),
            views: Mutex::default(),
        });
        tokio::spawn(healing::run(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// A new view of a site, for one node.
    pub fn site(&self, index: usize) -> Site {
        let view = Arc::new(View {
            site: index,
            watched: Mutex::default(),
            hints: Mutex::default(),
            changes: broadcast::channel(HINTS_MAX).0,
        });
        lock(&self.shared.views).push(Arc::downgrade(&view));
        Site {
            shared: Arc::clone(&self.shared),
            index,
            view,
        }
    }

    /// From now on the transactions of all sites take turns at a key, and have the
    /// time for it. Before, where many nodes want one key, they may keep each
    /// other from it for minutes.
    pub fn take_turns(&self) {
        self.shared.is_orderly.store(true, Ordering::Relaxed);
    }

    /// Tells nobody of changes to queues, as an engine without watches, and takes
    /// nodes to be in each other's way at all of them. To be called before there
    /// are nodes.
    pub fn deafen(&self) {
        self.shared.is_deaf.store(true, Ordering::Relaxed);
    }

    /// The network, to make it fail.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// How long the disk of a site's replica may take for a change.
    pub fn set_disk(&self, site: usize, time_max: Duration) {
        if let Some(disk) = lock(&self.shared.disks).get_mut(site) {
            *disk = time_max;
        }
    }

    /// Replicas compare themselves at least so often.
    pub fn set_healing(&self, pause_max: Duration) {
        *lock(&self.shared.healing) = pause_max;
    }

    /// Ends a replica at once: it keeps what it had answered for.
    pub fn crash(&self, site: usize) {
        if let Some(replica) = self.shared.replicas().get_mut(site) {
            replica.down = true;
            replica.life += 1;
        }
    }

    /// Starts a replica again.
    pub fn restart(&self, site: usize) {
        if let Some(replica) = self.shared.replicas().get_mut(site) {
            replica.down = false;
        }
    }

    /// Whether a replica runs.
    pub fn is_running(&self, site: usize) -> bool {
        self.shared.is_running(site)
    }

    /// The record of a key at each replica.
    pub fn copies(&self, id: &RecordId) -> Vec<Record> {
        let replicas = self.shared.replicas();
        replicas.iter().map(|replica| replica.record(id)).collect()
    }

    /// Whether all replicas have the same records and queues.
    ///
    /// One that was only promised something has a queue to which nothing ever
    /// happened, as those have that were never asked.
    pub fn agrees(&self) -> bool {
        let same_records = {
            let replicas = self.shared.replicas();
            let mut records = replicas.iter().map(|replica| &replica.records);
            let first = records.next();
            records.all(|other| Some(other) == first)
        };
        same_records && self.unsettled().is_empty()
    }

    /// Waits until all replicas agree, as they do once nothing fails.
    ///
    /// A transaction that nobody goes on with may be accepted by some, and
    /// promised beyond by the rest: it is settled as the next one would, even
    /// where a majority agrees and a peek would look no further.
    pub async fn settled(&self) {
        while !self.agrees() {
            let sites = self.shared.sites();
            let pairs = (0..sites).flat_map(|from| (0..sites).map(move |to| (from, to)));
            pairs.for_each(|(from, to)| healing::pass(&self.shared, from, to));
            for id in self.unsettled() {
                // The next round tries again.
                let _settled = in_time(queues::settle(&self.shared, 0, &id)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The keys whose queues differ between replicas.
    fn unsettled(&self) -> BTreeSet<RecordId> {
        let replicas = self.shared.replicas();
        let all = replicas.iter().flat_map(|replica| replica.queues.keys());
        let differs = |id: &&RecordId| {
            let mut queues = replicas.iter().map(|replica| replica.queue(id).queue());
            let first = queues.next();
            queues.any(|queue| Some(queue) != first)
        };
        all.filter(differs).cloned().collect()
    }

    /// Skips all lockRefs of a key up to this one, as after a restore from a
    /// backup.
    pub fn advance(&self, id: &RecordId, lock_ref: LockRef) {
        let mut replicas = self.shared.replicas();
        let ballot = replicas.iter().map(|replica| replica.queue(id).promised());
        let ballot = ballot.max().unwrap_or_default().above(ReplicaId(0));
        let latest = replicas.iter().map(|replica| replica.queue(id));
        let latest = latest.max_by_key(Acceptor::accepted).unwrap_or_default();
        let mut queue = LockQueue::clone(&latest.queue());
        queue.advance(lock_ref);
        let value = Arc::new(Value {
            queue: Arc::new(queue),
            applied: latest.value().applied.clone(),
        });
        for replica in replicas.iter_mut() {
            let accept = Request::Accept(ballot, Arc::clone(&value));
            replica.answer(&Ask::Transact(id.clone(), accept));
        }
    }
}

impl Shared {
    fn replicas(&self) -> MutexGuard<'_, Vec<Replica>> {
        lock(&self.replicas)
    }

    fn sites(&self) -> usize {
        self.replicas().len()
    }

    fn healing_pause(&self) -> Duration {
        let longest = *lock(&self.healing);
        self.network.some_time(longest)
    }

    fn is_deaf(&self) -> bool {
        self.is_deaf.load(Ordering::Relaxed)
    }

    fn is_running(&self, site: usize) -> bool {
        self.replicas()
            .get(site)
            .is_some_and(|replica| !replica.down)
    }

    fn queue_at(&self, site: usize, id: &RecordId) -> Acceptor {
        let replicas = self.replicas();
        replicas
            .get(site)
            .map(|replica| replica.queue(id))
            .unwrap_or_default()
    }

    /// How long a call for a queue may take.
    fn queue_call_max(&self) -> Duration {
        if self.is_orderly.load(Ordering::Relaxed) {
            ORDERLY_CALL_MAX
        } else {
            CALL_MAX
        }
    }

    fn turn(&self, site: usize, id: &RecordId) -> Turn {
        let is_orderly = self.is_orderly.load(Ordering::Relaxed);
        let site = if is_orderly { self.sites() } else { site };
        let mut turns = lock(&self.turns);
        Arc::clone(turns.entry((site, id.clone())).or_default())
    }

    fn reach_majority(&self, site: usize) -> Result<(), Error> {
        let reaches = |other: &usize| {
            self.is_running(*other) && (*other == site || self.network.connected(site, *other))
        };
        if (0..self.sites()).filter(reaches).count() >= majority(self.sites()) {
            return Ok(());
        }
        let (needed, outcome) = (Needed::Majority, Outcome::NotApplied);
        Err(Error::Unavailable { needed, outcome })
    }

    /// Now and then a site knows that it does not reach a majority, and says
    /// so at once; at other times it finds out by waiting.
    fn check_majority(&self, site: usize) -> Result<(), Error> {
        match self.reach_majority(site) {
            Err(error) if self.network.chance(0.5) => Err(error),
            _ => Ok(()),
        }
    }

    fn ask_all(self: &Arc<Self>, from: usize, ask: &Ask, answers: &Answers) {
        for to in 0..self.sites() {
            self.ask(from, to, ask.clone(), Some(answers.clone()));
        }
    }

    /// Makes a change at a majority.
    async fn tell_majority(self: &Arc<Self>, site: usize, change: &Ask) -> Result<(), Error> {
        self.check_majority(site)?;
        let (answers, mut inbox) = mpsc::unbounded_channel();
        self.ask_all(site, change, &answers);
        let mut tally = Tally::new(self.sites());
        while !tally.is_majority() {
            let (from, _) = answered(&mut inbox).await;
            tally.answer(from);
        }
        Ok(())
    }

    /// Sends a question to a replica; its answer may come, late, twice, or
    /// never.
    fn ask(self: &Arc<Self>, from: usize, to: usize, ask: Ask, answers: Option<Answers>) {
        let shared = Arc::clone(self);
        self.network.send(from, to, move || {
            let (ask, answers) = (ask.clone(), answers.clone());
            tokio::spawn(Arc::clone(&shared).serve((from, to), ask, answers));
        });
    }

    async fn serve(
        self: Arc<Self>,
        (from, to): (usize, usize),
        ask: Ask,
        answers: Option<Answers>,
    ) {
        let life = |shared: &Self| {
            let replicas = shared.replicas();
            let replica = replicas.get(to).filter(|replica| !replica.down);
            replica.map(|replica| replica.life)
        };
        let arrived_in = life(&self);
        if ask.changes() {
            let disk = lock(&self.disks).get(to).copied().unwrap_or_default();
            tokio::time::sleep(self.network.some_time(disk)).await;
        }
        if arrived_in.is_none() || life(&self) != arrived_in {
            return;
        }
        let Some((answer, changed)) = self.answer(to, &ask) else {
            return;
        };
        self.tell(to, &changed);
        let Some(answers) = answers else { return };
        let replica = ReplicaId(u8::try_from(to).unwrap_or(u8::MAX));
        self.network.send(to, from, move || {
            // The call may have been answered already, or given up.
            let _heard = answers.send((replica, answer.clone()));
        });
    }

    fn answer(&self, site: usize, ask: &Ask) -> Option<(Answer, Changed)> {
        if let Ask::Merge(id, _) = ask
            && lock(&self.catalogue).is_dropped(id.table)
        {
            return Some((Answer::Merged, Changed::Nothing));
        }
        self.replicas()
            .get_mut(site)
            .map(|replica| replica.answer(ask))
    }

    /// Tells the views of a site what changed at its replica. Some hints are
    /// lost.
    fn tell(&self, site: usize, changed: &Changed) {
        if self.is_deaf() && matches!(changed, Changed::Queue(_)) {
            return;
        }
        let views: Vec<_> = lock(&self.views).iter().filter_map(Weak::upgrade).collect();
        for view in views.iter().filter(|view| view.site == site) {
            match changed {
                Changed::Nothing => {}
                Changed::Record(id) => {
                    // Nobody may listen.
                    let _heard = view.changes.send(id.clone());
                }
                Changed::Queue(id) => {
                    let marks = Some(self.queue_at(site, id).queue().marks());
                    let hint = Hint {
                        id: id.clone(),
                        marks,
                    };
                    view.hint(hint);
                }
            }
        }
    }

    fn known(&self, table: TableId) -> Result<(), Error> {
        if lock(&self.catalogue).is_dropped(table) {
            Err(Error::NoSuchTable)
        } else {
            Ok(())
        }
    }
}

impl View {
    fn hint(&self, hint: Hint) {
        let watched = lock(&self.watched).contains_key(&hint.id);
        if let (true, Some(hints)) = (watched, &*lock(&self.hints)) {
            // A listener that lags behind loses hints.
            let _heard = hints.try_send(hint);
        }
    }
}

/// Waits for a call, but no longer than it may take.
async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    within(CALL_MAX, call).await
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let ended = tokio::time::timeout(limit, call).await;
    ended.unwrap_or(Err(Error::TimedOut))
}

#[cfg(test)]
mod tests;
