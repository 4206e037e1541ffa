//! `/v1/recipes/registers/{name}`.

use serde::{Deserialize, Serialize};

use crate::name::Value;

/// A register as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Register {
    /// How often it was set; 0 for never.
    pub version: u64,
    /// Its value; `null` where it was never set.
    pub value: Option<Value>,
}

/// Body of `PUT /v1/recipes/registers/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetRegister {
    /// The value, of at most 262,144 bytes.
    pub value: Value,
    /// It is set only where its version is this, 0 for never set; always if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// Answer to `PUT /v1/recipes/registers/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterSet {
    /// Whether it was set: false where its version was another.
    pub set: bool,
    /// The version that it has now.
    pub version: u64,
}
