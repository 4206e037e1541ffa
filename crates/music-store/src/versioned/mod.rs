//! Lock queues in a register with versions: all that etcd and ZooKeeper have
//! in common.
//!
//! ```text
//!   calls ──▶ keys: those that wait, by key ──▶ worker, one a key
//!                                                 │ read, swap
//!   hints ◀── watches ◀───────── follow ──── Register: etcd, ZooKeeper
//! ```
//!
//! One register a key holds the whole queue. A command is applied here, to the
//! value last seen, and written by compare-and-swap on its version: one round
//! where nobody else wrote since, and the answer carries the queue. Another
//! form, a sequential entry a ticket with watches on the predecessor, needs no
//! retry under contention, but makes force, adopt, confirm and synced
//! transactions over several entries and every peek a scan of them.
//!
//! What that costs: a swap that comes too late is tried again at once, on the
//! value that the refusal carried. One of those that compete always succeeds,
//! so the queue moves. Alone that would starve whoever is far from the leader,
//! so a refusal leaves a mark, and who succeeded and finds one leaves a pause
//! before it enqueues again (`crowd`). A node has one swap a key under way,
//! with all the commands that wait in it, so nodes compete, not clients. Once
//! in the queue, order is the queue's.
//!
//! A swap whose answer is lost is sent again **as it is**, name and all, until
//! the register says whether it counted: either the version has moved on and
//! the value tells whose attempts it contains, or the swap takes effect now.
//! Later calls for the key wait behind it. So a call of unknown outcome is
//! settled before the next one of the node takes effect, and no command is
//! ever applied twice.

mod chance;
mod crowd;
mod follow;
mod keys;
mod register;
#[cfg(test)]
mod tests;
mod value;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::{Holding, LockRef};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::keys::{Asked, Call, Keys};
use self::value::{Attempt, Writer};
use self::worker::Worker;
use crate::error::{Needed, Outcome};
use crate::watches::Watches;
use crate::{Applied, Error, Hint, LockStore};

pub(crate) use self::register::{Failure, Register, Swapped, Version, Versioned};

/// One node's view of queues in registers. Clones share it; its work ends
/// with the last of them.
pub(crate) struct Queues<R> {
    shared: Arc<Shared<R>>,
    /// Ends the work when the last view is gone.
    alive: Arc<DropGuard>,
}

/// What calls, workers and watches share.
struct Shared<R> {
    register: R,
    keys: Keys,
    watches: Watches,
    writer: Writer,
    attempts: AtomicU64,
    life: CancellationToken,
    runtime: Handle,
    patience: Duration,
}

impl<R> Clone for Queues<R> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            alive: Arc::clone(&self.alive),
        }
    }
}

impl<R> fmt::Debug for Queues<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queues")
            .field("writer", &self.shared.writer)
            .finish_non_exhaustive()
    }
}

impl<R: Register> Queues<R> {
    /// Queues in these registers; a call that is not answered within
    /// `patience` fails. To be called within a runtime, where the work is done.
    pub(crate) fn new(register: R, patience: Duration) -> Self {
        let life = CancellationToken::new();
        let shared = Shared {
            register,
            keys: Keys::default(),
            watches: Watches::default(),
            writer: chance::writer(),
            attempts: AtomicU64::new(0),
            life: life.clone(),
            runtime: Handle::current(),
            patience,
        };
        Self {
            shared: Arc::new(shared),
            alive: Arc::new(life.drop_guard()),
        }
    }

    /// Skips all lockRefs of a key up to this one, as after a restore from a
    /// backup.
    pub(crate) async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        self.call(id, Asked::Advance(lock_ref)).await.map(|_| ())
    }

    async fn call(&self, id: &RecordId, asked: Asked) -> Result<Applied, Error> {
        let (call, mut caller) = Call::new(asked);
        if self.shared.keys.add(id, call)? {
            let worker = Worker::new(Arc::clone(&self.shared), id.clone());
            let life = self.shared.life.clone();
            self.shared.runtime.spawn(async move {
                tokio::select! {
                    () = worker.run() => {}
                    () = life.cancelled() => {}
                }
            });
        }
        let answered = tokio::time::timeout(self.shared.patience, &mut caller.answered).await;
        match answered {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Error::TimedOut),
            Err(_elapsed) if caller.give_up() => Err(Error::TimedOut),
            Err(_elapsed) => Err(Error::Unavailable {
                needed: Needed::Majority,
                outcome: Outcome::NotApplied,
            }),
        }
    }
}

impl<R: Register> LockStore for Queues<R> {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        self.call(id, Asked::Command(command)).await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        Ok(self.call(id, Asked::Peek).await?.queue)
    }

    /// A swap like those of commands.
    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        self.call(id, Asked::Release(holding)).await.map(|_| ())
    }

    fn watch(&self, id: &RecordId) {
        if let Some(life) = self.shared.watches.add(id, &self.shared.life) {
            let follow = follow::follow(Arc::clone(&self.shared), id.clone());
            self.shared.runtime.spawn(async move {
                tokio::select! {
                    () = follow => {}
                    () = life.cancelled() => {}
                }
            });
        }
    }

    fn unwatch(&self, id: &RecordId) {
        self.shared.watches.remove(id);
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        self.shared.watches.hints()
    }
}

/// Makes an engine that is [`Queues`] in its registers, and nothing more, a
/// lock store.
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
macro_rules! lock_store {
    ($engine:ty) => {
        impl $crate::LockStore for $engine {
            async fn apply(
                &self,
                id: &RecordId,
                command: music_core::lock_queue::Command,
            ) -> Result<$crate::Applied, Error> {
                self.0.apply(id, command).await
            }

            async fn peek(
                &self,
                id: &RecordId,
            ) -> Result<std::sync::Arc<music_core::lock_queue::LockQueue>, Error> {
                self.0.peek(id).await
            }

            async fn release(
                &self,
                id: &RecordId,
                holding: music_core::lock_ref::Holding,
            ) -> Result<(), Error> {
                self.0.release(id, holding).await
            }

            fn watch(&self, id: &RecordId) {
                self.0.watch(id);
            }

            fn unwatch(&self, id: &RecordId) {
                self.0.unwatch(id);
            }

            fn hints(&self) -> tokio::sync::mpsc::Receiver<$crate::Hint> {
                self.0.hints()
            }
        }
    };
}
#[cfg(any(feature = "etcd", feature = "zookeeper"))]
pub(crate) use lock_store;

impl<R> Shared<R> {
    /// The name of the next attempt.
    fn attempt(&self) -> Attempt {
        Attempt {
            writer: self.writer,
            number: self.attempts.fetch_add(1, Ordering::Relaxed),
        }
    }
}
