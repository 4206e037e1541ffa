//! `/v1/recipes/latches/{name}`: waiting until something was done n times.

use std::sync::Arc;

use axum::extract::State;
use music_api::code::Code;
use music_api::recipe::latch::{AwaitLatch, CountDown, Latch, LatchWaited};
use music_client::recipes;

use super::{change, wait, wait_of};
use crate::http::app::App;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::problem::Failure;
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Tells how many counts a latch is from opening, linearizable.
#[utoipa::path(
    get,
    path = "/v1/recipes/latches/{name}",
    tag = "recipes",
    params(
        RecipePath,
        (
            "count" = u64,
            Query,
            description = "After how many counts it opens: the same for all who use it.",
        ),
    ),
    responses((status = OK, body = Latch, description = "How many are left."), Problems)
)]
pub(crate) async fn get_latch(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    let count = query.only(&["count"])?.number("count", 0..=u64::MAX)?;
    let count = count.ok_or_else(|| {
        Failure::new(
            Code::BadQuery,
            "Give `count`, after how many counts the latch opens.",
        )
    })?;
    let latch = recipes::Latch::new(&app.client, &name, count)?;
    let left = wait(&app, async { latch.left().await }).await?;
    respond::ok(&Latch { left })
}

/// Counts a latch down.
#[utoipa::path(
    post,
    path = "/v1/recipes/latches/{name}/count-down",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = CountDown,
    responses((status = OK, body = Latch, description = "How many are left."), Problems)
)]
pub(crate) async fn count_down(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<CountDown>,
) -> Answer {
    query.only(&[])?;
    let latch = recipes::Latch::new(&app.client, &name, body.count)?;
    let count = async move {
        let left = latch.count_down().await?;
        Ok(Latch { left })
    };
    change(&app, repeat, &body, count).await
}

/// Waits until a latch is open.
#[utoipa::path(
    post,
    path = "/v1/recipes/latches/{name}/wait",
    tag = "recipes",
    description = "Asks no majority. A latch that nobody has counted down yet is waited for.",
    params(RecipePath),
    request_body = AwaitLatch,
    responses((status = OK, body = LatchWaited, description = "Whether it is open."), Problems)
)]
pub(crate) async fn await_latch(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<AwaitLatch>,
) -> Answer {
    query.only(&[])?;
    let latch = recipes::Latch::new(&app.client, &name, body.count)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let open = wait(&app, async { latch.wait_within(limit).await }).await?;
    respond::ok(&LatchWaited { open })
}
