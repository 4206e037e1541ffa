//! A barrier: parties that wait for each other.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::dice;
use crate::error::{Error, Outcome};
use crate::mutation::{Mutation, is_on};
use crate::recipes::document::{self, Document, Seen, Step};
use crate::recipes::refusal::{self, Refusal};

/// The most parties of a barrier.
const PARTIES_MAX: u64 = 4_096;

/// The longest name of a party, in bytes.
const PARTY_BYTES_MAX: usize = 256;

/// Where a number of parties wait for each other, again and again.
///
/// **Promise.** No party goes on before all have arrived; when all have, all go
/// on. A party is counted once, however often it asks and whatever answers are
/// lost. Then the barrier is closed for the next crossing.
///
/// **Cost.** A section with one write for each party, one round more for the
/// last; the wait costs a connection to the own site: no majority, however many
/// parties there are.
///
/// **On failure.** A party that stops waiting is withdrawn. One that dies has
/// arrived all the same: arrive under the same name after a restart
/// ([`Barrier::wait_as`]); where all have gone on meanwhile, that is for the
/// next crossing. One that dies before it arrives holds the others up,
/// for as long as they care to wait ([`Barrier::wait_within`]).
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Barrier;
///
/// let crossing = Barrier::new(client, "phase", 3)?.wait().await?;
/// if crossing.last {
///     println!("all are here, for the {}th time", crossing.number);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Barrier {
    document: Document<State>,
    parties: u64,
}

/// All parties have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// How often the barrier has been crossed, this time included.
    pub number: u64,
    /// Whether this party was the last to arrive: one of them is, each time.
    pub last: bool,
}

/// How far a barrier is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// For how many parties it is; `None` where none has arrived ever.
    pub parties: Option<u64>,
    /// How often it was crossed.
    pub crossed: u64,
    /// How many have arrived since.
    pub arrived: u64,
}

/// The state of a barrier.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct State {
    parties: u64,
    /// How often it was crossed.
    crossed: u64,
    /// Who has arrived since, in which of its attempts.
    arrived: BTreeMap<String, u64>,
    /// Who arrived before the last crossing: one that did not hear of it can
    /// find out.
    passed: BTreeMap<String, u64>,
}

/// What arriving came to.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Arrival {
    /// The crossing of that number is open.
    Open(u64),
    /// The crossing of that number is waited for.
    Waits(u64),
    /// The crossing before the one that is wanted has not happened yet.
    Early,
}

/// Which crossings a party means.
#[derive(Clone, Copy)]
pub(crate) enum Turn {
    /// The next one.
    Next,
    /// The next one with an odd number, which lets parties in.
    Enter,
    /// The next one with an even number, which lets them out.
    Leave,
}

impl Turn {
    fn fits(self, number: u64) -> bool {
        match self {
            Self::Next => true,
            Self::Enter => number % 2 == 1,
            Self::Leave => number.is_multiple_of(2),
        }
    }
}

impl Barrier {
    /// The barrier of that name, for so many parties.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::OutOfBounds`].
    pub fn new(client: &Client, name: &str, parties: u64) -> Result<Self, Refusal> {
        Self::of_kind(client, "barrier", name, parties)
    }

    pub(crate) fn of_kind(
        client: &Client,
        kind: &str,
        name: &str,
        parties: u64,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            document: Document::new(client, kind, name)?,
            parties: refusal::count("parties", parties, PARTIES_MAX)?,
        })
    }

    /// Arrives, and waits for all others.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where others named another number of parties;
    /// others, of which [`Error::outcome`] says whether this party may have
    /// arrived. Then it is withdrawn in the background, unless all have.
    ///
    /// # Cost
    /// A section with one write, then a connection to the own site.
    ///
    /// # Cancel safety
    /// Dropping the future withdraws this party in the background.
    pub async fn wait(&self) -> Result<Crossing, Error> {
        self.cross(&someone(), Turn::Next).await
    }

    /// Arrives under a name, and waits for all others. Parties have names of
    /// their own; one that was restarted arrives under its old one.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Cost
    /// As [`Barrier::wait`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn wait_as(&self, party: &str) -> Result<Crossing, Error> {
        self.cross(party, Turn::Next).await
    }

    /// Arrives, and waits for all others, for so long at most. `None`
    /// afterwards: this party is withdrawn, and the others go on waiting.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Cost
    /// As [`Barrier::wait`]; a section with one write more to withdraw.
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn wait_within(&self, wait: Duration) -> Result<Option<Crossing>, Error> {
        self.cross_within(&someone(), Turn::Next, wait).await
    }

    /// As [`Barrier::wait_as`], for so long at most. `None` afterwards: this
    /// party is withdrawn, and the others go on waiting.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Cost
    /// As [`Barrier::wait_within`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn wait_as_within(
        &self,
        party: &str,
        wait: Duration,
    ) -> Result<Option<Crossing>, Error> {
        self.cross_within(party, Turn::Next, wait).await
    }

    /// Observes the barrier of that name, whatever its number of parties.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn observe(client: &Client, name: &str) -> Result<BarrierObserver, Refusal> {
        let document = Document::<State>::new(client, "barrier", name)?;
        Ok(BarrierObserver {
            seen: document.observe(),
            told: None,
        })
    }

    pub(crate) async fn cross_within(
        &self,
        party: &str,
        turn: Turn,
        wait: Duration,
    ) -> Result<Option<Crossing>, Error> {
        let mut waits = Waits::new(self, party);
        let crossed = document::within(wait, waits.cross(turn)).await?;
        if crossed.is_some() {
            return Ok(crossed);
        }
        // All may have arrived in the very last moment: then it has crossed, and
        // was not told.
        waits.withdraw().await.map_err(in_doubt)
    }

    pub(crate) async fn cross(&self, party: &str, turn: Turn) -> Result<Crossing, Error> {
        Waits::new(self, party).cross(turn).await
    }

    async fn arrive(&self, party: &str, attempt: u64, turn: Turn) -> Result<Arrival, Error> {
        refusal::name("a party", party, PARTY_BYTES_MAX)?;
        let parties = self.parties;
        let needed = parties - u64::from(is_on(Mutation::PartyTooFew));
        let step = |state: Option<State>, _| {
            let mut state = state.unwrap_or(State {
                parties,
                crossed: 0,
                arrived: BTreeMap::new(),
                passed: BTreeMap::new(),
            });
            refusal::agree("parties", parties, state.parties)?;
            let number = state.crossed + 1;
            if !turn.fits(number) {
                return Ok(Step::Keep(Arrival::Early));
            }
            state.arrived.insert(party.to_owned(), attempt);
            if (state.arrived.len() as u64) < needed {
                return Ok(Step::Change(state, Arrival::Waits(number)));
            }
            state.passed = std::mem::take(&mut state.arrived);
            state.crossed = number;
            Ok(Step::Announce(state, Arrival::Open(number)))
        };
        self.document.change(step).await
    }

    /// Takes a party back, unless all have arrived at its crossing: then returns
    /// the number of that. `number` is the crossing that it waits for, if it
    /// knows.
    async fn withdraw(
        &self,
        party: &str,
        attempt: u64,
        number: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let step = |state: Option<State>, _| {
            let Some(mut state) = state else {
                return Ok(Step::Keep(None));
            };
            let passed = state.passed.get(party) == Some(&attempt);
            let number = number.or(passed.then_some(state.crossed));
            if let Some(number) = number
                && state.crossed >= number
            {
                return Ok(Step::Keep(Some(number)));
            }
            if state.arrived.get(party) != Some(&attempt) {
                return Ok(Step::Keep(None));
            }
            state.arrived.remove(party);
            Ok(Step::Change(state, None))
        };
        self.document.change(step).await
    }
}

/// A barrier that is observed; ends when it is dropped.
#[derive(Debug)]
pub struct BarrierObserver {
    seen: Seen<State>,
    /// What was told last, if anything was.
    told: Option<Arrivals>,
}

impl BarrierObserver {
    /// How far the barrier is, then each change; those in quick succession may
    /// come as one. It is what the nearest replica knows: that it is crossed,
    /// only who waits may rely on.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves: asking again goes on.
    ///
    /// # Cost
    /// A connection to the own site, kept open; no majority.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Arrivals, Error> {
        loop {
            let state = self.seen.next().await?;
            let arrivals = state.map_or_else(Arrivals::default, |state| Arrivals {
                parties: Some(state.parties),
                crossed: state.crossed,
                arrived: state.arrived.len() as u64,
            });
            if self.told != Some(arrivals) {
                self.told = Some(arrivals);
                return Ok(arrivals);
            }
        }
    }
}

/// A failure of one that has arrived.
fn in_doubt(last: Error) -> Error {
    if last.outcome() == Outcome::Unknown {
        return last;
    }
    Error::Unavailable {
        attempts: 1,
        outcome: Outcome::Unknown,
        last: Box::new(last),
    }
}

/// A name that no other party has.
pub(crate) fn someone() -> String {
    dice::idempotency_key().to_string()
}

/// A party that waits, or is about to; withdrawn when dropped.
struct Waits {
    barrier: Barrier,
    party: String,
    /// Tells this wait from another one under the same name.
    attempt: u64,
    /// Whether it may have arrived and has not crossed.
    arrived: bool,
    /// The crossing that it waits for, once it knows.
    number: Option<u64>,
}

impl Waits {
    fn new(barrier: &Barrier, party: &str) -> Self {
        let (attempt, _) = dice::idempotency_key().as_u64_pair();
        Self {
            barrier: barrier.clone(),
            party: party.to_owned(),
            attempt,
            arrived: false,
            number: None,
        }
    }

    async fn cross(&mut self, turn: Turn) -> Result<Crossing, Error> {
        loop {
            // Until there is an answer.
            self.arrived = true;
            let arrival = self.barrier.arrive(&self.party, self.attempt, turn).await;
            match arrival {
                Ok(Arrival::Open(number)) => {
                    self.arrived = false;
                    return Ok(Crossing { number, last: true });
                }
                Ok(Arrival::Waits(number)) => {
                    self.number = Some(number);
                    let open = |state: State| (state.crossed >= number).then_some(());
                    self.barrier.document.until(open).await.map_err(in_doubt)?;
                    self.arrived = false;
                    let last = false;
                    return Ok(Crossing { number, last });
                }
                Ok(Arrival::Early) => {
                    self.arrived = false;
                    let fits = |state: State| turn.fits(state.crossed + 1).then_some(());
                    self.barrier.document.until(fits).await?;
                }
                Err(error) => {
                    self.arrived = error.outcome() == Outcome::Unknown;
                    return Err(error);
                }
            }
        }
    }

    async fn withdraw(&mut self) -> Result<Option<Crossing>, Error> {
        if !self.arrived {
            return Ok(None);
        }
        let crossed = self
            .barrier
            .withdraw(&self.party, self.attempt, self.number);
        let crossed = crossed.await?;
        self.arrived = false;
        let last = false;
        Ok(crossed.map(|number| Crossing { number, last }))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !std::mem::take(&mut self.arrived) {
            return;
        }
        let (barrier, party) = (self.barrier.clone(), std::mem::take(&mut self.party));
        let (attempt, number) = (self.attempt, self.number);
        let client = self.barrier.document.client().clone();
        client.inner.in_background(async move {
            if let Err(error) = barrier.withdraw(&party, attempt, number).await {
                tracing::debug!(%error, "a party that stopped waiting could not be withdrawn");
            }
        });
    }
}
