//! `/v1/recipes/groups/{name}`.

use serde::{Deserialize, Serialize};

use crate::name::Value;

/// A member of a group, and the data of events `joined`, `changed`, `left`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub value: Value,
}

/// The members of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Members {
    /// By name.
    pub members: Vec<Member>,
}

/// Body of `PUT …/members/{member}`; may be left out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinGroup {
    /// What the member says of itself: at most 65,536 bytes; JSON `null` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// For how long it is taken for alive, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
}

/// Answer to `PUT …/members/{member}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Joined {
    /// Whether this site did not know the member.
    pub joined: bool,
    /// Repeat the request at least three times as often, to stay.
    pub lease_ms: u64,
}
