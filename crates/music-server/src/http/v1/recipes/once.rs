//! `/v1/recipes/once/{name}`: a step that is done once, and its result.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::once::{
    BeginOnce, BeginState, Once, OnceBegun, OnceDone, OnceSettled, OnceState, OnceUndone,
    SettleOnce,
};
use music_client::recipes::{self, Begun};

use super::{change, check_result, client_of, wait, wait_of};
use crate::http::app::App;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, OptionalJsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Tells how far a step is, as this site knows it.
#[utoipa::path(
    get,
    path = "/v1/recipes/once/{name}",
    tag = "recipes",
    description = "That a step is done, and its result, stay as they are.",
    params(RecipePath),
    responses((status = OK, body = Once, description = "How far it is."), Problems)
)]
pub(crate) async fn get_once(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let once = recipes::Once::new(&app.client, &name)?;
    let state = wait(&app, async { once.state().await }).await?;
    respond::ok(&match state {
        recipes::OnceState::Undone => as_it_is(OnceState::Undone),
        recipes::OnceState::Begun { token } => Once {
            token: Some(token),
            ..as_it_is(OnceState::Begun)
        },
        recipes::OnceState::Done(result) => Once {
            result: Some(result),
            ..as_it_is(OnceState::Done)
        },
    })
}

fn as_it_is(state: OnceState) -> Once {
    Once {
        state,
        result: None,
        token: None,
    }
}

/// Begins a step, unless it was done; waits while somebody else does it.
#[utoipa::path(
    post,
    path = "/v1/recipes/once/{name}/begin",
    tag = "recipes",
    description = "Who begins it renews the `lock_ref` below `/v1/locks/{lock_ref}`, and names \
        it to say `done` or `undone`. Who does neither in time has interrupted it: then it is \
        not begun again before somebody who has looked settles or forgets it.",
    params(RecipePath),
    request_body = Option<BeginOnce>,
    responses(
        (status = OK, body = OnceBegun, description = "Whose it is to do, or its result."),
        Problems,
    )
)]
pub(crate) async fn begin_once(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    OptionalJsonBody(body): OptionalJsonBody<BeginOnce>,
) -> Answer {
    query.only(&[])?;
    let once = recipes::Once::new(&client_of(&app, body.lease_ms)?, &name)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let begun = wait(&app, async { once.begin_within(limit).await }).await?;
    let busy = OnceBegun {
        state: BeginState::Busy,
        result: None,
        lock_ref: None,
        token: None,
    };
    respond::ok(&match begun {
        None => busy,
        Some(Begun::Done(result)) => OnceBegun {
            state: BeginState::Done,
            result: Some(result),
            ..busy
        },
        Some(Begun::Begun(step)) => OnceBegun {
            state: BeginState::Begun,
            token: Some(step.token()),
            lock_ref: Some(step.detach()),
            ..busy
        },
    })
}

/// Says that a step which was begun is done.
#[utoipa::path(
    post,
    path = "/v1/recipes/once/{name}/done",
    tag = "recipes",
    description = "Ask the node that the step was begun at: another one takes the `lock_ref` \
        over.",
    params(RecipePath, IdempotencyHeader),
    request_body = OnceDone,
    responses((status = OK, body = Once, description = "It is done."), Problems)
)]
pub(crate) async fn once_done(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<OnceDone>,
) -> Answer {
    query.only(&[])?;
    check_result(&body.result)?;
    let once = recipes::Once::new(&app.client, &name)?;
    let OnceDone { lock_ref, result } = body.clone();
    let done = async move {
        once.resume(&lock_ref).await?.done(&result).await?;
        Ok(Once {
            result: Some(result),
            ..as_it_is(OnceState::Done)
        })
    };
    change(&app, repeat, &body, done).await
}

/// Says that a step which was begun was not done: the next caller does it.
#[utoipa::path(
    post,
    path = "/v1/recipes/once/{name}/undone",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = OnceUndone,
    responses((status = OK, body = Once, description = "It is undone."), Problems)
)]
pub(crate) async fn once_undone(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<OnceUndone>,
) -> Answer {
    query.only(&[])?;
    let once = recipes::Once::new(&app.client, &name)?;
    let lock_ref = body.lock_ref.clone();
    let undone = async move {
        once.resume(&lock_ref).await?.undone().await?;
        Ok(as_it_is(OnceState::Undone))
    };
    change(&app, repeat, &body, undone).await
}

/// Says that an interrupted step was done, and with what result.
#[utoipa::path(
    post,
    path = "/v1/recipes/once/{name}/settle",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = SettleOnce,
    responses((status = OK, body = OnceSettled, description = "Whether it was."), Problems)
)]
pub(crate) async fn settle_once(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<SettleOnce>,
) -> Answer {
    query.only(&[])?;
    check_result(&body.result)?;
    let once = recipes::Once::new(&app.client, &name)?;
    let result = body.result.clone();
    let settle = async move {
        let settled = once.settle(&result).await?;
        Ok(OnceSettled { settled })
    };
    change(&app, repeat, &body, settle).await
}

/// Says that an interrupted step was not done: the next caller does it.
#[utoipa::path(
    post,
    path = "/v1/recipes/once/{name}/forget",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    responses((status = OK, body = OnceSettled, description = "Whether it was."), Problems)
)]
pub(crate) async fn forget_once(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
) -> Answer {
    query.only(&[])?;
    let once = recipes::Once::new(&app.client, &name)?;
    let forget = async move {
        let settled = once.forget().await?;
        Ok(OnceSettled { settled })
    };
    change(&app, repeat, &(), forget).await
}
