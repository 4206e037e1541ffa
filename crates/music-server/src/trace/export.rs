//! Where spans go: gathered by a thread of its own, sent in batches by OTLP.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use prometheus_client::metrics::counter::Counter;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

use super::carrier::Carrier;
use super::{TARGET, WANTED};
use crate::config::TraceConfig;

/// The most spans of one export.
const BATCH_SPANS_MAX: usize = 512;

/// How long the last spans may take to be sent at the end.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(3);

static EXPORTS_FAILED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// How many exports failed since the process began.
pub(crate) fn exports_failed() -> Counter {
    EXPORTS_FAILED.clone()
}

/// Why there are no traces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The exporter cannot be set up.
    #[error("traces cannot be exported: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The way to the collector cannot be set up.
    #[error("traces cannot be sent: {0}")]
    Http(#[from] reqwest::Error),
}

/// The traces of the process, as long as somebody takes them.
#[derive(Clone, Debug, Default)]
#[must_use = "the last spans are sent when the traces are closed"]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Sends what has gathered, now.
    ///
    /// # Cancel safety
    /// It is sent all the same.
    pub async fn flush(&self) {
        self.blocking(|provider| drop(provider.force_flush())).await;
    }

    /// Sends what is left and ends, within seconds whatever the collector does.
    ///
    /// # Cancel safety
    /// It goes on.
    pub async fn close(&self) {
        let close = |provider: SdkTracerProvider| {
            drop(provider.shutdown_with_timeout(CLOSE_TIME_MAX));
        };
        self.blocking(close).await;
    }

    /// The thread that sends needs the runtime: it must not be waited for in it.
    async fn blocking(&self, work: impl FnOnce(SdkTracerProvider) + Send + 'static) {
        if let Some(provider) = self.0.clone() {
            // A failure was counted where it happened.
            drop(tokio::task::spawn_blocking(move || work(provider)).await);
        }
    }
}

/// Traces that are set up, but not wanted yet.
pub(crate) struct Tracing {
    provider: SdkTracerProvider,
}

impl Tracing {
    /// Sets traces up, if the configuration wants some. Must be called within
    /// a runtime.
    pub(crate) fn new(config: &TraceConfig, node: &str, site: &str) -> Result<Option<Self>, Error> {
        let Some(endpoint) = &config.otlp_endpoint else {
            return Ok(None);
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_http_client(Carrier::new(exports_failed())?)
            // A batch that is not taken is gone: those after it are worth more.
            .with_retry_policy(RetryPolicy::default().with_max_retries(0))
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue_spans_max)
            .with_max_export_batch_size(BATCH_SPANS_MAX.min(config.queue_spans_max))
            .build();
        let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches);
        let ratio = f64::from(config.samples_per_million) / 1e6;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        let resource = Resource::builder_empty().with_service_name("music");
        let resource = resource.with_attributes([
            opentelemetry::KeyValue::new("service.instance.id", node.to_owned()),
            opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            opentelemetry::KeyValue::new("music.site", site.to_owned()),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor.build())
            .with_sampler(sampler)
            .with_resource(resource.build());
        Ok(Some(Self {
            provider: provider.build(),
        }))
    }

    /// What takes the spans, and nothing that is logged.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let layer = OpenTelemetryLayer::new(self.provider.tracer(TARGET));
        let layer = layer
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_target(TARGET, tracing::Level::INFO))
    }

    /// From now on spans are made.
    pub(crate) fn begin(self) -> Traces {
        WANTED.store(true, Ordering::Relaxed);
        Traces(Some(self.provider))
    }
}
