//! Critical sections: [`CriticalSection`] and how one is begun.
//!
//! ```text
//!  LockRequest ──create, acquire──▶ CriticalSection ──release / confirm / drop──▶ over
//!                                        │ │
//!                 keeper: renew, events ─┘ └─ get, put … ─▶ Seat: at which node, with what retries
//! ```
//!
//! | module | what it decides |
//! |---|---|
//! | [`request`] | how a lock is asked for and given up |
//! | [`seat`] | how a request of the section finds its node |
//! | [`place`] | which nodes may still be asked |
//! | [`judge`] | what a failure means |
//! | [`put_log`] | which puts may be made again |
//! | [`keeper`] | how the section is kept alive, and its loss found out |
//! | [`release`] | how it ends |
//! | [`resume`] | how it is handed to another process, and taken up again |

pub(crate) mod batch;
pub(crate) mod judge;
mod keeper;
mod operations;
pub(crate) mod place;
mod put_log;
mod release;
pub(crate) mod request;
mod resume;
pub(crate) mod seat;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use music_api::lock::FencingToken;
use tokio::sync::Semaphore;
use tokio_util::sync::DropGuard;

use crate::clock;
use crate::error::{Error, Lost, LostReason, Outcome};
use crate::key::RecordKey;
use crate::section::put_log::PutLog;
use crate::section::seat::Seat;

/// How many puts and gets of a section are under way at a time, those of batches
/// included; more wait here, in the order in which they came. The node refuses a
/// section's 257th put under way.
const UNDER_WAY_MAX: usize = 128;

/// A critical section: from the grant of its lock to its release.
///
/// While it exists it is kept alive. Its operations take `&self`, so that many
/// can be under way at once: ten puts awaited together cost as much as one.
///
/// When the lock is lost, every operation fails with [`Error::Lost`], those
/// under way at once; [`CriticalSection::lost`] and [`CriticalSection::run`]
/// tell code that does something else. A section that another node had to take
/// over is not lost.
///
/// Dropped without [`release`](Self::release), it is released in the
/// background.
#[derive(Debug)]
pub struct CriticalSection {
    seat: Arc<Seat>,
    puts: Arc<PutLog>,
    slots: Semaphore,
    tokens: Vec<FencingToken>,
    /// Stops the keeper when the section ends.
    _keeper: DropGuard,
    /// Whether the end of the section is still to be told.
    open: bool,
}

impl CriticalSection {
    fn new(seat: Arc<Seat>, keys: &[RecordKey], tokens: Vec<FencingToken>) -> Self {
        let mut tokens = tokens;
        // The node sorts the keys; the caller's order is more use to them.
        let place = |token: &FencingToken| keys.iter().position(|key| key.to_api() == token.key);
        tokens.sort_by_key(|token| place(token).unwrap_or(usize::MAX));
        let keeper = keeper::start(&seat);
        Self {
            seat,
            puts: Arc::default(),
            slots: Semaphore::new(UNDER_WAY_MAX),
            tokens,
            _keeper: keeper,
            open: true,
        }
    }

    /// The lockRef, for another process or an administrator.
    pub fn lock_ref(&self) -> &str {
        &self.seat.lock_ref
    }

    /// The fencing token of the first key: greater than those of all earlier
    /// sections on that key.
    pub fn token(&self) -> u64 {
        self.tokens.first().map_or(0, |token| token.token)
    }

    /// A fencing token for each key, in the order in which the keys were given.
    pub fn tokens(&self) -> &[FencingToken] {
        &self.tokens
    }

    /// The address of the node that keeps the section at present.
    pub fn endpoint(&self) -> &str {
        self.seat.url(self.seat.spot())
    }

    /// Waits until the lock is lost; for ever if it never is.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LostReason {
        self.seat.lost().await
    }

    /// Why the lock is lost, if it is. `None` is no promise: the node may know
    /// more already.
    pub fn is_lost(&self) -> Option<LostReason> {
        self.seat.is_lost()
    }

    /// Asks the section's node whether the lock is held: it was, at some time
    /// between the call and its answer. What was read before in this section
    /// was the latest state until then.
    ///
    /// # Errors
    /// [`Error::Lost`] where it is not; [`Error::Unavailable`] where no node
    /// can tell.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn prove(&self) -> Result<(), Error> {
        self.check_held()?;
        keeper::renew_once(&self.seat).await
    }

    /// How long the lock is held if no node answers any more; zero where it is
    /// lost.
    pub(crate) fn valid_for(&self) -> Duration {
        if self.is_lost().is_some() {
            return Duration::ZERO;
        }
        let until = self.seat.valid_until();
        until.saturating_duration_since(clock::now())
    }

    /// Does some work, and drops it at once where the lock is lost.
    ///
    /// # Errors
    /// [`Lost`]; the work may have had some of its effects.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        tokio::select! {
            biased;
            reason = self.lost() => Err(Lost { reason, outcome: Outcome::Unknown }),
            value = work => Ok(value),
        }
    }

    /// Ends the section. What was acknowledged in it stays, whatever this
    /// returns.
    ///
    /// # Errors
    /// [`Error::Lost`] where the lock had been lost before;
    /// [`Error::Unavailable`] where no node answers: then the lease ends it.
    ///
    /// # Cost
    /// A request to the own site. The node does not wait for its majority.
    ///
    /// # Cancel safety
    /// Dropping the future releases in the background.
    pub async fn release(mut self) -> Result<(), Error> {
        self.check_held()?;
        let released = self.seat.release().await;
        self.open = false;
        released
    }

    /// Ends the section and finds out whether the whole of it counts: whether
    /// nobody else was granted since it was.
    ///
    /// # Errors
    /// [`Error::Lost`] where somebody was, or may have been;
    /// [`Error::Unavailable`] where that cannot be found out.
    ///
    /// # Cost
    /// One consensus of the lock store.
    ///
    /// # Cancel safety
    /// Dropping the future releases in the background; whether the section
    /// counted stays unknown.
    pub async fn confirm(mut self) -> Result<(), Error> {
        self.check_held()?;
        let confirmed = self.seat.confirm().await;
        // Where it failed, a plain release may still free the keys.
        self.open = confirmed.is_err();
        confirmed
    }

    fn check_held(&self) -> Result<(), Lost> {
        match self.is_lost() {
            Some(reason) => Err(Lost {
                reason,
                outcome: Outcome::NotApplied,
            }),
            None => Ok(()),
        }
    }
}

impl Drop for CriticalSection {
    fn drop(&mut self) {
        if std::mem::replace(&mut self.open, false) {
            Arc::clone(&self.seat).release_in_background();
        }
    }
}
