//! The calls that wait for a queue, by key: what engines with one worker a key
//! have in common.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use music_core::id::RecordId;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::error::{Needed, Outcome};

/// How many keys have a worker at one site; calls for others are refused.
pub(crate) const KEYS_MAX: usize = 16_384;
/// How many calls wait for one key at one site; more are refused.
pub(crate) const WAITING_MAX: usize = 1_024;
/// How many commands one step carries.
pub(crate) const BATCH_MAX: usize = 64;

/// A call that waits.
pub(crate) trait Call {
    /// Whether somebody waits for its answer still.
    fn is_open(&self) -> bool;
}

/// The calls that wait at one site. A key is there while it has a worker.
pub(crate) struct Backlog<C>(Mutex<BTreeMap<RecordId, VecDeque<C>>>);

impl<C> Default for Backlog<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Call> Backlog<C> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RecordId, VecDeque<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets all that waits, as a site does that stops.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Adds a call of a life. Returns whether its key needs a worker; an error
    /// where too much waits, or the life has ended.
    pub(crate) fn add(
        &self,
        id: &RecordId,
        call: C,
        life: &CancellationToken,
    ) -> Result<bool, Error> {
        let mut waiting = self.lock();
        // After a stop has cleared what waits, the key would seem to have a
        // worker for ever: that of an ended life takes nothing.
        if life.is_cancelled() {
            return Err(Error::Unavailable {
                needed: Needed::Local,
                outcome: Outcome::NotApplied,
            });
        }
        if let Some(calls) = waiting.get_mut(id) {
            if calls.len() >= WAITING_MAX {
                return Err(Error::Overloaded);
            }
            calls.push_back(call);
            return Ok(false);
        }
        if waiting.len() >= KEYS_MAX {
            return Err(Error::Overloaded);
        }
        waiting.insert(id.clone(), VecDeque::from([call]));
        Ok(true)
    }

    /// Takes the next calls of a key; with none, its worker has ended.
    pub(crate) fn take(&self, id: &RecordId, life: &CancellationToken) -> Vec<C> {
        let mut waiting = self.lock();
        // After a stop the key may have a worker of the next life.
        if life.is_cancelled() {
            return Vec::new();
        }
        let Some(calls) = waiting.get_mut(id) else {
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
            waiting.remove(id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::key;

    /// Whether it is open.
    struct Waiting(bool);

    impl Call for Waiting {
        fn is_open(&self) -> bool {
            self.0
        }
    }

    /// It saw the site run, and comes when the stop is over.
    #[test]
    fn a_call_of_an_ended_life_does_not_stay() {
        let (backlog, id) = (Backlog::default(), key("key"));
        let (ended, life) = (CancellationToken::new(), CancellationToken::new());
        ended.cancel();
        backlog.clear();
        let error = backlog.add(&id, Waiting(true), &ended).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(
            backlog.add(&id, Waiting(true), &life).unwrap(),
            "no worker serves it"
        );
        assert!(backlog.take(&id, &ended).is_empty());
        assert_eq!(backlog.take(&id, &life).len(), 1);
    }

    #[test]
    fn a_key_has_one_worker_while_anybody_waits() {
        let (backlog, id, life) = (Backlog::default(), key("key"), CancellationToken::new());
        assert!(backlog.add(&id, Waiting(false), &life).unwrap());
        for _ in 1..=BATCH_MAX {
            assert!(!backlog.add(&id, Waiting(true), &life).unwrap());
        }
        assert!(!backlog.add(&id, Waiting(true), &life).unwrap());
        // Whoever gave up is not served.
        assert_eq!(backlog.take(&id, &life).len(), BATCH_MAX);
        assert_eq!(backlog.take(&id, &life).len(), 1);
        assert!(backlog.take(&id, &life).is_empty());
        assert!(backlog.add(&id, Waiting(true), &life).unwrap());
    }

    #[test]
    fn what_waits_is_bounded_by_key_and_in_all() {
        let (backlog, life) = (Backlog::default(), CancellationToken::new());
        let full = |result: Result<bool, Error>| matches!(result, Err(Error::Overloaded));
        for _ in 0..WAITING_MAX {
            backlog.add(&key("key"), Waiting(true), &life).unwrap();
        }
        assert!(full(backlog.add(&key("key"), Waiting(true), &life)));
        for number in 1..KEYS_MAX {
            let id = key(number.to_string());
            assert!(backlog.add(&id, Waiting(true), &life).unwrap());
        }
        assert!(full(backlog.add(&key("one more"), Waiting(true), &life)));
    }
}
