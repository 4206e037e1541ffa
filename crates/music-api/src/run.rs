//! `POST /v1/run`: a whole small critical section in one request.

use serde::{Deserialize, Serialize};

use crate::lock::{FencingToken, Step, StepResult};
use crate::name::{Key, KeyRef, Value};

/// Body of `POST /v1/run`: lock, compare, perform the steps, release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The keys to lock together.
    pub keys: Vec<KeyRef>,
    /// What must hold for the steps to be performed; empty for always.
    #[serde(default)]
    pub compare: Vec<Compare>,
    /// Performed, in order, where all comparisons hold.
    #[serde(default)]
    pub then: Vec<Step>,
    /// Performed, in order, where some comparison does not hold.
    #[serde(default)]
    pub otherwise: Vec<Step>,
    /// How long to wait for the grant, in ms; the server's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// A condition on one field.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The table's name.
    pub table: String,
    /// The key.
    pub key: Key,
    /// The field; the default field if absent.
    #[serde(default)]
    pub field: String,
    /// The value that the field must have; `null` for none.
    pub equals: Option<Value>,
}

/// Answer to a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunResult {
    /// Whether all comparisons held.
    pub compared: bool,
    /// A result for each step performed.
    pub results: Vec<StepResult>,
    /// The tokens of the section.
    pub tokens: Vec<FencingToken>,
}
