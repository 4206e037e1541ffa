//! Server-sent events.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use music_api::watch;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::app::App;
use crate::http::own::WatchPlace;
use crate::http::problem::{self, Failure};

/// How often a quiet stream says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How long a client waits before it connects again, as the stream tells it.
const PRELUDE: &str = "retry: 1000\n\n";

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    name: &'static str,
    data: String,
}

impl Event {
    /// An event with JSON data.
    pub(crate) fn new(name: &'static str, data: &impl Serialize) -> Self {
        // The shapes of the API have string keys only, and always serialize.
        Self {
            name,
            data: serde_json::to_string(data).unwrap_or_default(),
        }
    }

    /// Its name.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Its JSON.
    #[cfg(test)]
    pub(crate) fn data(&self) -> &str {
        &self.data
    }

    fn frame(&self) -> Bytes {
        let Self { name, data } = self;
        format!("event: {name}\ndata: {data}\n\n").into()
    }
}

/// Where the events of a stream come from.
pub(crate) trait Source: Send + 'static {
    /// The next event; `None` after the last.
    ///
    /// # Cancel safety
    /// A call that is dropped loses no event: the next one finds it.
    fn next(&mut self) -> impl Future<Output = Result<Option<Event>, Failure>> + Send;
}

/// An answer that streams events until the source, the client or the node
/// ends.
pub(crate) fn respond(
    app: Arc<App>,
    WatchPlace(place): WatchPlace,
    source: impl Source,
) -> Response {
    let prelude = stream::once(async { Ok::<_, std::convert::Infallible>(PRELUDE.into()) });
    let state = Streaming {
        app,
        source,
        ended: false,
        _place: place,
    };
    let frames = stream::unfold(state, |mut state| async move {
        let frame = state.frame().await?;
        Some((Ok(frame), state))
    });
    let mut response = Response::new(Body::from_stream(stream::StreamExt::chain(prelude, frames)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Streaming<S> {
    app: Arc<App>,
    source: S,
    ended: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl<S: Source> Streaming<S> {
    async fn frame(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let event = tokio::select! {
            biased;
            () = self.app.stopping.cancelled() => Ok(Err(problem::shutting_down())),
            event = tokio::time::timeout(KEEP_ALIVE, self.source.next()) => event,
        };
        // A suspended node says nothing, not even that it lives.
        self.app.node.gate().await;
        match event {
            Err(_) => Some(Bytes::from_static(b": alive\n\n")),
            Ok(Ok(event)) => event.map(|event| event.frame()),
            Ok(Err(failure)) => {
                self.ended = true;
                Some(Event::new(watch::PROBLEM, &failure.problem(None)).frame())
            }
        }
    }
}
