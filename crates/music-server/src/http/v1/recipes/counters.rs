//! `/v1/recipes/counters/{name}`: a number that is changed atomically.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::counter::{AddToCounter, Counter, CounterAdded, CounterSet, SetCounter};
use music_client::recipes;

use super::{change, wait};
use crate::http::app::App;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Reads a counter, linearizable.
#[utoipa::path(
    get,
    path = "/v1/recipes/counters/{name}",
    tag = "recipes",
    params(RecipePath),
    responses((status = OK, body = Counter, description = "The number."), Problems)
)]
pub(crate) async fn get_counter(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let counter = recipes::Counter::new(&app.client, &name)?;
    let value = wait(&app, async { counter.get().await }).await?;
    respond::ok(&Counter { value })
}

/// Adds to a counter.
#[utoipa::path(
    post,
    path = "/v1/recipes/counters/{name}/add",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = AddToCounter,
    responses(
        (status = OK, body = CounterAdded, description = "What the number was before."),
        Problems,
    )
)]
pub(crate) async fn add_to_counter(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<AddToCounter>,
) -> Answer {
    query.only(&[])?;
    let counter = recipes::Counter::new(&app.client, &name)?;
    let number = body.number;
    let add = async move {
        let before = counter.add(number).await?;
        Ok(CounterAdded { before })
    };
    change(&app, repeat, &body, add).await
}

/// Sets a counter, always or where it is what is expected.
#[utoipa::path(
    put,
    path = "/v1/recipes/counters/{name}",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = SetCounter,
    responses(
        (status = OK, body = CounterSet, description = "Whether it was set."),
        Problems,
    )
)]
pub(crate) async fn set_counter(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<SetCounter>,
) -> Answer {
    query.only(&[])?;
    let counter = recipes::Counter::new(&app.client, &name)?;
    let SetCounter { number, expected } = body;
    let set = async move {
        let Some(expected) = expected else {
            let before = counter.set(number).await?;
            return Ok(CounterSet { set: true, before });
        };
        Ok(match counter.compare_and_set(expected, number).await? {
            Ok(()) => CounterSet {
                set: true,
                before: expected,
            },
            Err(before) => CounterSet { set: false, before },
        })
    };
    change(&app, repeat, &body, set).await
}
