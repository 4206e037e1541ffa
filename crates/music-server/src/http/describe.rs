//! Parts of the OpenAPI document that many routes share.
#![expect(
    dead_code,
    reason = "these types describe requests, and are never built"
)]

use std::collections::BTreeMap;

use music_api::problem::CONTENT_TYPE;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses};

/// A table in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TablePath {
    /// The table's name: 1 to 64 of a-z, 0-9, _, - and ., the first a letter.
    table: String,
}

/// A key of a table in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RecordPath {
    /// The table's name.
    table: String,
    /// The key's bytes, percent-encoded.
    key: String,
}

/// A section in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct LockPath {
    /// As `POST /v1/locks` returned it.
    lock_ref: String,
}

/// A recipe in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RecipePath {
    /// The recipe's name: 1 to 900 bytes of UTF-8, percent-encoded.
    name: String,
}

/// A member of a group in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MemberPath {
    /// The group's name: 1 to 900 bytes of UTF-8, percent-encoded.
    name: String,
    /// The member's name: 1 to 100 bytes of UTF-8, percent-encoded.
    member: String,
}

/// A field in the query.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FieldQuery {
    /// The field; absent or empty for the default field. A DELETE without it
    /// deletes all fields.
    field: Option<String>,
}

/// A page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// At most this many entries; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// As the page before gave it.
    cursor: Option<String>,
}

/// The name of a changing request.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyHeader {
    /// Makes a repeated request the same one. Use a UUID.
    #[param(rename = "idempotency-key", max_length = 255)]
    idempotency_key: Option<String>,
}

/// How often the section has moved.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct MovesParameter {
    /// How often the client has moved the section to another node, 0 if
    /// absent: what it asked of a node before its last move then takes nothing,
    /// however late it lands.
    #[param(rename = "music-moves")]
    music_moves: Option<u64>,
}

/// A condition of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ConditionHeader {
    /// An `ETag`: 304 where the value has it still.
    #[param(rename = "if-none-match")]
    if_none_match: Option<String>,
}

/// What every route may answer: a problem.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let schema = Ref::from_schema_name("Problem");
        let response = ResponseBuilder::new()
            .description("Why the request failed, whether it had an effect, what to do.")
            .content(
                CONTENT_TYPE,
                ContentBuilder::new().schema(Some(schema)).build(),
            )
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}
