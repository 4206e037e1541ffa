//! `/v1/recipes/semaphores/{name}`.

use serde::{Deserialize, Serialize};

/// Body of `POST …/acquire`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AcquirePermits {
    /// How many permits there are: the same for all who use them.
    pub permits: u64,
    /// How many of them to acquire together; 1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
    /// How long to wait for them, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long a permit may go without being renewed, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// Answer to `POST …/acquire`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PermitsAcquired {
    /// Whether they were free in time.
    pub acquired: bool,
    /// The permits; empty where they were not free.
    pub held: Vec<HeldPermit>,
}

/// A permit that is held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeldPermit {
    /// Its number, from 0: no two that are valid have the same.
    pub number: u64,
    /// Renewed and released below `/v1/locks/{lock_ref}`.
    pub lock_ref: String,
    /// Its fencing token: greater than those of all earlier holders of that number.
    pub token: u64,
}
