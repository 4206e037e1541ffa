//! `/v1/tables/{table}/keys/{key}`: records at the local replica.

use std::sync::Arc;

use axum::extract::State;
use hyper::HeaderMap;
use music_api::problem::Problem;
use music_api::table::{PatchFields, Record, Written};

use crate::http::app::App;
use crate::http::convert;
use crate::http::request::{Idempotency, JsonBody, Query, RecordAt, Unconditional, ValueBody};
use crate::http::respond::Answer;
use crate::http::v1::value;
use crate::node::Change;

/// Reads a value, as it was put.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/keys/{key}",
    tag = "records",
    description = "Answers from the local replica, with the content type that the value was put with.",
    params(
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("field" = Option<String>, Query, description = "The field; the default field if absent."),
        ("if-none-match" = Option<String>, Header, description = "An ETag: 304 where the value has it still."),
    ),
    responses(
        (status = OK, content_type = "application/octet-stream", body = Vec<u8>, description = "The value.", headers(("music-stamp" = u64, description = "The value's stamp."), ("etag" = String, description = "Names this value."))),
        (status = NOT_MODIFIED, description = "The client has it."),
        (status = NOT_FOUND, body = Problem, content_type = "application/problem+json", description = "No such table, or no value."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
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
    description = "Acknowledged when the local replica has it; the other sites follow. The last writer wins.",
    params(
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
        ("field" = Option<String>, Query, description = "The field; the default field if absent."),
        ("idempotency-key" = Option<String>, Header, max_length = 255, description = "Makes a repeated request the same write."),
    ),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "The value, of any content type."),
    responses(
        (status = OK, body = Written, description = "The write's stamp."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put_value(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    idempotency: Idempotency,
    _: Unconditional,
    ValueBody(cell): ValueBody,
) -> Answer {
    let change = Change::Fields(vec![(value::field(query)?, Some(cell))]);
    value::written(app.node.put(&at.id, change, idempotency.0).await?)
}

/// Deletes a key with all its fields, or one field.
#[utoipa::path(
    delete,
    path = "/v1/tables/{table}/keys/{key}",
    tag = "records",
    params(
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
pub(crate) async fn delete_value(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    idempotency: Idempotency,
    _: Unconditional,
) -> Answer {
    let change = deletion(query)?;
    value::written(app.node.put(&at.id, change, idempotency.0).await?)
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
        ("table" = String, Path, description = "The table's name."),
        ("key" = String, Path, description = "The key's bytes, percent-encoded."),
    ),
    responses(
        (status = OK, body = Record, description = "The record."),
        (status = "default", body = Problem, content_type = "application/problem+json"),
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
pub(crate) async fn patch_fields(
    State(app): State<Arc<App>>,
    at: RecordAt,
    query: Query,
    idempotency: Idempotency,
    _: Unconditional,
    JsonBody(body): JsonBody<PatchFields>,
) -> Answer {
    query.only(&[])?;
    let change = convert::change(&body.fields, app.config.cluster.value_bytes_max)?;
    value::written(app.node.put(&at.id, change, idempotency.0).await?)
}
