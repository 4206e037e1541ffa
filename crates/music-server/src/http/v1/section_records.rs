//! `/v1/locks/{lock_ref}/tables/{table}/keys/{key}`: records inside a section.

use std::sync::Arc;

use axum::extract::State;
use hyper::HeaderMap;
use music_api::problem::Problem;
use music_api::table::{PatchFields, Record, Written};

use crate::http::app::App;
use crate::http::convert;
use crate::http::request::{
    Idempotency, JsonBody, LockAt, Query, RecordAt, Unconditional, ValueBody,
};
use crate::http::respond::Answer;
use crate::http::v1::{records, value};
use crate::node::Change;

/// Reads a value inside the section, as it was put.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    params(
        ("lock_ref" = String, Path, description = "As POST /v1/locks returned it."),
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("field" = Option<String>, Query, description = "The field; the default field if absent."),
    ),
    responses(
        (status = OK, content_type = "application/octet-stream", body = Vec<u8>, description = "The value.", headers(("music-stamp" = u64, description = "The value's stamp."), ("etag" = String, description = "Names this value."))),
        (status = NOT_MODIFIED, description = "The client has it."),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No value, or no such section."),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "Not granted, lost, or kept elsewhere."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn critical_get_value(
    State(app): State<Arc<App>>,
    lock: LockAt,
    at: RecordAt,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let field = value::field(query)?;
    let record = app.node.critical_get(lock.section.request, &at.id).await?;
    value::answer(&record, &field, &headers)
}

/// Writes a value inside the section.
#[utoipa::path(
    put,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    description = "Acknowledged when a majority has it. Several may be under way at a time.",
    params(
        ("lock_ref" = String, Path, description = "As POST /v1/locks returned it."),
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("field" = Option<String>, Query, description = "The field; the default field if absent."),
        ("idempotency-key" = Option<String>, Header, max_length = 255, description = "Makes a repeated request the same write."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The value, of any content type."),
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        (status = CONFLICT, body = Problem, content_type = "application/problem+json", description = "Not granted, lost, shared, or kept elsewhere."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn critical_put_value(
    State(app): State<Arc<App>>,
    lock: LockAt,
    at: RecordAt,
    query: Query,
    write: Write,
    ValueBody(cell): ValueBody,
) -> Answer {
    let change = Change::Fields(vec![(value::field(query)?, Some(cell))]);
    put(&app, &lock, &at, change, write).await
}

/// Deletes a key with all its fields, or one field, inside the section.
#[utoipa::path(
    delete,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    params(
        ("lock_ref" = String, Path, description = "As POST /v1/locks returned it."),
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("field" = Option<String>, Query, description = "Only this field; all if absent."),
        ("idempotency-key" = Option<String>, Header, max_length = 255, description = "Makes a repeated request the same write."),
    ),
    responses(
        (status = OK, body = Written, description = "The deletion's stamp."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn critical_delete_value(
    State(app): State<Arc<App>>,
    lock: LockAt,
    at: RecordAt,
    query: Query,
    write: Write,
) -> Answer {
    put(&app, &lock, &at, records::deletion(query)?, write).await
}

/// Reads all fields of a key inside the section.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}/fields",
    tag = "critical",
    params(
        ("lock_ref" = String, Path, description = "As POST /v1/locks returned it."),
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
    ),
    responses(
        (status = OK, body = Record, description = "The record."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn critical_get_fields(
    State(app): State<Arc<App>>,
    lock: LockAt,
    at: RecordAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    value::fields(
        &at.id.key,
        &app.node.critical_get(lock.section.request, &at.id).await?,
    )
}

/// Writes fields of a key inside the section, all or none.
#[utoipa::path(
    patch,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}/fields",
    tag = "critical",
    params(
        ("lock_ref" = String, Path, description = "As POST /v1/locks returned it."),
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("idempotency-key" = Option<String>, Header, max_length = 255, description = "Makes a repeated request the same write."),
    ),
    request_body = PatchFields,
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn critical_patch_fields(
    State(app): State<Arc<App>>,
    lock: LockAt,
    at: RecordAt,
    write: Write,
    JsonBody(body): JsonBody<PatchFields>,
) -> Answer {
    let change = convert::change(&body.fields, app.config.cluster.value_bytes_max)?;
    put(&app, &lock, &at, change, write).await
}

/// What every write of a section may say about itself.
pub(crate) struct Write(Idempotency);

impl<S: Sync> axum::extract::FromRequestParts<S> for Write {
    type Rejection = crate::http::problem::Failure;

    async fn from_request_parts(
        parts: &mut hyper::http::request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        Unconditional::from_request_parts(parts, state).await?;
        Idempotency::from_request_parts(parts, state)
            .await
            .map(Self)
    }
}

async fn put(app: &App, lock: &LockAt, at: &RecordAt, change: Change, write: Write) -> Answer {
    let Write(Idempotency(key)) = write;
    value::written(
        app.node
            .critical_put(lock.section.request, &at.id, change, key)
            .await?,
    )
}
