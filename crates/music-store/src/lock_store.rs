//! The port to the locks: one linearizable queue a key.

use std::future::Future;
use std::sync::Arc;

use music_core::id::{RecordId, SessionId};
use music_core::lock_queue::{Command, LockQueue, Marks, Outcome};
use music_core::lock_ref::Holding;
use tokio::sync::mpsc;

use crate::Error;

/// What a command did, and the queue right after it.
///
/// Commands that came together may be performed as one step; each is then told
/// the queue that the last of them left.
#[derive(Clone, Debug)]
pub struct Applied {
    /// What it did.
    pub outcome: Outcome,
    /// The queue in the state that the step left behind.
    pub queue: Arc<LockQueue>,
}

/// How many tickets a queue may have where an engine keeps it as one value;
/// more are refused as overloaded.
///
/// A ticket takes at most [`TICKET_BYTES_MAX`] bytes, and the one at the head 2
/// more where its node has kept it, so all take at most three quarters of a
/// mebibyte and 2 bytes. ZooKeeper takes 1 MiB as one request
/// (`jute.maxbuffer`), etcd 1.5 MiB (`--max-request-bytes`), Cassandra half a
/// segment of its commit log (16 MiB).
pub const TICKETS_MAX: usize = 12_288;

/// The largest ticket in an engine, encoded by postcard: lockRef 5 bytes,
/// incarnation 1, owner 19, mode 1, lease 8, request 19, moves 10, hand-overs 1.
pub const TICKET_BYTES_MAX: usize = 64;

const _: () = assert!(TICKETS_MAX * TICKET_BYTES_MAX <= 3 << 18);

/// Performs a command on a queue that is kept as one value.
///
/// # Errors
/// [`Error::Overloaded`] where the queue is full; it stays as it is.
#[cfg(any(test, feature = "cassandra", feature = "versioned"))]
pub(crate) fn perform(queue: &mut LockQueue, command: Command) -> Result<Outcome, Error> {
    if let Some(new) = command.new_ticket()
        && is_full(queue)
        && queue.holding_of(new.request).is_none()
    {
        return Err(Error::Overloaded);
    }
    Ok(queue.apply(command))
}

/// Counts only where there have been that many since the first one.
#[cfg(any(test, feature = "cassandra", feature = "versioned"))]
fn is_full(queue: &LockQueue) -> bool {
    let first = queue.tickets().next().map_or(0, |(first, _)| first.get());
    let since = queue.last().get().saturating_sub(first).saturating_add(1);
    let may_be = usize::try_from(since).map_or(true, |since| since >= TICKETS_MAX);
    may_be && queue.tickets().count() >= TICKETS_MAX
}

/// Something changed at a watched queue: look at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The key whose queue changed.
    pub id: RecordId,
    /// How far the queue has come, where the engine knows; a holder looks only
    /// when `forced` is not below its own lockRef, or unknown.
    pub marks: Option<Marks>,
}

/// What a look at a queue tells; it may be old.
#[derive(Clone, Debug)]
pub struct Look {
    /// The queue as a replica has it.
    pub queue: Arc<LockQueue>,
    /// Nodes have been in each other's way at it a short time ago: an enqueue had
    /// better go together with those of another node.
    pub is_crowded: bool,
}

/// One site's view of the lock queues.
///
/// All but [`LockStore::release`] are linearizable for each key. A call that
/// ended in an error of unknown outcome may have taken effect, or may do so
/// until the same node's next call for the same key takes effect, not later; an
/// enqueue within limits until its limit is passed, whatever else is called.
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

    /// Somebody says that a watched queue has changed. Returns whether the engine
    /// finds out by itself what is true of it, without a round, and gives a hint
    /// where it is; otherwise the node looks. Free.
    fn glance(&self, _id: &RecordId) -> bool {
        false
    }

    /// A look at the queue from nearby, where the engine has no watches and nodes may
    /// be in each other's way at it; `None` otherwise, and where there is no answer.
    /// `own` is the session that looks.
    ///
    /// # Cost
    /// No round; one where the own site's replica does not answer.
    fn look(&self, _id: &RecordId, _own: SessionId) -> impl Future<Output = Option<Look>> + Send {
        std::future::ready(None)
    }

    /// The hints for the watched keys, for the one node that uses this view;
    /// a second call ends the stream of the first. Hints may be lost: they
    /// save time, and nothing rests on them.
    fn hints(&self) -> mpsc::Receiver<Hint>;
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use music_core::id::{Moves, RequestId, SessionId};
    use music_core::lock_queue::{Mode, Named, NewTicket};
    use music_core::lock_ref::{HandOvers, LockRef};
    use music_core::time::Lease;

    use super::*;

    /// One of the largest tickets that there are.
    pub(crate) fn largest(number: u128) -> NewTicket {
        NewTicket {
            owner: SessionId(u128::MAX),
            mode: Mode::Shared,
            lease: Lease::new(Duration::new(86_399, 999_999_999)).unwrap(),
            request: RequestId(u128::MAX - number),
            moves: Moves(u64::MAX),
        }
    }

    /// A queue with the last of all lockRefs, as large as one can be; made once.
    pub(crate) fn fullest() -> LockQueue {
        static FULLEST: LazyLock<LockQueue> = LazyLock::new(fill);
        FULLEST.clone()
    }

    fn fill() -> LockQueue {
        let mut queue = LockQueue::default();
        let most = u64::try_from(TICKETS_MAX).unwrap();
        queue.advance(LockRef::new(LockRef::MAX.get() - most).unwrap());
        for number in 0..u128::from(most) {
            let enqueued = perform(&mut queue, Command::Enqueue(largest(number)));
            assert!(matches!(enqueued, Ok(Outcome::Done(_))));
        }
        queue
    }

    #[test]
    fn no_ticket_is_larger_than_was_computed() {
        let bytes = |queue: &LockQueue| postcard::to_extend(queue, Vec::new()).unwrap().len();
        let mut queue = LockQueue::default();
        queue.advance(LockRef::new(LockRef::MAX.get() - 2).unwrap());
        perform(&mut queue, Command::Enqueue(largest(1))).unwrap();
        let one = bytes(&queue);
        perform(&mut queue, Command::Enqueue(largest(2))).unwrap();
        let two = bytes(&queue);
        assert_eq!(two - one, TICKET_BYTES_MAX);
        let (head, ticket) = queue.tickets().next().unwrap();
        let named = Named {
            request: ticket.request,
            moves: ticket.moves,
            hand_overs: HandOvers(u16::MAX),
        };
        let holding = Holding {
            lock_ref: head,
            incarnation: ticket.incarnation,
        };
        let name = Command::Name {
            holding,
            owner: ticket.owner,
            section: named,
        };
        assert_eq!(perform(&mut queue, name).unwrap(), Outcome::Done(holding));
        assert_eq!(bytes(&queue) - two, 2);
    }
}
