//! A step that is done once.

use std::time::Duration;

use music_api::name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::Value as Json;

use crate::client::Client;
use crate::error::{Error, Invalid, LostReason};
use crate::mutation::{Mutation, is_on};
use crate::recipes::document::{self, Document};
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

/// How far a step is.
#[derive(Clone, Debug, PartialEq)]
pub enum OnceState {
    /// It was not begun, or its failure undid it.
    Undone,
    /// It was begun, and not ended: somebody does it, or it is interrupted.
    Begun {
        /// The fencing token under which it was begun.
        token: u64,
    },
    /// It was done, with that result.
    Done(Json),
}

/// What beginning a step came to.
#[derive(Debug)]
pub enum Begun {
    /// It was done before, with that result.
    Done(Json),
    /// It is this caller's to do.
    Begun(Step),
}

/// A step that this caller has begun. Dropped before [`done`](Self::done) or
/// [`undone`](Self::undone), it is interrupted.
#[derive(Debug)]
pub struct Step {
    once: Once,
    section: CriticalSection,
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
        let begun = loop {
            if let Some(begun) = self.begin_until(None).await? {
                break begun;
            }
        };
        let begun = match begun {
            Begun::Done(result) => return Ok(Ok(read(&result)?)),
            Begun::Begun(begun) => begun,
        };
        match begun.section.run(step(begun.token())).await? {
            Ok(done) => {
                begun.done(&done).await?;
                Ok(Ok(done))
            }
            Err(failure) => {
                begun.undone().await?;
                Ok(Err(failure))
            }
        }
    }

    /// Begins the step, unless it was done; waits for so long at most while
    /// somebody else does it, `None` afterwards. For code that cannot be handed
    /// over as a future: what is done between this and [`Step::done`] is what
    /// [`Once::run`] is given.
    ///
    /// # Errors
    /// As [`Once::run`].
    ///
    /// # Cost
    /// A section's enqueue, a read and a write; a request to the own site where
    /// the step is done.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up, and undoes the step
    /// in the background where it was about to be begun.
    pub async fn begin_within(&self, wait: Duration) -> Result<Option<Begun>, Error> {
        self.begin_until(Some(wait)).await
    }

    async fn begin_until(&self, wait: Option<Duration>) -> Result<Option<Begun>, Error> {
        if let Some(State::Done(result)) = self.0.glance().await? {
            return Ok(Some(Begun::Done(result)));
        }
        let section = match self.0.section_within(wait).await {
            Ok(section) => section,
            Err(Error::TimedOut { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.0.load(&section).await? {
            Some(State::Done(result)) => {
                let state = State::Done(result.clone());
                // The one who did it may not have lived to tell the others.
                self.0.announce(&section, &state).await?;
                end(section).await;
                return Ok(Some(Begun::Done(result)));
            }
            Some(State::Begun(token)) if !is_on(Mutation::StepBegunAgain) => {
                end(section).await;
                return Err(Refusal::Interrupted { token }.into());
            }
            Some(State::Undone | State::Begun(_)) | None => {}
        }
        let begun = State::Begun(section.token());
        let once = self.clone();
        let mut beginning = Beginning(Some(Step { once, section }));
        if let Some(step) = &beginning.0 {
            self.0.store(&step.section, &begun).await?;
        }
        Ok(beginning.0.take().map(Begun::Begun))
    }

    /// Takes a step up again that was begun and detached.
    ///
    /// # Errors
    /// [`Refusal::ForeignLock`] where the lockRef is for another key, or has not
    /// begun the step, or ended it; as [`Client::resume`].
    ///
    /// # Cost
    /// A request to the own site and one round; an adoption where another node
    /// keeps its section.
    ///
    /// # Cancel safety
    /// Dropping the future may interrupt the step.
    pub async fn resume(&self, lock_ref: &str) -> Result<Step, Error> {
        let section = self.0.resume(lock_ref).await?;
        let state = match self.0.load(&section).await {
            Ok(state) => state,
            Err(error) => {
                drop(section.detach());
                return Err(error);
            }
        };
        match state {
            Some(State::Begun(token)) if token == section.token() => {
                let once = self.clone();
                Ok(Step { once, section })
            }
            _ => {
                let why = "the step is not begun under it";
                Err(self.0.leave(section, why).into())
            }
        }
    }

    /// How far the step is, as the nearest replica knows it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site where it is done, two where it is not; a shared
    /// section in the moment when it is about to be.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn state(&self) -> Result<OnceState, Error> {
        let state = match self.0.glance().await? {
            Some(State::Done(result)) => Some(State::Done(result)),
            _ => match self.0.look().await? {
                // A majority may not have it yet: then it may go again.
                Some(State::Done(_)) => self.0.read().await?,
                state => state,
            },
        };
        Ok(match state {
            Some(State::Done(result)) => OnceState::Done(result),
            Some(State::Begun(token)) => OnceState::Begun { token },
            Some(State::Undone) | None => OnceState::Undone,
        })
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
                Some(State::Begun(_)) => document::Step::Announce(end.clone(), true),
                Some(State::Undone | State::Done(_)) | None => document::Step::Keep(false),
            })
        };
        self.0.change(step).await
    }
}

impl Step {
    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.section.token()
    }

    /// Waits until the lock is lost: then the step is interrupted.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LostReason {
        self.section.lost().await
    }

    /// Says that the step was done, and with what result.
    ///
    /// # Errors
    /// [`Error::Lost`] where the lock was lost before; others, of which
    /// [`Error::outcome`] says whether it may count as done. Where it does not,
    /// it is interrupted.
    ///
    /// # Cost
    /// Two rounds.
    ///
    /// # Cancel safety
    /// The step counts as done, or is interrupted.
    pub async fn done<T: Serialize>(self, result: &T) -> Result<(), Error> {
        let state = State::Done(write(result)?);
        let document = &self.once.0;
        document.store(&self.section, &state).await?;
        if let Err(error) = document.announce(&self.section, &state).await {
            tracing::debug!(%error, "a result could not be announced");
        }
        end(self.section).await;
        Ok(())
    }

    /// Says that the step was not done: the next caller does it.
    ///
    /// # Errors
    /// As [`Step::done`].
    ///
    /// # Cost
    /// One round.
    ///
    /// # Cancel safety
    /// The step is undone, or interrupted.
    pub async fn undone(self) -> Result<(), Error> {
        self.once.0.store(&self.section, &State::Undone).await?;
        end(self.section).await;
        Ok(())
    }

    /// Leaves the step begun, and returns its lockRef: its lock is not kept
    /// alive any more. Whoever has the lockRef renews it within the lease, and
    /// takes the step up again to end it: [`Once::resume`].
    pub fn detach(self) -> String {
        self.section.detach()
    }
}

/// A step that is about to be begun. Nobody was told yet, so that it is undone
/// where that fails, or is given up.
struct Beginning(Option<Step>);

impl Drop for Beginning {
    fn drop(&mut self) {
        let Some(step) = self.0.take() else { return };
        let client = step.once.0.client().clone();
        client.inner.in_background(async move {
            if let Err(error) = step.undone().await {
                tracing::debug!(%error, "a step that was about to begin could not be undone");
            }
        });
    }
}

/// Ends a section whose last write was acknowledged, whatever becomes of the
/// release.
async fn end(section: CriticalSection) {
    if let Err(error) = section.release().await {
        tracing::debug!(%error, "the section of a step could not be released");
    }
}

fn read<T: DeserializeOwned>(result: &Json) -> Result<T, Refusal> {
    T::deserialize(result).map_err(|fault| Refusal::Foreign(fault.to_string()))
}

fn write<T: Serialize>(result: &T) -> Result<Json, Invalid> {
    let result = serde_json::to_value(result).map_err(Invalid::Json)?;
    if name::is_shallow(&result) {
        Ok(result)
    } else {
        Err(Invalid::TooDeep)
    }
}
