//! `/v1/tables`: tables, records, scans.

use serde::{Deserialize, Serialize};

use crate::name::{FieldChanges, Fields, Key};

/// How the keys of a table may be written; fixed when it is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TableMode {
    /// By the holder of the key's lock only.
    Critical,
    /// By anyone, at any one replica; the last writer wins.
    Eventual,
}

/// Body of `PUT /v1/tables/{table}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateTable {
    /// The mode, fixed from now on.
    pub mode: TableMode,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Table {
    /// The name.
    pub name: String,
    /// The mode.
    pub mode: TableMode,
}

/// A page of `GET /v1/tables`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TablePage {
    /// The tables, in the order of their names.
    pub tables: Vec<Table>,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A record, as `GET …/keys/{key}/fields`, scans and watches return it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Record {
    /// The key.
    pub key: Key,
    /// The fields that have a value.
    pub fields: Fields,
    /// The highest stamp of the record, 0 if it was never written.
    pub stamp: u64,
}

/// A page of `GET /v1/tables/{table}/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecordPage {
    /// The records, in the order of their keys' bytes.
    pub records: Vec<Record>,
    /// Give this as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Body of `PATCH …/keys/{key}/fields`: fields changed together.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PatchFields {
    /// The fields to write; `null` deletes one.
    pub fields: FieldChanges,
}

/// Answer to a write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Written {
    /// The stamp that orders this write.
    pub stamp: u64,
}
