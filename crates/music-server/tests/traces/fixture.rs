//! One process with traces, in which each test has a deployment of its own.

use std::sync::LazyLock;
use std::time::Duration;

use music_client::{Client, Options};
use music_core::time::Lease;
use music_server::config::{Config, Overrides};
use music_server::dev::{Deployment, DevConfig};
use music_server::logging;
use music_server::trace::Traces;
use music_store::fault::Faults;
use tokio::runtime::Runtime;

use crate::collector::{Collector, Seen};

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(10);

/// So long that nobody proves life in a test.
const LEASE: Duration = Duration::from_mins(5);

/// What takes spans is the process's, and so is what runs.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static TRACED: LazyLock<(Traces, Collector)> = LazyLock::new(|| {
    std::thread::spawn(|| RUNTIME.block_on(install()))
        .join()
        .unwrap()
});

async fn install() -> (Traces, Collector) {
    let (collector, address) = Collector::start().await;
    let text = format!("trace.otlp_endpoint = \"http://{address}\"\nlog.level = \"trace\"");
    let config = Config::parse(&text, |_| None, &Overrides::default()).unwrap();
    let quiet = music_server::config::LogConfig {
        level: "error".to_owned(),
        ..config.log
    };
    let traces = logging::install_traced(&quiet, &config.trace, "test", "here").unwrap();
    (traces, collector)
}

/// Runs a test with a deployment of its own.
pub(crate) fn run<T>(test: impl AsyncFnOnce(Fixture) -> T) -> T {
    LazyLock::force(&TRACED);
    RUNTIME.block_on(async {
        let test = Box::pin(async { test(Fixture::start().await).await });
        let result = tokio::time::timeout(DEADLINE, test).await;
        result.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {:#?}", TRACED.1.all()))
    })
}

/// Three sites without delays, whose calls can be held.
pub(crate) struct Fixture {
    pub(crate) faults: Faults,
    urls: Vec<String>,
    _deployment: Deployment,
}

impl Fixture {
    async fn start() -> Self {
        let faults = Faults::default();
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(LEASE),
            faults: Some(faults.clone()),
            ..DevConfig::new("local3")
        };
        let deployment = Deployment::start(config).await.unwrap();
        Self {
            faults,
            urls: deployment
                .nodes()
                .into_iter()
                .map(|node| node.url)
                .collect(),
            _deployment: deployment,
        }
    }

    /// The address of the node of a site.
    pub(crate) fn url(&self, site: usize) -> &str {
        &self.urls[site]
    }

    /// A client of the node of a site.
    pub(crate) fn client(&self, site: usize) -> Client {
        let options = Options {
            lease: LEASE,
            ..Options::default()
        };
        Client::new([self.url(site)], options).unwrap()
    }
}

/// The spans of one trace.
#[derive(Debug)]
pub(crate) struct Trace(pub(crate) Vec<Seen>);

impl Trace {
    /// Waits until the collector has a trace that is as it should be: what a
    /// node does in the background ends when it will.
    pub(crate) async fn when(id: &str, is_whole: impl Fn(&Self) -> bool) -> Self {
        let (traces, collector) = &*TRACED;
        loop {
            traces.flush().await;
            let spans = collector.all().into_iter();
            let trace = Self(spans.filter(|span| span.trace == id).collect());
            if is_whole(&trace) {
                return trace;
            }
        }
    }

    /// Waits for the trace of which some span is as asked for.
    pub(crate) async fn with(which: impl Fn(&Seen) -> bool) -> String {
        let (traces, collector) = &*TRACED;
        loop {
            traces.flush().await;
            if let Some(span) = collector.all().into_iter().find(|span| which(span)) {
                return span.trace;
            }
        }
    }

    pub(crate) fn named(&self, name: &str) -> Vec<&Seen> {
        self.0.iter().filter(|span| span.name == name).collect()
    }

    #[track_caller]
    pub(crate) fn only(&self, name: &str) -> &Seen {
        let named = self.named(name);
        assert_eq!(named.len(), 1, "{name}: {self:#?}");
        named[0]
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.named(name).is_empty()
    }

    /// The span that this one is below.
    #[track_caller]
    pub(crate) fn parent(&self, span: &Seen) -> &Seen {
        let parent = self.0.iter().find(|other| other.id == span.parent);
        parent.unwrap_or_else(|| panic!("{} is below nothing: {self:#?}", span.name))
    }

    /// How many calls to engines there are, each by its name.
    pub(crate) fn calls(&self) -> Vec<&str> {
        let calls = self.0.iter().map(|span| span.name.as_str());
        let mut calls: Vec<&str> = calls.filter(|name| name.starts_with("engine ")).collect();
        calls.sort_unstable();
        calls
    }
}
