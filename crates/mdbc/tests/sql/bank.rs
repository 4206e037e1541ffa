//! Transfers of money and appends to lists at three sites at once, by SQL, while
//! processes die, sites are cut off and nodes are paused beyond their lease.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use music_history::judges::strict_serializability::{Outcome, Step, Transaction, judge};
use tokio::sync::watch;
use tokio_postgres::{Client, Error};

use crate::dice::Dice;
use crate::sites::{Sites, all, soon};

/// The accounts, each with a balance and a list.
const ACCOUNTS: [&str; 4] = ["a", "b", "c", "d"];
/// How many clients a site has.
const CLIENTS: usize = 2;
/// How many transactions must commit before the first fault, and after each.
const PROGRESS_FIRST: u64 = 100;
const PROGRESS: u64 = 10;
/// How often a transaction is tried.
const ATTEMPTS: usize = 4;
/// How long a node may go unheard.
const LEASE: Duration = Duration::from_secs(1);

/// Where the accounts are.
#[derive(Clone, Copy)]
enum Layout {
    /// Each is a table.
    Tables,
    /// Each is a row of one table, in a range of its own.
    Ranges,
}

impl Layout {
    fn schema(self) -> String {
        let columns = "balance bigint NOT NULL, list text NOT NULL";
        match self {
            Self::Tables => ACCOUNTS
                .map(|name| {
                    format!(
                        "CREATE TABLE {name} (k int PRIMARY KEY, {columns});
                         INSERT INTO {name} VALUES (0, 0, '');"
                    )
                })
                .concat(),
            Self::Ranges => format!(
                "CREATE TABLE account (k text PRIMARY KEY, {columns})
                     WITH (music_ranges = 'k: b, c, d');
                 INSERT INTO account VALUES ('a', 0, ''), ('b', 0, ''), ('c', 0, ''), ('d', 0, '')"
            ),
        }
    }

    /// The table and the condition of an account.
    fn place(self, name: &str) -> (String, String) {
        match self {
            Self::Tables => (name.to_owned(), "k = 0".to_owned()),
            Self::Ranges => ("account".to_owned(), format!("k = '{name}'")),
        }
    }

    /// All accounts in their order.
    fn all(self) -> String {
        let query = |name| {
            let (table, condition) = self.place(name);
            format!("SELECT list, balance FROM {table} WHERE {condition}")
        };
        match self {
            Self::Tables => ACCOUNTS.map(query).join(" UNION ALL "),
            Self::Ranges => "SELECT list, balance FROM account ORDER BY k".to_owned(),
        }
    }
}

/// What a transaction does: with each account, in this order.
struct Plan {
    /// The account, and what its balance gains by an append; only read without.
    steps: Vec<(&'static str, Option<i64>)>,
    /// The element that it appends first; the others follow.
    element: u64,
}

impl Plan {
    fn any(dice: &mut Dice) -> Self {
        let mut accounts: Vec<&str> = ACCOUNTS.to_vec();
        let mut steps = Vec::new();
        for _ in 0..=dice.below(3) {
            let at = usize::try_from(dice.below(u64::try_from(accounts.len()).unwrap())).unwrap();
            let gain = (!dice.one_in(3)).then_some(0);
            steps.push((accounts.remove(at), gain));
        }
        let mut gains: Vec<&mut i64> = steps
            .iter_mut()
            .filter_map(|(_, gain)| gain.as_mut())
            .collect();
        if let [first, .., last] = gains.as_mut_slice() {
            (**first, **last) = (5, -5);
        }
        Self { steps, element: 0 }
    }
}

struct Bank {
    sites: Sites,
    layout: Layout,
    began: Instant,
    history: Mutex<Vec<Transaction>>,
    committed: watch::Sender<u64>,
    elements: AtomicU64,
    is_over: AtomicBool,
}

impl Bank {
    #[allow(clippy::disallowed_methods, reason = "a history has times")]
    async fn start(layout: Layout) -> Self {
        let sites = Sites::start(LEASE).await;
        let client = sites.client(0).await;
        for statement in layout.schema().split(';') {
            soon(client.batch_execute(statement)).await.unwrap();
        }
        Self {
            sites,
            layout,
            began: Instant::now(),
            history: Mutex::default(),
            committed: watch::Sender::new(0),
            elements: AtomicU64::new(1),
            is_over: AtomicBool::new(false),
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    fn note(&self, begun_us: u64, outcome: Outcome, steps: Vec<Step>) {
        let ended_us = self.now_us();
        let transaction = Transaction {
            begun_us,
            ended_us,
            outcome,
            steps,
        };
        self.history.lock().unwrap().push(transaction);
        let more = u64::from(outcome == Outcome::Committed);
        self.committed.send_modify(|count| *count += more);
    }

    async fn work(&self, site: usize, seed: u64) {
        let mut dice = Dice(seed);
        let mut client = None;
        while !self.is_over.load(Ordering::SeqCst) {
            let usable = client.take().filter(|client: &Client| !client.is_closed());
            client = match usable {
                Some(client) => Some(client),
                None => self.sites.connect(site).await,
            };
            let Some(client) = &client else {
                tokio::task::yield_now().await;
                continue;
            };
            let mut plan = Plan::any(&mut dice);
            for _ in 0..ATTEMPTS {
                plan.element = self.elements.fetch_add(8, Ordering::SeqCst);
                if self.transact(client, &plan).await != Outcome::NotApplied {
                    break;
                }
            }
        }
    }

    async fn transact(&self, client: &Client, plan: &Plan) -> Outcome {
        let begun_us = self.now_us();
        let mut steps = Vec::new();
        let ran = run(client, self.layout, plan, &mut steps).await;
        let outcome = match ran {
            Err(_) => {
                let _rolled_back = client.batch_execute("ROLLBACK").await;
                Outcome::NotApplied
            }
            Ok(()) => outcome(client.batch_execute("COMMIT").await),
        };
        self.note(begun_us, outcome, steps);
        outcome
    }

    async fn progress(&self, more: u64) {
        let mut committed = self.committed.subscribe();
        let goal = *committed.borrow_and_update() + more;
        let _reached = soon(committed.wait_for(|count| *count >= goal)).await;
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
            _ => {
                sites.kill(site).await;
                self.progress(PROGRESS / 2).await;
                soon(sites.serve(site)).await;
            }
        }
        self.progress(PROGRESS).await;
    }

    /// Everything, read at a site in one transaction: list and balance of each account.
    async fn all_of(&self, site: usize) -> Vec<String> {
        let query = &self.layout.all();
        let read = async {
            loop {
                let begun_us = self.now_us();
                let Some(client) = self.sites.connect(site).await else {
                    continue;
                };
                if client.batch_execute("BEGIN").await.is_err() {
                    continue;
                }
                let rows = match client.simple_query(query).await {
                    Ok(_) => all(&client, query).await,
                    Err(_) => continue,
                };
                if client.batch_execute("COMMIT").await.is_ok() {
                    return (begun_us, rows);
                }
            }
        };
        let (begun_us, rows) = soon(read).await;
        let lists = ACCOUNTS.iter().zip(&rows).map(|(account, row)| Step::Read {
            list: (*account).to_owned(),
            elements: elements(row.split('|').next().unwrap()),
        });
        self.note(begun_us, Outcome::Committed, lists.collect());
        rows
    }

    async fn run(self, seed: u64, faults: &[u64]) {
        let work = (0..3 * CLIENTS).map(|client| {
            let seed = seed
                .wrapping_mul(31)
                .wrapping_add(u64::try_from(client).unwrap());
            self.work(client % 3, seed)
        });
        let nemesis = async {
            let mut dice = Dice(seed);
            self.progress(PROGRESS_FIRST).await;
            for fault in faults {
                self.harm(&mut dice, *fault).await;
            }
            self.is_over.store(true, Ordering::SeqCst);
        };
        futures_util::future::join(join_all(work), nemesis).await;
        let mut left = Vec::new();
        for site in [0, 1, 2, 0] {
            left.push(self.all_of(site).await);
        }
        self.check(&left);
    }

    fn check(&self, left: &[Vec<String>]) {
        for other in &left[1..] {
            assert_eq!(left[0], *other, "all sites have the same");
        }
        let money = left[0].iter().map(|row| row.split('|').nth(1).unwrap());
        let money: i64 = money.map(|amount| amount.parse::<i64>().unwrap()).sum();
        assert_eq!(money, 0, "no money is made or lost");
        let history = self.history.lock().unwrap();
        for transaction in history.iter() {
            check_whole(&left[0], transaction);
        }
        let verdict = judge(&history);
        let shown: Vec<String> = verdict.breaches.iter().map(ToString::to_string).collect();
        assert!(shown.is_empty(), "{shown:#?}");
        assert!(verdict.reads > 50, "it proves something: {}", verdict.reads);
        let ends = |outcome| history.iter().filter(|one| one.outcome == outcome).count();
        println!(
            "{} committed, {} not applied, {} unknown",
            ends(Outcome::Committed),
            ends(Outcome::NotApplied),
            ends(Outcome::Unknown)
        );
    }
}

/// Does what is planned, but for the commit.
async fn run(
    client: &Client,
    layout: Layout,
    plan: &Plan,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    client.batch_execute("BEGIN").await?;
    for ((account, gain), element) in plan.steps.iter().zip(plan.element..) {
        let (table, condition) = layout.place(account);
        let query = format!("SELECT list FROM {table} WHERE {condition}");
        let row = client.query_one(&query, &[]).await?;
        let list = (*account).to_owned();
        steps.push(Step::Read {
            list: list.clone(),
            elements: elements(row.get(0)),
        });
        let Some(gain) = gain else { continue };
        let update = format!(
            "UPDATE {table} SET list = list || $1, balance = balance + $2 WHERE {condition}"
        );
        client
            .execute(&update, &[&format!("{element},"), gain])
            .await?;
        steps.push(Step::Append { list, element });
    }
    Ok(())
}

fn outcome(committed: Result<(), Error>) -> Outcome {
    let Err(error) = committed else {
        return Outcome::Committed;
    };
    match error.code().map(tokio_postgres::error::SqlState::code) {
        // The process has said so, or is gone.
        Some("40003") | None => Outcome::Unknown,
        Some(_) => Outcome::NotApplied,
    }
}

fn elements(list: &str) -> Vec<u64> {
    let words = list.split_terminator(',');
    words.map(|word| word.parse().unwrap()).collect()
}

/// A transaction is in all its lists once, or in none.
fn check_whole(left: &[String], transaction: &Transaction) {
    let count = |step: &Step| match step {
        Step::Append { list, element } => {
            let at = ACCOUNTS.iter().position(|name| name == list).unwrap();
            let list = elements(left[at].split('|').next().unwrap());
            Some(list.iter().filter(|known| *known == element).count())
        }
        Step::Read { .. } => None,
    };
    let counts: Vec<usize> = transaction.steps.iter().filter_map(count).collect();
    let right: &[usize] = match transaction.outcome {
        Outcome::Committed => &[1],
        Outcome::NotApplied => &[0],
        Outcome::Unknown => &[0, 1],
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

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_work_at_once_are_strictly_serializable() {
    Bank::start(Layout::Tables).await.run(1, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_die_lose_and_tear_nothing() {
    Bank::start(Layout::Tables)
        .await
        .run(2, &[2, 2, 2, 2])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_that_are_cut_off_or_paused_lose_and_tear_nothing() {
    Bank::start(Layout::Tables)
        .await
        .run(3, &[0, 1, 0, 1])
        .await;
}

/// The same with rows of one table, each in a range: where the engine has them.
pub(crate) async fn on_ranges(seed: u64, faults: &[u64]) {
    Bank::start(Layout::Ranges).await.run(seed, faults).await;
}
