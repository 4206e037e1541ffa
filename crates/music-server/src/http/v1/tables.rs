//! `/v1/tables` and scans.

use std::sync::Arc;

use axum::extract::State;
use hyper::StatusCode;
use music_api::code::Code;
use music_api::problem::Problem;
use music_api::table::{CreateTable, RecordPage, Table, TablePage};
use music_core::id::Key;
use music_store::ScanRange;

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{PageQuery, Problems, TablePath};
use crate::http::problem::Failure;
use crate::http::request::{JsonBody, Query, TableAt};
use crate::http::respond::{self, Answer};
use crate::node;

/// The most entries of a page, and how many there are if nothing is asked.
pub(crate) const LIMIT_MAX: u64 = 1000;
pub(crate) const LIMIT_DEFAULT: u64 = 100;

/// A page of records ends when its fields have this many bytes together.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// How many records are read at a time, at first: bounds what a page of large
/// values holds in memory.
const SCAN_STEP: usize = 8;

/// The limit that a list is asked for.
pub(crate) fn limit(query: &Query) -> Result<usize, Failure> {
    let limit = query
        .number("limit", 1..=LIMIT_MAX)?
        .unwrap_or(LIMIT_DEFAULT);
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Lists the tables.
#[utoipa::path(
    get,
    path = "/v1/tables",
    tag = "tables",
    params(
        PageQuery,
    ),
    responses(
        (status = OK, body = TablePage, description = "The tables, in the order of their names."),
        Problems,
    )
)]
pub(crate) async fn list_tables(State(app): State<Arc<App>>, query: Query) -> Answer {
    let query = query.only(&["limit", "cursor"])?;
    let limit = limit(&query)?;
    let after = query.text("cursor")?.map(convert::after).transpose()?;
    let after = after.map(String::from_utf8).transpose();
    let after = after.ok().ok_or_else(convert::bad_cursor)?;
    let tables = app.node.tables();
    let rest = tables.iter().filter(|table| match &after {
        Some(after) => table.name.as_str() > after.as_str(),
        None => true,
    });
    let mut page: Vec<Table> = rest
        .take(limit.saturating_add(1))
        .map(convert::api_table)
        .collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let cursor = page
        .last()
        .filter(|_| more)
        .map(|last| convert::cursor(last.name.as_bytes()));
    respond::ok(&TablePage {
        tables: page,
        cursor,
    })
}

/// Creates a table, or finds it.
#[utoipa::path(
    put,
    path = "/v1/tables/{table}",
    tag = "tables",
    params(TablePath),
    request_body = CreateTable,
    responses(
        (status = CREATED, body = Table, description = "The table was created."),
        (status = OK, body = Table, description = "The table was there, in this mode."),
        (
            status = CONFLICT,
            body = Problem,
            content_type = "application/problem+json",
            description = "It exists in the other mode.",
        ),
        Problems,
    )
)]
pub(crate) async fn put_table(
    State(app): State<Arc<App>>,
    TableAt(name): TableAt,
    query: Query,
    JsonBody(body): JsonBody<CreateTable>,
) -> Answer {
    query.only(&[])?;
    let known = app.node.table(&name).is_ok();
    let created = app
        .node
        .create_table(&name, convert::table_mode(body.mode))
        .await;
    let table = created.map_err(|error| match error {
        node::Error::WrongMode { .. } => Failure::new(
            Code::TableExists,
            "A table of this name exists in the other mode, and a mode is fixed. Choose another \
             name, or drop it.",
        ),
        error => error.into(),
    })?;
    let status = if known {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    respond::json(status, &convert::api_table(&table))
}

/// Tells of a table.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}",
    tag = "tables",
    params(TablePath),
    responses(
        (status = OK, body = Table, description = "The table."),
        Problems,
    )
)]
pub(crate) async fn get_table(
    State(app): State<Arc<App>>,
    TableAt(name): TableAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    respond::ok(&convert::api_table(&app.node.table(&name)?))
}

/// Drops a table with all its records.
#[utoipa::path(
    delete,
    path = "/v1/tables/{table}",
    tag = "tables",
    params(TablePath),
    responses(
        (status = NO_CONTENT, description = "It is dropped."),
        Problems,
    )
)]
pub(crate) async fn delete_table(
    State(app): State<Arc<App>>,
    TableAt(name): TableAt,
    query: Query,
) -> Answer {
    query.only(&[])?;
    app.node.drop_table(&name).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Scans the records of a table at the local replica.
#[utoipa::path(
    get,
    path = "/v1/tables/{table}/keys",
    tag = "records",
    params(
        TablePath,
        ("prefix" = Option<String>, Query, description = "Only keys that begin with these bytes."),
        PageQuery,
    ),
    responses(
        (
            status = OK,
            body = RecordPage,
            description = "Records in the order of their keys' bytes.",
        ),
        Problems,
    )
)]
pub(crate) async fn scan(
    State(app): State<Arc<App>>,
    TableAt(name): TableAt,
    query: Query,
) -> Answer {
    let query = query.only(&["prefix", "limit", "cursor"])?;
    let limit = limit(&query)?;
    let after = query.text("cursor")?.map(convert::after).transpose()?;
    let after = after
        .map(Key::new)
        .transpose()
        .ok()
        .ok_or_else(convert::bad_cursor)?;
    let range = ScanRange {
        table: app.node.table(&name)?.id,
        prefix: query.bytes("prefix").unwrap_or_default().to_vec(),
        after,
        limit,
    };
    let (records, more) = page(&app, range).await?;
    let cursor = records
        .last()
        .filter(|_| more)
        .map(|(key, _)| convert::cursor(key.as_bytes()));
    let records = records
        .iter()
        .map(|(key, record)| convert::record(key, record))
        .collect();
    respond::ok(&RecordPage { records, cursor })
}

type Records = Vec<(Key, music_core::record::Record)>;

/// The records of a range, fewer where they are large, and whether there are
/// more.
async fn page(app: &App, mut range: ScanRange) -> Result<(Records, bool), Failure> {
    let limit = range.limit;
    let (mut records, mut bytes, mut step) = (Records::new(), 0_usize, SCAN_STEP);
    while records.len() < limit && bytes < PAGE_BYTES {
        // One more than needed tells whether there are more.
        range.limit = step
            .min(limit.saturating_sub(records.len()))
            .saturating_add(1);
        let mut read = app.node.scan(range.clone()).await?;
        let more = read.len() == range.limit;
        read.truncate(range.limit.saturating_sub(1));
        bytes = bytes.saturating_add(read.iter().map(|(key, record)| size(key, record)).sum());
        records.append(&mut read);
        if !more {
            return Ok((records, false));
        }
        range.after = records.last().map(|(key, _)| key.clone());
        // As many as should fit, by the size of those before.
        let average = bytes.checked_div(records.len()).unwrap_or_default().max(1);
        step = PAGE_BYTES
            .saturating_sub(bytes)
            .checked_div(average)
            .unwrap_or(1)
            .max(1);
    }
    Ok((records, true))
}

fn size(key: &Key, record: &music_core::record::Record) -> usize {
    let fields = record
        .fields()
        .map(|(field, _, value)| field.as_str().len() + value.len());
    fields.sum::<usize>().saturating_add(key.as_bytes().len())
}
