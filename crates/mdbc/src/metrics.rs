//! Counts and times, as Prometheus reads them: `GET /metrics` where
//! `metrics_listen` says.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use music_client::Outcome;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::engine::sqlite::{Database, Inner as DatabaseInner};
use crate::engine::{Access, Appended, Digest, Replication, Who};
use crate::error::{Result, SqlError, state};
use crate::snapshot::Progress;
use crate::status::{Board, SiteStatus};

/// The upper ends of the buckets of times, in seconds.
const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// What the format is called that Prometheus is told in.
const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics cannot be told.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be served")]
pub struct MetricsError(#[from] std::io::Error);

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The counts and times of a site. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    commits: Family<Labels<2>, Counter>,
    commit_seconds: Family<Labels<1>, Histogram>,
    wait_seconds: Histogram,
    progress: Progress,
    watched: Arc<Mutex<Option<Watched>>>,
}

/// The database of the life that is now. It must be able to end.
#[derive(Debug, Clone)]
struct Watched {
    board: Board,
    database: Weak<DatabaseInner>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    /// Nothing was counted yet.
    pub(crate) fn new(progress: Progress) -> Self {
        Self {
            commits: Family::default(),
            commit_seconds: Family::new_with_constructor(histogram as fn() -> Histogram),
            wait_seconds: histogram(),
            progress,
            watched: Arc::default(),
        }
    }

    /// Tells of this database from now on.
    pub(crate) fn watch(&self, database: &Database) {
        let watched = Watched {
            board: database.inner.board.clone(),
            database: Arc::downgrade(&database.inner),
        };
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(watched);
    }

    /// Counts a transaction of this kind, whose end took that long.
    fn ended<T>(&self, kind: &'static str, result: &Result<T>, took: Duration) {
        let outcome = match result {
            Ok(_) => "committed",
            Err(error) => outcome(error),
        };
        let labels = [("kind", kind), ("outcome", outcome)];
        self.commits.get_or_create(&labels).inc();
        let seconds = self.commit_seconds.get_or_create(&[("kind", kind)]);
        seconds.observe(took.as_secs_f64());
    }

    async fn encode(&self) -> Result<String, std::fmt::Error> {
        let watched = self.watched.lock();
        let watched = watched.unwrap_or_else(PoisonError::into_inner).clone();
        let mut registry = Registry::with_prefix("mdbc");
        registry.register(
            "commits",
            "Transactions that were to be committed, by kind and outcome",
            self.commits.clone(),
        );
        registry.register_with_unit(
            "commit",
            "Time from a transaction's end at the client to its acknowledgement",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        registry.register_with_unit(
            "ownership_wait",
            "Time that statements waited for the tables that they touch",
            Unit::Seconds,
            self.wait_seconds.clone(),
        );
        register_restores(&mut registry, &self.progress);
        if let Some(watched) = watched {
            if let Some(status) = watched.board.status() {
                register_status(&mut registry, &status);
            }
            let inner = watched.database.upgrade();
            if let Some(inner) = inner
                && let Ok(conflicts) = (Database { inner }).conflicts().await
            {
                let help = "Versions of rows that lost against others";
                registry.register("conflicts", help, ConstCounter::new(conflicts));
            }
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn outcome(error: &SqlError) -> &'static str {
    let outcome = if error.state == state::STATEMENT_COMPLETION_UNKNOWN {
        Outcome::Unknown
    } else {
        Outcome::NotApplied
    };
    match outcome {
        Outcome::Unknown => "unknown",
        Outcome::NotApplied => "not_applied",
    }
}

fn register_restores(registry: &mut Registry, progress: &Progress) {
    let (restored, failed) = progress.counts();
    let restoring = progress.restoring();
    let bytes = restoring.map_or((0, 0), |restoring| (restoring.bytes, restoring.bytes_total));
    let counts = [
        ("restores", "Restores of the database", restored),
        (
            "restore_failures",
            "Attempts at a restore that failed",
            failed,
        ),
    ];
    for (name, help, count) in counts {
        registry.register(name, help, ConstCounter::new(count));
    }
    let gauges = [
        (
            "restore_bytes",
            "Bytes that have come of a restore that runs",
            bytes.0,
        ),
        (
            "restore_size_bytes",
            "Bytes of a restore that runs",
            bytes.1,
        ),
    ];
    for (name, help, count) in gauges {
        registry.register(name, help, ConstGauge::new(signed(count)));
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn register_status(registry: &mut Registry, status: &SiteStatus) {
    let counts = [
        ("turns", "Turns that were opened", status.turns),
        (
            "entries_replayed",
            "Entries of other sites that were applied here",
            status.entries_replayed,
        ),
        (
            "letters_sent",
            "Letters that this site has sent",
            status.letters_sent,
        ),
    ];
    for (name, help, count) in counts {
        registry.register(name, help, ConstCounter::new(count));
    }
    let waiting = "Transactions that wait for the tables that they touch";
    let waits = ConstGauge::new(signed(status.waiting));
    registry.register("transactions_waiting", waiting, waits);
    let behind = "Whether the database needs a snapshot of another site";
    let is_behind = ConstGauge::new(i64::from(status.behind.is_some()));
    registry.register("behind", behind, is_behind);
    if let Some(age_us) = status.age_us {
        let age = Duration::from_micros(u64::try_from(age_us).unwrap_or_default());
        let age = ConstGauge::new(age.as_secs_f64());
        let help = "How old the strong tables here are at most";
        registry.register_with_unit("age", help, Unit::Seconds, age);
    }
    let sites = status.sites.iter();
    let by_site = |number: fn(&crate::status::SiteLine) -> u64| {
        gauges("site", sites.clone().map(|line| (&line.site, number(line))))
    };
    registry.register(
        "entries_behind",
        "Entries that are committed, and not applied at a site",
        by_site(|line| line.entries_behind),
    );
    registry.register(
        "letters_unapplied",
        "Letters of this site that another has not applied",
        by_site(|line| line.letters_unapplied),
    );
    registry.register(
        "letters_to_apply",
        "Letters of another site that are not applied here",
        by_site(|line| line.letters_to_apply),
    );
    let partitions = status.partitions.iter();
    let lengths = partitions.map(|line| (&line.partition, line.length));
    registry.register(
        "log_length",
        "Entries of a log that some site has not applied",
        gauges("partition", lengths),
    );
}

type Named = Family<Vec<(&'static str, String)>, Gauge>;

fn gauges<'a>(label: &'static str, values: impl Iterator<Item = (&'a String, u64)>) -> Named {
    let family = Named::default();
    for (name, value) in values {
        let labels = vec![(label, name.clone())];
        family.get_or_create(&labels).set(signed(value));
    }
    family
}

/// Tells them to whoever asks, until `shutdown` is canceled; without a listener,
/// nobody.
pub(crate) async fn serve(
    listener: Option<TcpListener>,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), MetricsError> {
    let Some(listener) = listener else {
        shutdown.cancelled().await;
        return Ok(());
    };
    let router = Router::new()
        .route("/metrics", get(tell))
        .with_state(metrics);
    let served = axum::serve(listener, router);
    let stop = shutdown.cancelled_owned();
    Ok(served.with_graceful_shutdown(stop).await?)
}

async fn tell(State(metrics): State<Metrics>) -> Response {
    match metrics.encode().await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A replication whose transactions are counted and timed.
#[derive(Debug)]
pub(crate) struct Measured<R> {
    inner: R,
    metrics: Metrics,
}

impl<R> Measured<R> {
    pub(crate) fn new(inner: R, metrics: Metrics) -> Self {
        Self { inner, metrics }
    }

    async fn reading(&self, read: impl Future<Output = Result<()>>) -> Result<()> {
        let began = clock::now();
        let result = read.await;
        let took = clock::now().saturating_duration_since(began);
        self.metrics.ended("read", &result, took);
        result
    }
}

#[async_trait]
impl<R: Replication> Replication for Measured<R> {
    async fn before(&self, who: Who, access: &Access, may_write: bool) -> Result<()> {
        let began = clock::now();
        let result = self.inner.before(who, access, may_write).await;
        let took = clock::now().saturating_duration_since(began);
        self.metrics.wait_seconds.observe(took.as_secs_f64());
        result
    }

    async fn append(&self, transaction: u64, digest: &Digest) -> Result<Appended> {
        let kind = if digest.changes.is_empty() {
            "eventual"
        } else {
            "strong"
        };
        let began = clock::now();
        let since = move || clock::now().saturating_duration_since(began);
        let metrics = self.metrics.clone();
        let appended = self.inner.append(transaction, digest).await;
        let Appended {
            notes,
            acknowledged,
        } = appended
            .inspect_err(|error| metrics.ended(kind, &Err::<(), _>(error.clone()), since()))?;
        let acknowledged = async move {
            let result = acknowledged.await;
            metrics.ended(kind, &result, since());
            result
        };
        Ok(Appended {
            notes,
            acknowledged: Box::pin(acknowledged),
        })
    }

    async fn read_committed(&self, transaction: u64) -> Result<()> {
        self.reading(self.inner.read_committed(transaction)).await
    }

    async fn read(&self, transaction: u64) -> Result<()> {
        self.reading(self.inner.read(transaction)).await
    }

    async fn refresh(&self) -> Result<()> {
        self.inner.refresh().await
    }

    fn age(&self) -> Option<Duration> {
        self.inner.age()
    }

    fn status(&self) -> SiteStatus {
        self.inner.status()
    }

    fn ended(&self, transaction: u64, is_committed: bool) {
        self.inner.ended(transaction, is_committed);
    }
}
