//! Which recipes the clients of a run use.

use std::collections::BTreeSet;
use std::fmt;

use clap::ValueEnum;
use music_history::workload::dice::{Rng as _, dice};

use crate::cli_name;

/// What clients do with one recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
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
    /// Those of a seed.
    pub fn of_seed(seed: u64) -> BTreeSet<Self> {
        let mut dice = dice(seed, 0x7ade);
        let mut trades = BTreeSet::new();
        while trades.len() < AT_ONCE {
            let all = Self::value_variants();
            trades.extend(all.get(dice.random_range(0..all.len())));
        }
        trades
    }
}

impl fmt::Display for Trade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cli_name(self, f)
    }
}
