//! `/v1/recipes/elections/{name}`: one leader, observed by all.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::LEADER;
use music_api::recipe::election::{Campaign, Campaigned, Election, Leader, Proclaim, Resign};
use music_client::recipes::{self, Observer};

use super::{change, client_of, wait, wait_of, word};
use crate::http::app::App;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::own::WatchPlace;
use crate::http::problem::Failure;
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};
use crate::http::sse::{self, Event, Source};

/// Tells who leads or led last, as this site knows it.
#[utoipa::path(
    get,
    path = "/v1/recipes/elections/{name}",
    tag = "recipes",
    description = "Asks no majority. Whether a leader still leads, only its own `lock_ref` tells.",
    params(RecipePath),
    responses((status = OK, body = Election, description = "The leader."), Problems)
)]
pub(crate) async fn get_election(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let election = recipes::Election::new(&app.client, &name)?;
    let leader = wait(&app, async { election.leader().await }).await?;
    respond::ok(&as_it_is(leader.as_ref()))
}

fn as_it_is(leader: Option<&recipes::Leader>) -> Election {
    Election {
        leader: leader.map(api_leader),
    }
}

fn api_leader(leader: &recipes::Leader) -> Leader {
    Leader {
        candidate: leader.candidate.clone(),
        value: leader.value.clone(),
        token: leader.token,
    }
}

/// Waits to lead, in the order of asking.
#[utoipa::path(
    post,
    path = "/v1/recipes/elections/{name}/campaign",
    tag = "recipes",
    description = "Who is elected renews the `lock_ref` below `/v1/locks/{lock_ref}`, and leads \
        until it resigns or is not heard for its lease. Hanging up ends the campaign.",
    params(RecipePath),
    request_body = Campaign,
    responses(
        (status = OK, body = Campaigned, description = "Whether the candidate leads."),
        Problems,
    )
)]
pub(crate) async fn campaign(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<Campaign>,
) -> Answer {
    query.only(&[])?;
    let election = recipes::Election::new(&client_of(&app, body.lease_ms)?, &name)?;
    let value = word(&app, body.value.as_ref())?;
    let candidate = election.candidate(&body.candidate, value)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let leadership = wait(&app, async { candidate.campaign_within(limit).await }).await?;
    let Some(leadership) = leadership else {
        let leader = wait(&app, async { election.leader().await }).await?;
        return respond::ok(&Campaigned {
            elected: false,
            leader: leader.as_ref().map(api_leader),
            lock_ref: None,
        });
    };
    respond::ok(&Campaigned {
        elected: true,
        leader: Some(api_leader(leadership.leader())),
        lock_ref: Some(leadership.detach()),
    })
}

/// Lets a leader say something else of itself.
#[utoipa::path(
    post,
    path = "/v1/recipes/elections/{name}/proclaim",
    tag = "recipes",
    description = "Ask the node that the leader campaigned at: another one takes the `lock_ref` \
        over.",
    params(RecipePath, IdempotencyHeader),
    request_body = Proclaim,
    responses((status = OK, body = Election, description = "The leader."), Problems)
)]
pub(crate) async fn proclaim(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<Proclaim>,
) -> Answer {
    query.only(&[])?;
    let election = recipes::Election::new(&app.client, &name)?;
    let value = word(&app, Some(&body.value))?;
    let lock_ref = body.lock_ref.clone();
    let proclaim = async move {
        let mut leadership = election.resume(&lock_ref).await?;
        let proclaimed = leadership.proclaim(value).await;
        let leader = as_it_is(Some(leadership.leader()));
        // It leads on, whatever became of its word.
        drop(leadership.detach());
        proclaimed.map(|()| leader)
    };
    change(&app, repeat, &body, proclaim).await
}

/// Ends a leadership, in favour of a candidate if one is named.
#[utoipa::path(
    post,
    path = "/v1/recipes/elections/{name}/resign",
    tag = "recipes",
    description = "Observers are told that nobody leads. To end it without a word to them, \
        release the `lock_ref`.",
    params(RecipePath, IdempotencyHeader),
    request_body = Resign,
    responses((status = OK, body = Election, description = "No leader."), Problems)
)]
pub(crate) async fn resign(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<Resign>,
) -> Answer {
    query.only(&[])?;
    let election = recipes::Election::new(&app.client, &name)?;
    if let Some(successor) = &body.hand_over_to {
        // It has the name of a candidate, or can be none.
        drop(election.candidate(successor, "")?);
    }
    let Resign {
        lock_ref,
        hand_over_to,
    } = body.clone();
    let resign = async move {
        let leadership = election.resume(&lock_ref).await?;
        match hand_over_to {
            Some(successor) => leadership.hand_over(&successor).await?,
            None => leadership.resign().await?,
        }
        Ok(as_it_is(None))
    };
    change(&app, repeat, &body, resign).await
}

/// Streams who leads, as this site knows it.
#[utoipa::path(
    get,
    path = "/v1/recipes/elections/{name}/events",
    tag = "recipes",
    description = "Event `leader`, whose data is an Election: as it is, then as it changes. \
        Changes in quick succession may come as one.",
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
pub(crate) async fn election_events(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    place: WatchPlace,
) -> Answer {
    query.only(&[])?;
    let observer = recipes::Election::new(&app.client, &name)?.observe();
    Ok(sse::respond(app, place, observer))
}

impl Source for Observer {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let leader = Self::next(self).await?;
        Ok(Some(Event::new(LEADER, &as_it_is(leader.as_ref()))))
    }
}
