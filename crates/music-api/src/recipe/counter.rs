//! `/v1/recipes/counters/{name}`.

use serde::{Deserialize, Serialize};

/// A counter as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counter {
    /// The number, 0 at first.
    pub value: i64,
}

/// Body of `POST …/add`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AddToCounter {
    /// What to add; it may be negative.
    pub number: i64,
}

/// Answer to `POST …/add`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CounterAdded {
    /// What the number was before.
    pub before: i64,
}

/// Body of `PUT /v1/recipes/counters/{name}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetCounter {
    /// The number that it becomes.
    pub number: i64,
    /// It is set only where it is this; always if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<i64>,
}

/// Answer to `PUT /v1/recipes/counters/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CounterSet {
    /// Whether it was set: false where it was not what was expected.
    pub set: bool,
    /// What the number was before.
    pub before: i64,
}
