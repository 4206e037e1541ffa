//! Where all clients of a run wait for each other, again and again.
//!
//! Not tokio's barrier: that one lets its parties go on in an order that is
//! another one in the next run.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Where so many clients wait for each other.
pub(super) struct Meeting {
    parties: usize,
    /// How many have come, all times together.
    come: Mutex<usize>,
    complete: Notify,
}

impl Meeting {
    pub(super) fn of(parties: usize) -> Self {
        Self {
            parties,
            come: Mutex::new(0),
            complete: Notify::new(),
        }
    }

    pub(super) async fn wait(&self) {
        let complete = self.complete.notified();
        let is_last = {
            let mut come = self.come.lock().unwrap_or_else(PoisonError::into_inner);
            *come += 1;
            come.is_multiple_of(self.parties)
        };
        if is_last {
            self.complete.notify_waiters();
        } else {
            complete.await;
        }
    }
}
