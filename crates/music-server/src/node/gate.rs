//! Suspension: a closed gate stops everything in a node, as SIGSTOP would.
//!
//! Whatever the node does passes the gate first: each step of a section, each
//! answer of an engine, each request and each response. What it had sent
//! before is on its way and arrives.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// The gate of one node; open at first.
#[derive(Debug)]
pub(super) struct Gate {
    closed: AtomicBool,
    opened: Notify,
}

impl Gate {
    pub(super) fn open() -> Self {
        Self {
            closed: AtomicBool::new(false),
            opened: Notify::new(),
        }
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    pub(super) fn reopen(&self) {
        self.closed.store(false, Ordering::SeqCst);
        self.opened.notify_waiters();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until the gate is open. Those who wait go on in the order in
    /// which they came.
    pub(super) async fn pass(&self) {
        while self.is_closed() {
            let opened = self.opened.notified();
            if self.is_closed() {
                opened.await;
            }
        }
    }
}
