//! `/v1/recipes/latches/{name}`.

use serde::{Deserialize, Serialize};

/// Body of `POST …/count-down`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CountDown {
    /// After how many counts the latch opens: the same for all who use it.
    pub count: u64,
}

/// How far a latch is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Latch {
    /// How many counts are left; 0 where it is open.
    pub left: u64,
}

/// Body of `POST /v1/recipes/latches/{name}/wait`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AwaitLatch {
    /// After how many counts the latch opens: the same for all who use it.
    pub count: u64,
    /// How long to wait for it to open, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// Answer to `POST /v1/recipes/latches/{name}/wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LatchWaited {
    /// Whether it is open.
    pub open: bool,
}
