//! One key's calls, one swap after the other.

use std::sync::Arc;

use bytes::Bytes;
use music_core::id::RecordId;
use music_core::lock_queue::{LockQueue, Outcome};

use super::keys::{Asked, Call, Known, Next};
use super::register::{Failure, Register, Swapped, Versioned};
use super::value::{Attempt, Value};
use super::{Shared, chance};
use crate::{Applied, Error, lock_store};

/// How often a batch comes too late before its calls are told so.
const CONFLICTS_MAX: u32 = 256;

/// Who serves the calls of one key.
pub(super) struct Worker<R> {
    shared: Arc<Shared<R>>,
    id: RecordId,
}

/// What became of an attempt, for certain.
enum Settled {
    /// It is part of the register's value.
    Applied,
    /// It is not, and never will be: others were faster.
    Late,
    /// Others were faster, or were so after it; nobody can tell.
    Forgotten,
    /// It is not, and never will be: the register did not take it.
    Failed(Failure),
}

/// What a batch makes of a value.
struct Batch {
    value: Arc<Value>,
    /// For each call, in order.
    results: Vec<Result<Applied, Error>>,
}

impl<R: Register> Worker<R> {
    pub(super) fn new(shared: Arc<Shared<R>>, id: RecordId) -> Self {
        Self { shared, id }
    }

    /// Serves until nothing waits.
    pub(super) async fn run(self) {
        loop {
            let calls = match self.shared.keys.next(&self.id, chance::now()) {
                Next::Serve(calls) => calls,
                Next::Wait(until, arrived) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        () = arrived.notified() => {}
                    }
                    continue;
                }
                Next::End => return,
            };
            if calls.iter().all(|call| matches!(call.asked, Asked::Peek)) {
                self.read(calls).await;
            } else {
                self.write(calls).await;
            }
        }
    }

    /// Answers peeks, or finds that all of them have been given up.
    async fn read(&self, mut calls: Vec<Call>) {
        for failures in 0_u32.. {
            calls.retain(Call::is_open);
            if calls.is_empty() {
                return;
            }
            let seen = self.shared.register.read(&self.id).await;
            match seen.and_then(|seen| self.learn(&seen)) {
                Ok(known) => {
                    for call in calls {
                        call.answer(Ok(peeked(&known.value.queue)));
                    }
                    return;
                }
                Err(failure) => {
                    if let Some(error) = final_error(&failure) {
                        return fail(calls, error);
                    }
                }
            }
            chance::back_off(failures).await;
        }
    }

    /// Performs commands, or finds that all of them have been given up.
    async fn write(&self, mut calls: Vec<Call>) {
        let (mut conflicts, mut failures) = (0_u32, 0_u32);
        while conflicts < CONFLICTS_MAX {
            calls.retain(Call::begin);
            if calls.is_empty() {
                return;
            }
            let known = self.shared.keys.known(&self.id);
            let attempt = self.shared.attempt();
            let batch = Batch::new(&known.value, attempt, &calls);
            match self.settle(&known, attempt, &batch.value).await {
                Settled::Applied => {
                    for (call, result) in calls.into_iter().zip(batch.results) {
                        call.answer(result);
                    }
                    return;
                }
                Settled::Forgotten => return fail(calls, || Error::TimedOut),
                Settled::Late => {
                    calls.iter().for_each(Call::take_back);
                    // At once: the refusal brought the value, and took a round.
                    // Those who waited would leave the queue to those who won.
                    conflicts = conflicts.saturating_add(1);
                    let keys = &self.shared.keys;
                    keys.notice(&self.id, |crowd| crowd.was_refused(chance::now()));
                }
                Settled::Failed(failure) => {
                    calls.iter().for_each(Call::take_back);
                    if let Some(error) = final_error(&failure) {
                        return fail(calls, error);
                    }
                    chance::back_off(failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
        fail(calls, || Error::Contended);
    }

    /// Makes an attempt, and makes the same again until it is known what
    /// became of it. Whoever gave up meanwhile may have caused the effect, but
    /// no later call of this node overtakes it.
    async fn settle(&self, known: &Known, attempt: Attempt, value: &Arc<Value>) -> Settled {
        let bytes = Bytes::from(value.encode());
        let mut may_apply = false;
        for failures in 0_u32.. {
            let register = &self.shared.register;
            let swapped = register.swap(&self.id, known.version, bytes.clone());
            let failure = match swapped.await {
                Ok(Swapped::Done { version, refused }) => {
                    let others = known.version.is_some_and(|before| refused > before.at);
                    let known = Known {
                        version: Some(version),
                        value: Arc::clone(value),
                    };
                    let keys = &self.shared.keys;
                    keys.learn(&self.id, known);
                    keys.notice(&self.id, |crowd| crowd.wrote(others, chance::now()));
                    return Settled::Applied;
                }
                Ok(Swapped::Refused(seen)) => match self.learn(&seen) {
                    Ok(seen) => return refused(&seen.value, attempt, may_apply),
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            may_apply |= matches!(failure, Failure::Unknown);
            if !may_apply {
                return Settled::Failed(failure);
            }
            tracing::debug!(?failure, "it is not known yet whether a swap counted");
            chance::back_off(failures).await;
        }
        Settled::Forgotten
    }

    /// Remembers what the register answered.
    fn learn(&self, seen: &Versioned) -> Result<Known, Failure> {
        let known = known(seen)?;
        self.shared.keys.learn(&self.id, known.clone());
        Ok(known)
    }
}

/// What a refusal says about the attempt, which may have been made before.
fn refused(value: &Value, attempt: Attempt, may_apply: bool) -> Settled {
    match value.contains(attempt) {
        Some(true) => Settled::Applied,
        None if may_apply => Settled::Forgotten,
        Some(false) | None => Settled::Late,
    }
}

/// The value in a register's bytes.
pub(super) fn known(seen: &Versioned) -> Result<Known, Failure> {
    let value = Value::decode(&seen.bytes).map_err(|error| Failure::Fatal(Arc::new(error)))?;
    Ok(Known {
        version: seen.version,
        value: Arc::new(value),
    })
}

impl Batch {
    fn new(value: &Value, attempt: Attempt, calls: &[Call]) -> Self {
        let mut queue = Arc::clone(&value.queue);
        let changed = Arc::make_mut(&mut queue);
        let performed = calls.iter().map(|call| perform(changed, call.asked));
        let outcomes: Vec<_> = performed.collect();
        let told = |outcome: Result<Outcome, Error>| {
            outcome.map(|outcome| Applied {
                outcome,
                queue: Arc::clone(&queue),
            })
        };
        let results = outcomes.into_iter().map(told).collect();
        let value = Arc::new(value.followed_by(attempt, queue));
        Self { value, results }
    }
}

fn perform(queue: &mut LockQueue, asked: Asked) -> Result<Outcome, Error> {
    match asked {
        Asked::Command(command) => return lock_store::perform(queue, command),
        Asked::Release(holding) => queue.release(holding),
        Asked::Advance(lock_ref) => queue.advance(lock_ref),
        Asked::Peek => {}
    }
    Ok(Outcome::Gone)
}

/// What a peek answers, in the form of a command's answer.
fn peeked(queue: &Arc<LockQueue>) -> Applied {
    Applied {
        outcome: Outcome::Gone,
        queue: Arc::clone(queue),
    }
}

/// The error of a failure without effect that trying again does not mend.
fn final_error(failure: &Failure) -> Option<impl Fn() -> Error + use<>> {
    let failure = match failure {
        Failure::Unreachable | Failure::Unknown => return None,
        Failure::Overloaded | Failure::Fatal(_) => failure.clone(),
    };
    Some(move || match &failure {
        Failure::Fatal(source) => Error::Storage(Box::new(Arc::clone(source))),
        _ => Error::Overloaded,
    })
}

fn fail(calls: Vec<Call>, error: impl Fn() -> Error) {
    for call in calls {
        call.answer(Err(error()));
    }
}
