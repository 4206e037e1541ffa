//! The calls that wait, and the values last seen, by key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_core::id::RecordId;
use music_core::lock_queue::Command;
use music_core::lock_ref::{Holding, LockRef};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::crowd::Crowd;
use super::register::Version;
use super::value::Value;
use crate::backlog::{BATCH_MAX, KEYS_MAX, WAITING_MAX};
use crate::{Applied, Error};

/// Half of how many values are remembered.
const KNOWN_HALF: usize = 8_192;

/// What a call is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Peek,
    Command(Command),
    Release(Holding),
    Advance(LockRef),
}

/// A call that waits.
pub(super) struct Call {
    pub(super) asked: Asked,
    answer: oneshot::Sender<Result<Applied, Error>>,
    /// Whether it is part of a swap that is not known to have failed.
    sent: Arc<AtomicBool>,
}

/// The caller's side of a [`Call`].
pub(super) struct Caller {
    pub(super) answered: oneshot::Receiver<Result<Applied, Error>>,
    sent: Arc<AtomicBool>,
}

impl Call {
    pub(super) fn new(asked: Asked) -> (Self, Caller) {
        let (answer, answered) = oneshot::channel();
        let sent = Arc::new(AtomicBool::new(false));
        let caller = Caller {
            answered,
            sent: Arc::clone(&sent),
        };
        let call = Self {
            asked,
            answer,
            sent,
        };
        (call, caller)
    }

    /// Before it goes into a swap; false where it was given up. Either this
    /// sees that, or the caller sees that it was sent: each side writes its
    /// own mark before it reads the other's, with a fence between.
    pub(super) fn begin(&self) -> bool {
        self.sent.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        !self.answer.is_closed()
    }

    /// After a swap that had no effect.
    pub(super) fn take_back(&self) {
        self.sent.store(false, Ordering::Release);
    }

    pub(super) fn is_open(&self) -> bool {
        !self.answer.is_closed()
    }

    fn is_enqueue(&self) -> bool {
        matches!(&self.asked, Asked::Command(command) if command.new_ticket().is_some())
    }

    pub(super) fn answer(self, result: Result<Applied, Error>) {
        if self.answer.send(result).is_err() {
            tracing::trace!("the call was given up");
        }
    }
}

impl Caller {
    /// Gives the call up. Returns whether it may take effect all the same.
    pub(super) fn give_up(&mut self) -> bool {
        self.answered.close();
        fence(Ordering::SeqCst);
        self.sent.load(Ordering::Acquire)
    }
}

/// The value of a register as last seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) version: Option<Version>,
    pub(super) value: Arc<Value>,
}

/// All keys of a node.
#[derive(Default)]
pub(super) struct Keys(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// A key is there while it has a worker.
    waiting: BTreeMap<RecordId, Waiting>,
    /// What was seen lately.
    young: BTreeMap<RecordId, (Known, Crowd)>,
    /// What was seen before; forgotten when `young` is full.
    old: BTreeMap<RecordId, (Known, Crowd)>,
}

/// The calls that wait for one key.
#[derive(Default)]
struct Waiting {
    calls: VecDeque<Call>,
    /// Tells the worker of one more.
    arrived: Arc<Notify>,
}

/// What a worker does next.
pub(super) enum Next {
    /// Serve these calls.
    Serve(Vec<Call>),
    /// Look again at that time, or when one more arrives: none but enqueues
    /// wait, and it is the turn of others.
    Wait(Instant, Arc<Notify>),
    /// End: nothing waits.
    End,
}

impl Keys {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call. Returns whether its key needs a worker; an error where
    /// too much waits.
    pub(super) fn add(&self, id: &RecordId, call: Call) -> Result<bool, Error> {
        let mut inner = self.lock();
        if let Some(waiting) = inner.waiting.get_mut(id) {
            if waiting.calls.len() >= WAITING_MAX {
                return Err(Error::Overloaded);
            }
            waiting.calls.push_back(call);
            waiting.arrived.notify_one();
            return Ok(false);
        }
        if inner.waiting.len() >= KEYS_MAX {
            return Err(Error::Overloaded);
        }
        let mut waiting = Waiting::default();
        waiting.calls.push_back(call);
        inner.waiting.insert(id.clone(), waiting);
        Ok(true)
    }

    /// Takes the next calls of a key. Where others want it, enqueues wait for
    /// their turn; what ends a section, or moves it on, never does.
    pub(super) fn next(&self, id: &RecordId, now: Instant) -> Next {
        let mut inner = self.lock();
        let closed_until = inner.seen(id).1.closed_until;
        let closed_until = closed_until.filter(|until| *until > now);
        let Some(waiting) = inner.waiting.get_mut(id) else {
            return Next::End;
        };
        waiting.calls.retain(Call::is_open);
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for call in waiting.calls.drain(..) {
            let may_go = closed_until.is_none() || !call.is_enqueue();
            if may_go && taken.len() < BATCH_MAX {
                taken.push(call);
            } else {
                left.push_back(call);
            }
        }
        waiting.calls = left;
        match closed_until {
            _ if !taken.is_empty() => Next::Serve(taken),
            Some(until) if !waiting.calls.is_empty() => {
                Next::Wait(until, Arc::clone(&waiting.arrived))
            }
            _ => {
                inner.waiting.remove(id);
                Next::End
            }
        }
    }

    /// What was last seen of a key; an absent register where that is nothing.
    pub(super) fn known(&self, id: &RecordId) -> Known {
        self.lock().seen(id).0
    }

    /// Remembers what a watch told of a key, unless something later is known.
    pub(super) fn hear(&self, id: &RecordId, known: Known) {
        let mut inner = self.lock();
        let (before, crowd) = inner.seen(id);
        if before.version < known.version {
            inner.remember(id, (known, crowd));
        }
    }

    /// Remembers what the register itself answered. That may be an earlier
    /// version than the one that was known, where the engine was restored.
    pub(super) fn learn(&self, id: &RecordId, known: Known) {
        let mut inner = self.lock();
        let (_, crowd) = inner.seen(id);
        inner.remember(id, (known, crowd));
    }

    /// Remembers who else wants a key.
    pub(super) fn notice(&self, id: &RecordId, change: impl FnOnce(Crowd) -> Crowd) {
        let mut inner = self.lock();
        let (known, crowd) = inner.seen(id);
        inner.remember(id, (known, change(crowd)));
    }
}

impl Inner {
    fn seen(&self, id: &RecordId) -> (Known, Crowd) {
        let seen = self.young.get(id).or_else(|| self.old.get(id));
        seen.cloned().unwrap_or_default()
    }

    fn remember(&mut self, id: &RecordId, seen: (Known, Crowd)) {
        if self.young.len() >= KNOWN_HALF {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id.clone(), seen);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conformance::{enqueue, key};
    use crate::versioned::chance;

    /// The answer's receivers are kept: a call without one was given up.
    fn add(keys: &Keys, asked: Asked) -> Caller {
        let (call, caller) = Call::new(asked);
        assert!(!keys.add(&key("key"), call).unwrap());
        caller
    }

    #[tokio::test(start_paused = true)]
    async fn enqueues_wait_for_their_turn_and_what_ends_a_section_does_not() {
        let (keys, id, now) = (Keys::default(), key("key"), chance::now());
        let (first, _caller) = Call::new(Asked::Command(enqueue(1)));
        assert!(keys.add(&id, first).unwrap(), "it needs a worker");
        let crowd = |crowd: Crowd| crowd.wrote(true, now);
        keys.notice(&id, |before| crowd(crowd(crowd(before))));
        let Next::Wait(until, _) = keys.next(&id, now) else {
            panic!("it is the turn of others")
        };
        let _callers = [
            add(&keys, Asked::Command(enqueue(2))),
            add(&keys, Asked::Release(Holding::default())),
            add(&keys, Asked::Peek),
        ];
        let Next::Serve(calls) = keys.next(&id, now) else {
            panic!("it goes on at once")
        };
        assert!(!calls.iter().any(Call::is_enqueue) && calls.len() == 2);
        assert!(matches!(keys.next(&id, now), Next::Wait(..)));
        let Next::Serve(calls) = keys.next(&id, until) else {
            panic!("it is its turn")
        };
        assert_eq!(calls.len(), 2);
        assert!(matches!(
            keys.next(&id, until + Duration::from_secs(1)),
            Next::End
        ));
    }
}
