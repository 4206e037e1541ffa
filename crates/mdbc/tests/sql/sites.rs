//! Sites whose tables are strong unless they say, and what clients do there.

use std::time::Duration;

use mdbc::engine::TableKind;

pub(crate) use crate::asked::{all, one, state};
use crate::deployment::Plan;
pub(crate) use crate::deployment::{Sites, soon};

impl Sites {
    /// Without delays; a node may go unheard for so long.
    pub(crate) async fn start(lease: Duration) -> Self {
        Self::with_delays("local3", lease).await
    }

    pub(crate) async fn with_delays(profile: &'static str, lease: Duration) -> Self {
        Self::of(Plan {
            profile,
            lease,
            default_kind: TableKind::Strong,
            urls: Vec::new(),
        })
        .await
    }
}
