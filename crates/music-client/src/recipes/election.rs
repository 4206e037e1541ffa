//! Leader election.

use std::time::Duration;

use music_api::name::Value;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::clock::{self, Instant};
use crate::content::Content;
use crate::error::{Error, Lost, LostReason};
use crate::recipes::document::{Document, Seen};
use crate::recipes::refusal::{self, Refusal};
use crate::section::CriticalSection;

/// The longest name of a candidate, in bytes.
const CANDIDATE_BYTES_MAX: usize = 256;

/// One leader at a time.
///
/// **Promise.** At most one [`Leadership`] is valid at a time; leaders have growing
/// fencing tokens. A leader that was preempted is told, and cannot write over
/// its successor's word. Candidates lead in the order in which they asked, but
/// for one that the leader names ([`Leadership::hand_over`]).
///
/// **Cost.** A section with one write to lead. To observe costs a connection to
/// the own site, and no majority.
///
/// **On failure.** A leader that dies is forced out after at most two leases.
/// Observers see it until the next one leads: they see who led last, and under
/// which token; whether it still leads, only its own leadership knows.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Election;
///
/// let election = Election::new(client, "scheduler")?;
/// let leadership = election.candidate("ohio-1", "http://10.0.0.7:8080")?.campaign().await?;
/// let ended = leadership
///     .run(async { /* lead; dropped at once where the leadership is lost */ })
///     .await;
/// leadership.resign().await?;
/// # drop(ended);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    document: Document<State>,
}

/// Who leads, or led last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leader {
    /// The candidate's name.
    pub candidate: String,
    /// What it says of itself, such as its address.
    pub value: Value,
    /// Its fencing token: greater than those of all leaders before.
    pub token: u64,
}

/// The state of an election.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    leader: Option<Leader>,
    /// Whom the last leader named, and under which token.
    successor: Option<(String, u64)>,
}

impl Election {
    /// The election of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        let document = Document::new(client, "election", name)?;
        Ok(Self { document })
    }

    /// A candidate of that name, with what it says of itself. Candidates have
    /// names of their own.
    ///
    /// # Errors
    /// [`Refusal::Name`] for a name of no bytes, or of too many.
    pub fn candidate(
        &self,
        candidate: &str,
        value: impl Into<Content>,
    ) -> Result<Candidacy, Refusal> {
        refusal::name("a candidate", candidate, CANDIDATE_BYTES_MAX)?;
        Ok(Candidacy {
            document: self.document.clone(),
            candidate: candidate.to_owned(),
            value: value.into().to_value(),
        })
    }

    /// Who leads or led last, as the nearest replica knows it; `None` where
    /// nobody ever led, or the last one resigned.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves.
    ///
    /// # Cost
    /// A request to the own site; no majority.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn leader(&self) -> Result<Option<Leader>, Error> {
        let state = self.document.look().await?;
        Ok(state.and_then(|state| state.leader))
    }

    /// Takes a leadership up again that was detached.
    ///
    /// # Errors
    /// [`Refusal::ForeignLock`] where the lockRef is for another key, or does
    /// not lead, as after it resigned; as [`Client::resume`].
    ///
    /// # Cost
    /// A request to the own site and one round; an adoption where another node
    /// keeps its section.
    ///
    /// # Cancel safety
    /// Dropping the future may end the leadership.
    pub async fn resume(&self, lock_ref: &str) -> Result<Leadership, Error> {
        let section = self.document.resume(lock_ref).await?;
        let state = match self.document.load(&section).await {
            Ok(state) => state.unwrap_or_default(),
            Err(error) => {
                drop(section.detach());
                return Err(error);
            }
        };
        match state.leader {
            Some(leader) if leader.token == section.token() => Ok(Leadership {
                document: self.document.clone(),
                section,
                leader,
            }),
            _ => Err(self.document.leave(section, "it does not lead").into()),
        }
    }

    /// Observes the election.
    pub fn observe(&self) -> Observer {
        Observer {
            seen: self.document.observe(),
            told: Told::default(),
        }
    }
}

/// A candidate that may campaign.
#[derive(Clone, Debug)]
pub struct Candidacy {
    document: Document<State>,
    candidate: String,
    value: Value,
}

impl Candidacy {
    /// Waits to lead.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`](crate::LockRequest::acquire).
    ///
    /// # Cost
    /// A section with one write.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up.
    pub async fn campaign(&self) -> Result<Leadership, Error> {
        loop {
            if let Some(leadership) = self.campaign_until(None).await? {
                return Ok(leadership);
            }
        }
    }

    /// Waits to lead, for so long at most, zero not to wait; `None` afterwards.
    ///
    /// # Errors
    /// As [`Candidacy::campaign`].
    ///
    /// # Cost
    /// As [`Candidacy::campaign`].
    ///
    /// # Cancel safety
    /// As [`Candidacy::campaign`].
    pub async fn campaign_within(&self, wait: Duration) -> Result<Option<Leadership>, Error> {
        // A wait beyond all clocks is one without a limit.
        let until = clock::now().checked_add(wait);
        self.campaign_until(until).await
    }

    async fn campaign_until(&self, until: Option<Instant>) -> Result<Option<Leadership>, Error> {
        let mut yielded = None;
        loop {
            let wait = clock::left(until);
            let section = match self.document.section_within(wait).await {
                Ok(section) => section,
                Err(Error::TimedOut { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match Box::pin(self.lead(section, &mut yielded)).await {
                Ok(Some(leadership)) => return Ok(Some(leadership)),
                // Gave way, or was taken for dead before it led.
                Ok(None) | Err(Error::Lost(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Leads, or gives way to a named successor. Who was named waits in the
    /// queue already, or it has gone: so each candidate gives way to a nomination
    /// once, and goes behind it.
    async fn lead(
        &self,
        section: CriticalSection,
        yielded: &mut Option<u64>,
    ) -> Result<Option<Leadership>, Error> {
        let state = self.document.load(&section).await?.unwrap_or_default();
        if let Some((successor, token)) = state.successor
            && successor != self.candidate
            && *yielded != Some(token)
        {
            *yielded = Some(token);
            section.release().await?;
            return Ok(None);
        }
        let leadership = Leadership {
            document: self.document.clone(),
            leader: Leader {
                candidate: self.candidate.clone(),
                value: self.value.clone(),
                token: section.token(),
            },
            section,
        };
        leadership.tell(Some(&leadership.leader), None).await?;
        Ok(Some(leadership))
    }
}

/// The right to lead. Dropped, it ends, and observers see the leader until the
/// next one leads; [`resign`](Self::resign) tells them.
#[derive(Debug)]
pub struct Leadership {
    document: Document<State>,
    section: CriticalSection,
    leader: Leader,
}

impl Leadership {
    /// The fencing token.
    pub fn token(&self) -> u64 {
        self.leader.token
    }

    /// What observers see.
    pub fn leader(&self) -> &Leader {
        &self.leader
    }

    /// The lockRef behind it, for another process or an administrator.
    pub fn lock_ref(&self) -> &str {
        self.section.lock_ref()
    }

    /// Leaves the leadership as it is, and returns its lockRef: it does not end,
    /// and is not kept alive any more. Whoever has the lockRef renews it within
    /// the lease, or takes the leadership up again: [`Election::resume`].
    pub fn detach(self) -> String {
        self.section.detach()
    }

    /// Waits until the leadership is lost; for ever if it never is.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LostReason {
        self.section.lost().await
    }

    /// Why the leadership is lost, if it is.
    pub fn is_lost(&self) -> Option<LostReason> {
        self.section.is_lost()
    }

    /// Does some work, and drops it at once where the leadership is lost.
    ///
    /// # Errors
    /// [`Lost`]; the work may have had some of its effects.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        self.section.run(work).await
    }

    /// Says something else of itself.
    ///
    /// # Errors
    /// As [`CriticalSection::put`].
    ///
    /// # Cost
    /// One round.
    ///
    /// # Cancel safety
    /// Observers may or may not be told.
    pub async fn proclaim(&mut self, value: impl Into<Content>) -> Result<(), Error> {
        self.leader.value = value.into().to_value();
        self.tell(Some(&self.leader), None).await
    }

    /// Ends the leadership: observers are told that nobody leads.
    ///
    /// # Errors
    /// [`Error::Lost`] where it had been lost before; others, after which it ends
    /// all the same.
    ///
    /// # Cost
    /// One round, and a request to the own site.
    ///
    /// # Cancel safety
    /// It ends; observers may or may not be told.
    pub async fn resign(self) -> Result<(), Error> {
        self.tell(None, None).await?;
        self.section.release().await
    }

    /// Ends the leadership in favour of a candidate that campaigns: those before
    /// it in the queue give way, once. Where it does not campaign, the first of
    /// them leads after all have given way.
    ///
    /// # Errors
    /// As [`Leadership::resign`].
    ///
    /// # Cost
    /// As [`Leadership::resign`]; a section for each candidate that gives way.
    ///
    /// # Cancel safety
    /// As [`Leadership::resign`].
    pub async fn hand_over(self, to: &str) -> Result<(), Error> {
        refusal::name("a candidate", to, CANDIDATE_BYTES_MAX)?;
        self.tell(None, Some(to)).await?;
        self.section.release().await
    }

    async fn tell(&self, leader: Option<&Leader>, successor: Option<&str>) -> Result<(), Error> {
        let state = State {
            leader: leader.cloned(),
            successor: successor.map(|name| (name.to_owned(), self.leader.token)),
        };
        self.document.store(&self.section, &state).await
    }
}

/// An election that is observed; ends when it is dropped.
#[derive(Debug)]
pub struct Observer {
    seen: Seen<State>,
    told: Told,
}

impl Observer {
    /// The next leader, `None` where the last one resigned. Begins with the
    /// present state; what changes in quick succession may come as one. The
    /// tokens of leaders never go back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves: asking again goes on.
    ///
    /// # Cost
    /// A connection to the own site, kept open; no majority.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Leader>, Error> {
        loop {
            let state = self.seen.next().await?.unwrap_or_default();
            if self.told.is_news(state.leader.as_ref()) {
                return Ok(state.leader);
            }
        }
    }
}

/// What an observer told last.
#[derive(Debug, Default)]
struct Told {
    /// Whether anything was told, and who then.
    began: bool,
    leader: Option<Leader>,
    /// The highest token of a leader.
    token: u64,
}

impl Told {
    /// Whether that is news. The replica that was asked may be behind another
    /// one that was asked before: earlier leaders are not told again.
    fn is_news(&mut self, leader: Option<&Leader>) -> bool {
        let token = leader.map_or(self.token, |leader| leader.token);
        if token < self.token || self.began && self.leader.as_ref() == leader {
            return false;
        }
        *self = Self {
            began: true,
            leader: leader.cloned(),
            token,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leader(token: u64, value: &str) -> Leader {
        Leader {
            candidate: format!("c{token}"),
            value: Value::Text(value.to_owned()),
            token,
        }
    }

    #[test]
    fn leaders_are_told_once_and_never_go_back() {
        let mut told = Told::default();
        assert!(told.is_news(None), "what is there at first");
        for (token, value, is_news) in [
            (5, "", true),
            (5, "", false),
            (5, "says more", true),
            (1, "", false),
            (6, "", true),
        ] {
            let news = told.is_news(Some(&leader(token, value)));
            assert_eq!(news, is_news, "{token} {value}");
        }
        assert!(told.is_news(None), "the last one resigned");
        assert!(!told.is_news(Some(&leader(5, ""))));
    }
}
