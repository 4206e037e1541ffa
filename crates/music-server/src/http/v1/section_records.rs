//! `/v1/locks/{lock_ref}/tables/{table}/keys/{key}`: records inside a section.

use std::sync::Arc;

use axum::extract::State;
use hyper::HeaderMap;
use music_api::problem::Problem;
use music_api::table::{PatchFields, Record, Written};

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{FieldQuery, IdempotencyHeader, LockPath, Problems, RecordPath};
use crate::http::request::{JsonBody, Query, SectionRecordAt, ValueBody, Write};
use crate::http::respond::Answer;
use crate::http::v1::{records, value};
use crate::node::Change;

/// Reads a value inside the section, as it was put.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    params(
        LockPath,
        RecordPath,
        FieldQuery,
    ),
    responses(
        (
            status = OK,
            content_type = "application/octet-stream",
            body = Vec<u8>,
            description = "The value.",
            headers(
                ("music-stamp" = u64, description = "The value's stamp."),
                ("etag" = String, description = "Names this value."),
            ),
        ),
        (status = NOT_MODIFIED, description = "The client has it."),
        (
            status = NOT_FOUND,
            body = Problem,
            content_type = "application/problem+json",
            description = "No value, or no such section.",
        ),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "Not granted, lost, or kept elsewhere.",
        ),
        Problems,
    )
)]
pub(crate) async fn critical_get_value(
    State(app): State<Arc<App>>,
    at: SectionRecordAt,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let field = value::field(query)?;
    let record = app.node.critical_get(at.request, &at.id).await?;
    value::answer(&record, &field, &headers)
}

/// Writes a value inside the section.
#[utoipa::path(
    put,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    description = "Acknowledged when a majority has it. Several may be under way at a time.",
    params(
        LockPath,
        RecordPath,
        FieldQuery,
        IdempotencyHeader,
    ),
    request_body(
        content = Vec<u8>,
        content_type = "application/octet-stream",
        description = "The value, of any content type.",
    ),
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "Not granted, lost, shared, or kept elsewhere.",
        ),
        Problems,
    )
)]
pub(crate) async fn critical_put_value(
    State(app): State<Arc<App>>,
    at: SectionRecordAt,
    query: Query,
    write: Write,
    ValueBody(cell): ValueBody,
) -> Answer {
    let change = Change::Fields(vec![(value::field(query)?, Some(cell))]);
    put(&app, &at, change, write).await
}

/// Deletes a key with all its fields, or one field, inside the section.
#[utoipa::path(
    delete,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}",
    tag = "critical",
    params(
        LockPath,
        RecordPath,
        FieldQuery,
        IdempotencyHeader,
    ),
    responses(
        (status = OK, body = Written, description = "The deletion's stamp."),
        Problems,
    )
)]
pub(crate) async fn critical_delete_value(
    State(app): State<Arc<App>>,
    at: SectionRecordAt,
    query: Query,
    write: Write,
) -> Answer {
    put(&app, &at, records::deletion(query)?, write).await
}

/// Reads all fields of a key inside the section.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}/fields",
    tag = "critical",
    params(
        LockPath,
        RecordPath,
    ),
    responses(
        (status = OK, body = Record, description = "The record."),
        Problems,
    )
)]
pub(crate) async fn critical_get_fields(
    State(app): State<Arc<App>>,
    at: SectionRecordAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    value::fields(
        &at.id.key,
        &app.node.critical_get(at.request, &at.id).await?,
    )
}

/// Writes fields of a key inside the section, all or none.
#[utoipa::path(
    patch,
    path = "/v1/locks/{lock_ref}/tables/{table}/keys/{key}/fields",
    tag = "critical",
    params(
        LockPath,
        RecordPath,
        IdempotencyHeader,
    ),
    request_body = PatchFields,
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        Problems,
    )
)]
pub(crate) async fn critical_patch_fields(
    State(app): State<Arc<App>>,
    at: SectionRecordAt,
    write: Write,
    JsonBody(body): JsonBody<PatchFields>,
) -> Answer {
    let change = convert::change(&body.fields, app.config.cluster.value_bytes_max)?;
    put(&app, &at, change, write).await
}

async fn put(app: &App, at: &SectionRecordAt, change: Change, write: Write) -> Answer {
    value::written(
        app.node
            .critical_put(at.request, &at.id, change, write.key)
            .await?,
    )
}
