//! The way between a client and the nodes.

use std::collections::BTreeMap;
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

use super::cluster::Running;
use super::{Scene, world};

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
pub(crate) struct Host {
    process: Mutex<Process>,
    changed: Notify,
    /// How many messages pass before the one at which it dies, if it is to.
    left: Mutex<Option<u64>>,
    /// The node that was asked last about each lockRef.
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Host {
    /// One that runs.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            process: Mutex::new(Process::Runs),
            changed: Notify::new(),
            left: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        locked(&self.process)
    }

    /// Stops the process, kills it, or lets it go on, unless it is dead.
    pub(super) fn set(&self, process: Process) {
        let mut present = self.process();
        if *present != Process::Dead {
            *present = process;
        }
        self.changed.notify_waiters();
    }

    /// Lets the process die at a message, sent or heard, after so many others;
    /// not at all where `None`.
    pub(super) fn doom(&self, messages: Option<u64>) {
        *locked(&self.left) = messages;
    }

    pub(super) fn is_dead(&self) -> bool {
        *self.process() == Process::Dead
    }

    /// Waits until the process is dead.
    pub(super) async fn dies(&self) {
        self.becomes(Process::Dead).await;
    }

    async fn becomes(&self, process: Process) {
        loop {
            let changed = self.changed.notified();
            if *self.process() == process {
                return;
            }
            changed.await;
        }
    }

    /// Waits while the process stands still. The message passes, or the process
    /// dies at it.
    pub(crate) async fn passes(&self) {
        self.becomes(Process::Runs).await;
        let is_last = {
            let mut left = locked(&self.left);
            let is_last = *left == Some(0);
            *left = left.and_then(|left| left.checked_sub(1));
            is_last
        };
        if is_last {
            self.set(Process::Dead);
            std::future::pending::<()>().await;
        }
    }

    /// Whether another node was asked before about that lockRef.
    fn moves(&self, lock_ref: &str, node: usize) -> bool {
        let before = locked(&self.asked).insert(lock_ref.to_owned(), node);
        before.is_some_and(|before| before != node)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connections of one client.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) scene: Scene,
    pub(super) site: usize,
    pub(super) host: Arc<Host>,
}

impl Nodes for Wire {
    fn carry(&self, request: reqwest::Request) -> Answer {
        let wire = self.clone();
        Box::pin(async move {
            match node_of(request.url().as_str()) {
                Some(node) => {
                    wire.host.passes().await;
                    // By force anybody may end a section, at any node.
                    let path = request.url().path().strip_prefix("/v1/locks/");
                    match path.and_then(|path| path.split_once('/')) {
                        Some((_, "force")) | None => {}
                        Some((lock_ref, _)) => wire.asks(lock_ref, node),
                    }
                    wire.ask(node, request).await
                }
                None => Err(FaultKind::NotConnected),
            }
        })
    }
}

/// An answer that has all of its body.
pub(super) async fn whole(answer: Response<Body>) -> Result<reqwest::Response, FaultKind> {
    let (head, body) = answer.into_parts();
    let whole = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await;
    let whole = whole.map_err(|_broken| FaultKind::Broken)?;
    Ok(Response::from_parts(head, reqwest::Body::from(whole)).into())
}

/// The node that an address names.
pub(super) fn node_of(url: &str) -> Option<usize> {
    let host = url.strip_prefix("http://n")?;
    host.split(['/', ':']).next()?.parse().ok()
}

impl Wire {
    /// The client of a lockRef asks a node.
    fn asks(&self, lock_ref: &str, node: usize) {
        self.scene.recorder.asks(lock_ref, node);
        if self.host.moves(lock_ref, node) {
            self.scene.saw("a lockRef at another node");
        }
    }

    async fn ask(
        &self,
        node: usize,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, FaultKind> {
        let cluster = &self.scene.cluster;
        let site = cluster.site_of(node).ok_or(FaultKind::NotConnected)?;
        if !cluster.reaches(self.site, site) && cluster.network().chance(0.5) {
            world::sleep(CONNECT_MAX).await;
            return Err(FaultKind::NotConnected);
        }
        cluster.pass(self.site, site).await;
        let Some(running) = cluster.running(node) else {
            cluster.pass(site, self.site).await;
            return Err(FaultKind::NotConnected);
        };
        let answer = self.serve(&running, request).await;
        cluster.pass(site, self.site).await;
        self.host.passes().await;
        self.receive(site, &running, answer?).await
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
        let served = if self.scene.cluster.network().chance(0.5) {
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
        let streams = answer
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !streams {
            return whole(answer).await;
        }
        let (head, body) = answer.into_parts();
        let body = {
            let (wire, dead) = (self.clone(), running.dead.clone());
            let heard = body.into_data_stream().then(move |chunk| {
                let wire = wire.clone();
                async move {
                    wire.host.passes().await;
                    chunk
                        .ok()
                        .filter(|_| wire.scene.cluster.reaches(wire.site, site))
                        .ok_or(std::io::ErrorKind::ConnectionReset)
                }
            });
            let heard = heard.map(|chunk| chunk.map_err(std::io::Error::from));
            reqwest::Body::wrap_stream(heard.take_until(dead.cancelled_owned()))
        };
        Ok(Response::from_parts(head, body).into())
    }
}
