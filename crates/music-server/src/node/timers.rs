//! Wake-ups of sections: one heap and one task a node.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, PoisonError};

use music_core::critical_section::Input;
use music_core::id::RequestId;
use music_core::time::MonotonicTime;
use tokio::sync::Notify;

use super::Inner;

/// The wake-ups that are due some time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: Mutex<BinaryHeap<Reverse<(MonotonicTime, RequestId)>>>,
    /// Told when there is an earlier one than all others.
    earlier: Notify,
}

impl Timers {
    pub(super) fn wake(&self, at: MonotonicTime, request: RequestId) {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        let first = heap.peek().is_none_or(|Reverse((first, _))| at < *first);
        heap.push(Reverse((at, request)));
        drop(heap);
        if first {
            self.earlier.notify_one();
        }
    }

    fn due(&self, now: MonotonicTime) -> Result<RequestId, Option<MonotonicTime>> {
        let mut heap = self.heap.lock().unwrap_or_else(PoisonError::into_inner);
        match heap.peek() {
            Some(Reverse((at, _))) if *at <= now => {
                heap.pop().map(|Reverse((_, request))| request).ok_or(None)
            }
            Some(Reverse((at, _))) => Err(Some(*at)),
            None => Err(None),
        }
    }
}

impl Inner {
    /// Wakes sections when they want it, until the node stops.
    pub(super) async fn run_timers(self: Arc<Self>) {
        loop {
            self.gate.pass().await;
            match self.timers.due(self.clock.now()) {
                Ok(request) => self.wake(request),
                Err(next) => {
                    let earlier = self.timers.earlier.notified();
                    match next.map(|at| self.clock.instant(at)) {
                        Some(at) => {
                            let _earlier = tokio::time::timeout_at(at, earlier).await;
                        }
                        None => earlier.await,
                    }
                }
            }
        }
    }

    fn wake(self: &Arc<Self>, request: RequestId) {
        let Some(slot) = self.sections.get(request) else {
            return;
        };
        let mut machine = slot.lock();
        machine.wake_at = None;
        let effects = self.step_locked(&slot, &mut machine, Input::Wake);
        drop(machine);
        self.perform(&slot, effects);
    }
}
