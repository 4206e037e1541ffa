//! What a worker tells of its work, and where it can be made to die.
//!
//! Nothing of the service depends on this module: it is there so that a
//! demonstration can show what is going on, and a test can end a worker, or
//! let it stand still, between any two steps.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A moment in a worker's section, after the step it is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A template was picked; MUSIC knows nothing of it yet.
    Picked,
    /// The lock of template and site is granted.
    Locked,
    /// The mapping and the site's reservations are read, and there is room.
    Checked,
    /// Claim and reservation are at a majority.
    Claimed,
    /// The site's inventory has the template.
    Created,
    /// The mapping says that the template is placed.
    Recorded,
    /// The release is confirmed.
    Confirmed,
    /// To clean up: the lock is granted and the mapping read.
    Opened,
    /// To clean up: the inventory is as the mapping says.
    Mended,
    /// To clean up: mapping and reservations are written.
    Tidied,
}

impl Step {
    /// The steps of a placement, in their order.
    pub const PLACING: [Self; 7] = [
        Self::Picked,
        Self::Locked,
        Self::Checked,
        Self::Claimed,
        Self::Created,
        Self::Recorded,
        Self::Confirmed,
    ];
    /// The steps of cleaning up, in their order.
    pub const SETTLING: [Self; 3] = [Self::Opened, Self::Mended, Self::Tidied];

    /// What has just been done.
    pub fn done(self) -> &'static str {
        match self {
            Self::Picked => "picked",
            Self::Locked => "locked",
            Self::Checked => "checked",
            Self::Claimed => "claimed",
            Self::Created => "created",
            Self::Recorded => "recorded",
            Self::Confirmed => "confirmed",
            Self::Opened => "opened",
            Self::Mended => "mended",
            Self::Tidied => "tidied",
        }
    }
}

/// What happened at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// A step of a section is done.
    Reached(Step),
    /// The worker died there, as it was told to.
    Died(Step),
    /// The worker stands still there, as it was told to.
    Stalled(Step),
    /// The template is placed at this worker's site, for good.
    Placed,
    /// The template was found to fit no site, or to be unreadable.
    Refused {
        /// Why.
        reason: String,
    },
    /// What an unfinished section left at this site is cleaned up.
    Settled,
    /// The section may not count: the worker looks again under a new lock.
    Unconfirmed {
        /// Why.
        reason: String,
    },
    /// A step failed; it is tried again later.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Something that happened at a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The worker's site.
    pub site: String,
    /// The worker.
    pub worker: String,
    /// The template it was about; empty for none in particular.
    pub template: String,
    /// What happened.
    pub news: News,
}

/// Where the next worker is to fail: set once, sprung once. Clones, and workers
/// that share one, wait for the same failure.
#[derive(Debug, Clone, Default)]
pub struct Trap {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    resumed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    set: Option<(Step, Fate)>,
    /// Whether a worker stands still.
    stalls: bool,
}

/// What becomes of the worker that springs a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Dies,
    Stalls,
}

impl Trap {
    /// A trap that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first worker that reaches this step dies there.
    pub fn set(&self, step: Step) {
        self.state().set = Some((step, Fate::Dies));
    }

    /// The first worker that reaches this step stands still there, as after
    /// SIGSTOP, until [`Trap::resume`]. Nothing else of it runs meanwhile.
    pub fn set_stall(&self, step: Step) {
        self.state().set = Some((step, Fate::Stalls));
    }

    /// Lets a worker go on that stands still.
    pub fn resume(&self) {
        self.state().stalls = false;
        self.inner.resumed.notify_all();
    }

    /// Whether it is set, and no worker has sprung it yet.
    pub fn is_set(&self) -> bool {
        self.state().set.is_some()
    }

    fn springs(&self, step: Step) -> Option<Fate> {
        let mut state = self.state();
        let (_, fate) = state.set.take_if(|(set, _)| *set == step)?;
        state.stalls = fate == Fate::Stalls;
        Some(fate)
    }

    /// Blocks the worker's thread, and with it all that the worker does.
    fn stand_still(&self) {
        let resumed = &self.inner.resumed;
        let resumed = resumed.wait_while(self.state(), |state| state.stalls);
        drop(resumed.unwrap_or_else(PoisonError::into_inner));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.inner.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a worker is watched. By default nobody does.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    /// Whom to tell. A watcher that lags behind misses something: work does
    /// not wait for it.
    pub events: Option<mpsc::Sender<Event>>,
    /// Where to fail.
    pub trap: Trap,
    /// Cancelled when the worker dies.
    pub died: CancellationToken,
}

impl Probe {
    /// Tells of a step. A worker that is to die there never returns from here.
    pub(crate) async fn reached(&self, event: Event, step: Step) {
        let fate = self.trap.springs(step);
        let news = match fate {
            None => News::Reached(step),
            Some(Fate::Dies) => News::Died(step),
            Some(Fate::Stalls) => News::Stalled(step),
        };
        self.tell(Event { news, ..event });
        match fate {
            None => {}
            Some(Fate::Dies) => {
                self.died.cancel();
                std::future::pending::<()>().await;
            }
            Some(Fate::Stalls) => self.trap.stand_still(),
        }
    }

    /// Tells of something.
    pub(crate) fn tell(&self, event: Event) {
        if let Some(events) = &self.events
            && let Err(error) = events.try_send(event)
        {
            tracing::debug!(%error, "nobody takes the news of a worker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_takes_one_worker_at_its_step_only() {
        let trap = Trap::new();
        trap.set(Step::Created);
        let shared = trap.clone();
        assert_eq!(shared.springs(Step::Claimed), None);
        assert_eq!(shared.springs(Step::Created), Some(Fate::Dies));
        assert!(!trap.is_set());
        assert_eq!(trap.springs(Step::Created), None);
    }
}
