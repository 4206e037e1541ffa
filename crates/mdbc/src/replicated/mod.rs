//! Tables over MUSIC.
//!
//! *Strong* tables: transactions own what they touch, and are in the log before
//! they are committed here.
//!
//! ```text
//!  before ──▶ a place in a turn over the tables' partitions; what was missed is replayed
//!  append ──▶ the digest in the log of each partition that it changed; acknowledged
//!             ──▶ the local commit, with the entry's positions in the same transaction
//!  read   ──▶ nothing was changed: what was read is proved to be the latest
//!  ended  ──▶ the place is given up
//! ```
//!
//! A change of the schema is in the log of a partition that all sites have
//! ([`SCHEMA`]), and in those of the tables that it concerns: it is replayed
//! before any row that rests on it.
//!
//! *Eventual* tables: a transaction that changes nothing else commits at once,
//! with a letter in the same local transaction, which is sent behind its back
//! (`mail`). Where it changes strong tables too, what it made of rows in eventual
//! ones is in its entry of the log: at every site, all of it or nothing.
//!
//! *The worst failure survived*: the process ends between the log's
//! acknowledgement and the local commit. The entry is missed by its own site's
//! database, and replayed.

mod engines;
mod follow;
mod local;
mod mail;
mod places;
mod status;
mod transaction;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use music_client::{Client, Outcome};
use tokio::sync::Notify;

use self::local::Local;
use self::transaction::{Partitions, Transaction};
use crate::clock;
use crate::engine::{
    Access as Touched, Appended, Digest, Engine, Notes, Replication, Stamped, Who,
};
use crate::error::{Result, SqlError, state};
use crate::outbox::Outbox;
use crate::ownership::{EnterError, Ownership, Pace};
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::{Access, Behind, DIGEST_BYTES_MAX, Failure, LogOptions, RedoLog};
use crate::status::SiteStatus;

pub use self::mail::DELETED_KEPT;
pub use self::places::SCHEMA;

/// How long a transaction waits for the tables that it touches first.
const WAIT: Duration = Duration::from_secs(15);
/// How long it waits for further ones, which another transaction may have that
/// waits for what this one has.
const FURTHER_WAIT: Duration = Duration::from_secs(1);
/// Of how many sessions is remembered what they wanted.
const HABITS_MAX: usize = 10_000;

/// Replication over MUSIC. Clones are the same.
#[derive(Clone, Debug)]
pub struct Replicated {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: Arc<Local>,
    log: RedoLog,
    outbox: Arc<Outbox>,
    ownership: Ownership<Local>,
    transactions: Mutex<HashMap<u64, Arc<Transaction>>>,
    /// What a session's last transaction touched that had to begin again, or
    /// that began with all of it: the next one begins with that.
    habits: Mutex<HashMap<u64, Partitions>>,
    /// Transactions that are about to commit a letter.
    writing: Mutex<HashSet<u64>>,
    /// There may be a letter to send.
    written: Notify,
    /// Everything that was committed anywhere by then is applied here, in
    /// microseconds since 1970; 0 where that is not known.
    level_us: AtomicU64,
    /// Partitions whose entries do not come, and how often that was seen.
    stuck: Mutex<BTreeMap<Partition, u32>>,
}

impl Replicated {
    /// Joins the other sites: makes the logs if there are none, and catches up
    /// with their schema.
    ///
    /// # Errors
    /// [`SqlError`] where the sites do not agree, MUSIC cannot be reached, or
    /// the local database cannot be read.
    ///
    /// # Cost
    /// One consensus for each table of MUSIC that is new, and a turn over the
    /// schema.
    ///
    /// # Cancel safety
    /// The logs may or may not be made.
    pub async fn join(
        client: Client,
        options: LogOptions,
        engine: impl Into<Engine>,
    ) -> Result<Self> {
        let engine = engine.into();
        let name = options.database.clone();
        let site = options.site.clone();
        let log = RedoLog::open(client.clone(), options)
            .await
            .map_err(unavailable)?;
        engines::agree(&client, &name, &site, engine.name()).await?;
        let outbox = Outbox::open(client, &name, &log)
            .await
            .map_err(unavailable)?;
        let outbox = Arc::new(outbox);
        let local = Local::open(engine.open()?, Arc::clone(&outbox), log.behind()).await?;
        let local = Arc::new(local);
        let ownership = Ownership::new(log.clone(), Arc::clone(&local), Pace::default());
        let inner = Arc::new(Inner {
            local,
            log,
            outbox,
            ownership,
            transactions: Mutex::default(),
            habits: Mutex::default(),
            writing: Mutex::default(),
            written: Notify::new(),
            level_us: AtomicU64::default(),
            stuck: Mutex::default(),
        });
        inner.catch_up_schema(WAIT).await?;
        let joined = Self { inner };
        joined.check_round()?;
        Ok(joined)
    }

    /// Whether the local database needs a snapshot of another site.
    pub fn behind(&self) -> &Behind {
        self.inner.log.behind()
    }

    /// Ends all turns, and commits here what is acknowledged. Transactions that are
    /// open are waited for.
    pub async fn close(&self) {
        self.inner.ownership.close().await;
        if let Err(error) = self.inner.local.database.quiet().await {
            tracing::debug!(%error, "the log has what is not committed here");
        }
    }
}

impl Inner {
    fn transactions(&self) -> MutexGuard<'_, HashMap<u64, Arc<Transaction>>> {
        self.transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn transaction(&self, number: u64) -> Option<Arc<Transaction>> {
        self.transactions().get(&number).cloned()
    }

    /// Applies what other sites have done to the schema.
    async fn catch_up_schema(&self, wait: Duration) -> Result<()> {
        let schema = PartitionSet::from(places::schema()?);
        let entered = self.ownership.enter(&schema, Access::Read, wait).await;
        drop(entered.map_err(not_entered)?);
        Ok(())
    }

    /// Remembers what a transaction touched that was not to be had in its middle,
    /// or that it had from the beginning for that reason.
    fn learn(&self, transaction: &Transaction, is_committed: bool) {
        let touched = transaction.touched().clone();
        let is_used = |habit: &Partitions| habit.all().is_subset(&touched.all());
        let had_all = transaction.habit.as_ref().is_some_and(is_used);
        if touched.all().len() > 1 && (!is_committed || had_all) {
            let mut habits = self.habits();
            if habits.len() >= HABITS_MAX {
                habits.clear();
            }
            habits.insert(transaction.session, touched);
        }
    }

    /// What a transaction is to commit that changed eventual tables alone.
    fn write_letter(&self, number: u64, digest: &Digest) -> Result<Notes> {
        let letter = digest.rows.encode().map_err(SqlError::internal)?;
        if letter.len() > DIGEST_BYTES_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "a transaction writes more than {DIGEST_BYTES_MAX} bytes to eventual tables"
                ),
            )
            .with_hint("The transaction had no effect. Split it into several."));
        }
        self.writing().insert(number);
        let rows = digest.rows.clone();
        Ok(Notes {
            rows: Some(Stamped {
                stamp: self.outbox.stamp(),
                sequence: 0,
                rows,
            }),
            letter: Some(letter),
            ..Notes::default()
        })
    }

    /// Such a transaction has ended: if it is committed, there is a letter.
    fn letter_is_written(&self, number: u64) {
        if self.writing().remove(&number) {
            self.written.notify_one();
        }
    }

    fn writing(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that a statement touches.
    fn partitions(&self, touched: &Touched) -> Result<Partitions> {
        let (reads, mut writes) = self.local.database.touched(touched)?;
        if touched.is_schema {
            writes.insert(places::schema()?);
        }
        Ok(Partitions { reads, writes })
    }

    fn habits(&self) -> MutexGuard<'_, HashMap<u64, Partitions>> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self, who: Who, touched: Partitions, may_write: bool) -> Result<()> {
        let habit = may_write.then(|| self.habits().remove(&who.session));
        let habit = habit.flatten();
        let mut wanted = touched.clone();
        wanted.extend(habit.as_ref().unwrap_or(&Partitions::default()));
        // What it may not need is no reason to refuse it.
        let all = PartitionSet::new(wanted.all()).or_else(|_| PartitionSet::new(touched.all()));
        let wanted = all.map_err(SqlError::refused)?;
        let access = if may_write || !touched.writes.is_empty() {
            Access::Write
        } else {
            Access::Read
        };
        let pass = self
            .ownership
            .enter(&wanted, access, WAIT)
            .await
            .map_err(not_entered)?;
        let transaction = Transaction::new(who.session, pass, habit, touched);
        self.transactions()
            .insert(who.transaction, Arc::new(transaction));
        Ok(())
    }
}

#[async_trait]
impl Replication for Replicated {
    async fn before(&self, who: Who, touched: &Touched, may_write: bool) -> Result<()> {
        let partitions = self.inner.partitions(touched)?;
        if partitions.all().is_empty() {
            return Ok(());
        }
        match self.inner.transaction(who.transaction) {
            Some(transaction) => transaction.extend(&partitions).await,
            None => self.inner.enter(who, partitions, may_write).await,
        }
    }

    async fn append(&self, number: u64, digest: &Digest) -> Result<Appended> {
        let inner = &self.inner;
        let transaction = inner.transaction(number);
        if digest.changes.is_empty() {
            let notes = inner.write_letter(number, digest)?;
            let Some(transaction) = transaction else {
                return Ok(Appended::alone(notes));
            };
            let acknowledged = Box::pin(async move { transaction.prove().await });
            return Ok(Appended {
                notes,
                acknowledged,
            });
        }
        let not_owned = || SqlError::internal("a transaction has changed what it does not own");
        let transaction = transaction.ok_or_else(not_owned)?;
        let owned = transaction.touched().writes.clone();
        inner.local.database.check_owned(digest, &owned)?;
        let mut digest = digest.clone();
        if !digest.rows.is_empty() {
            digest.stamp = Some(inner.outbox.stamp());
        }
        let ticket = transaction.append(&digest, &inner.local).await?;
        let Digest { rows, stamp, .. } = digest;
        let notes = Notes {
            positions: local::positions(ticket.places()),
            rows: stamp.map(|stamp| Stamped {
                stamp,
                sequence: 0,
                rows,
            }),
            letter: None,
        };
        let acknowledged = async move {
            let acknowledged = ticket.acknowledged().await;
            acknowledged.map_err(|failure| not_appended(&failure))
        };
        Ok(Appended {
            notes,
            acknowledged: Box::pin(acknowledged),
        })
    }

    async fn read(&self, number: u64) -> Result<()> {
        match self.inner.transaction(number) {
            Some(transaction) => transaction.prove().await,
            None => Ok(()),
        }
    }

    async fn read_committed(&self, number: u64) -> Result<()> {
        let Some(transaction) = self.inner.transaction(number) else {
            return Ok(());
        };
        let read = transaction.all_touched()?;
        let proved = transaction.pass()?.prove_committed(&read).await;
        proved.map_err(not_entered)
    }

    async fn refresh(&self) -> Result<()> {
        self.inner.catch_up_schema(FURTHER_WAIT).await
    }

    fn age(&self) -> Option<Duration> {
        let level_us = self.inner.level_us.load(Ordering::Relaxed);
        let age_us = clock::wall_us().saturating_sub(level_us);
        (level_us > 0).then(|| Duration::from_micros(age_us))
    }

    fn status(&self) -> SiteStatus {
        self.site_status()
    }

    fn acknowledged(&self, number: u64) {
        if let Some(transaction) = self.inner.transaction(number) {
            transaction.leave();
        }
    }

    fn ended(&self, number: u64, is_committed: bool) {
        self.inner.letter_is_written(number);
        let Some(transaction) = self.inner.transactions().remove(&number) else {
            return;
        };
        self.inner.learn(&transaction, is_committed);
        if places::schema().is_ok_and(|schema| transaction.touched().writes.contains(&schema))
            && let Ok(pass) = transaction.pass()
        {
            // Whoever goes on with its tables would keep the schema from other sites.
            pass.close_turn();
        }
        let appended = transaction.appended().clone();
        if appended.is_empty() {
            return;
        }
        self.inner.local.ended(&appended, is_committed);
        if !is_committed {
            // What is in the log and not here is replayed by the next turn; it may
            // have left its own.
            self.inner.ownership.break_off(&appended);
        }
    }
}

fn not_entered(error: EnterError<SqlError>) -> SqlError {
    match error {
        EnterError::Database(error) => error,
        error if error.is_retryable() => SqlError::again(chain(&error)),
        error => unavailable(error),
    }
}

fn not_appended(failure: &Failure) -> SqlError {
    match failure.outcome {
        Outcome::NotApplied => SqlError::again(chain(failure)),
        Outcome::Unknown => SqlError::new(state::STATEMENT_COMPLETION_UNKNOWN, chain(failure))
            .with_hint("Read what the transaction would have changed before you try it again."),
    }
}

fn unavailable(error: impl std::error::Error) -> SqlError {
    SqlError::new(state::CANNOT_CONNECT_NOW, chain(&error))
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
