//! `/v1/recipes/active-passive/{name}`.

use serde::{Deserialize, Serialize};

use crate::name::Value;

/// The replicas of a service, as the site hears them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replicas {
    /// By name.
    pub replicas: Vec<Replica>,
}

/// A replica, as it says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Replica {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub site: String,
    /// How much it has to do.
    pub load: u32,
    /// `passive`, `waiting` or `active`.
    pub role: String,
}

/// Body of `POST …/activate`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// How many replicas are active: the same for all of them.
    pub active: u64,
    /// The replica's name, unlike those of all others.
    pub replica: String,
    /// Where it is.
    pub site: String,
    /// How much it has to do, in a measure that all share; 0 if absent.
    #[serde(default)]
    pub load: u32,
    /// Sites, the best first; all are equal if absent.
    #[serde(default)]
    pub sites: Vec<String>,
    /// How long to wait for a turn, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long an active replica may go without renewing its `lock_ref`, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// Answer to `POST …/activate`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Activated {
    /// Whether the replica is active.
    pub activated: bool,
    /// Its slot, from 0: no two active replicas have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    /// Its fencing token: greater than those of all earlier ones of this slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
    /// What it renews to stay active, and releases to step down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_ref: Option<String>,
    /// What the last active replica of this slot saved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Value>,
}

/// Body of `POST …/save`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SaveState {
    /// That of the active replica.
    pub lock_ref: String,
    /// The state, for whoever takes over: at most 262,144 bytes.
    pub state: Value,
}

/// Answer to `POST …/save`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateSaved {
    /// The slot whose state it is.
    pub slot: u64,
}
