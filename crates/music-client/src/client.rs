//! The client: nodes, connections, and work done in the background.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::call::{Call, Repeat};
use crate::clock;
use crate::dice;
use crate::endpoints::Endpoints;
use crate::error::{Error, Outcome, worse};
use crate::in_process::Nodes;
use crate::key::RecordKey;
use crate::options::Options;
use crate::section::judge::{Verdict, judge};
use crate::section::request::LockRequest;
use crate::transport::{Answer, Transport};

/// A client of MUSIC; clones are the same client.
///
/// ```no_run
/// # async fn example() -> Result<(), music_client::Error> {
/// use music_client::{Client, Options};
///
/// let client = Client::new(["http://127.0.0.1:7701"], Options::default())?;
/// let section = client.lock([("accounts", "alice")]).acquire().await?;
/// let balance = section.get(("accounts", "alice")).await?;
/// println!("{balance:?}, token {}", section.token());
/// section.put(("accounts", "alice"), "10").await?;
/// section.release().await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) endpoints: Arc<Endpoints>,
    pub(crate) options: Options,
    /// Keeps sections alive while they are held.
    pub(crate) keepers: TaskTracker,
    /// Releases of sections that were dropped.
    releases: TaskTracker,
    release_slots: Arc<Semaphore>,
}

impl Client {
    /// A client of these nodes, the one of its own site first. It asks the
    /// others only while those before them fail. Opens no connection yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] where there is no endpoint, or one is no
    /// `http://HOST:PORT`.
    pub fn new<E>(endpoints: E, options: Options) -> Result<Self, Error>
    where
        E: IntoIterator<Item: Into<String>>,
    {
        let endpoints = Arc::new(Endpoints::new(endpoints.into_iter().map(Into::into))?);
        let transport = Transport::new(&options)?;
        let release_slots = Arc::new(Semaphore::new(options.background_releases_max));
        let (keepers, releases) = (TaskTracker::new(), TaskTracker::new());
        let inner = Inner {
            transport,
            endpoints,
            options,
            keepers,
            releases,
            release_slots,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A client of nodes of the same process, which are handed its requests:
    /// a node that uses recipes itself, or nodes that are simulated.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn in_process<E>(
        endpoints: E,
        options: Options,
        nodes: Arc<dyn Nodes>,
    ) -> Result<Self, Error>
    where
        E: IntoIterator<Item: Into<String>>,
    {
        let mut client = Self::new(endpoints, options)?;
        if let Some(inner) = Arc::get_mut(&mut client.inner) {
            inner.transport.stay_in_process(nodes);
        }
        Ok(client)
    }

    /// The same client, whose sections have another lease where they name none:
    /// those of its recipes.
    #[must_use]
    pub fn with_lease(&self, lease: Duration) -> Self {
        let Inner {
            transport,
            endpoints,
            options,
            keepers,
            releases,
            release_slots,
        } = &*self.inner;
        let inner = Inner {
            transport: transport.clone(),
            endpoints: Arc::clone(endpoints),
            options: Options {
                lease,
                ..options.clone()
            },
            keepers: keepers.clone(),
            releases: releases.clone(),
            release_slots: Arc::clone(release_slots),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The addresses of the nodes, in the order of preference.
    pub fn endpoints(&self) -> &[String] {
        self.inner.endpoints.urls()
    }

    /// Begins to ask for the lock of a key, or of several together.
    pub fn lock<K>(&self, keys: K) -> LockRequest
    where
        K: IntoIterator<Item: Into<RecordKey>>,
    {
        let keys = keys.into_iter().map(Into::into).collect();
        LockRequest::new(Arc::clone(&self.inner), keys)
    }

    /// Waits until the sections that were dropped without a release are
    /// released. Worth calling before the program ends: what is not released
    /// by then holds others up for a lease.
    ///
    /// # Cancel safety
    /// The releases go on.
    pub async fn close(&self) {
        self.inner.releases.close();
        self.inner.releases.wait().await;
    }
}

impl Inner {
    /// Makes a request at the first node that serves it, repeating what is safe
    /// to repeat.
    pub(crate) async fn request(&self, call: &Call) -> Result<Answer, Error> {
        let order = self
            .endpoints
            .order(clock::now(), self.options.avoid_failed);
        let nodes = u32::try_from(order.len()).unwrap_or(u32::MAX);
        let attempts_max = self.options.retry.attempts.get().saturating_add(nodes - 1);
        let mut outcome = Outcome::NotApplied;
        let mut node = order.iter().copied().cycle();
        let mut at = node.next().unwrap_or_default();
        let mut attempts = 0;
        loop {
            let error = match self.transport.send(self.endpoints.url(at), call).await {
                Ok(answer) => {
                    self.endpoints.note(at, None);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            attempts += 1;
            outcome = worse(outcome, error.outcome());
            let verdict = judge(&error);
            let served = matches!(verdict, Verdict::Stop | Verdict::Lost | Verdict::Forgotten);
            if served || attempts >= attempts_max {
                return Err(give_up(error, attempts, outcome));
            }
            let pinned = outcome == Outcome::Unknown && call.repeat == Repeat::SameNode;
            if pinned || verdict == Verdict::Busy {
                self.pause(attempts).await;
                continue;
            }
            self.endpoints.note(at, Some(clock::now()));
            at = node.next().unwrap_or_default();
            if attempts % nodes == 0 {
                self.pause(attempts / nodes).await;
            }
        }
    }

    /// How many attempts one request may have at all nodes together.
    pub(crate) fn attempts_max(&self) -> u32 {
        let nodes = u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX);
        self.options.retry.attempts.get().saturating_mul(nodes)
    }

    /// Waits as the retry policy says after a failure.
    pub(crate) async fn pause(&self, failures: u32) {
        clock::sleep(self.options.retry.pause(failures, dice::draw())).await;
    }

    /// Does a release in the background, if there is room for it and a runtime
    /// to do it; otherwise the section ends with its lease.
    pub(crate) fn in_background(&self, release: impl Future<Output = ()> + Send + 'static) {
        let slot = Arc::clone(&self.release_slots).try_acquire_owned();
        let (Ok(slot), Ok(runtime)) = (slot, Handle::try_current()) else {
            tracing::warn!("a section was dropped that cannot be released: its lease ends it");
            return;
        };
        let release = async move {
            release.await;
            drop(slot);
        };
        // It is still for what the caller does now.
        drop(self.releases.spawn_on(release.in_current_span(), &runtime));
    }
}

fn give_up(last: Error, attempts: u32, outcome: Outcome) -> Error {
    if attempts <= 1 && last.outcome() == outcome {
        return last;
    }
    Error::Unavailable {
        attempts,
        outcome,
        last: Box::new(last),
    }
}
