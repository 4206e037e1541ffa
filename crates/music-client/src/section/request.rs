//! Asking for a lock, and giving up on it.

use std::sync::Arc;
use std::time::Duration;

use music_api::lock::{CreateLockRef, Lock, LockMode, LockState};
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::client::Inner;
use crate::clock::{self, Instant};
use crate::dice;
use crate::error::{Error, Lost, LostReason, Outcome};
use crate::key::RecordKey;
use crate::section::CriticalSection;
use crate::section::judge::{Verdict, judge};
use crate::section::keeper;
use crate::section::place::Place;
use crate::section::seat::{Failures, Seat, Terms, give_up};

/// A lock that is about to be asked for.
#[derive(Debug)]
#[must_use = "nothing is locked before `acquire`"]
pub struct LockRequest {
    client: Arc<Inner>,
    keys: Vec<RecordKey>,
    mode: LockMode,
    lease: Duration,
    wait: Option<Duration>,
}

impl LockRequest {
    pub(crate) fn new(client: Arc<Inner>, keys: Vec<RecordKey>) -> Self {
        let lease = client.options.lease;
        Self {
            client,
            keys,
            mode: LockMode::Exclusive,
            lease,
            wait: None,
        }
    }

    /// Beside other shared ones, to read only.
    pub fn shared(mut self) -> Self {
        self.mode = LockMode::Shared;
        self
    }

    /// How long this client may go unheard before its section is ended: the
    /// most that others wait if it dies.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long to wait for the grant at most, zero to take a free lock or
    /// none. Without it there is no limit.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Queues for the lock and waits for the grant. From then on the section
    /// is kept alive until it is released or dropped.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the wait; [`Error::Lost`] where the place in
    /// the queue was taken away by force; [`Error::Unavailable`] where no node
    /// serves; [`Error::Problem`] where the request is wrong. Nothing stays
    /// locked: a place in the queue is given up in the background, which
    /// [`Client::close`](crate::Client::close) waits for.
    ///
    /// # Cost
    /// One enqueue's rounds (two with Cassandra, about one with the others)
    /// where the lock is free; a request to the own site for each third of the
    /// lease while it waits.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up in the background.
    pub async fn acquire(self) -> Result<CriticalSection, Error> {
        let began = clock::now();
        // A wait beyond all clocks is one without a limit.
        let until = self.wait.and_then(|wait| began.checked_add(wait));
        let keys = self.keys.clone();
        let mut pending = Pending::new(self)?;
        let Some((seat, lock)) = pending.granted(until).await? else {
            return Err(Error::TimedOut {
                waited: clock::now() - began,
            });
        };
        keeper::freshen(&seat).await?;
        pending.disarm();
        Ok(CriticalSection::new(seat, &keys, lock.tokens))
    }
}

/// The place in the queue is gone.
fn lost() -> Error {
    Error::Lost(Lost {
        reason: LostReason::Preempted,
        outcome: Outcome::NotApplied,
    })
}

/// A place in the queue, or what may become one; given up when dropped.
struct Pending {
    client: Arc<Inner>,
    /// The creation. At any node, it finds the same tickets again.
    call: Call,
    place: Place,
    /// Whether tickets may be in the queues.
    queued: bool,
    seat: Option<Arc<Seat>>,
}

impl Pending {
    fn new(request: LockRequest) -> Result<Self, Error> {
        let LockRequest {
            client,
            keys,
            mode,
            lease,
            ..
        } = request;
        let body = CreateLockRef {
            keys: keys.iter().map(RecordKey::to_api).collect(),
            mode,
            lease_ms: Some(clock::to_ms(lease)),
            // It may be sent again by a release, which would wait in vain.
            wait_ms: None,
        };
        let call = Call::change(Method::POST, "/v1/locks".to_owned(), Repeat::AnyNode);
        let call = call.wide().json(&body)?;
        let order = client
            .endpoints
            .order(clock::now(), client.options.avoid_failed);
        let first = order.first().copied().unwrap_or_default();
        let place = Place::new(client.endpoints.len(), first);
        Ok(Self {
            client,
            call,
            place,
            queued: false,
            seat: None,
        })
    }

    /// Creates it and waits for the grant, if it comes until then. A node where it
    /// waits may be gone before the queue has heard of it: then it is created anew at
    /// another one, as often as that happens.
    async fn granted(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<(Arc<Seat>, Lock)>, Error> {
        loop {
            let lock = self.create_anew(until).await?;
            let seat = self.seat()?;
            let waited = match lock.state {
                LockState::Granted => Ok(Some(lock)),
                LockState::Waiting => seat.acquire(until).await,
                LockState::Lost | LockState::Released => Err(lost()),
            };
            let late = until.is_some_and(|until| until <= clock::now());
            match waited {
                Err(Error::Lost(_)) if seat.spot().epoch > 0 && !late => self.renew(&seat),
                waited => return Ok(waited?.map(|lock| (seat, lock))),
            }
            self.client.pause(1).await;
        }
    }

    /// Another request, at the node where that one was last.
    fn renew(&mut self, seat: &Seat) {
        self.call.idempotency_key = Some(dice::idempotency_key());
        self.place = Place::new(self.client.endpoints.len(), seat.spot().at);
        (self.queued, self.seat) = (false, None);
    }

    /// Creates it, and another one where the node has given it up meanwhile: as
    /// one that did not get into the queue in time, or whose answer was lost
    /// and whose client was not heard for a lease.
    async fn create_anew(&mut self, until: Option<Instant>) -> Result<Lock, Error> {
        let mut left = self.client.attempts_max();
        loop {
            let error = match self.create(until).await {
                Err(error) if judge(&error) == Verdict::Lost => error,
                created => return created,
            };
            left -= 1;
            let late = until.is_some_and(|until| until <= clock::now());
            if left == 0 || late {
                return Err(error);
            }
            self.client.pause(1).await;
            self.call.idempotency_key = Some(dice::idempotency_key());
        }
    }

    async fn create(&mut self, until: Option<Instant>) -> Result<Lock, Error> {
        let attempts = self.client.options.retry.attempts.get();
        let mut failures = Failures::default();
        loop {
            let began = clock::now();
            let error = match self.create_once().await {
                Ok(lock) => {
                    let place = self.place.clone();
                    let terms = Terms {
                        lock_ref: lock.lock_ref.clone(),
                        lease_ms: lock.lease_ms,
                    };
                    let seat = Seat::new(Arc::clone(&self.client), terms, place, began);
                    self.seat = Some(Arc::new(seat));
                    return Ok(lock);
                }
                Err(error) => error,
            };
            failures.add();
            let verdict = judge(&error);
            if verdict == Verdict::Lost {
                return Err(lost());
            }
            let late = until.is_some_and(|until| until <= clock::now()) && failures.in_all > 1;
            if verdict == Verdict::Stop || failures.in_all >= self.client.attempts_max() || late {
                let outcome = if self.queued {
                    Outcome::Unknown
                } else {
                    Outcome::NotApplied
                };
                return Err(give_up(error, failures, outcome));
            }
            if verdict == Verdict::Turn || (verdict == Verdict::Retry && failures.here >= attempts)
            {
                self.client
                    .endpoints
                    .note(self.place.spot().at, Some(clock::now()));
                self.place.turn();
                failures.here = 0;
            }
            self.client.pause(failures.here.max(1)).await;
        }
    }

    async fn create_once(&mut self) -> Result<Lock, Error> {
        let queued = std::mem::replace(&mut self.queued, true);
        let before = self.place.ask();
        let spot = self.place.spot();
        self.call.moves = Some(spot.epoch);
        let url = self.client.endpoints.url(spot.at);
        let answer = self.client.transport.send(url, &self.call).await;
        match answer.and_then(|answer| answer.json()) {
            Ok(lock) => {
                self.place.settle();
                Ok(lock)
            }
            Err(error) => {
                if error.outcome() == Outcome::NotApplied {
                    self.place.take_back(before);
                    self.queued = queued;
                }
                Err(error)
            }
        }
    }

    fn seat(&self) -> Result<Arc<Seat>, Error> {
        self.seat.clone().ok_or_else(lost)
    }

    fn disarm(&mut self) {
        self.queued = false;
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !std::mem::replace(&mut self.queued, false) {
            return;
        }
        if let Some(seat) = self.seat.take() {
            seat.release_in_background();
            return;
        }
        // What a request that got no answer has queued is found by making it
        // again; it has to be found before it can be released.
        let mut again = Self {
            client: Arc::clone(&self.client),
            call: self.call.clone(),
            place: self.place.clone(),
            queued: false,
            seat: None,
        };
        self.client.in_background(async move {
            let created = again.create(None).await;
            again.queued = false;
            if let (Ok(_), Some(seat)) = (created, again.seat.take()) {
                seat.release_quietly().await;
            }
        });
    }
}
