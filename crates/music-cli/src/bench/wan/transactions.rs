//! What one would write by hand: a lock by lightweight transactions of
//! Cassandra, and puts at a quorum under it.
//!
//! It promises less than MUSIC: a holder that is late may write over what
//! comes after, those that wait are not served in turn, and the lock is free
//! again after a minute, whatever its holder does. Who waits looks at the own
//! site's replica first: transactions of waiters would keep the holder's own
//! from ending.

use std::time::Duration;

use futures_util::future::try_join_all;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::ExecutionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::response::query_result::QueryResult;
use scylla::statement::prepared::PreparedStatement;
use scylla::statement::{Consistency, SerialConsistency};
use scylla::value::{CqlValue, Row};

use super::super::clock;
use super::super::draw::Draw;
use super::{How, Times, Wanted, whole};

/// How long one transaction may take.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long a client waits before it looks at a taken lock again, at random
/// between half of this and this.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// How often a transaction is done again that failed among others.
const ATTEMPTS: u32 = 10;

const LOCKS: &str =
    "CREATE TABLE IF NOT EXISTS music.bench_locks (key text PRIMARY KEY, owner bigint)";
const VALUES: &str = "CREATE TABLE IF NOT EXISTS music.bench_values \
     (key text, field int, value blob, PRIMARY KEY (key, field))";
const LOCK: &str =
    "UPDATE music.bench_locks USING TTL 60 SET owner = ? WHERE key = ? IF owner = null";
const LOOK: &str = "SELECT owner FROM music.bench_locks WHERE key = ?";
const UNLOCK: &str = "UPDATE music.bench_locks SET owner = null WHERE key = ? IF owner = ?";
const PUT: &str = "INSERT INTO music.bench_values (key, field, value) VALUES (?, ?, ?)";

/// A session of the driver, with its statements.
pub(super) struct Transactions {
    session: Session,
    lock: PreparedStatement,
    look: PreparedStatement,
    unlock: PreparedStatement,
    put: PreparedStatement,
}

impl Transactions {
    /// Connects, and makes the tables where there are none.
    pub(super) async fn open(host: &str, datacentre: String) -> Result<Self, String> {
        let policy = DefaultPolicy::builder()
            .prefer_datacenter(datacentre)
            .permit_dc_failover(true)
            .build();
        let profile = ExecutionProfile::builder()
            .load_balancing_policy(policy)
            .request_timeout(Some(REQUEST_TIME))
            .consistency(Consistency::Quorum)
            .serial_consistency(Some(SerialConsistency::Serial))
            .build();
        let builder = SessionBuilder::new()
            .known_node(host)
            .default_execution_profile_handle(profile.into_handle());
        let session = builder.build().await;
        let session = session.map_err(|error| whole(&error))?;
        for table in [LOCKS, VALUES] {
            let made = session.query_unpaged(table, ()).await;
            made.map_err(|error| whole(&error))?;
        }
        let prepare = async |text| session.prepare(text).await.map_err(|error| whole(&error));
        let (mut lock, mut unlock) = (prepare(LOCK).await?, prepare(UNLOCK).await?);
        for transaction in [&mut lock, &mut unlock] {
            // Committed at the own site; the others are not waited for.
            transaction.set_consistency(Consistency::LocalQuorum);
        }
        let (mut look, put) = (prepare(LOOK).await?, prepare(PUT).await?);
        look.set_consistency(Consistency::LocalOne);
        Ok(Self {
            session,
            lock,
            look,
            unlock,
            put,
        })
    }

    /// Does a section.
    pub(super) async fn section(&self, wanted: &Wanted) -> Result<Times, String> {
        self.timed(wanted).await.map_err(|error| whole(&error))
    }

    async fn timed(&self, wanted: &Wanted) -> Result<Times, ExecutionError> {
        let key = wanted.key.as_str();
        let mut draw = Draw::new(wanted.id ^ clock::monotonic_ns());
        let owner = i64::from_ne_bytes(draw.next().to_ne_bytes());
        let value = draw.bytes(wanted.bytes);
        let mut times = Times::begin();
        while !self.take(key, owner).await? {
            self.await_free(key, &mut draw).await?;
        }
        times.granted();
        let fields = 0..i32::try_from(wanted.puts).unwrap_or(i32::MAX);
        let puts = fields.map(|field| {
            self.session
                .execute_unpaged(&self.put, (key, field, &value))
        });
        if wanted.how == How::OneByOne {
            for put in puts {
                put.await?;
            }
        } else {
            try_join_all(puts).await?;
        }
        times.hold(wanted).await;
        self.give_back(key, owner).await?;
        Ok(times.end())
    }

    /// Waits until it looks as if nobody held the lock.
    async fn await_free(&self, key: &str, draw: &mut Draw) -> Result<(), ExecutionError> {
        loop {
            let part = f64::midpoint(1.0, f64::from(draw.below(1000)) / 1000.0);
            clock::until(clock::now() + ASK_AGAIN.mul_f64(part)).await;
            let answer = self.session.execute_unpaged(&self.look, (key,));
            if matches!(first_column(answer.await?), None | Some(CqlValue::Empty)) {
                return Ok(());
            }
        }
    }

    /// Frees the lock. A transaction that fails among others is done again:
    /// without it all would wait until the lock's time is over.
    async fn give_back(&self, key: &str, owner: i64) -> Result<(), ExecutionError> {
        for _ in 1..ATTEMPTS {
            let ended = self.session.execute_unpaged(&self.unlock, (key, owner));
            if ended.await.is_ok() {
                return Ok(());
            }
        }
        let ended = self.session.execute_unpaged(&self.unlock, (key, owner));
        ended.await.map(drop)
    }

    /// Whether the lock is ours. A transaction that failed among others may have
    /// taken it: the next one finds its owner.
    async fn take(&self, key: &str, owner: i64) -> Result<bool, ExecutionError> {
        let mut failed = None;
        for _ in 0..ATTEMPTS {
            let answer = self.session.execute_unpaged(&self.lock, (owner, key));
            match answer.await {
                Ok(answer) => return Ok(is_taken(columns(answer), owner)),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(false), Err)
    }
}

/// Whether a transaction was applied, or says that we are the owner already.
fn is_taken(columns: Vec<Option<CqlValue>>, owner: i64) -> bool {
    let owner = CqlValue::BigInt(owner);
    let mut columns = columns.into_iter().flatten();
    columns.any(|column| column == CqlValue::Boolean(true) || column == owner)
}

fn first_column(answer: QueryResult) -> Option<CqlValue> {
    columns(answer).into_iter().next().flatten()
}

/// The first row of an answer.
fn columns(answer: QueryResult) -> Vec<Option<CqlValue>> {
    let rows = answer.into_rows_result().ok();
    let row = rows.and_then(|rows| rows.first_row::<Row>().ok());
    row.map(|row| row.columns).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_ours_where_it_is_so_already() {
        let applied = |applied| Some(CqlValue::Boolean(applied));
        let owner = |owner| Some(CqlValue::BigInt(owner));
        assert!(is_taken(vec![applied(true), None, None], 7));
        assert!(is_taken(vec![applied(false), owner(7)], 7));
        assert!(!is_taken(vec![applied(false), owner(8)], 7));
        assert!(!is_taken(Vec::new(), 7));
    }
}
