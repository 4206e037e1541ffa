//! The routes of the controls.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, State};
use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{StatusCode, Uri};
use music_api::code::Code;
use music_api::health::Health;
use music_api::queue::Queue;
use music_api::status::{DevStatus, LinkDelay};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::control::{Control, Error, RTT_MAX};
use crate::http::describe::{PageQuery, Problems, RecordPath};
use crate::http::problem::Failure;
use crate::http::request::body::JsonLimit;
use crate::http::request::path::{percent_decode, segment};
use crate::http::request::{OptionalJsonBody, Query, RecordAt};
use crate::http::respond::{self, Answer};
use crate::http::v1::queues;
use crate::http::{front, pages, router as node_router};

const DESCRIPTION: &str = "\
The controls of a development deployment: nodes are suspended, resumed, killed and started; links \
are cut, healed and delayed; sites are cut off, healed, stopped and started. They answer whatever \
the nodes do.";

/// The routes at the control address.
pub(super) fn router(control: Arc<Control>) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(front::no_such_route)
        .method_not_allowed_fallback(front::method_not_allowed)
        .with_state(control)
}

fn routes() -> OpenApiRouter<Arc<Control>> {
    OpenApiRouter::with_openapi(node_router::document(
        "MUSIC development controls",
        DESCRIPTION,
    ))
    .routes(routes!(dev_status))
    .routes(routes!(control_node))
    .routes(routes!(control_link))
    .routes(routes!(control_site))
    .routes(routes!(dev_queue))
    .routes(routes!(healthz))
    .routes(routes!(pages::error_page))
    .routes(routes!(pages::dashboard))
    .routes(routes!(openapi_json))
}

impl JsonLimit for Arc<Control> {
    fn json_limit(&self) -> (usize, Duration) {
        (self.limits().body_bytes_max, self.limits().body_timeout)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoSuchNode(_) | Error::NoSuchSite(_) => Code::NoSuchTarget,
            Error::SameSite(_) => Code::BadRequest,
            Error::NotRunning(_) | Error::Running(_) => Code::WrongState,
            Error::Serve(_) => Code::Internal,
        };
        Self::new(
            code,
            format!("Not done: {error}. GET /v1/dev lists what there is."),
        )
    }
}

/// The decoded segments of a control's path, from the fifth on:
/// `/v1/dev/nodes/{here}/{here}`.
struct Target([String; 3]);

impl<S: Sync> FromRequestParts<S> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let text = |number| {
            let bytes = percent_decode(segment(parts.uri.path(), number));
            bytes
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    Failure::new(Code::NoSuchTarget, "Names have a-z, 0-9, _, - and . only.")
                })
        };
        Ok(Self([text(4)?, text(5)?, text(6)?]))
    }
}

fn no_such_action(action: &str, actions: &str) -> Failure {
    let action = action.escape_debug();
    Failure::new(
        Code::NoSuchRoute,
        format!("There is no control `{action}`: there are {actions}."),
    )
}

/// The whole deployment.
#[utoipa::path(
    get,
    path = "/v1/dev",
    tag = "dev",
    responses(
        (status = OK, body = DevStatus, description = "Nodes, sites and links."),
        Problems,
    )
)]
async fn dev_status(State(control): State<Arc<Control>>, query: Query) -> Answer {
    query.only(&[])?;
    respond::ok(&control.status())
}

/// Suspends, resumes, kills or starts a node.
#[utoipa::path(
    post,
    path = "/v1/dev/nodes/{node}/{action}",
    tag = "dev",
    params(
        ("node" = String, Path, description = "The node's name."),
        (
            "action" = String,
            Path,
            description = "`suspend`: nothing in it runs, its connections stay open. `resume`. \
                `kill`: as SIGKILL. `start`.",
        ),
    ),
    responses(
        (status = OK, body = DevStatus, description = "The deployment afterwards."),
        Problems,
    )
)]
async fn control_node(
    State(control): State<Arc<Control>>,
    Target([node, action, _]): Target,
    query: Query,
) -> Answer {
    query.only(&[])?;
    match action.as_str() {
        "suspend" => control.set_suspended(&node, true)?,
        "resume" => control.set_suspended(&node, false)?,
        "kill" => control.kill(&node).await?,
        "start" => control.start(&node).await?,
        other => return Err(no_such_action(other, "suspend, resume, kill and start")),
    }
    respond::ok(&control.status())
}

/// Cuts, heals or delays a link.
#[utoipa::path(
    post,
    path = "/v1/dev/links/{a}/{b}/{action}",
    tag = "dev",
    params(
        ("a" = String, Path, description = "A site."),
        ("b" = String, Path, description = "Another."),
        (
            "action" = String,
            Path,
            description = "`cut`: what is sent is lost. `heal`. `delay`: takes a body.",
        ),
        (
            "oneway" = Option<bool>,
            Query,
            description = "Only what is sent from `a` to `b`; for `cut` and `heal`.",
        ),
    ),
    request_body = Option<LinkDelay>,
    responses(
        (status = OK, body = DevStatus, description = "The deployment afterwards."),
        Problems,
    )
)]
async fn control_link(
    State(control): State<Arc<Control>>,
    Target([a, b, action]): Target,
    query: Query,
    OptionalJsonBody(delay): OptionalJsonBody<Option<LinkDelay>>,
) -> Answer {
    let query = query.only(&["oneway"])?;
    let oneway = query.flag("oneway")?;
    match action.as_str() {
        "cut" => control.set_link((&a, &b), oneway, true)?,
        "heal" => control.set_link((&a, &b), oneway, false)?,
        "delay" if oneway => {
            return Err(Failure::new(
                Code::BadQuery,
                "A delay is that of the whole round trip: leave `oneway` out.",
            ));
        }
        "delay" => control.set_rtt(&a, &b, rtt(delay)?)?,
        other => return Err(no_such_action(other, "cut, heal and delay")),
    }
    respond::ok(&control.status())
}

fn rtt(delay: Option<LinkDelay>) -> Result<Duration, Failure> {
    let delay = delay.ok_or_else(|| {
        Failure::new(
            Code::MalformedBody,
            "A delay takes a body: {\"rtt_ms\": 80}.",
        )
    })?;
    let rtt = Duration::try_from_secs_f64(delay.rtt_ms / 1000.0).ok();
    rtt.filter(|rtt| *rtt <= RTT_MAX).ok_or_else(|| {
        let max = RTT_MAX.as_millis();
        Failure::new(Code::OutOfRange, format!("`rtt_ms` is 0 to {max}."))
    })
}

/// Cuts off, heals, stops or starts a site.
#[utoipa::path(
    post,
    path = "/v1/dev/sites/{site}/{action}",
    tag = "dev",
    params(
        ("site" = String, Path, description = "The site."),
        (
            "action" = String,
            Path,
            description = "`cut`: all its links. `heal`: all its links. `stop`: its replica. \
                `start`: its replica.",
        ),
    ),
    responses(
        (status = OK, body = DevStatus, description = "The deployment afterwards."),
        Problems,
    )
)]
async fn control_site(
    State(control): State<Arc<Control>>,
    Target([site, action, _]): Target,
    query: Query,
) -> Answer {
    query.only(&[])?;
    match action.as_str() {
        "cut" => control.set_site_cut(&site, true)?,
        "heal" => control.set_site_cut(&site, false)?,
        "stop" => control.set_site_running(&site, false)?,
        "start" => control.set_site_running(&site, true)?,
        other => return Err(no_such_action(other, "cut, heal, stop and start")),
    }
    respond::ok(&control.status())
}

/// Reads a key's queue through some node that runs.
#[utoipa::path(
    get,
    path = "/v1/dev/queues/{table}/{key}",
    tag = "dev",
    params(
        RecordPath,
        PageQuery,
    ),
    responses(
        (status = OK, body = Queue, description = "The tickets, the head first."),
        Problems,
    )
)]
async fn dev_queue(State(control): State<Arc<Control>>, uri: Uri) -> Answer {
    let mut failure = Failure::new(Code::WrongState, "No node runs: start or resume one.");
    for app in control.running() {
        let at = RecordAt::read(uri.path(), &app)?;
        let query = Query::parse(uri.query().unwrap_or_default())?;
        match queues::read(&app, &at, query).await {
            Ok(queue) => return respond::ok(&queue),
            // A node that is cut off: perhaps another is not.
            Err(error) if error.code() == Code::Unavailable => failure = error,
            Err(error) => return Err(error),
        }
    }
    Err(failure)
}

/// Tells that the process lives.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "dev",
    responses((status = OK, body = Health, description = "It lives."))
)]
async fn healthz() -> Answer {
    respond::ok(&Health {
        status: "alive".to_owned(),
    })
}

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    serde_json::to_vec(&routes().into_openapi())
        .unwrap_or_default()
        .into()
});

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "dev",
    responses((
        status = OK,
        content_type = "application/json",
        body = Object,
        description = "All routes of the controls, as OpenAPI.",
    ))
)]
async fn openapi_json() -> Answer {
    let mut response = respond::with(StatusCode::OK, DOCUMENT.clone());
    respond::set(
        response.headers_mut(),
        CONTENT_TYPE.as_str(),
        "application/json",
    );
    Ok(response)
}
