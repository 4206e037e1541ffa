//! The calls that wait, and the values last seen, by key.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_core::id::RecordId;
use music_core::lock_queue::Command;
use music_core::lock_ref::{Holding, LockRef};
use tokio::sync::oneshot;

use super::register::Version;
use super::value::Value;
use crate::{Applied, Error};

/// How many keys have a worker; calls for others are refused.
const KEYS_MAX: usize = 16_384;
/// How many calls wait for one key; more are refused.
const WAITING_MAX: usize = 1_024;
/// How many commands one swap carries.
const BATCH_MAX: usize = 64;
/// After how many writes without a refusal others are taken to be gone.
const QUIET_MAX: u32 = 32;
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
    pub(super) crowd: Crowd,
}

/// Who else wants a key that this node wrote last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    /// How often others were found refused.
    pub(super) level: u32,
    /// Writes since then. Others may be far, and try seldom.
    quiet: u32,
}

impl Crowd {
    /// After one more write.
    pub(super) fn after(self, others_were_refused: bool) -> Self {
        let quiet = self.quiet.saturating_add(1);
        if others_were_refused {
            let level = self.level.saturating_add(1);
            Self { level, quiet: 0 }
        } else if quiet < QUIET_MAX {
            Self { quiet, ..self }
        } else {
            Self::default()
        }
    }
}

/// All keys of a node.
#[derive(Default)]
pub(super) struct Keys(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// A key is there while it has a worker.
    waiting: BTreeMap<RecordId, VecDeque<Call>>,
    /// Values last seen lately.
    young: BTreeMap<RecordId, Known>,
    /// Those seen before; forgotten when `young` is full.
    old: BTreeMap<RecordId, Known>,
}

impl Keys {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call. Returns whether its key needs a worker; an error where
    /// too much waits.
    pub(super) fn add(&self, id: &RecordId, call: Call) -> Result<bool, Error> {
        let mut inner = self.lock();
        if let Some(calls) = inner.waiting.get_mut(id) {
            if calls.len() >= WAITING_MAX {
                return Err(Error::Overloaded);
            }
            calls.push_back(call);
            return Ok(false);
        }
        if inner.waiting.len() >= KEYS_MAX {
            return Err(Error::Overloaded);
        }
        inner.waiting.insert(id.clone(), VecDeque::from([call]));
        Ok(true)
    }

    /// Takes the next calls of a key; with none, its worker has ended.
    pub(super) fn take(&self, id: &RecordId) -> Vec<Call> {
        let mut inner = self.lock();
        let Some(calls) = inner.waiting.get_mut(id) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        while taken.len() < BATCH_MAX
            && let Some(call) = calls.pop_front()
        {
            if call.is_open() {
                taken.push(call);
            }
        }
        if taken.is_empty() {
            inner.waiting.remove(id);
        }
        taken
    }

    /// What was last seen of a key; an absent register where that is nothing.
    pub(super) fn known(&self, id: &RecordId) -> Known {
        let inner = self.lock();
        let known = inner.young.get(id).or_else(|| inner.old.get(id));
        known.cloned().unwrap_or_default()
    }

    /// Remembers what a watch told of a key, unless something later is known.
    pub(super) fn hear(&self, id: &RecordId, known: Known) {
        let before = self.known(id);
        if before.version < known.version {
            self.learn(id, known);
        }
    }

    /// Remembers what the register itself answered. That may be an earlier
    /// version than the one that was known, where the engine was restored.
    pub(super) fn learn(&self, id: &RecordId, known: Known) {
        let mut inner = self.lock();
        if inner.young.len() >= KNOWN_HALF {
            inner.old = std::mem::take(&mut inner.young);
        }
        inner.young.insert(id.clone(), known);
    }
}
