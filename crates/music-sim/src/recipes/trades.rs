//! Which recipes the clients of a run use.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use music_history::workload::dice::{Rng as _, dice};

/// What clients do with one recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trade {
    /// A mutex, whose state is handed on.
    Mutex,
    /// A reader-writer lock, whose state is handed on.
    RwLock,
    /// Locks of two of three keys.
    MultiLock,
    /// A semaphore, whose permits fence something outside.
    Semaphore,
    /// An election, and its observers.
    Election,
    /// Active-passive replicas, whose state is handed on.
    ActivePassive,
    /// A barrier.
    Barrier,
    /// A double barrier.
    DoubleBarrier,
    /// Latches.
    Latch,
    /// A counter.
    Counter,
    /// A register.
    Register,
    /// A work queue.
    Queue,
    /// Steps that are done once.
    Once,
    /// A group.
    Group,
}

/// How many trades the clients of one run have.
const AT_ONCE: usize = 3;

impl Trade {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Mutex,
        Self::RwLock,
        Self::MultiLock,
        Self::Semaphore,
        Self::Election,
        Self::ActivePassive,
        Self::Barrier,
        Self::DoubleBarrier,
        Self::Latch,
        Self::Counter,
        Self::Register,
        Self::Queue,
        Self::Once,
        Self::Group,
    ];

    /// The name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mutex => "mutex",
            Self::RwLock => "rw-lock",
            Self::MultiLock => "multi-lock",
            Self::Semaphore => "semaphore",
            Self::Election => "election",
            Self::ActivePassive => "active-passive",
            Self::Barrier => "barrier",
            Self::DoubleBarrier => "double-barrier",
            Self::Latch => "latch",
            Self::Counter => "counter",
            Self::Register => "register",
            Self::Queue => "queue",
            Self::Once => "once",
            Self::Group => "group",
        }
    }

    /// Those of a seed.
    pub fn of_seed(seed: u64) -> BTreeSet<Self> {
        let mut dice = dice(seed, 0x7ade);
        let mut trades = BTreeSet::new();
        while trades.len() < AT_ONCE {
            trades.extend(Self::ALL.get(dice.random_range(0..Self::ALL.len())));
        }
        trades
    }
}

impl fmt::Display for Trade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such trade.
#[derive(Clone, Debug, thiserror::Error)]
#[error("there is no recipe {0}")]
pub struct NoSuchTrade(String);

impl FromStr for Trade {
    type Err = NoSuchTrade;

    fn from_str(name: &str) -> Result<Self, NoSuchTrade> {
        let found = Self::ALL.into_iter().find(|trade| trade.name() == name);
        found.ok_or_else(|| NoSuchTrade(name.to_owned()))
    }
}
