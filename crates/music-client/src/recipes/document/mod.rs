//! The state of a recipe: a document at a key, changed in short sections.
//!
//! ```text
//!  change: lock ── get ── step ── put state + what the step answered ── (announce) ── release
//!                                          │ no answer?
//!                                          ▼
//!          lock again ── get ── was it applied? ── yes: the answer that is kept
//!                                     └── no, and never will be: the step again
//! ```
//!
//! A section that was granted after a put without an answer either observes that
//! put, or nobody ever will (guarantee 4). So what the last changes answered is
//! kept beside the state, by the fencing token of their sections, and a change
//! whose answer was lost is looked up instead of made twice.
//!
//! A state that others act on without a lock is *announced*: put once more, in
//! a field of its own, after a majority has it. Whoever reads that field at the
//! nearest replica never sees a state that is lost afterwards.

mod answers;
mod reading;
mod seen;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::answers::{Forgotten, Held};
use self::reading::{foreign, json, understand};
use crate::client::Client;
use crate::clock;
use crate::content::Content;
use crate::error::{Error, Lost, LostReason, Outcome};
use crate::key::{Cell, RecordKey};
use crate::mutation::{Mutation, is_on};
use crate::recipes::held;
use crate::recipes::refusal::Refusal;
use crate::recipes::table::{self, TABLE};
use crate::section::CriticalSection;

pub(crate) use self::reading::{content, state};
pub(crate) use self::seen::{Seen, within};

/// How often a change without an answer, or without its lock, is looked up or
/// made again.
const ATTEMPTS_MAX: u32 = 4;

/// How long a short section waits for its lock.
const WAIT: Duration = Duration::from_mins(1);

/// How long a wait for a change relies on being told: then it looks itself.
const LOOK: Duration = Duration::from_secs(10);

/// The field of what is announced.
const ANNOUNCED: &str = "announced";

/// The state of a recipe of kind `S`.
#[derive(Clone)]
pub(crate) struct Document<S> {
    client: Client,
    record: RecordKey,
    state: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Document<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Document").field(&self.record).finish()
    }
}

/// What a step makes of a state.
pub(crate) enum Step<S, T> {
    /// Nothing.
    Keep(T),
    /// Another state.
    Change(S, T),
    /// Another state, which others act on without a lock.
    Announce(S, T),
}

/// How one attempt failed.
struct Failed {
    error: Error,
    /// The token under which a put may have been made.
    put: Option<u64>,
    /// Whether another attempt may end otherwise.
    again: bool,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        let error = error.into();
        // One that was taken for dead before its put has to ask again.
        let again = matches!(error, Error::Lost(_));
        let put = None;
        Self { error, put, again }
    }
}

impl<S: Serialize + DeserializeOwned> Document<S> {
    /// The state of the recipe of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub(crate) fn new(client: &Client, kind: &str, name: &str) -> Result<Self, Refusal> {
        Ok(Self {
            client: client.clone(),
            record: table::record(kind, name)?,
            state: PhantomData,
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Changes the state in a section of its own, exactly once: a change whose
    /// answer is lost is looked up. The step may be asked several times; what it
    /// answered the last time counts.
    ///
    /// # Errors
    /// What the step refuses; [`Error::TimedOut`] where the lock is held for too
    /// long; others, of which [`Error::outcome`] says whether the state may have
    /// changed.
    ///
    /// # Cost
    /// A section with one write; one round more to announce.
    ///
    /// # Cancel safety
    /// The state may or may not change.
    pub(crate) async fn change<T>(
        &self,
        step: impl Fn(Option<S>, u64) -> Result<Step<S, T>, Refusal>,
    ) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let changed = self.change_within(Some(WAIT), step).await?;
        Ok(changed.1)
    }

    /// The same, where the lock is granted within a wait; with the state as it is
    /// afterwards, where it was changed.
    pub(crate) async fn change_within<T>(
        &self,
        wait: Option<Duration>,
        step: impl Fn(Option<S>, u64) -> Result<Step<S, T>, Refusal>,
    ) -> Result<(Option<S>, T), Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let mut put = None;
        let mut attempts = 1;
        loop {
            let failed = match Box::pin(self.attempt(wait, &step, put)).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            put = failed.put.or(put);
            if attempts >= ATTEMPTS_MAX || !failed.again {
                return Err(give_up(failed.error, attempts, put));
            }
            self.client.inner.pause(attempts).await;
            attempts += 1;
        }
    }

    async fn attempt<T>(
        &self,
        wait: Option<Duration>,
        step: &impl Fn(Option<S>, u64) -> Result<Step<S, T>, Refusal>,
        before: Option<u64>,
    ) -> Result<(Option<S>, T), Failed>
    where
        T: Serialize + DeserializeOwned,
    {
        let section = self.section_within(wait).await?;
        let ended = self.attempt_in(&section, step, before).await;
        // What was acknowledged stays, whatever becomes of the release.
        if let Err(error) = section.release().await {
            tracing::debug!(%error, "a section of a recipe could not be released");
        }
        ended
    }

    async fn attempt_in<T>(
        &self,
        section: &CriticalSection,
        step: &impl Fn(Option<S>, u64) -> Result<Step<S, T>, Refusal>,
        before: Option<u64>,
    ) -> Result<(Option<S>, T), Failed>
    where
        T: Serialize + DeserializeOwned,
    {
        let held = self.held(section).await?;
        let held = match (before, held) {
            (Some(token), Some(held)) if !is_on(Mutation::ChangeMadeTwice) => {
                match held.answer(token) {
                    Ok(Some(answer)) => {
                        let answer = T::deserialize(answer).map_err(|fault| foreign(&fault))?;
                        if held.announce {
                            self.announce_quietly(section, &held.state).await;
                        }
                        return Ok((Some(held.state), answer));
                    }
                    Ok(None) => Some(held),
                    Err(Forgotten) => return Err(forgotten(token)),
                }
            }
            (_, held) => held,
        };
        let (state, answers) =
            held.map_or((None, Vec::new()), |held| (Some(held.state), held.answers));
        let (state, answer, announce) = match step(state, section.token())? {
            Step::Keep(answer) => return Ok((None, answer)),
            Step::Change(state, answer) => (state, answer, false),
            Step::Announce(state, answer) => (state, answer, true),
        };
        let mut held = Held {
            state,
            answers,
            announce,
        };
        held.keep(section.token(), json(&answer)?);
        let put = self.put(section, String::new(), &held).await;
        put.map_err(|error| {
            let in_doubt = error.outcome() == Outcome::Unknown;
            let put = in_doubt.then(|| section.token());
            let failed = Failed::from(error);
            let again = failed.again || in_doubt;
            Failed {
                put,
                again,
                ..failed
            }
        })?;
        if announce {
            self.announce_quietly(section, &held.state).await;
        }
        Ok((Some(held.state), answer))
    }

    /// Where it fails, whoever waits looks for itself.
    pub(crate) async fn announce_quietly(&self, section: &CriticalSection, state: &S) {
        if let Err(error) = self.announce(section, state).await {
            tracing::debug!(%error, "a state could not be announced");
        }
    }

    /// The state as all that was acknowledged left it.
    ///
    /// # Cost
    /// A shared section without a write.
    pub(crate) async fn read(&self) -> Result<Option<S>, Error> {
        let section = table::acquire(&self.client, TABLE, || {
            self.client.lock([&self.record]).shared().wait(WAIT)
        });
        self.load(&section.await?).await
    }

    /// What was announced last, as the nearest replica knows it.
    ///
    /// # Cost
    /// A request to the own site.
    pub(crate) async fn glance(&self) -> Result<Option<S>, Error> {
        self.local(ANNOUNCED.to_owned()).await
    }

    /// The state as the nearest replica knows it: one that was not acknowledged
    /// may be seen, and go again.
    ///
    /// # Cost
    /// A request to the own site.
    pub(crate) async fn look(&self) -> Result<Option<S>, Error> {
        self.local(String::new()).await.map(Held::state)
    }

    async fn local<T: DeserializeOwned>(&self, field: String) -> Result<Option<T>, Error> {
        let record = self.record.clone();
        let cell = Cell { record, field };
        let stored = table::with(&self.client, TABLE, || self.client.get(cell.clone())).await?;
        stored.map(|stored| understand(&stored)).transpose()
    }

    /// Waits until an announced state passes a test.
    ///
    /// # Cost
    /// A request to the own site, kept open; now and then a shared section, in
    /// case that it was not told.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(crate) async fn until<T>(&self, test: impl Fn(S) -> Option<T>) -> Result<T, Error> {
        let mut seen = self.observe();
        loop {
            let state = match tokio::time::timeout(LOOK, seen.announced()).await {
                Ok(Err(error)) if !error.is_retryable() => return Err(error),
                Ok(Ok(state)) => state,
                // The nearest replica may have been left out.
                Ok(Err(_)) | Err(_) => self.look_anyway().await?,
            };
            if let Some(passed) = state.and_then(&test) {
                return Ok(passed);
            }
        }
    }

    async fn look_anyway(&self) -> Result<Option<S>, Error> {
        match Box::pin(self.read()).await {
            // One that was taken for dead while it looked looks again: who waits
            // may have arrived long ago, and be told that it has not.
            Err(error) if error.is_retryable() || matches!(error, Error::Lost(_)) => {
                tracing::debug!(%error, "a recipe's state could not be read");
                clock::sleep(self.client.inner.options.retry.pause_max).await;
                Ok(None)
            }
            ended => ended,
        }
    }

    /// An exclusive section, where it is granted within a wait.
    pub(crate) async fn section_within(
        &self,
        wait: Option<Duration>,
    ) -> Result<CriticalSection, Error> {
        table::acquire(&self.client, TABLE, || {
            let request = self.client.lock([&self.record]);
            match wait {
                Some(wait) => request.wait(wait),
                None => request,
            }
        })
        .await
    }

    /// A section of this state that was detached, taken up again.
    pub(crate) async fn resume(&self, lock_ref: &str) -> Result<CriticalSection, Error> {
        held::resume(&self.client, &self.record, lock_ref).await
    }

    /// Leaves a section that was taken up by mistake as it was.
    pub(crate) fn leave(&self, section: CriticalSection, why: &'static str) -> Refusal {
        held::leave(section, &self.record, why)
    }

    /// The state, in a section.
    pub(crate) async fn load(&self, section: &CriticalSection) -> Result<Option<S>, Error> {
        self.held(section).await.map(Held::state)
    }

    /// Sets the state, in a section.
    pub(crate) async fn store(&self, section: &CriticalSection, state: &S) -> Result<(), Error> {
        // Read before in this section, so that it costs no round.
        let answers = self.held(section).await?.map(|held| held.answers);
        let held = Held {
            state,
            answers: answers.unwrap_or_default(),
            announce: false,
        };
        self.put(section, String::new(), &held).await
    }

    /// Announces the state, in a section that has put it.
    pub(crate) async fn announce(&self, section: &CriticalSection, state: &S) -> Result<(), Error> {
        self.put(section, ANNOUNCED.to_owned(), state).await
    }

    async fn put(
        &self,
        section: &CriticalSection,
        field: String,
        value: &impl Serialize,
    ) -> Result<(), Error> {
        let record = self.record.clone();
        let put = section.put(Cell { record, field }, Content::json(value)?);
        put.await.map(drop)
    }

    async fn held(&self, section: &CriticalSection) -> Result<Option<Held<S>>, Error> {
        let stored = section.get(&self.record).await?;
        stored.map(|stored| understand(&stored)).transpose()
    }
}

/// A change that failed; before its first put it has changed nothing, even
/// where a place in the queue may be left behind.
fn give_up(last: Error, attempts: u32, put: Option<u64>) -> Error {
    let outcome = match put {
        Some(_) => Outcome::Unknown,
        None => Outcome::NotApplied,
    };
    if last.outcome() == outcome {
        return last;
    }
    Error::Unavailable {
        attempts,
        outcome,
        last: Box::new(last),
    }
}

/// Whether a change was made cannot be told any more.
fn forgotten(token: u64) -> Failed {
    let error = Error::Lost(Lost {
        reason: LostReason::Preempted,
        outcome: Outcome::Unknown,
    });
    tracing::debug!(token, "too many changes since one without an answer");
    Failed {
        error,
        put: None,
        again: false,
    }
}
