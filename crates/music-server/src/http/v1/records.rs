//! `/v1/tables/{table}/keys/{key}`: records at the local replica.

use std::sync::Arc;

use axum::extract::State;
use hyper::HeaderMap;
use music_api::problem::Problem;
use music_api::table::{PatchFields, Record, Written};

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{ConditionHeader, FieldQuery, IdempotencyHeader, Problems, RecordPath};
use crate::http::request::{JsonBody, Query, RecordAt, ValueBody, Write};
use crate::http::respond::Answer;
use crate::http::v1::value;
use crate::node::Change;

/// Reads a value, as it was put.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/keys/{key}",
    tag = "records",
    description = "Answers from the local replica, with the content type that the value was put \
        with.",
    params(
        RecordPath,
        FieldQuery,
        ConditionHeader,
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
            description = "No such table, or no value.",
        ),
        Problems,
    )
)]
pub(crate) async fn get_value(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    let field = value::field(query)?;
    value::answer(&app.node.get(&at.id).await?, &field, &headers)
}

/// Writes a value of an eventual table.
#[utoipa::path(
    put,
    path = "/v1/tables/{table}/keys/{key}",
    tag = "records",
    description = "Acknowledged when the local replica has it; the other sites follow. The last \
        writer wins.",
    params(
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
        Problems,
    )
)]
pub(crate) async fn put_value(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    write: Write,
    ValueBody(cell): ValueBody,
) -> Answer {
    let change = Change::Fields(vec![(value::field(query)?, Some(cell))]);
    value::written(app.node.put(&at.id, change, write.key).await?)
}

/// Deletes a key with all its fields, or one field.
#[utoipa::path(
    delete,
    path = "/v1/tables/{table}/keys/{key}",
    tag = "records",
    params(
        RecordPath,
        FieldQuery,
        IdempotencyHeader,
    ),
    responses(
        (status = OK, body = Written, description = "The deletion's stamp."),
        Problems,
    )
)]
pub(crate) async fn delete_value(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    write: Write,
) -> Answer {
    let change = deletion(query)?;
    value::written(app.node.put(&at.id, change, write.key).await?)
}

/// What a DELETE deletes: the field that the query names, or the whole key.
pub(crate) fn deletion(query: Query) -> Result<Change, crate::http::problem::Failure> {
    let query = query.only(&["field"])?;
    Ok(match query.text("field")? {
        None => Change::Delete,
        Some(name) => Change::Fields(vec![(convert::field(name)?, None)]),
    })
}

/// Reads all fields of a key.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/keys/{key}/fields",
    tag = "records",
    params(
        RecordPath,
    ),
    responses(
        (status = OK, body = Record, description = "The record."),
        Problems,
    )
)]
pub(crate) async fn get_fields(State(app): State<Arc<App>>, at: RecordAt, query: Query) -> Answer {
    query.only(&[])?;
    value::fields(&at.id.key, &app.node.get(&at.id).await?)
}

/// Writes fields of a key of an eventual table, all or none.
#[utoipa::path(
    patch,
    path = "/v1/tables/{table}/keys/{key}/fields",
    tag = "records",
    params(
        RecordPath,
        IdempotencyHeader,
    ),
    request_body = PatchFields,
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        Problems,
    )
)]
pub(crate) async fn patch_fields(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    write: Write,
    JsonBody(body): JsonBody<PatchFields>,
) -> Answer {
    query.only(&[])?;
    let change = convert::change(&body.fields, app.config.cluster.value_bytes_max)?;
    value::written(app.node.put(&at.id, change, write.key).await?)
}
