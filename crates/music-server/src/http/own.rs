//! The node as its own client: what it asks of itself it asks as any client
//! would, by requests, but by calls instead of over a socket.
//!
//! ```text
//!  client ──▶ front ──▶ router ──▶ handler of a recipe ──▶ music-client
//!                 ▲                                            │ requests
//!                 └──────────── OwnNode ◀──────────────────────┘
//! ```

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http;
use hyper::http::request::Parts;
use music_client::error::FaultKind;
use music_client::in_process::{Answer, Nodes};
use music_client::{Client, Error, Options};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::http::app::App;
use crate::http::front::Front;
use crate::http::problem::Failure;

/// What the node is called by its own client.
const ADDRESS: &str = "http://own.node";

/// Marks a request that the node makes of itself.
#[derive(Clone, Copy, Debug)]
struct Own;

/// The way from the node's own client to the node.
#[derive(Default)]
pub(crate) struct OwnNode {
    /// Held weakly: its router holds the client, and so this.
    front: OnceLock<Weak<Front>>,
    /// The node is dead: nothing is asked of it any more.
    killed: CancellationToken,
}

impl fmt::Debug for OwnNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnNode").finish_non_exhaustive()
    }
}

impl OwnNode {
    /// A way to a node that is not there yet, and ends with `killed`.
    pub(crate) fn new(killed: CancellationToken) -> Arc<Self> {
        let front = OnceLock::new();
        Arc::new(Self { front, killed })
    }

    /// The node is there.
    pub(crate) fn arrive(&self, front: &Arc<Front>) {
        // Only the first one counts, and there is one.
        drop(self.front.set(Arc::downgrade(front)));
    }

    /// A client that takes this way.
    pub(crate) fn client(self: &Arc<Self>, config: &Config) -> Result<Client, Error> {
        let options = Options {
            lease: config.cluster.client_lease_default.get(),
            // There is no other node to ask instead.
            avoid_failed: Duration::ZERO,
            background_releases_max: config.limits.sections_max,
            ..Options::default()
        };
        Client::in_process([ADDRESS], options, Arc::<Self>::clone(self))
    }
}

impl Nodes for OwnNode {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let front = self.front.get().and_then(Weak::upgrade);
        let killed = self.killed.clone();
        Box::pin(async move {
            let (Some(front), false) = (front, killed.is_cancelled()) else {
                return Err(FaultKind::NotConnected);
            };
            let request = http::Request::<reqwest::Body>::try_from(request);
            let Ok(request) = request else {
                return Err(FaultKind::NotConnected);
            };
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Own);
            let answer = killed.run_until_cancelled(front.answer_own(request)).await;
            let (head, body) = answer.ok_or(FaultKind::Broken)?.into_parts();
            let body = reqwest::Body::wrap_stream(body.into_data_stream());
            Ok(http::Response::from_parts(head, body).into())
        })
    }
}

/// A place among the event streams of the node. What the node watches itself
/// needs none: the request that it is for has a place of its own.
pub(crate) struct WatchPlace(pub(crate) Option<OwnedSemaphorePermit>);

impl FromRequestParts<Arc<App>> for WatchPlace {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        if parts.extensions.get::<Own>().is_some() {
            return Ok(Self(None));
        }
        app.watcher().map(|place| Self(Some(place)))
    }
}
