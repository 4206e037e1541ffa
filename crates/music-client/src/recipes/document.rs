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

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use music_api::code::Code;
use music_api::name::Value;
use music_api::table::Record;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::Value as Json;

use crate::client::Client;
use crate::clock;
use crate::content::{Content, Stored};
use crate::error::{Error, Invalid, Lost, LostReason, Outcome};
use crate::key::{Cell, RecordKey};
use crate::recipes::held;
use crate::recipes::refusal::Refusal;
use crate::recipes::table::{self, TABLE};
use crate::section::CriticalSection;
use crate::watch::{Watch, WatchEvent, WatchTarget};

/// How many answers are kept: a change whose answer was lost can be looked up
/// until that many others were made.
const ANSWERS_KEPT: usize = 16;

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

/// What a record's default field holds.
#[derive(Serialize, Deserialize)]
struct Held<S> {
    state: S,
    /// What the last changes answered, by their fencing tokens, which grow.
    answers: Vec<(u64, Json)>,
    /// Whether the state is one to be announced.
    announce: bool,
}

impl<S> Held<S> {
    /// What a change under that token answered; an error where that is not
    /// kept any more.
    fn answer(&self, token: u64) -> Result<Option<&Json>, Forgotten> {
        let kept = self.answers.iter().find(|(kept, _)| *kept == token);
        let oldest = self.answers.first().map_or(0, |(oldest, _)| *oldest);
        match kept {
            Some((_, answer)) => Ok(Some(answer)),
            None if self.answers.len() >= ANSWERS_KEPT && oldest > token => Err(Forgotten),
            None => Ok(None),
        }
    }

    fn state(held: Option<Self>) -> Option<S> {
        held.map(|held| held.state)
    }

    fn keep(&mut self, token: u64, answer: Json) {
        if self.answers.len() >= ANSWERS_KEPT {
            self.answers.remove(0);
        }
        self.answers.push((token, answer));
    }
}

/// Too many changes were made since.
struct Forgotten;

/// What a step makes of a state.
pub(crate) enum Step<S, T> {
    /// Nothing.
    Keep(T),
    /// Another state.
    Change(S, T),
    /// Another state, which others act on without a lock.
    Announce(S, T),
}

/// How one attempt failed, and the token under which a put may have been made.
struct Failed {
    error: Error,
    put: Option<u64>,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            put: None,
        }
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
            // One that was taken for dead before its put, too, has to ask again.
            let again = failed.put.is_some() || matches!(failed.error, Error::Lost(_));
            put = failed.put.or(put);
            if attempts >= ATTEMPTS_MAX || !again {
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
            (Some(token), Some(held)) => match held.answer(token) {
                Ok(Some(answer)) => {
                    let answer = T::deserialize(answer).map_err(|fault| foreign(&fault))?;
                    if held.announce {
                        self.announce_quietly(section, &held.state).await;
                    }
                    return Ok((Some(held.state), answer));
                }
                Ok(None) => Some(held),
                Err(Forgotten) => return Err(forgotten(token)),
            },
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
        put.map_err(|error| Failed {
            put: (error.outcome() == Outcome::Unknown).then(|| section.token()),
            error,
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

    /// Watches the state at the nearest replica.
    pub(crate) fn observe(&self) -> Seen<S> {
        Seen {
            watch: self.client.watch(&WatchTarget::Record(self.record.clone())),
            client: self.client.clone(),
            state: PhantomData,
        }
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

/// A state that is watched at the nearest replica; ends when it is dropped.
pub(crate) struct Seen<S> {
    client: Client,
    watch: Watch,
    state: PhantomData<fn() -> S>,
}

impl<S> fmt::Debug for Seen<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seen").field(&self.watch).finish()
    }
}

impl<S: DeserializeOwned> Seen<S> {
    /// The state as it is, then as it changes.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<S>, Error> {
        self.field("").await.map(Held::state)
    }

    /// What is announced, then each change.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    async fn announced(&mut self) -> Result<Option<S>, Error> {
        self.field(ANNOUNCED).await
    }

    async fn field<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>, Error> {
        loop {
            match self.watch.next().await {
                Ok(WatchEvent::Record(change)) => {
                    let value = change.record.fields.get(field);
                    return value.map(understand_value).transpose();
                }
                Ok(WatchEvent::Reset | WatchEvent::Queue(_)) => {}
                Err(error) if error.code() == Some(Code::NoSuchTable) => {
                    table::create(&self.client, TABLE).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Waits for so long at most; `None` afterwards.
pub(crate) async fn within<T>(
    wait: Duration,
    what: impl Future<Output = Result<T, Error>>,
) -> Result<Option<T>, Error> {
    match tokio::time::timeout(wait, what).await {
        Ok(ended) => ended.map(Some),
        Err(_) => Ok(None),
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

fn understand<T: DeserializeOwned>(stored: &Stored) -> Result<T, Error> {
    serde_json::from_slice(&stored.content.bytes).map_err(|fault| foreign(&fault).into())
}

fn understand_value<T: DeserializeOwned>(value: &Value) -> Result<T, Error> {
    match value {
        Value::Json(json) => T::deserialize(json).map_err(|fault| foreign(&fault).into()),
        Value::Text(_) | Value::Base64 { .. } => {
            Err(Refusal::Foreign("it is no JSON".into()).into())
        }
    }
}

/// The state that a record holds, if it is one of that kind.
pub(crate) fn state<S: DeserializeOwned>(record: &Record) -> Option<S> {
    let value = record.fields.get("")?;
    understand_value::<Held<S>>(value)
        .ok()
        .map(|held| held.state)
}

/// The content of a value that a state holds.
pub(crate) fn content(value: Value) -> Result<Content, Refusal> {
    Content::from_value(value).map_err(|fault| Refusal::Foreign(fault.to_string()))
}

fn foreign(fault: &serde_json::Error) -> Refusal {
    Refusal::Foreign(fault.to_string())
}

fn json(value: &impl Serialize) -> Result<Json, Invalid> {
    serde_json::to_value(value).map_err(Invalid::Json)
}

/// Whether a change was made cannot be told any more.
fn forgotten(token: u64) -> Failed {
    let error = Error::Lost(Lost {
        reason: LostReason::Preempted,
        outcome: Outcome::Unknown,
    });
    tracing::debug!(token, "too many changes since one without an answer");
    Failed { error, put: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_until_too_many_came_after_it() {
        let mut held = Held {
            state: (),
            answers: Vec::new(),
            announce: false,
        };
        assert!(
            matches!(held.answer(7), Ok(None)),
            "no change, so not that one"
        );
        held.keep(7, Json::from(70));
        for token in 8..23 {
            held.keep(token, Json::Null);
            assert!(matches!(held.answer(7), Ok(Some(answer)) if *answer == 70));
            assert!(matches!(held.answer(6), Ok(None)) == (token < 22));
        }
        held.keep(23, Json::Null);
        assert_eq!(held.answers.len(), ANSWERS_KEPT);
        assert!(held.answer(7).is_err(), "it may have been there");
        assert!(matches!(held.answer(100), Ok(None)));
    }
}
