//! `/v1/recipes/registers/{name}`: a value that is changed atomically.

use std::sync::Arc;

use axum::extract::State;
use music_api::recipe::register::{Register, RegisterSet, SetRegister};
use music_client::recipes;

use super::{VALUE_BYTES_MAX, change, wait};
use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{IdempotencyHeader, Problems, RecipePath};
use crate::http::repeat::Repeat;
use crate::http::request::{JsonBody, Query, RecipeAt};
use crate::http::respond::{self, Answer};

/// Reads a register, linearizable.
#[utoipa::path(
    get,
    path = "/v1/recipes/registers/{name}",
    tag = "recipes",
    params(RecipePath),
    responses((status = OK, body = Register, description = "The value."), Problems)
)]
pub(crate) async fn get_register(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    let register = recipes::Register::new(&app.client, &name)?;
    let (version, content) = wait(&app, async { register.get().await }).await?;
    let value = content.as_ref().map(convert::content_value);
    respond::ok(&Register { version, value })
}

/// Sets a register, always or where its version is what is expected.
#[utoipa::path(
    put,
    path = "/v1/recipes/registers/{name}",
    tag = "recipes",
    params(RecipePath, IdempotencyHeader),
    request_body = SetRegister,
    responses(
        (status = OK, body = RegisterSet, description = "Whether it was set."),
        Problems,
    )
)]
pub(crate) async fn set_register(
    State(app): State<Arc<App>>,
    RecipeAt(name): RecipeAt,
    query: Query,
    repeat: Repeat,
    JsonBody(body): JsonBody<SetRegister>,
) -> Answer {
    query.only(&[])?;
    let register = recipes::Register::new(&app.client, &name)?;
    let value = convert::content(&body.value, VALUE_BYTES_MAX)?;
    let expected = body.expected_version;
    let set = async move {
        let Some(expected) = expected else {
            let version = register.set(value).await?;
            return Ok(RegisterSet { set: true, version });
        };
        Ok(match register.compare_and_set(expected, value).await? {
            Ok(version) => RegisterSet { set: true, version },
            Err(version) => RegisterSet {
                set: false,
                version,
            },
        })
    };
    change(&app, repeat, &body, set).await
}
