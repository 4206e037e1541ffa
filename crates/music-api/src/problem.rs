//! Errors, as problem documents after RFC 9457.

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// The content type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// Whether the effect of a failed request may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did not and will not happen.
    NotApplied,
    /// It may have happened, or may happen still.
    Unknown,
}

/// A failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A reference that names the kind of problem.
    pub r#type: String,
    /// What kind of problem it is, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// The stable code, `MUSIC-nnnn`.
    pub code: String,
    /// Whether the effect may have happened.
    pub outcome: Outcome,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The request's id, as in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// The code, where this version knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::parse(&self.code)
    }
}
