//! `/v1/recipes/double-barriers/{name}`: parties that begin and end together.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::barrier::{CrossDoubleBarrier, Crossed};
use music_client::recipes::DoubleBarrier;

use super::barriers::crossed;
use super::{wait, wait_of};
use crate::http::app::App;
use crate::http::describe::{Problems, RecipePath};
use crate::http::problem::Failure;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Waits until all parties have entered.
#[utoipa::path(
    post,
    path = "/v1/recipes/double-barriers/{name}/enter",
    tag = "recipes",
    description = "A party that stops waiting, as by hanging up, is withdrawn. Nobody enters \
        before all have left the last time.",
    params(RecipePath),
    request_body = CrossDoubleBarrier,
    responses((status = OK, body = Crossed, description = "Whether all entered."), Problems)
)]
pub(crate) async fn enter(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<CrossDoubleBarrier>,
) -> Answer {
    query.only(&[])?;
    let mut barrier = barrier(&app, &name, &body)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let crossing = wait(&app, async { barrier.enter_within(limit).await }).await?;
    respond::ok(&crossed(crossing))
}

/// Waits until all parties have left.
#[utoipa::path(
    post,
    path = "/v1/recipes/double-barriers/{name}/leave",
    tag = "recipes",
    description = "A party that stops waiting, as by hanging up, is withdrawn: it is inside.",
    params(RecipePath),
    request_body = CrossDoubleBarrier,
    responses((status = OK, body = Crossed, description = "Whether all left."), Problems)
)]
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<CrossDoubleBarrier>,
) -> Answer {
    query.only(&[])?;
    let mut barrier = barrier(&app, &name, &body)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let crossing = wait(&app, async { barrier.leave_within(limit).await }).await?;
    respond::ok(&crossed(crossing))
}

fn barrier(app: &App, name: &str, body: &CrossDoubleBarrier) -> Result<DoubleBarrier, Failure> {
    let barrier = DoubleBarrier::new_as(&app.client, name, body.parties, &body.party)?;
    Ok(barrier)
}
