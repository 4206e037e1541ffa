//! `/v1/recipes/semaphores/{name}`: at most n at a time.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::semaphore::{AcquirePermits, HeldPermit, PermitsAcquired};
use music_client::recipes::{DetachedPermit, Semaphore};

use super::{client_of, wait, wait_of};
use crate::http::app::App;
use crate::http::describe::{Problems, RecipePath};
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Waits for permits of a semaphore, in the order of asking.
#[utoipa::path(
    post,
    path = "/v1/recipes/semaphores/{name}/acquire",
    tag = "recipes",
    description = "Each permit is a lock: renew and release it below `/v1/locks/{lock_ref}`. \
        Several are acquired together or not at all.",
    params(RecipePath),
    request_body = AcquirePermits,
    responses(
        (status = OK, body = PermitsAcquired, description = "The permits, if they were free."),
        Problems,
    )
)]
pub(crate) async fn acquire_permits(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<AcquirePermits>,
) -> Answer {
    query.only(&[])?;
    let client = client_of(&app, body.lease_ms)?;
    let semaphore = Semaphore::new(&client, &name, body.permits)?;
    let limit = wait_of(&app, body.wait_ms)?;
    let number = body.number.unwrap_or(1);
    let acquired = wait(&app, async {
        semaphore.acquire_within(number, limit).await
    })
    .await?;
    let permits = acquired.map(|permit| permit.detach().into_iter().map(held).collect());
    respond::ok(&PermitsAcquired {
        acquired: permits.is_some(),
        held: permits.unwrap_or_default(),
    })
}

fn held(permit: DetachedPermit) -> HeldPermit {
    HeldPermit {
        number: permit.number,
        lock_ref: permit.lock_ref,
        token: permit.token,
    }
}
