//! The way from one node to the others.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::http;
use music_client::error::FaultKind;
use music_client::in_process::{Answer, Nodes};
use tokio_util::sync::CancellationToken;

use super::cluster::Cluster;
use super::wire::{self, node_of};

/// The connections of one node to others.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    cluster: Weak<Cluster>,
    site: usize,
    /// Cancelled when it dies.
    dead: CancellationToken,
}

/// How many tickets nodes have got by way of others.
#[derive(Debug, Default)]
pub(super) struct Relayed(AtomicU64);

impl Relayed {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Peers {
    pub(super) fn new(cluster: Weak<Cluster>, site: usize, dead: CancellationToken) -> Self {
        Self {
            cluster,
            site,
            dead,
        }
    }

    async fn ask(
        self,
        node: usize,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, FaultKind> {
        let cluster = self.cluster.upgrade().ok_or(FaultKind::NotConnected)?;
        let site = cluster.site_of(node).ok_or(FaultKind::NotConnected)?;
        if !cluster.reaches(self.site, site) && cluster.network().chance(0.5) {
            return Err(FaultKind::NotConnected);
        }
        cluster.pass(self.site, site).await;
        let running = cluster.running(node).ok_or(FaultKind::NotConnected)?;
        let is_relay = request.url().path() == "/v1/relay";
        let request = http::Request::<reqwest::Body>::try_from(request);
        let request = request.map_err(|_unsendable| FaultKind::NotConnected)?;
        let answer = running.node.answer(request.map(Body::new));
        let answer = running.dead.run_until_cancelled(answer).await;
        let answer = answer.ok_or(FaultKind::Broken)?;
        if is_relay && answer.status().is_success() {
            cluster.relayed.0.fetch_add(1, Ordering::Relaxed);
        }
        cluster.pass(site, self.site).await;
        wire::whole(answer).await
    }
}

impl Nodes for Peers {
    /// What is on its way arrives, whether or not the sender still waits, or lives.
    fn carry(&self, request: reqwest::Request) -> Answer {
        let (peers, dead) = (self.clone(), self.dead.clone());
        Box::pin(async move {
            let node = node_of(request.url().as_str()).ok_or(FaultKind::NotConnected)?;
            let asked = tokio::spawn(peers.ask(node, request));
            match dead.run_until_cancelled(asked).await {
                Some(Ok(answered)) => answered,
                _ => Err(FaultKind::Broken),
            }
        })
    }
}
