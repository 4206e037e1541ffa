//! Bodies that are read to their end even where their handler was not
//! interested: a connection that is closed while its client still sends is
//! reset, and the client never reads why it was refused.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Frame, SizeHint};
use hyper::header::EXPECT;

/// How much of a body is read for nothing, and for how long.
const BYTES_MAX: usize = 16 * 1024 * 1024;
const TIME_MAX: Duration = Duration::from_secs(1);

/// The body of a request, of which what the handler left can be read later.
pub(crate) struct Lingering<B>(Option<Arc<Mutex<B>>>);

impl<B> Lingering<B>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Splits a body in what the handler gets and what is kept of it.
    pub(crate) fn split(headers: &HeaderMap, body: B) -> (Body, Self) {
        if body.is_end_stream() {
            return (Body::empty(), Self(None));
        }
        // Who waits to be told to go on has not sent it, and will not.
        if headers.contains_key(EXPECT) {
            return (Body::new(body), Self(None));
        }
        let shared = Arc::new(Mutex::new(body));
        (Body::new(Part(Arc::clone(&shared))), Self(Some(shared)))
    }

    /// Reads what is left, within bounds.
    pub(crate) async fn drain(self) {
        let Some(shared) = self.0 else { return };
        let all = async {
            let mut read = 0_usize;
            let mut part = Part(shared);
            while read < BYTES_MAX && !part.is_end_stream() {
                let frame = std::future::poll_fn(|cx| Pin::new(&mut part).poll_frame(cx)).await;
                let Some(Ok(frame)) = frame else { return };
                read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            }
        };
        // A client that is slower than this is not waited for.
        let _in_time = tokio::time::timeout(TIME_MAX, all).await;
    }
}

/// A body that somebody else may go on reading.
struct Part<B>(Arc<Mutex<B>>);

impl<B> Part<B> {
    fn body(&self) -> MutexGuard<'_, B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: HttpBody + Unpin> HttpBody for Part<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut *self.body()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body().size_hint()
    }
}
