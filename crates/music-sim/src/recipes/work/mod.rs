//! What the clients of a run do with recipes: all their trades at once, until
//! faults stop; then each trade shows that whoever asks is served.

mod barriers;
mod changes;
mod election;
mod group;
mod hand;
mod holders;
mod meeting;
mod once;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use music_client::Client;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::trades::Trade;
use crate::deployment::Host;
use hand::Hand;
use meeting::Meeting;

/// How many parties a barrier has, where there are so many clients.
const PARTIES_MAX: usize = 3;

/// Notes that something rare happened.
pub(crate) type Saw = Arc<dyn Fn(&'static str) + Send + Sync>;

/// One client.
pub(crate) struct Worker {
    /// How it reaches the nodes.
    pub(crate) client: Client,
    /// What runs it.
    pub(crate) host: Arc<Host>,
    /// Its number, unlike those of all others.
    pub(crate) id: u32,
    /// Its place: who comes for one that died has the same.
    pub(crate) place: usize,
    /// The name of its site.
    pub(crate) site: String,
    /// Where its chance comes from.
    pub(crate) seed: u64,
    /// What all clients of the run share.
    pub(crate) board: Arc<Board>,
    /// Where what is rare is noted.
    pub(crate) saw: Saw,
    /// Cancelled when faults stop.
    pub(crate) calm: CancellationToken,
    /// How long the effects of faults may last.
    pub(crate) settling: Duration,
}

/// What all clients of a run share: the log, and what is outside of MUSIC.
pub(crate) struct Board {
    /// The log of calls.
    pub(crate) log: Log,
    /// What they do.
    pub(crate) trades: BTreeSet<Trade>,
    clients: usize,
    /// Where clients wait for each other, once faults have stopped.
    meetings: BTreeMap<Trade, Meeting>,
    /// The highest token that each thing outside has accepted.
    outside: Mutex<BTreeMap<String, u64>>,
    /// Which latch is counted down.
    latch: AtomicU64,
    /// Which step is to be done.
    step: AtomicU64,
    /// The members of the group that are alive at the end.
    alive: Mutex<BTreeSet<String>>,
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").finish_non_exhaustive()
    }
}

impl Board {
    /// That of a run with so many clients.
    pub(crate) fn new(log: Log, trades: &BTreeSet<Trade>, clients: usize) -> Self {
        let meeting = |trade: &Trade| (*trade, Meeting::of(clients));
        Self {
            log,
            trades: trades.clone(),
            clients,
            meetings: trades.iter().map(meeting).collect(),
            outside: Mutex::default(),
            latch: AtomicU64::new(0),
            step: AtomicU64::new(0),
            alive: Mutex::default(),
        }
    }

    fn outside(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alive(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parties(&self) -> usize {
        self.clients.min(PARTIES_MAX)
    }
}

impl Worker {
    /// Works until faults have stopped, then shows that all can be had.
    pub(crate) async fn run(self) {
        let trades = self.board.trades.iter();
        join_all(trades.map(|trade| self.ply(*trade))).await;
        self.client.close().await;
    }

    fn ply(&self, trade: Trade) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let hand = Hand::new(self, trade);
        match trade {
            Trade::Mutex => Box::pin(holders::mutex(hand)),
            Trade::RwLock => Box::pin(holders::rw_lock(hand)),
            Trade::MultiLock => Box::pin(holders::multi_lock(hand)),
            Trade::Semaphore => Box::pin(holders::semaphore(hand)),
            Trade::ActivePassive => Box::pin(holders::active_passive(hand)),
            Trade::Election => Box::pin(election::election(hand)),
            Trade::Barrier => Box::pin(barriers::barrier(hand)),
            Trade::DoubleBarrier => Box::pin(barriers::double_barrier(hand)),
            Trade::Latch => Box::pin(changes::latch(hand)),
            Trade::Counter => Box::pin(changes::counter(hand)),
            Trade::Register => Box::pin(changes::register(hand)),
            Trade::Queue => Box::pin(queue::queue(hand)),
            Trade::Once => Box::pin(once::once(hand)),
            Trade::Group => Box::pin(group::group(hand)),
        }
    }
}
