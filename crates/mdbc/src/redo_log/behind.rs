//! A database that lacks what is gone.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// Whether the database of a site lacks what no log or outbox holds any more, so
/// that it needs a snapshot of another site. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Behind {
    reason: Arc<OnceLock<String>>,
    is_noted: CancellationToken,
}

impl Behind {
    /// It does, for this reason. The first one counts.
    pub(crate) fn note(&self, reason: &impl ToString) {
        if self.reason.set(reason.to_string()).is_ok() {
            self.is_noted.cancel();
        }
    }

    /// Why it does; none where that was not found out.
    pub fn reason(&self) -> Option<&str> {
        self.reason.get().map(String::as_str)
    }

    /// Waits until it does.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn noted(&self) {
        self.is_noted.cancelled().await;
    }
}
