//! `/v1/recipes/once/{name}`.

use serde::{Deserialize, Serialize};
use serde_json::value::Value as Json;

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnceState {
    /// Nobody has begun it, or its failure undid it.
    Undone,
    /// It was begun, and not ended: somebody does it, or did not live to tell.
    Begun,
    /// It was done.
    Done,
}

/// A step that is done once, as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Once {
    /// How far it is.
    pub state: OnceState,
    /// Its result, where it was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The fencing token under which it was begun, where it was not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}

/// Body of `POST …/begin`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BeginOnce {
    /// How long to wait while somebody else does the step, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long the one who does it may go without renewing its `lock_ref`, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// What beginning a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BeginState {
    /// It was done before: here is its result.
    Done,
    /// It is the caller's to do.
    Begun,
    /// Somebody else does it still.
    Busy,
}

/// Answer to `POST …/begin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OnceBegun {
    /// What it came to.
    pub state: BeginState,
    /// The result, where the step was done before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// Where it was begun: renewed below `/v1/locks/{lock_ref}`, and named to end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_ref: Option<String>,
    /// Where it was begun: the fencing token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}

/// Body of `POST …/done`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OnceDone {
    /// As `POST …/begin` gave it.
    pub lock_ref: String,
    /// The result, for all who ask: at most 262,144 bytes.
    pub result: Json,
}

/// Body of `POST …/undone`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OnceUndone {
    /// As `POST …/begin` gave it.
    pub lock_ref: String,
}

/// Body of `POST …/settle`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SettleOnce {
    /// The result that the interrupted step had: at most 262,144 bytes.
    pub result: Json,
}

/// Answer to `POST …/settle` and `POST …/forget`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OnceSettled {
    /// Whether it was interrupted: else nothing was changed.
    pub settled: bool,
}
