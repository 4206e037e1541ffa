//! A step that is done once.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::Value as Json;

use crate::client::Client;
use crate::error::Error;
use crate::recipes::document::{Document, Step};
use crate::recipes::refusal::Refusal;
use crate::section::CriticalSection;

/// A step that is done at most once across all sites, and its result.
///
/// **Promise.** One caller at a time does the step, and only while nobody has
/// done it; all others get the result that it had. Where somebody began it and
/// did not live to tell, whether it was done cannot be known: callers are told
/// ([`Refusal::Interrupted`]), and it is not begun again before somebody who
/// has looked says so ([`Once::settle`], [`Once::forget`]).
///
/// **Cost.** A section with two writes around the step, one round more to
/// announce the result; nothing but a request to the own site once it is known
/// there.
///
/// **On failure.** A step that fails has not been done: the next caller tries. One
/// whose lock is lost is dropped at once; what it does elsewhere is fenced only
/// if it takes the token along.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Once;
///
/// let invoice = Once::new(client, "invoice-2026-11")?;
/// let number: u64 = invoice
///     .run(async |token| {
///         println!("writing it, under token {token}");
///         Ok::<_, std::io::Error>(4711)
///     })
///     .await?
///     .expect("the step itself failed");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Once(Document<State>);

/// How far the step is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It was not begun, or its failure undid it.
    Undone,
    /// Begun under that token.
    Begun(u64),
    /// Done, with that result.
    Done(Json),
}

impl Once {
    /// The step of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        Document::new(client, "once", name).map(Self)
    }

    /// Does the step, unless it was done, and returns its result either way. The
    /// step is given its fencing token. The inner result is the step's own
    /// failure.
    ///
    /// # Errors
    /// [`Refusal::Interrupted`]; [`Error::Lost`] where the lock was lost in the
    /// middle: then it is interrupted, too; others, of which
    /// [`Error::outcome`] says whether the step may have been done.
    ///
    /// # Cost
    /// A section with two writes; a request to the own site where it is done.
    ///
    /// # Cancel safety
    /// Dropping the future in the middle of the step interrupts it.
    pub async fn run<T, E>(
        &self,
        step: impl AsyncFnOnce(u64) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        if let Some(result) = self.result().await? {
            return Ok(Ok(result));
        }
        let section = self.0.section_within(None).await?;
        let ended = Box::pin(self.run_in(&section, step)).await;
        if let Err(error) = section.release().await {
            tracing::debug!(%error, "the section of a step could not be released");
        }
        ended
    }

    async fn run_in<T, E>(
        &self,
        section: &CriticalSection,
        step: impl AsyncFnOnce(u64) -> Result<T, E>,
    ) -> Result<Result<T, E>, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        match self.0.load(section).await? {
            Some(State::Done(result)) => {
                // The one who did it may not have lived to tell the others.
                let state = State::Done(result.clone());
                self.0.announce_quietly(section, &state).await;
                return Ok(Ok(read(&result)?));
            }
            Some(State::Begun(token)) => return Err(Refusal::Interrupted { token }.into()),
            Some(State::Undone) | None => {}
        }
        let token = section.token();
        self.0.store(section, &State::Begun(token)).await?;
        let done = match section.run(step(token)).await? {
            Ok(done) => done,
            Err(failure) => {
                self.0.store(section, &State::Undone).await?;
                return Ok(Err(failure));
            }
        };
        let state = State::Done(write(&done)?);
        self.0.store(section, &state).await?;
        self.0.announce_quietly(section, &state).await;
        Ok(Ok(done))
    }

    /// The result, if the step was done and the nearest replica knows.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves; [`Refusal::Foreign`] where
    /// the result is of another type.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn result<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        match self.0.glance().await? {
            Some(State::Done(result)) => Ok(Some(read(&result)?)),
            Some(State::Undone | State::Begun(_)) | None => Ok(None),
        }
    }

    /// Says that an interrupted step was done, and with what result. Returns
    /// whether it was interrupted: else nothing is changed.
    ///
    /// # Errors
    /// Others, of which [`Error::outcome`] says whether it may be settled.
    ///
    /// # Cost
    /// A section with two writes.
    ///
    /// # Cancel safety
    /// It may or may not be settled.
    pub async fn settle<T: Serialize>(&self, result: &T) -> Result<bool, Error> {
        let result = write(result)?;
        self.end(State::Done(result)).await
    }

    /// Says that an interrupted step was not done, so that the next caller does
    /// it. Returns whether it was interrupted: else nothing is changed.
    ///
    /// # Errors
    /// As [`Once::settle`].
    ///
    /// # Cost
    /// A section with two writes.
    ///
    /// # Cancel safety
    /// As [`Once::settle`].
    pub async fn forget(&self) -> Result<bool, Error> {
        self.end(State::Undone).await
    }

    async fn end(&self, end: State) -> Result<bool, Error> {
        let step = |state, _| {
            Ok(match state {
                Some(State::Begun(_)) => Step::Announce(end.clone(), true),
                Some(State::Undone | State::Done(_)) | None => Step::Keep(false),
            })
        };
        self.0.change(step).await
    }
}

fn read<T: DeserializeOwned>(result: &Json) -> Result<T, Refusal> {
    T::deserialize(result).map_err(|fault| Refusal::Foreign(fault.to_string()))
}

fn write<T: Serialize>(result: &T) -> Result<Json, Error> {
    serde_json::to_value(result).map_err(|fault| crate::error::Invalid::Json(fault).into())
}
