//! The port to the locks: one linearizable queue a key.

use std::future::Future;
use std::sync::Arc;

use music_core::id::RecordId;
use music_core::lock_queue::{Command, LockQueue, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use tokio::sync::mpsc;

use crate::Error;

/// What a command did, and the queue right after it.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What it did.
    pub outcome: Outcome,
    /// The queue in the state that the command left behind.
    pub queue: Arc<LockQueue>,
}

/// Something changed at a watched queue: look at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The key whose queue changed.
    pub id: RecordId,
    /// The queue's `forced` where the engine knows it; a holder looks only
    /// when this is not below its own lockRef, or unknown.
    pub forced: Option<LockRef>,
}

/// One site's view of the lock queues.
///
/// All but [`LockStore::release`] are linearizable for each key. A call that
/// ended in an error of unknown outcome may have taken effect, or may do so
/// until the same node's next call for the same key takes effect, not later.
pub trait LockStore: Clone + Send + Sync + 'static {
    /// Performs a command and returns the queue as it left it.
    ///
    /// # Cost
    /// What a consensus write takes. Needs a majority.
    ///
    /// # Cancel safety
    /// As after an error of unknown outcome.
    fn apply(
        &self,
        id: &RecordId,
        command: Command,
    ) -> impl Future<Output = Result<Applied, Error>> + Send;

    /// Reads the queue. What it answers from, releases included, is at a
    /// majority before it answers: no later peek or command sees less.
    ///
    /// # Cost
    /// One round, or what a consensus write takes where copies differ.
    fn peek(&self, id: &RecordId) -> impl Future<Output = Result<Arc<LockQueue>, Error>> + Send;

    /// Tells a majority that every ticket up to `holding` is gone. Monotone;
    /// seen by every peek and command that begins after it is answered.
    ///
    /// # Cost
    /// One round. Needs a majority.
    ///
    /// # Cancel safety
    /// May have landed, and may land much later.
    fn release(
        &self,
        id: &RecordId,
        holding: Holding,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Asks for hints about a key, once more for each call. Free.
    fn watch(&self, id: &RecordId);

    /// Takes one [`LockStore::watch`] back. Free.
    fn unwatch(&self, id: &RecordId);

    /// The hints for the watched keys, for the one node that uses this view;
    /// a second call ends the stream of the first. Hints may be lost: they
    /// save time, and nothing rests on them.
    fn hints(&self) -> mpsc::Receiver<Hint>;
}
