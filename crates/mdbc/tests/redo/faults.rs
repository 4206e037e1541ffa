//! Transactions at three sites at once, while processes die, sites are cut off,
//! nodes are paused beyond their lease, and answers are lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use mdbc::partition::{Partition, PartitionSet};
use mdbc::redo_log::Access;
use music_history::judges::strict_serializability::{self as judge, Step, Transaction};
use tokio::sync::watch;

use crate::dice::Dice;
use crate::ledger::Data;
use crate::process::{Clock, Plan, Process};
use crate::proxy::Proxy;
use crate::sites::{Sites, partition, soon};

/// How many transactions run at a site at a time.
const WORKERS: usize = 3;

/// How many transactions must commit while a fault lasts.
const PROGRESS: u64 = 12;

/// How many must commit before the first fault.
const PROGRESS_FIRST: u64 = 400;

struct Bank {
    sites: Sites,
    partitions: Vec<Partition>,
    processes: Vec<tokio::sync::Mutex<Arc<Process>>>,
    history: Mutex<Vec<Transaction>>,
    committed: watch::Sender<u64>,
    elements: AtomicU64,
    is_over: AtomicBool,
    /// One in so many transactions kills its process before the local commit.
    deadly: u64,
    clock: Clock,
}

impl Bank {
    async fn start(deadly: u64) -> Self {
        let sites = Sites::hasty().await;
        let mut processes = Vec::new();
        for site in 0..3 {
            let options = sites.options(site);
            let process = Process::start(&sites.urls[site], options, Data::default()).await;
            processes.push(tokio::sync::Mutex::new(Arc::new(process)));
        }
        Self {
            sites,
            partitions: ["a", "b", "c", "d"].map(partition).to_vec(),
            processes,
            history: Mutex::default(),
            committed: watch::Sender::new(0),
            elements: AtomicU64::new(8),
            is_over: AtomicBool::new(false),
            deadly,
            clock: Clock::start(),
        }
    }

    /// The living process of a site, begun anew where it is dead.
    async fn process(&self, site: usize) -> Arc<Process> {
        let mut process = self.processes[site].lock().await;
        while process.is_dead() {
            let disk = process.ledger.kill();
            let proxy = Proxy::start(&self.sites.urls[site]).await;
            if let Ok(next) = Process::behind(proxy, self.sites.options(site), disk).await {
                *process = Arc::new(next);
            }
        }
        Arc::clone(&process)
    }

    async fn work(&self, site: usize, seed: u64) {
        let mut dice = Dice(seed);
        while !self.is_over.load(Ordering::SeqCst) {
            let element = self.elements.fetch_add(8, Ordering::SeqCst);
            let mut plan = Plan::any(&mut dice, &self.partitions, element);
            plan.dies = dice.one_in(self.deadly);
            let process = self.process(site).await;
            let transaction = process.transact(&plan, self.clock).await;
            let is_committed = transaction.outcome == judge::Outcome::Committed;
            self.history.lock().unwrap().push(transaction);
            self.committed
                .send_modify(|count| *count += u64::from(is_committed));
        }
    }

    /// Waits until more transactions are committed.
    async fn progress(&self, more: u64) {
        let mut committed = self.committed.subscribe();
        let goal = *committed.borrow_and_update() + more;
        soon(committed.wait_for(|count| *count >= goal))
            .await
            .unwrap();
    }

    /// One fault, while others go on.
    async fn harm(&self, dice: &mut Dice, fault: u64) {
        let site = usize::try_from(dice.below(3)).unwrap();
        let (sites, dev) = (&self.sites, &self.sites.deployment);
        match fault {
            0 => {
                dev.set_site_cut(&sites.names[site], true).unwrap();
                self.progress(PROGRESS).await;
                dev.set_site_cut(&sites.names[site], false).unwrap();
            }
            1 => {
                dev.suspend(&sites.nodes[site]).unwrap();
                self.progress(PROGRESS).await;
                dev.resume(&sites.nodes[site]).unwrap();
            }
            2 => {
                self.processes[site].lock().await.kill();
            }
            3 => self.process(site).await.lose_answers(3),
            _ => {
                let (from, to) = (&sites.names[site], &sites.names[(site + 1) % 3]);
                dev.set_link(from, to, true, true).unwrap();
                self.progress(PROGRESS).await;
                dev.set_link(from, to, true, false).unwrap();
            }
        }
        self.progress(PROGRESS).await;
    }

    /// What a site has when it owns everything, in a transaction of its own.
    async fn all_of(&self, site: usize) -> Data {
        let all = PartitionSet::new(self.partitions.clone()).unwrap();
        let read = async {
            loop {
                let begun_us = self.clock.now_us();
                let process = self.process(site).await;
                let wait = std::time::Duration::from_secs(20);
                let Ok(pass) = process.ownership.enter(&all, Access::Read, wait).await else {
                    continue;
                };
                let data = process.ledger.data();
                if pass.prove(&all).await.is_ok() {
                    return (begun_us, data);
                }
            }
        };
        let (begun_us, data) = soon(read).await;
        let list = |partition: &Partition| Step::Read {
            list: partition.to_string(),
            elements: data.list(partition),
        };
        self.history.lock().unwrap().push(Transaction {
            begun_us,
            ended_us: self.clock.now_us(),
            outcome: judge::Outcome::Committed,
            steps: self.partitions.iter().map(list).collect(),
        });
        data
    }

    /// Works at all sites while somebody does harm, and checks what is left.
    async fn run(self, seed: u64, faults: &[u64]) {
        let workers = (0..3 * WORKERS).map(|worker| {
            let seed = seed
                .wrapping_mul(31)
                .wrapping_add(u64::try_from(worker).unwrap());
            self.work(worker % 3, seed)
        });
        let nemesis = async {
            let mut dice = Dice(seed);
            self.progress(PROGRESS_FIRST).await;
            for fault in faults {
                self.harm(&mut dice, *fault).await;
            }
            self.is_over.store(true, Ordering::SeqCst);
        };
        futures_util::future::join(join_all(workers), nemesis).await;
        let mut left = Vec::new();
        for site in [0, 1, 2, 0] {
            left.push(self.all_of(site).await);
        }
        self.check(&left);
    }

    fn check(&self, left: &[Data]) {
        let history = self.history.lock().unwrap();
        for other in &left[1..] {
            assert_eq!(left[0], *other, "all sites have the same");
        }
        assert_eq!(
            left[0].balances.values().sum::<i64>(),
            0,
            "no money is made or lost"
        );
        for transaction in history.iter() {
            self.check_whole(&left[0], transaction);
        }
        let verdict = judge::judge(&history);
        let shown: Vec<String> = verdict.breaches.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{shown:#?}");
        assert!(
            verdict.reads > 100,
            "it proves something: {}",
            verdict.reads
        );
        let ends = |outcome| history.iter().filter(|one| one.outcome == outcome).count();
        println!(
            "{} committed, {} not applied, {} unknown",
            ends(judge::Outcome::Committed),
            ends(judge::Outcome::NotApplied),
            ends(judge::Outcome::Unknown)
        );
    }

    /// A transaction is in all its lists once, or in none.
    fn check_whole(&self, left: &Data, transaction: &Transaction) {
        let count = |step: &Step| match step {
            Step::Append { list, element } => {
                let of = self
                    .partitions
                    .iter()
                    .find(|partition| partition.name() == list);
                let list = of.map(|partition| left.list(partition)).unwrap_or_default();
                Some(list.iter().filter(|known| *known == element).count())
            }
            Step::Read { .. } => None,
        };
        let counts: Vec<usize> = transaction.steps.iter().filter_map(count).collect();
        let right: &[usize] = match transaction.outcome {
            judge::Outcome::Committed => &[1],
            judge::Outcome::NotApplied => &[0],
            judge::Outcome::Unknown => &[0, 1],
        };
        let first = counts.first();
        assert!(
            counts.iter().all(|count| Some(count) == first),
            "half of it: {transaction:?}"
        );
        assert!(
            first.is_none_or(|count| right.contains(count)),
            "{counts:?}: {transaction:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_work_at_once_are_strictly_serializable() {
    Bank::start(u64::MAX).await.run(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_die_lose_and_tear_nothing() {
    Bank::start(20).await.run(2, &[2, 2, 3, 2, 3, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_are_cut_off_lose_and_tear_nothing() {
    Bank::start(u64::MAX).await.run(3, &[0, 4, 0, 4]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_that_are_paused_beyond_their_lease_lose_and_tear_nothing() {
    Bank::start(u64::MAX).await.run(4, &[1, 1, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_together() {
    Bank::start(60)
        .await
        .run(5, &[0, 2, 1, 3, 4, 2, 1, 0, 3])
        .await;
}
