//! One life of a site's mdbc process, and the transactions that it runs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mdbc::ownership::{Ownership, Pace, Pass};
use mdbc::partition::{Partition, PartitionSet};
use mdbc::redo_log::{Access, Entry, Footprint, LogOptions, RedoLog};
use music_client::Outcome;
use music_history::judges::strict_serializability::{self as judge, Transaction};
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;
use crate::ledger::{Change, Data, Ledger, digest};
use crate::proxy::Proxy;
use crate::sites::hasty_client;

/// How long a transaction waits for its partitions.
const WAIT: Duration = Duration::from_secs(3);

/// One life of a process.
pub(crate) struct Process {
    pub(crate) ownership: Ownership<Ledger>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) log: RedoLog,
    /// The way to its node; `None` once it is dead.
    proxy: Mutex<Option<Proxy>>,
    /// The database has one writer.
    writer: tokio::sync::Mutex<()>,
    dead: CancellationToken,
}

/// What a transaction does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Lists that it reads.
    pub(crate) reads: Vec<Partition>,
    /// Lists that it reads and appends to, each its element; between their
    /// balances it moves money.
    pub(crate) appends: Vec<(Partition, u64)>,
    /// Whether it finds out in its middle that it needs the last one.
    pub(crate) extends: bool,
    /// Whether its process dies between the acknowledgement and the commit.
    pub(crate) dies: bool,
}

impl Plan {
    pub(crate) fn any(dice: &mut Dice, partitions: &[Partition], element: u64) -> Self {
        let touched = dice.some_of(partitions);
        let is_reader = dice.one_in(4);
        let (mut reads, mut appends) = (Vec::new(), Vec::new());
        for (number, partition) in (0..).zip(touched) {
            if is_reader || dice.one_in(4) {
                reads.push(partition);
            } else {
                appends.push((partition, element + number));
            }
        }
        let extends = dice.one_in(8);
        Self {
            reads,
            appends,
            extends,
            dies: false,
        }
    }

    fn partitions(&self) -> Vec<Partition> {
        let appended = self.appends.iter().map(|(partition, _)| partition);
        self.reads.iter().chain(appended).cloned().collect()
    }

    fn changes(&self) -> Vec<Change> {
        let last = self.appends.len() - 1;
        let change = |(n, (partition, element)): (usize, &(Partition, u64))| {
            // One pays all others.
            let pays = i64::try_from(last).unwrap() * 7;
            let amount = if n == last { -pays } else { 7 };
            Change {
                partition: partition.clone(),
                append: Some(*element),
                amount,
            }
        };
        self.appends.iter().enumerate().map(change).collect()
    }

    /// The steps of a history's transaction that saw this.
    fn steps(&self, seen: &Data) -> Vec<judge::Step> {
        let read = |partition: &Partition| judge::Step::Read {
            list: partition.to_string(),
            elements: seen.list(partition),
        };
        let append = |(partition, element): &(Partition, u64)| judge::Step::Append {
            list: partition.to_string(),
            element: *element,
        };
        let reads = self.partitions();
        reads
            .iter()
            .map(read)
            .chain(self.appends.iter().map(append))
            .collect()
    }
}

/// A clock that all clients share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "a test is no library")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_us(self) -> u64 {
        self.0.elapsed().as_micros().try_into().unwrap()
    }
}

/// How a transaction ended.
enum End {
    Committed(Data),
    NotApplied,
    Unknown,
}

impl Process {
    /// Begins a life, over what is on the disk.
    pub(crate) async fn start(url: &str, options: LogOptions, disk: Data) -> Self {
        let proxy = Proxy::start(url).await;
        let process = Self::behind(proxy, options, disk).await;
        process.unwrap_or_else(|_| panic!("a node answers"))
    }

    /// The same, where the way to the node may be cut at any time.
    pub(crate) async fn behind(
        proxy: Proxy,
        options: LogOptions,
        disk: Data,
    ) -> Result<Self, (Proxy, Data)> {
        let client = hasty_client(&proxy.url);
        let Ok(log) = RedoLog::open(client, options).await else {
            return Err((proxy, disk));
        };
        let ledger = Ledger::recover(disk);
        let pace = Pace {
            drain: Duration::from_secs(2),
            ..Pace::default()
        };
        let ownership = Ownership::new(log.clone(), Arc::clone(&ledger), pace);
        Ok(Self {
            ownership,
            ledger,
            log,
            proxy: Mutex::new(Some(proxy)),
            writer: tokio::sync::Mutex::default(),
            dead: CancellationToken::new(),
        })
    }

    /// Kills it: nothing of it reaches its node any more, and nothing its disk.
    pub(crate) fn kill(&self) -> Data {
        let disk = self.ledger.kill();
        drop(self.proxy.lock().unwrap().take());
        self.dead.cancel();
        disk
    }

    /// Loses the next answers of its node.
    pub(crate) fn lose_answers(&self, count: usize) {
        if let Some(proxy) = &*self.proxy.lock().unwrap() {
            proxy.lose_answers(count);
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_cancelled()
    }

    /// Runs a transaction for a client. It is told nothing if the process dies.
    pub(crate) async fn transact(&self, plan: &Plan, clock: Clock) -> Transaction {
        let begun_us = clock.now_us();
        let end = self
            .dead
            .run_until_cancelled(Box::pin(self.attempt(plan)))
            .await;
        let (outcome, seen) = match end.unwrap_or(End::Unknown) {
            End::Committed(seen) => (judge::Outcome::Committed, seen),
            End::NotApplied => (judge::Outcome::NotApplied, Data::default()),
            End::Unknown => (judge::Outcome::Unknown, Data::default()),
        };
        let steps = plan.steps(&seen);
        Transaction {
            begun_us,
            ended_us: clock.now_us(),
            outcome,
            steps,
        }
    }

    async fn attempt(&self, plan: &Plan) -> End {
        let mut first = plan.partitions();
        let last = if plan.extends && first.len() > 1 {
            first.pop()
        } else {
            None
        };
        let access = if plan.appends.is_empty() {
            Access::Read
        } else {
            Access::Write
        };
        let first = PartitionSet::new(first).unwrap();
        let Ok(pass) = self.ownership.enter(&first, access, WAIT).await else {
            return End::NotApplied;
        };
        if let Some(last) = last
            && pass.extend(&last.into(), WAIT / 4).await.is_err()
        {
            return End::NotApplied;
        }
        let all = PartitionSet::new(plan.partitions()).unwrap();
        if plan.appends.is_empty() {
            let seen = self.ledger.data();
            return match pass.prove(&all).await {
                Ok(()) => End::Committed(seen),
                Err(_) => End::NotApplied,
            };
        }
        let end = self.append(plan, &pass).await;
        drop(pass);
        if matches!(end, End::Committed(_)) {
            let applied = self.ledger.durable().applied;
            let _published = self.log.sites().publish_applied(&applied, 1).await;
        }
        end
    }

    async fn append(&self, plan: &Plan, pass: &Pass<Ledger>) -> End {
        let digest = digest(&plan.changes());
        let writes = plan.appends.iter().map(|(partition, _)| partition.clone());
        let footprint = Footprint {
            writes: PartitionSet::new(writes).unwrap(),
            reads: plan.reads.iter().cloned().collect(),
        };
        // The tentative state is read and changed in one step with the append:
        // there is one writer.
        let writer = self.writer.lock().await;
        let Ok(ticket) = pass.append(&footprint, digest.clone()).await else {
            return End::NotApplied;
        };
        let seen = self.ledger.data();
        let entry = Entry {
            places: ticket.places().to_vec(),
            digest,
        };
        self.ledger.run(entry.clone());
        drop(writer);
        match ticket.acknowledged().await {
            Ok(()) if plan.dies => {
                self.kill();
                End::Unknown
            }
            Ok(()) => match self.ledger.commit(&entry) {
                Ok(()) => End::Committed(seen),
                Err(_) => End::Unknown,
            },
            Err(failure) => {
                self.ledger.roll_back(&entry);
                match failure.outcome {
                    Outcome::NotApplied => End::NotApplied,
                    Outcome::Unknown => End::Unknown,
                }
            }
        }
    }
}
