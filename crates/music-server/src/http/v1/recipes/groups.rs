//! `/v1/recipes/groups/{name}`: who is there.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use music_api::recipe::group::{JoinGroup, Joined, Member, Members};
use music_api::recipe::{CHANGED, JOINED, LEFT};
use music_client::recipes::{self, Group, GroupEvent};

use super::{client_of, wait, word};
use crate::http::app::App;
use crate::http::describe::{MemberPath, Problems, RecipePath};
use crate::http::own::WatchPlace;
use crate::http::problem::Failure;
use crate::http::request::{MemberAt, OptionalJsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};
use crate::http::sse::{self, Event, Source};

/// Lists the members of a group, as this site knows them.
#[utoipa::path(
    get,
    path = "/v1/recipes/groups/{name}/members",
    tag = "recipes",
    description = "Asks no majority: two sites may differ for a while.",
    params(RecipePath),
    responses((status = OK, body = Members, description = "The members, by name."), Problems)
)]
pub(crate) async fn list_members(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let group = Group::new(&app.client, &name)?;
    let members = wait(&app, async { group.list().await }).await?;
    let members = members.into_iter().map(api_member).collect();
    respond::ok(&Members { members })
}

fn api_member(member: recipes::Member) -> Member {
    Member {
        name: member.name,
        value: member.value,
    }
}

/// Joins a group, or proves that the member lives.
#[utoipa::path(
    put,
    path = "/v1/recipes/groups/{name}/members/{member}",
    tag = "recipes",
    description = "Repeat it at least three times a lease, at any node: a member that is not \
        heard for a lease and a quarter is gone.",
    params(MemberPath),
    request_body = Option<JoinGroup>,
    responses(
        (status = OK, body = Joined, description = "It is a member for a lease."),
        Problems,
    )
)]
pub(crate) async fn join_group(
    State(app): State<Arc<App>>,
    MemberAt { group, member }: MemberAt,
    query: Query,
    OptionalJsonBody(body): OptionalJsonBody<JoinGroup>,
) -> Answer {
    query.only(&[])?;
    let lease = app.lease(body.lease_ms)?.get();
    let group = Group::new(&client_of(&app, body.lease_ms)?, &group)?;
    let value = word(&app, body.value.as_ref())?;
    let joined = wait(&app, async { group.tell(&member, value).await }).await?;
    respond::ok(&Joined {
        joined,
        lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Takes a member out of a group.
#[utoipa::path(
    delete,
    path = "/v1/recipes/groups/{name}/members/{member}",
    tag = "recipes",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "It is no member any more."), Problems)
)]
pub(crate) async fn leave_group(
    State(app): State<Arc<App>>,
    MemberAt { group, member }: MemberAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let group = Group::new(&app.client, &group)?;
    wait(&app, async { group.remove(&member).await }).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Streams who comes, changes and goes, as this site hears it.
#[utoipa::path(
    get,
    path = "/v1/recipes/groups/{name}/events",
    tag = "recipes",
    description = "Events `joined`, `changed` and `left`, whose data is a Member; `joined` for \
        all that are there at first.",
    params(RecipePath),
    responses(
        (
            status = OK,
            content_type = "text/event-stream",
            body = String,
            description = "Events, until either side ends.",
        ),
        Problems,
    )
)]
pub(crate) async fn group_events(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    place: WatchPlace,
) -> Answer {
    query.only(&[])?;
    let members = Group::new(&app.client, &name)?.members();
    Ok(sse::respond(app, place, members))
}

impl Source for recipes::Members {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let (name, member) = match Self::next(self).await? {
            GroupEvent::Joined(member) => (JOINED, member),
            GroupEvent::Changed(member) => (CHANGED, member),
            GroupEvent::Left(member) => (LEFT, member),
        };
        Ok(Some(Event::new(name, &api_member(member))))
    }
}
