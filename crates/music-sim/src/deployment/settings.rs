//! What a seed decides, and what narrows a run down.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use music_history::workload::Habits;
use music_store::simulated::network::Weather;

use super::world::{self, Rng as _};
use crate::cli_name;
use crate::recipes::trades::Trade;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// A site is cut off from all others.
    CutSite,
    /// One direction of a link is cut.
    CutOneWay,
    /// A node dies, and starts again later.
    KillNode,
    /// A node stands still, often for longer than its lease.
    SuspendNode,
    /// A replica dies, and starts again later.
    CrashReplica,
    /// A replica's disk is slow.
    SlowDisk,
    /// More messages are lost, late and repeated.
    Storm,
    /// Somebody forces a section out by hand.
    Force,
    /// A client dies.
    CrashClient,
    /// A client stands still, often for longer than its lease.
    StopClient,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        cli_name(self, f)
    }
}

/// All that a run depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where every chance comes from.
    pub seed: u64,
    /// How many sites there are, a replica at each.
    pub sites: usize,
    /// How many nodes a site has.
    pub nodes_per_site: usize,
    /// How many clients there are at a time.
    pub clients: usize,
    /// How many critical records they work on.
    pub keys: usize,
    /// A node's lease.
    pub node_lease_ms: u64,
    /// For how long there are faults.
    pub length: Duration,
    /// Whether the engine tells of no changes: nodes tell each other, and enqueue for
    /// each other.
    pub is_deaf: bool,
    /// Which faults there are.
    pub faults: BTreeSet<Fault>,
    /// The longest time between two faults.
    pub pause_max: Duration,
    /// Replicas compare themselves at least so often.
    pub healing: Duration,
    /// How messages fare, beside storms.
    pub weather: Weather,
    /// What clients like to do, each in percent.
    pub habits: Habits,
    /// The recipes that clients use; sections of their own where there are none.
    pub trades: BTreeSet<Trade>,
}

/// How many clients want one record where there is a crowd.
const CROWD: usize = 12;

impl Settings {
    /// What this seed decides.
    pub fn of_seed(seed: u64) -> Self {
        let mut settings = Self::uncrowded(seed);
        let homely = settings.habits.home > 90;
        if !homely && world::dice(seed, 0xc40d).random_ratio(1, 3) {
            settings.crowd();
        }
        settings
    }

    fn uncrowded(seed: u64) -> Self {
        let mut dice = world::dice(seed, 0x005e_7719);
        let mut one_of = |choices: [u32; 3]| {
            let at = dice.random_range(0..choices.len());
            choices.get(at).copied().unwrap_or_default()
        };
        let part = |percent: u32| f64::from(percent) / 100.0;
        let mut settings = Self {
            seed,
            sites: one_of([3, 3, 5]) as usize,
            nodes_per_site: one_of([1, 1, 2]) as usize,
            clients: one_of([4, 5, 7]) as usize,
            keys: one_of([1, 2, 3]) as usize,
            node_lease_ms: one_of([600, 1000, 2000]).into(),
            length: Duration::from_secs(one_of([15, 30, 60]).into()),
            is_deaf: world::dice(seed, 0xdeaf).random_ratio(1, 3),
            faults: Fault::value_variants().iter().copied().collect(),
            pause_max: Duration::from_millis(one_of([200, 600, 2000]).into()),
            healing: Duration::from_millis(one_of([500, 3000, 20_000]).into()),
            weather: Weather {
                lost: part(one_of([0, 3, 12])),
                twice: part(one_of([0, 2, 8])),
                late: part(one_of([0, 4, 15])),
                late_max: Duration::from_millis(one_of([400, 2000, 8000]).into()),
                jitter: part(one_of([5, 40, 150])),
            },
            habits: Habits {
                several_keys: one_of([5, 30, 60]),
                shared: one_of([5, 20, 50]),
                long: 0,
                linger: one_of([1, 5, 20]),
                confirm: one_of([20, 40, 70]),
                impatient: one_of([0, 10, 30]),
                home: one_of([0, 60, 95]),
            },
            trades: BTreeSet::new(),
        };
        if settings.habits.home > 90 {
            settings.settle_down();
        }
        settings
    }

    /// Lets each site work on a record of its own, by sections whose tickets a
    /// node may keep: those are rare where everybody meets everywhere.
    fn settle_down(&mut self) {
        self.keys = self.sites;
        self.habits = Habits {
            several_keys: 5,
            shared: 2,
            confirm: 5,
            ..self.habits
        };
    }

    /// Whether many clients want one record.
    pub(super) fn is_crowded(&self) -> bool {
        self.clients >= CROWD
    }

    /// Lets many clients want one record, more than have tickets of their own.
    fn crowd(&mut self) {
        (self.clients, self.keys) = (CROWD, 1);
        (self.sites, self.nodes_per_site) = (3, 1);
        self.habits = Habits {
            several_keys: 0,
            shared: 2,
            linger: 1,
            impatient: self.habits.impatient.min(10),
            ..self.habits
        };
    }

    /// What this seed decides where clients use recipes.
    ///
    /// Nobody forces sections by hand: what was acknowledged just then may be
    /// lost, and recipes cannot promise more than locks do. Faults are rarer: a
    /// call of a recipe is several sections, and there must be time for many.
    pub fn of_recipes(seed: u64) -> Self {
        let mut settings = Self::uncrowded(seed);
        settings.faults.remove(&Fault::Force);
        settings.sites = 3;
        settings.length = settings.length.min(Duration::from_secs(30));
        settings.pause_max *= 3;
        settings.trades = Trade::of_seed(seed);
        settings
    }

    /// How far each site is from a point in the middle.
    pub(super) fn delays(&self) -> Vec<Duration> {
        let mut dice = world::dice(self.seed, 0xde1a);
        (0..self.sites)
            .map(|_| Duration::from_millis(dice.random_range(1..30)))
            .collect()
    }

    /// The words of the command line that narrow the seed's own settings down
    /// to these.
    pub fn narrowing(&self) -> String {
        let is_of_recipes = !self.trades.is_empty();
        let own = if is_of_recipes {
            Self::of_recipes(self.seed)
        } else {
            Self::of_seed(self.seed)
        };
        let length = format!(" --length-ms {}", self.length.as_millis());
        let clients = format!(" --clients {}", self.clients);
        let mut words = Vec::new();
        words.extend(is_of_recipes.then(|| " --recipes".to_owned()));
        if self.trades != own.trades {
            let trades = self.trades.iter();
            words.extend(trades.map(|trade| format!(" --recipe {trade}")));
        }
        words.extend((self.length != own.length).then_some(length));
        words.extend((self.clients != own.clients).then_some(clients));
        let without = own.faults.difference(&self.faults);
        words.extend(without.map(|fault| format!(" --without {fault}")));
        words.concat()
    }
}

/// How long a message takes from one site to another.
pub(super) fn between(delays: &[Duration], from: usize, to: usize) -> Duration {
    let of = |site: usize| delays.get(site).copied().unwrap_or_default();
    if from == to {
        Duration::from_micros(200)
    } else {
        of(from) + of(to)
    }
}
