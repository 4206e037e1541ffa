//! `/v1/locks`: lockRefs and the life of their sections.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use hyper::header::LOCATION;
use music_api::code::Code;
use music_api::lock::{Acquire, CreateLockRef, Forced, Lock, LockState, Release, Released};
use music_api::problem::Problem;
use music_core::critical_section::{self, Lost};
use music_core::id::{IdempotencyKey, RequestId};

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, LockPath, MovesParameter, Problems};
use crate::http::problem::{self, Failure};
use crate::http::request::{Idempotency, JsonBody, LockAt, MovesHeader, OptionalJsonBody, Query};
use crate::http::respond::{self, Answer};
use crate::node::{self, SectionRef, SectionView, State as Section};

/// The id of a new section: a repeated request finds its section again.
pub(crate) fn request_id(idempotency: Idempotency) -> RequestId {
    match idempotency.0 {
        Some(IdempotencyKey(key)) => RequestId(key),
        None => node::request_id(),
    }
}

/// Creates a lockRef for a key set, and may wait for its grant.
#[utoipa::path(
    post,
    path = "/v1/locks",
    tag = "locks",
    params(IdempotencyHeader, MovesParameter),
    request_body = CreateLockRef,
    responses(
        (
            status = CREATED,
            body = Lock,
            description = "The lockRef, waiting or granted.",
            headers(("location" = String, description = "The section.")),
        ),
        Problems,
    )
)]
pub(crate) async fn create_lock_ref(
    State(app): State<Arc<App>>,
    query: Query,
    idempotency: Idempotency,
    MovesHeader(moves): MovesHeader,
    JsonBody(body): JsonBody<CreateLockRef>,
) -> Answer {
    query.only(&[])?;
    let wait = app.wait(body.wait_ms)?;
    let section = SectionRef {
        request: request_id(idempotency),
        keys: convert::key_set(&app, &body.keys)?,
        mode: convert::mode(body.mode),
        lease: app.lease(body.lease_ms)?,
        moves,
    };
    let creation = app.node.create_lock_ref(section.clone(), wait);
    let view = app
        .hear_wait(section.request, section.lease, creation)
        .await?;
    if view.state == Section::Lost(Lost::NodeLeaseExpired) {
        // The client never had it: this is no lock that it lost.
        return Err(node::Error::NodeLeaseExpired.into());
    }
    open(&view)?;
    let text = convert::lock_ref(&section);
    let location = format!("/v1/locks/{text}");
    let mut response = respond::json(
        StatusCode::CREATED,
        &convert::lock(&app, text, &section, &view),
    )?;
    respond::set(response.headers_mut(), LOCATION.as_str(), &location);
    Ok(response)
}

/// Tells where a section stands.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}",
    tag = "locks",
    params(LockPath),
    responses(
        (status = OK, body = Lock, description = "The section, lost ones included."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "This node does not keep it.",
        ),
        Problems,
    )
)]
pub(crate) async fn get_lock(State(app): State<Arc<App>>, at: LockAt, query: Query) -> Answer {
    query.only(&[])?;
    let view = app.node.section(at.section.request)?;
    respond::ok(&convert::lock(&app, at.text, &at.section, &view))
}

/// Waits for a section's grant; takes it over from another node.
#[utoipa::path(
    post,
    path = "/v1/locks/{lock_ref}/acquire",
    tag = "locks",
    params(LockPath, MovesParameter),
    request_body = Option<Acquire>,
    responses(
        (status = OK, body = Lock, description = "The section, waiting or granted."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "It is lost or released.",
        ),
        Problems,
    )
)]
pub(crate) async fn acquire(
    State(app): State<Arc<App>>,
    at: LockAt,
    query: Query,
    MovesHeader(moves): MovesHeader,
    OptionalJsonBody(body): OptionalJsonBody<Acquire>,
) -> Answer {
    query.only(&[])?;
    let wait = app.wait(body.wait_ms)?;
    is_ours(&app, &at.section)?;
    let LockAt { text, mut section } = at;
    section.moves = moves;
    let acquisition = app.node.acquire(&section, wait);
    let view = app
        .hear(section.request, section.lease, acquisition)
        .await?;
    open(&view)?;
    respond::ok(&convert::lock(&app, text, &section, &view))
}

/// Refuses a lockRef that this deployment cannot have given out.
fn is_ours(app: &App, section: &SectionRef) -> Result<(), Failure> {
    let known = section
        .keys
        .iter()
        .all(|id| app.node.table_by_id(id.table).is_ok());
    if !known {
        return Err(Failure::new(
            Code::NoSuchSection,
            "A table of the lockRef does not exist: it was dropped, or another deployment gave \
             the lockRef out. Create another with POST /v1/locks.",
        ));
    }
    if section.lease > app.config.cluster.client_lease_max {
        return Err(Failure::new(
            Code::MalformedLockRef,
            "The lockRef has a longer lease than this deployment gives: it is foreign.",
        ));
    }
    Ok(())
}

/// Refuses a section that is over.
fn open(view: &SectionView) -> Result<(), Failure> {
    match view.state {
        Section::Waiting | Section::Granted => Ok(()),
        Section::Lost(lost) => Err(problem::lost(lost)),
        Section::Released => Err(node::Error::Section(critical_section::Error::Released).into()),
    }
}

/// Proves that the section's client lives.
#[utoipa::path(
    post,
    path = "/v1/locks/{lock_ref}/renew",
    tag = "locks",
    params(LockPath),
    responses(
        (status = OK, body = Lock, description = "The section, its lease begun anew."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "It is lost, released, or kept elsewhere.",
        ),
        Problems,
    )
)]
pub(crate) async fn renew(State(app): State<Arc<App>>, at: LockAt, query: Query) -> Answer {
    query.only(&[])?;
    let view = app.node.renew(at.section.request)?;
    open(&view)?;
    respond::ok(&convert::lock(&app, at.text, &at.section, &view))
}

/// Ends a section.
#[utoipa::path(
    post,
    path = "/v1/locks/{lock_ref}/release",
    tag = "locks",
    description = "With `confirm`, the answer says that nobody else was granted in between; if \
        somebody was, it is the problem `lost`.",
    params(LockPath),
    request_body = Option<Release>,
    responses(
        (status = OK, body = Released, description = "It is over."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "It was lost.",
        ),
        Problems,
    )
)]
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    at: LockAt,
    query: Query,
    OptionalJsonBody(body): OptionalJsonBody<Release>,
) -> Answer {
    query.only(&[])?;
    let released = app.node.release(&at.section, body.confirm).await?;
    let confirmed = released == node::Released::Confirmed;
    respond::ok(&Released {
        state: LockState::Released,
        confirmed,
    })
}

/// Ends a section whose client is taken for dead, whichever node keeps it.
#[utoipa::path(
    post,
    path = "/v1/locks/{lock_ref}/force",
    tag = "locks",
    params(LockPath),
    responses(
        (status = OK, body = Forced, description = "Whether some ticket of it was still there."),
        Problems,
    )
)]
pub(crate) async fn force(State(app): State<Arc<App>>, at: LockAt, query: Query) -> Answer {
    query.only(&[])?;
    is_ours(&app, &at.section)?;
    let removed = app.node.force(&at.section).await?;
    respond::ok(&Forced { removed })
}
