//! Suspension: a closed gate stops everything in a node, as SIGSTOP would.
//!
//! Whatever the node does passes the gate first: each step of a section, each
//! answer of an engine, each request and each response. What it had sent
//! before is on its way and arrives.

use tokio::sync::watch;

/// The gate of one node; open at first.
#[derive(Debug)]
pub(super) struct Gate {
    closed: watch::Sender<bool>,
}

impl Gate {
    pub(super) fn open() -> Self {
        Self {
            closed: watch::Sender::new(false),
        }
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn reopen(&self) {
        self.closed.send_replace(false);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until the gate is open.
    pub(super) async fn pass(&self) {
        if self.is_closed() {
            let mut closed = self.closed.subscribe();
            // The sender is in `self`: it cannot be gone.
            let _opened = closed.wait_for(|closed| !closed).await;
        }
    }
}
