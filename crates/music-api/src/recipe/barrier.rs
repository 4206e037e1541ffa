//! `/v1/recipes/barriers/{name}` and `/v1/recipes/double-barriers/{name}`.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/recipes/barriers/{name}/wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CrossBarrier {
    /// How many parties wait for each other: the same for all of them.
    pub parties: u64,
    /// The party's name: one that asks again under it is counted once. It has one of
    /// its own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub party: Option<String>,
    /// How long to wait for the others, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Body of `POST …/enter` and `POST …/leave`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CrossDoubleBarrier {
    /// How many parties begin and end together: the same for all of them.
    pub parties: u64,
    /// The party's name: the same when it leaves as when it entered.
    pub party: String,
    /// How long to wait for the others, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Answer to a party that waited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Crossed {
    /// Whether all arrived in time: else this party is withdrawn.
    pub crossed: bool,
    /// How often the barrier has been crossed, this time included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// Whether this party was the last to arrive: one of them is, each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<bool>,
}

/// How far a barrier is: the data of event `barrier`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Barrier {
    /// For how many parties it is; `null` where none has arrived ever.
    pub parties: Option<u64>,
    /// How often it was crossed.
    pub crossed: u64,
    /// How many have arrived since.
    pub arrived: u64,
}
