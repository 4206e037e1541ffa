//! `/v1/recipes/elections/{name}`.

use serde::{Deserialize, Serialize};

use crate::name::Value;

/// Who leads, or led last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Leader {
    /// The candidate's name.
    pub candidate: String,
    /// What it says of itself.
    pub value: Value,
    /// Its fencing token: greater than those of all leaders before.
    pub token: u64,
}

/// An election as it is, and the data of event `leader`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Election {
    /// Who leads, or led last; `null` where nobody ever led, or the last one resigned.
    pub leader: Option<Leader>,
}

/// Body of `POST …/campaign`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The candidate's name, of 1 to 256 bytes; candidates have names of their own.
    pub candidate: String,
    /// What it says of itself, such as its address: at most 65,536 bytes; JSON `null`
    /// if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// How long to wait to lead, in ms; ten seconds if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// How long the leader may go without renewing its `lock_ref`, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// Answer to `POST …/campaign`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Campaigned {
    /// Whether the candidate leads.
    pub elected: bool,
    /// The candidate where it leads, else who does or did last; `null` for nobody.
    pub leader: Option<Leader>,
    /// Where it leads: renewed below `/v1/locks/{lock_ref}`, and named to proclaim and
    /// to resign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_ref: Option<String>,
}

/// Body of `POST …/proclaim`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Proclaim {
    /// As `POST …/campaign` gave it.
    pub lock_ref: String,
    /// What the leader says of itself from now on.
    pub value: Value,
}

/// Body of `POST …/resign`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Resign {
    /// As `POST …/campaign` gave it.
    pub lock_ref: String,
    /// The candidate in whose favour: those before it in the queue give way, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand_over_to: Option<String>,
}
