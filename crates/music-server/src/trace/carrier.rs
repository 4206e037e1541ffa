//! How exports get to the collector: by the runtime of the process, from the
//! thread that gathers the spans.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError, ResponseExt as _};
use prometheus_client::metrics::counter::Counter;
use tokio::runtime::Handle;

/// How long one export may take.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(5);

type Sent<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

/// Carries exports, and counts those that fail.
#[derive(Debug)]
pub(super) struct Carrier {
    http: reqwest::Client,
    runtime: Handle,
    failed: Counter,
    /// The last export failed: the next failure is no news.
    failing: AtomicBool,
}

impl Carrier {
    /// Sends by the runtime that this is called in.
    pub(super) fn new(failed: Counter) -> Result<Self, reqwest::Error> {
        // As for the client of MUSIC: no proxy from the environment.
        let builder = reqwest::Client::builder().no_proxy();
        Ok(Self {
            http: builder.timeout(EXPORT_TIME_MAX).build()?,
            runtime: Handle::current(),
            failed,
            failing: AtomicBool::new(false),
        })
    }

    async fn carry(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let http = self.http.clone();
        let answered = async move {
            let answer = http.execute(request).await?;
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer.status();
            *response.body_mut() = answer.bytes().await?;
            Ok::<_, reqwest::Error>(response)
        };
        let response = self.runtime.spawn(answered).await??;
        response.error_for_status()
    }

    fn note(&self, result: &Result<Response<Bytes>, HttpError>) {
        let failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) => {
                self.failed.inc();
                if !failing {
                    tracing::warn!(%error, "no traces are taken: spans are dropped");
                }
            }
            Ok(_) if failing => tracing::info!("traces are taken again"),
            Ok(_) => {}
        }
    }
}

impl HttpClient for Carrier {
    fn send_bytes<'own, 'sent>(&'own self, request: Request<Bytes>) -> Sent<'sent>
    where
        'own: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let result = self.carry(request).await;
            self.note(&result);
            result
        })
    }
}
