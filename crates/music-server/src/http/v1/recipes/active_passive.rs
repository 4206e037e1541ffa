//! `/v1/recipes/active-passive/{name}`: n of m replicas active.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::active_passive::{
    Activate, Activated, Replica, Replicas, SaveState, StateSaved,
};
use music_client::recipes::{self, ActivePassive, Policy};

use super::{VALUE_BYTES_MAX, change, client_of, wait, wait_of};
use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Lists the replicas of a service, as this site hears them.
#[utoipa::path(
    get,
    path = "/v1/recipes/active-passive/{name}",
    tag = "recipes",
    description = "Asks no majority. Whether a replica is active, only its own `lock_ref` tells.",
    params(RecipePath),
    responses((status = OK, body = Replicas, description = "The replicas, by name."), Problems)
)]
pub(crate) async fn list_replicas(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let service = ActivePassive::new(&app.client, &name, 1)?;
    let replicas = wait(&app, async { service.replicas().await }).await?;
    let replicas = replicas.into_iter().map(|replica| Replica {
        name: replica.name,
        site: replica.site,
        load: replica.load,
        role: replica.role.name().to_owned(),
    });
    respond::ok(&Replicas {
        replicas: replicas.collect(),
    })
}

/// Waits to be active, in the order of site and load.
#[utoipa::path(
    post,
    path = "/v1/recipes/active-passive/{name}/activate",
    tag = "recipes",
    description = "Who is active renews the `lock_ref` below `/v1/locks/{lock_ref}`, and \
        releases it to step down. Hanging up ends the wait. A replica is heard of by the others \
        while it waits.",
    params(RecipePath),
    request_body = Activate,
    responses(
        (status = OK, body = Activated, description = "Whether the replica is active."),
        Problems,
    )
)]
pub(crate) async fn activate(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    JsonBody(body): JsonBody<Activate>,
) -> Answer {
    query.only(&[])?;
    let client = client_of(&app, body.lease_ms)?;
    let service = ActivePassive::new(&client, &name, body.active)?;
    let service = service.policy(Policy::sites(body.sites));
    let limit = wait_of(&app, body.wait_ms)?;
    let replica = recipes::Replica::new(body.replica, body.site).load(body.load);
    let active = wait(&app, async {
        let mut standby = service.join(replica).await?;
        let active = tokio::time::timeout(limit, standby.activate()).await;
        match active {
            Ok(active) => active.map(Some),
            Err(_) => standby.leave().await.map(|()| None),
        }
    });
    let Some(active) = active.await? else {
        return respond::ok(&Activated::default());
    };
    let state = wait(&app, async { active.state().await }).await?;
    respond::ok(&Activated {
        activated: true,
        slot: Some(active.slot()),
        token: Some(active.token()),
        state: state.map(|state| state.content.to_value()),
        lock_ref: Some(active.detach()),
    })
}

/// Saves the state of an active replica, for whoever takes over.
#[utoipa::path(
    post,
    path = "/v1/recipes/active-passive/{name}/save",
    tag = "recipes",
    description = "Ask the node that the replica was activated at: another one takes the \
        `lock_ref` over.",
    params(RecipePath, IdempotencyHeader),
    request_body = SaveState,
    responses((status = OK, body = StateSaved, description = "It is saved."), Problems)
)]
pub(crate) async fn save_state(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<SaveState>,
) -> Answer {
    query.only(&[])?;
    let service = ActivePassive::new(&app.client, &name, 1)?;
    let max = VALUE_BYTES_MAX.min(app.config.cluster.value_bytes_max);
    let state = convert::content(&body.state, max)?;
    let lock_ref = body.lock_ref.clone();
    let save = async move {
        let active = service.resume(&lock_ref).await?;
        let saved = active.save(state).await;
        let slot = active.slot();
        // It is active on, whatever became of its state.
        drop(active.detach());
        saved.map(|()| StateSaved { slot })
    };
    change(&app, repeat, &body, save).await
}
