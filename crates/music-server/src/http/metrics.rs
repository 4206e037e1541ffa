//! Counts and times of requests, as Prometheus reads them.
//!
//! A request touches three counters, found by index: no map, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::{Method, StatusCode};
use music_api::problem::Outcome;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::http::problem::Failure;
use crate::http::route::{Route, TEMPLATES};
use crate::node::NeighbourCounts;
use crate::trace;

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "other"];

/// Every status that a node answers with; the last stands for all others.
const STATUSES: [u16; 22] = [
    200, 201, 204, 304, 400, 403, 404, 405, 408, 409, 413, 415, 422, 429, 431, 500, 501, 503, 504,
    505, 507, 0,
];

/// The upper ends of the buckets of a request's time, in seconds.
const BUCKETS: [f64; 16] = [
    0.0001,
    0.000_25,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    5.0,
    30.0,
    f64::MAX,
];

/// One method of one route.
#[derive(Debug, Default)]
struct Cell {
    statuses: [AtomicU64; STATUSES.len()],
    buckets: [AtomicU64; BUCKETS.len()],
    nanoseconds: AtomicU64,
}

impl Cell {
    fn count(&self) -> u64 {
        self.buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed))
            .sum()
    }
}

/// The counts of a node's requests.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    cells: Arc<Vec<Cell>>,
    puts_unknown: Counter,
    refused: Counter,
}

impl Metrics {
    /// Nothing was counted yet.
    pub(crate) fn new() -> Self {
        let cells = TEMPLATES.len().saturating_mul(METHODS.len());
        let cells = std::iter::repeat_with(Cell::default).take(cells).collect();
        Self {
            cells: Arc::new(cells),
            puts_unknown: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(
        &self,
        method: &Method,
        route: Route,
        status: StatusCode,
        took: Duration,
    ) {
        let place = method_index(method).saturating_add(route.index() * METHODS.len());
        let Some(cell) = self.cells.get(place) else {
            return;
        };
        let last = STATUSES.len() - 1;
        let status = STATUSES
            .iter()
            .position(|known| *known == status.as_u16())
            .unwrap_or(last);
        if let Some(counter) = cell.statuses.get(status) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.partition_point(|end| *end < seconds);
        if let Some(counter) = cell.buckets.get(bucket) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        cell.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts a failure, where it is a write of unknown outcome.
    pub(crate) fn failed(&self, failure: &Failure) {
        if failure.outcome() == Outcome::Unknown {
            self.puts_unknown.inc();
        }
    }

    /// Counts a request that was refused for too much work.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// All counts as text, with those of hints and these gauges of the moment.
    pub(crate) fn encode(
        &self,
        hints: NeighbourCounts,
        gauges: &[(&str, &str, i64)],
    ) -> Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("music");
        registry.register_collector(Box::new(Requests(Arc::clone(&self.cells))));
        let unknown = "Writes whose outcome the node could not learn";
        registry.register("puts_unknown", unknown, self.puts_unknown.clone());
        let refused = "Requests refused because too much was under way";
        registry.register("requests_refused", refused, self.refused.clone());
        let exports = "Exports of traces that the collector did not take";
        registry.register("trace_exports_failed", exports, trace::exports_failed());
        for (name, help, counter) in [
            ("told", "that another node has taken", hints.told),
            ("lost", "that another node could not be told", hints.lost),
            ("heard", "of other nodes", hints.heard),
        ] {
            let help = format!("Hints {help}, each of one key");
            registry.register(format!("hints_{name}"), help, counter);
        }
        let relayed = "Enqueues that another node has made for this one";
        registry.register("enqueues_relayed", relayed, hints.relayed);
        for (name, help, value) in gauges {
            registry.register(*name, *help, ConstGauge::new(*value));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

fn method_index(method: &Method) -> usize {
    let known = METHODS.iter().position(|known| *known == method.as_str());
    known.unwrap_or(METHODS.len() - 1)
}

#[derive(Debug)]
struct Requests(Arc<Vec<Cell>>);

impl Requests {
    fn cells(&self) -> impl Iterator<Item = ([(&'static str, &'static str); 2], &Cell)> {
        let names = TEMPLATES
            .iter()
            .flat_map(|route| METHODS.iter().map(move |method| (route, method)));
        let used = names
            .zip(self.0.iter())
            .filter(|(_, cell)| cell.count() > 0);
        used.map(|((route, method), cell)| ([("method", *method), ("route", *route)], cell))
    }
}

impl Collector for Requests {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut requests = encoder.encode_descriptor(
            "requests",
            "Requests answered",
            None,
            MetricType::Counter,
        )?;
        for (labels, cell) in self.cells() {
            let counted = STATUSES.iter().zip(&cell.statuses);
            for (status, count) in
                counted.map(|(status, count)| (status, count.load(Ordering::Relaxed)))
            {
                let status = [("status", status.to_string())];
                if count > 0 {
                    let labels = (labels, status);
                    requests
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
                }
            }
        }
        let mut seconds = encoder.encode_descriptor(
            "request_seconds",
            "Time from a request's head to its answer, in seconds",
            None,
            MetricType::Histogram,
        )?;
        for (labels, cell) in self.cells() {
            Seconds(cell).encode(seconds.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The time of one method of one route.
struct Seconds<'a>(&'a Cell);

impl EncodeMetric for Seconds<'_> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counts = self
            .0
            .buckets
            .iter()
            .map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = BUCKETS.into_iter().zip(counts).collect();
        let nanoseconds = Duration::from_nanos(self.0.nanoseconds.load(Ordering::Relaxed));
        let count = self.0.count();
        encoder.encode_histogram::<NoLabelSet>(nanoseconds.as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
