//! `/v1/recipes/barriers/{name}`: parties that wait for each other.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::BARRIER;
use music_api::recipe::barrier::{Barrier, CrossBarrier, Crossed};
use music_client::recipes::{self, BarrierObserver, Crossing};

use super::{wait, wait_of};
use crate::http::app::App;
use crate::http::describe::{Problems, RecipePath};
use crate::http::own::WatchPlace;
use crate::http::problem::Failure;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};
use crate::http::sse::{self, Event, Source};

/// Arrives at a barrier, and waits for all others.
#[utoipa::path(
    post,
    path = "/v1/recipes/barriers/{name}/wait",
    tag = "recipes",
    description = "A party that stops waiting, as by hanging up, is withdrawn: the others go on \
        waiting for it.",
    params(RecipePath),
    request_body = CrossBarrier,
    responses((status = OK, body = Crossed, description = "Whether all arrived."), Problems)
)]
pub(crate) async fn cross_barrier(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<CrossBarrier>,
) -> Answer {
    query.only(&[])?;
    let barrier = recipes::Barrier::new(&app.client, &name, body.parties)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let crossing = wait(&app, async {
        match &body.party {
            Some(party) => barrier.wait_as_within(party, limit).await,
            None => barrier.wait_within(limit).await,
        }
    });
    respond::ok(&crossed(crossing.await?))
}

/// What a party that waited is answered.
pub(super) fn crossed(crossing: Option<Crossing>) -> Crossed {
    Crossed {
        crossed: crossing.is_some(),
        number: crossing.map(|crossing| crossing.number),
        last: crossing.map(|crossing| crossing.last),
    }
}

/// Streams how far a barrier is, as this site knows it.
#[utoipa::path(
    get,
    path = "/v1/recipes/barriers/{name}/events",
    tag = "recipes",
    description = "Event `barrier`, whose data is a Barrier: as it is, then as it changes. \
        Changes in quick succession may come as one. Only who waits may rely on a crossing.",
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
pub(crate) async fn barrier_events(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    place: WatchPlace,
) -> Answer {
    query.only(&[])?;
    let observer = recipes::Barrier::observe(&app.client, &name)?;
    Ok(sse::respond(app, place, observer))
}

impl Source for BarrierObserver {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let arrivals = Self::next(self).await?;
        let data = Barrier {
            parties: arrivals.parties,
            crossed: arrivals.crossed,
            arrived: arrivals.arrived,
        };
        Ok(Some(Event::new(BARRIER, &data)))
    }
}
