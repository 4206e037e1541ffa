//! The way between a client and the nodes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{self, Response};
use futures_util::StreamExt as _;
use music_client::error::FaultKind;
use music_client::in_process::{Answer, Nodes};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

use super::cluster::{Cluster, Running};
use super::recorder::Recorder;
use super::world;

/// How long a client tries to connect.
const CONNECT_MAX: Duration = Duration::from_millis(500);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What a client's process can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    Runs,
    /// It stands still, as by SIGSTOP: what it sends and hears waits.
    Stopped,
    /// It is gone.
    Dead,
}

/// What runs a client, and may be stopped or killed.
#[derive(Debug)]
pub(super) struct Host {
    process: Mutex<Process>,
    changed: Notify,
}

impl Host {
    /// One that runs.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            process: Mutex::new(Process::Runs),
            changed: Notify::new(),
        })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the process, kills it, or lets it go on, unless it is dead.
    pub(super) fn set(&self, process: Process) {
        let mut present = self.process();
        if *present != Process::Dead {
            *present = process;
        }
        self.changed.notify_waiters();
    }

    /// Waits while the process does not run.
    async fn runs(&self) {
        loop {
            let changed = self.changed.notified();
            if *self.process() == Process::Runs {
                return;
            }
            changed.await;
        }
    }
}

/// The connections of one client.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) cluster: Arc<Cluster>,
    pub(super) site: usize,
    pub(super) host: Arc<Host>,
    pub(super) recorder: Recorder,
}

impl Nodes for Wire {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let wire = self.clone();
        Box::pin(async move {
            match node_of(request.url().as_str()) {
                Some(node) => {
                    wire.host.runs().await;
                    // By force anybody may end a section, at any node.
                    let path = request.url().path().strip_prefix("/v1/locks/");
                    match path.and_then(|path| path.split_once('/')) {
                        Some((_, "force")) | None => {}
                        Some((lock_ref, _)) => wire.recorder.asks(lock_ref, node),
                    }
                    wire.ask(node, request).await
                }
                None => Err(FaultKind::NotConnected),
            }
        })
    }
}

/// The node that an address names.
pub(super) fn node_of(url: &str) -> Option<usize> {
    let host = url.strip_prefix("http://n")?;
    host.split('/').next()?.parse().ok()
}

impl Wire {
    /// A message passes, or never arrives.
    async fn pass(&self, from: usize, to: usize) {
        match self.cluster.network().fates(from, to).first() {
            Some(delay) => world::sleep(*delay).await,
            None => std::future::pending().await,
        }
    }

    async fn ask(
        &self,
        node: usize,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, FaultKind> {
        let network = self.cluster.network();
        let site = self.cluster.site_of(node).ok_or(FaultKind::NotConnected)?;
        if !self.reaches(site) && network.chance(0.5) {
            world::sleep(CONNECT_MAX).await;
            return Err(FaultKind::NotConnected);
        }
        self.pass(self.site, site).await;
        let Some(running) = self.cluster.running(node) else {
            self.pass(site, self.site).await;
            return Err(FaultKind::NotConnected);
        };
        let answer = self.serve(&running, request).await;
        self.pass(site, self.site).await;
        self.host.runs().await;
        self.receive(site, &running, answer?).await
    }

    fn reaches(&self, site: usize) -> bool {
        site == self.site || self.cluster.network().connected(self.site, site)
    }

    /// The node answers, whether or not the client still waits: it may not
    /// notice for a while that a connection has ended.
    async fn serve(
        &self,
        running: &Arc<Running>,
        request: reqwest::Request,
    ) -> Result<Response<Body>, FaultKind> {
        let request: http::Request<reqwest::Body> = request
            .try_into()
            .map_err(|_unsendable: reqwest::Error| FaultKind::NotConnected)?;
        let answer = running.node.answer(request.map(Body::new));
        let serving = tokio::spawn(running.dead.clone().run_until_cancelled_owned(answer));
        let served = if self.cluster.network().chance(0.5) {
            AbortOnDropHandle::new(serving).await
        } else {
            serving.await
        };
        served.ok().flatten().ok_or(FaultKind::Broken)
    }

    async fn receive(
        &self,
        site: usize,
        running: &Arc<Running>,
        answer: Response<Body>,
    ) -> Result<reqwest::Response, FaultKind> {
        let (head, body) = answer.into_parts();
        let streams = head
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let body = if streams {
            let (wire, dead) = (self.clone(), running.dead.clone());
            let heard = body.into_data_stream().then(move |chunk| {
                let wire = wire.clone();
                async move {
                    wire.host.runs().await;
                    chunk
                        .ok()
                        .filter(|_| wire.reaches(site))
                        .ok_or(std::io::ErrorKind::ConnectionReset)
                }
            });
            let heard = heard.map(|chunk| chunk.map_err(std::io::Error::from));
            reqwest::Body::wrap_stream(heard.take_until(dead.cancelled_owned()))
        } else {
            let whole = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
            whole.map_err(|_broken| FaultKind::Broken)?.into()
        };
        Ok(Response::from_parts(head, body).into())
    }
}
