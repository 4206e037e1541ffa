//! `/v1/status`, `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use music_api::code::Code;
use music_api::health::Health;
use music_api::problem::Problem;
use music_api::status::Status;

use crate::http::app::App;
use crate::http::describe::Problems;
use crate::http::problem::Failure;
use crate::http::request::Query;
use crate::http::respond::{self, Answer};
use crate::topology::Topology;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Tells of the node, and of the sites as its engine knows them.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "node",
    responses(
        (status = OK, body = Status, description = "The node."),
        Problems,
    )
)]
pub(crate) async fn status(State(app): State<Arc<App>>, query: Query) -> Answer {
    query.only(&[])?;
    let node = app.node.status();
    respond::ok(&Status {
        node: app.config.node.clone(),
        site: app.config.site.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session: format!("{:032x}", node.session.0),
        lease_valid: node.lease_valid,
        sections: u64::try_from(node.sections).unwrap_or(u64::MAX),
        queues: u64::try_from(app.node.queues()).unwrap_or(u64::MAX),
        engine: app
            .topology
            .as_ref()
            .map_or("elsewhere", Topology::engine)
            .to_owned(),
        cluster_checksum: format!("{:016x}", app.config.cluster.checksum()),
        sites: app
            .topology
            .as_ref()
            .map(Topology::sites)
            .unwrap_or_default(),
        links: app
            .topology
            .as_ref()
            .map(Topology::links)
            .unwrap_or_default(),
        servers: app
            .topology
            .as_ref()
            .map(Topology::servers)
            .unwrap_or_default(),
    })
}

/// Tells that the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "node",
    responses((status = OK, body = Health, description = "It lives."))
)]
pub(crate) async fn healthz() -> Answer {
    respond::ok(&Health {
        status: "alive".to_owned(),
    })
}

/// Tells whether the node can keep critical sections.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "node",
    responses(
        (status = OK, body = Health, description = "It can."),
        (
            status = SERVICE_UNAVAILABLE,
            body = Problem,
            content_type = "application/problem+json",
            description = "It cannot: its lease is not valid, its replica is down, or it is \
                shutting down.",
        ),
    )
)]
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Answer {
    let not_ready = |detail: &'static str| Err(Failure::new(Code::NotReady, detail));
    if app.stopping.is_cancelled() {
        return not_ready("This node is shutting down. Use another.");
    }
    let runs = |topology: &Topology| topology.is_running(&app.config.site);
    if !app.topology.as_ref().is_none_or(runs) {
        return not_ready("The replica of this site does not run.");
    }
    if !app.node.status().lease_valid {
        return not_ready(
            "This node's lease is not valid: it cannot reach a majority. Gets and puts of \
             eventual tables may work; critical sections do not.",
        );
    }
    respond::ok(&Health {
        status: "ready".to_owned(),
    })
}

/// The node's counts and times, for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    responses((
        status = OK,
        content_type = "application/openmetrics-text",
        body = String,
        description = "Metrics, each with its unit in its name.",
    ))
)]
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Answer {
    let node = app.node.status();
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let gauges = [
        (
            "sections_open",
            "Critical sections that the node keeps",
            count(node.sections),
        ),
        (
            "tickets_kept",
            "Locks that the node keeps for sections to come",
            count(node.kept),
        ),
        (
            "sections_in_line",
            "Critical sections that wait for a lock together",
            count(node.in_line),
        ),
        ("watchers_open", "Event streams", count(app.watchers())),
        (
            "lease_valid",
            "1 where the node's lease is valid",
            i64::from(node.lease_valid),
        ),
    ];
    let text = app.metrics.encode(app.node.neighbour_counts(), &gauges);
    let text = text.map_err(|error| {
        Failure::new(
            Code::Internal,
            format!("The metrics cannot be written: {error}."),
        )
    })?;
    let mut response = respond::with(StatusCode::OK, text.into());
    respond::set(response.headers_mut(), CONTENT_TYPE.as_str(), METRICS_TYPE);
    Ok(response)
}
