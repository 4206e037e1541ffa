//! `/healthz` and `/readyz`.

use serde::{Deserialize, Serialize};

/// Answer of a healthy process, or of a ready node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `alive` or `ready`.
    pub status: String,
}
