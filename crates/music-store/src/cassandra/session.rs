//! One driver session a node, and the four ways in which it asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scylla::client::caching_session::{CachingSession, CachingSessionBuilder};
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::{ExecutionError, NewSessionError, RequestAttemptError};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::{Consistency, SerialConsistency, Statement};
use scylla::value::CqlValue;

use super::config::{Config, Keyspace};
use super::coordinators::Coordinators;
use super::failure::Failure;
use crate::Level;
use crate::error::Needed;

/// How many prepared statements are kept: a few a table.
const STATEMENTS_MAX: usize = 1_024;

/// How long a connection may take to be made.
const CONNECTION_TIME: Duration = Duration::from_secs(5);

/// How often a connection is asked whether its node lives, and how long the
/// node may take. A node that is reached and does nothing, as while its machine
/// swaps, holds up whoever begins a session for as long as both: a minute by
/// the driver's own times.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How a statement is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A read or a stamped write at one level.
    Plain(Level),
    /// A read after all transactions that ended before it.
    Serial(Via),
    /// A conditional write.
    Transaction(Via),
}

/// Who coordinates it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The own data centre.
    Own,
    /// The one that is nearest to a majority: it has collided with others.
    Nearest,
}

impl Access {
    /// The consistency level. A transaction's is that of its commit: other
    /// sites need not have it, as all who read do so at `SERIAL`.
    fn consistency(self) -> Consistency {
        match self {
            Self::Plain(Level::Local) => Consistency::LocalOne,
            Self::Plain(Level::Majority) => Consistency::Quorum,
            Self::Serial(_) => Consistency::Serial,
            Self::Transaction(_) => Consistency::LocalQuorum,
        }
    }

    fn via(self) -> Via {
        match self {
            Self::Plain(_) => Via::Own,
            Self::Serial(via) | Self::Transaction(via) => via,
        }
    }

    fn needed(self) -> Needed {
        match self {
            Self::Plain(Level::Local) => Needed::Local,
            Self::Plain(Level::Majority) | Self::Serial(_) | Self::Transaction(_) => {
                Needed::Majority
            }
        }
    }
}

/// A node's session with Cassandra.
pub(super) struct Cql {
    session: CachingSession,
    keyspace: Keyspace,
    datacentre: String,
    /// Asks nodes of the own data centre only: `LOCAL_ONE` means the data
    /// centre of the node that is asked.
    local: ExecutionProfileHandle,
    /// Asks the own data centre first and others where it is down.
    majority: ExecutionProfileHandle,
    /// Ask one data centre first.
    at: BTreeMap<String, ExecutionProfileHandle>,
    pub(super) coordinators: Coordinators,
    requests: AtomicU64,
    #[cfg(all(test, feature = "live-engines"))]
    traces: Traces,
}

/// Which requests Cassandra traced, as a test wants to know.
#[cfg(all(test, feature = "live-engines"))]
#[derive(Default)]
struct Traces {
    on: std::sync::atomic::AtomicBool,
    ids: std::sync::Mutex<Vec<uuid::Uuid>>,
}

#[cfg(all(test, feature = "live-engines"))]
impl Traces {
    fn noted(&self) -> std::sync::MutexGuard<'_, Vec<uuid::Uuid>> {
        let ids = self.ids.lock();
        ids.unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Cql {
    /// Connects.
    pub(super) async fn connect(config: &Config) -> Result<Self, NewSessionError> {
        let profile = |datacentre: &str, failover: bool| {
            let policy = DefaultPolicy::builder()
                .prefer_datacenter(datacentre.to_owned())
                .token_aware(true)
                .permit_dc_failover(failover)
                .build();
            ExecutionProfile::builder()
                .load_balancing_policy(policy)
                .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
                .request_timeout(Some(config.request_time))
                .build()
                .into_handle()
        };
        let own = &config.datacentre;
        let majority = profile(own, true);
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.contact_points)
            .keyspaces_to_fetch([config.keyspace.as_str()])
            .fetch_full_schema_metadata(false)
            .connection_timeout(CONNECTION_TIME)
            .keepalive_interval(KEEP_ALIVE)
            .keepalive_timeout(KEEP_ALIVE)
            .default_execution_profile_handle(majority.clone());
        if let Some(credentials) = &config.credentials {
            builder = builder.user(&credentials.user, &credentials.password);
        }
        #[cfg(all(test, feature = "live-engines"))]
        let builder = patient_with_traces(builder);
        let session = builder.build().await?;
        Ok(Self {
            session: CachingSessionBuilder::new(session)
                .max_capacity(STATEMENTS_MAX)
                .build(),
            keyspace: config.keyspace.clone(),
            datacentre: config.datacentre.clone(),
            local: profile(own, false),
            majority,
            at: (config.replication.keys())
                .map(|datacentre| (datacentre.clone(), profile(datacentre, true)))
                .collect(),
            coordinators: Coordinators::default(),
            requests: AtomicU64::new(0),
            #[cfg(all(test, feature = "live-engines"))]
            traces: Traces::default(),
        })
    }

    /// The driver's session.
    pub(super) fn session(&self) -> &Session {
        self.session.get_session()
    }

    /// The keyspace.
    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The data centre of the node's site.
    pub(super) fn datacentre(&self) -> &str {
        &self.datacentre
    }

    /// How many requests were sent, beside those that prepare statements.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A statement as it is executed.
    pub(super) fn statement(&self, text: String, access: Access) -> Statement {
        let mut statement = Statement::new(text);
        statement.set_consistency(access.consistency());
        statement.set_serial_consistency(Some(SerialConsistency::Serial));
        statement.set_execution_profile_handle(Some(self.profile(access)));
        // A write is tried once: its caller learns what became of it, and
        // tries it again with the same stamp. A read may be tried again here.
        let reads = matches!(access, Access::Serial(_)) || statement.contents.starts_with("SELECT");
        statement.set_is_idempotent(reads);
        if reads {
            statement.set_retry_policy(Some(Arc::new(DefaultRetryPolicy::new())));
        }
        statement
    }

    fn profile(&self, access: Access) -> ExecutionProfileHandle {
        let profile = match access {
            Access::Plain(Level::Local) => &self.local,
            _ if access.via() == Via::Nearest => {
                let nearest = self.coordinators.nearest();
                let nearest = nearest.and_then(|datacentre| self.at.get(&datacentre));
                nearest.unwrap_or(&self.majority)
            }
            _ => &self.majority,
        };
        profile.clone()
    }

    /// The data centres with replicas.
    pub(super) fn datacentres(&self) -> impl Iterator<Item = &str> {
        self.at.keys().map(String::as_str)
    }

    /// Executes a statement; the result is whole, not paged.
    pub(super) async fn execute(
        &self,
        text: String,
        access: Access,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Failure> {
        self.execute_statement(self.statement(text, access), access, values)
            .await
    }

    /// The same, asked of a node of that data centre, if any answers there.
    pub(super) async fn execute_at(
        &self,
        datacentre: &str,
        text: String,
        access: Access,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Failure> {
        let mut statement = self.statement(text, access);
        if let Some(profile) = self.at.get(datacentre) {
            statement.set_execution_profile_handle(Some(profile.clone()));
        }
        self.execute_statement(statement, access, values).await
    }

    async fn execute_statement(
        &self,
        statement: Statement,
        access: Access,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Failure> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        #[cfg(all(test, feature = "live-engines"))]
        let statement = self.traced(statement);
        let result = self.session.execute_unpaged(statement, values).await;
        let result = result.map_err(|error| {
            if access.via() == Via::Nearest && !is_answer(&error) {
                self.coordinators.forget();
            }
            Failure::new(error, access.needed())
        })?;
        #[cfg(all(test, feature = "live-engines"))]
        self.note_trace(&result);
        Ok(result)
    }

    /// The rows of a query.
    pub(super) async fn rows<R>(
        &self,
        text: String,
        access: Access,
        values: impl SerializeRow,
    ) -> Result<Vec<R>, Failure>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let result = self.execute(text, access, values).await?;
        let rows = result.into_rows_result().map_err(unexpected)?;
        let rows = rows.rows::<R>().map_err(unexpected)?;
        rows.collect::<Result<_, _>>().map_err(unexpected)
    }

    /// Performs writes to one partition, all of them or none at each replica.
    pub(super) async fn write(
        &self,
        writes: Vec<(String, Vec<CqlValue>)>,
        level: Level,
    ) -> Result<(), Failure> {
        let access = Access::Plain(level);
        let (mut texts, mut values) = (Vec::new(), Vec::new());
        for (text, bound) in writes {
            texts.push(text);
            values.push(bound);
        }
        if let ([text], [values]) = (&*texts, &*values) {
            self.execute(text.clone(), access, values).await?;
            return Ok(());
        }
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_consistency(access.consistency());
        batch.set_execution_profile_handle(Some(self.profile(access)));
        for text in texts {
            batch.append_statement(self.statement(text, access));
        }
        self.requests.fetch_add(1, Ordering::Relaxed);
        let result = self.session.batch(&batch, values).await;
        result.map_err(|error| Failure::new(error, access.needed()))?;
        Ok(())
    }

    /// Gives every request so little time from now on.
    #[cfg(all(test, feature = "live-engines"))]
    pub(super) fn hurry(&self, request_time: Duration) {
        for mut profile in [self.local.clone(), self.majority.clone()] {
            let hasty = profile.pointee_to_builder();
            let hasty = hasty.request_timeout(Some(request_time)).build();
            profile.map_to_another_profile(hasty);
        }
    }

    /// Lets Cassandra trace what is executed from now on, or no more.
    #[cfg(all(test, feature = "live-engines"))]
    pub(super) fn set_traced(&self, on: bool) {
        self.traces.on.store(on, Ordering::SeqCst);
    }

    /// The traces since they were last asked for.
    #[cfg(all(test, feature = "live-engines"))]
    pub(super) fn take_traces(&self) -> Vec<uuid::Uuid> {
        std::mem::take(&mut self.traces.noted())
    }

    #[cfg(all(test, feature = "live-engines"))]
    fn traced(&self, mut statement: Statement) -> Statement {
        statement.set_tracing(self.traces.on.load(Ordering::SeqCst));
        statement
    }

    #[cfg(all(test, feature = "live-engines"))]
    fn note_trace(&self, result: &QueryResult) {
        self.traces.noted().extend(result.tracing_id());
    }

    /// The driver's session with its cache of statements.
    pub(super) fn caching(&self) -> &CachingSession {
        &self.session
    }
}

/// Traces are written after the answer and are read in whole: from all
/// replicas, as late as it takes.
#[cfg(all(test, feature = "live-engines"))]
fn patient_with_traces(builder: SessionBuilder) -> SessionBuilder {
    builder
        .tracing_info_fetch_attempts(std::num::NonZeroU32::MIN.saturating_add(1_000))
        .tracing_info_fetch_interval(Duration::from_millis(10))
        .tracing_info_fetch_consistency(Consistency::All)
}

/// Whether a node of Cassandra has said so.
fn is_answer(error: &ExecutionError) -> bool {
    let ExecutionError::LastAttemptError(attempt) = error else {
        return false;
    };
    matches!(attempt, RequestAttemptError::DbError(..))
}

/// What a result of another form than the statement's means.
pub(super) fn unexpected<E: std::error::Error>(error: E) -> Failure {
    tracing::error!(%error, "Cassandra answered with columns that were not asked for");
    Failure::Unexpected
}
