//! A lockRef in the hands of this client: where it is kept, whether it is
//! still held, and how a request for it reaches the right node.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_api::lock::{Acquire, Lock, LockState};
use reqwest::Method;
use tokio::sync::Notify;

use crate::call::{Call, Repeat};
use crate::client::Inner;
use crate::clock::{self, Instant};
use crate::error::{Error, Lost, LostReason, Outcome, worse};
use crate::section::judge::{Verdict, judge};
use crate::section::place::{Place, Spot};
use crate::section::put_log::Put;
use crate::transport::Answer;

/// The longest time that a node is asked to wait for the grant.
const POLL_MAX: Duration = Duration::from_secs(20);

/// How long a node may take to take a section over.
const TAKE_UP_MAX: Duration = Duration::from_secs(5);

/// The longest lease that is reckoned with; no node gives a longer one.
const LEASE_MAX: Duration = Duration::from_hours(24);

/// A lockRef in the hands of this client.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) client: Arc<Inner>,
    /// The lockRef's string.
    pub(crate) lock_ref: String,
    /// The lease in force.
    pub(crate) lease: Duration,
    place: Mutex<Place>,
    /// Held while the section is moved.
    turn: tokio::sync::Mutex<()>,
    /// Set once, when the lock is lost.
    lost: Mutex<Option<LostReason>>,
    /// Told when the lock is lost, and when the section moves: whoever waits
    /// for an answer of a node that was left meanwhile need not wait.
    changed: Notify,
    /// When the last request began that a node took as a proof of life.
    proved: Mutex<Instant>,
}

/// A lockRef and its lease.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) lock_ref: String,
    pub(crate) lease_ms: u64,
}

/// How many attempts have failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    /// At the present node.
    pub(crate) here: u32,
    /// At any node.
    pub(crate) in_all: u32,
}

impl Failures {
    /// One more.
    pub(crate) fn add(&mut self) {
        self.here += 1;
        self.in_all += 1;
    }
}

impl Seat {
    /// Takes over a lockRef; `proved` is when the node of `place` was asked for
    /// it and said so.
    pub(crate) fn new(client: Arc<Inner>, terms: Terms, place: Place, proved: Instant) -> Self {
        Self {
            client,
            lock_ref: terms.lock_ref,
            lease: Duration::from_millis(terms.lease_ms).min(LEASE_MAX),
            place: Mutex::new(place),
            turn: tokio::sync::Mutex::new(()),
            lost: Mutex::default(),
            changed: Notify::new(),
            proved: Mutex::new(proved),
        }
    }

    /// `/v1/locks/{lock_ref}` and more.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/locks/{}{rest}", self.lock_ref)
    }

    /// Whom to talk to.
    pub(crate) fn spot(&self) -> Spot {
        self.place().spot()
    }

    /// The address of a node.
    pub(crate) fn url(&self, spot: Spot) -> &str {
        self.client.endpoints.url(spot.at)
    }

    /// Until when the lock is held if no node answers any more.
    pub(crate) fn valid_until(&self) -> Instant {
        *self.proved.lock().unwrap_or_else(PoisonError::into_inner) + self.lease
    }

    /// Notes that a node took the request begun then as a proof of life.
    pub(crate) fn prove(&self, began: Instant) {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        *proved = began.max(*proved);
    }

    /// Notes that no node has taken anything as a proof of life yet.
    pub(crate) fn disprove(&self) {
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        *proved = proved.checked_sub(self.lease).unwrap_or(*proved);
    }

    /// Why the lock is lost, if it is.
    pub(crate) fn is_lost(&self) -> Option<LostReason> {
        *self.first_reason()
    }

    /// Notes that the lock is lost; the first reason stays.
    pub(crate) fn lose(&self, reason: LostReason) -> Lost {
        let reason = *self.first_reason().get_or_insert(reason);
        self.changed.notify_waiters();
        Lost {
            reason,
            outcome: Outcome::NotApplied,
        }
    }

    /// Waits until the lock is lost.
    pub(crate) async fn lost(&self) -> LostReason {
        loop {
            let changed = self.changed.notified();
            if let Some(reason) = self.is_lost() {
                return reason;
            }
            changed.await;
        }
    }

    fn first_reason(&self) -> MutexGuard<'_, Option<LostReason>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the section has moved on from that spot.
    pub(crate) async fn moved(&self, spot: Spot) {
        loop {
            let changed = self.changed.notified();
            if self.spot().epoch != spot.epoch {
                return;
            }
            changed.await;
        }
    }

    /// Makes a request of the section until it succeeds, fails for good, or
    /// every attempt that is allowed has failed.
    pub(crate) async fn perform(&self, call: &Call, put: Option<&Put>) -> Result<Answer, Error> {
        let early = self.is_lost().map(|reason| Lost {
            reason,
            outcome: Outcome::NotApplied,
        });
        if let Some(lost) = early {
            return Err(lost.into());
        }
        let late = if call.changes() {
            Outcome::Unknown
        } else {
            Outcome::NotApplied
        };
        tokio::select! {
            biased;
            reason = self.lost() => Err(Lost { reason, outcome: late }.into()),
            result = self.attempt_all(call, put) => result,
        }
    }

    async fn attempt_all(&self, call: &Call, put: Option<&Put>) -> Result<Answer, Error> {
        let mut failures = Failures::default();
        let mut outcome = Outcome::NotApplied;
        let mut spot = self.settled().await?;
        loop {
            let error = match self.attempt(spot, call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            outcome = worse(outcome, error.outcome());
            failures.add();
            if failures.in_all >= self.client.attempts_max() {
                return Err(give_up(error, failures, outcome));
            }
            if self.spot().epoch == spot.epoch {
                if judge(&error) == Verdict::Stop {
                    return Err(give_up(error, failures, outcome));
                }
                self.react(spot, judge(&error), failures)
                    .await
                    .map_err(|e| with(e, outcome))?;
            }
            let next = self.settled().await.map_err(|e| with(e, outcome))?;
            // Another node, or the same one started again, does not know the
            // idempotency key.
            let known = next.epoch == spot.epoch && put.is_none_or(Put::is_remembered);
            if outcome == Outcome::Unknown && !known && !put.is_none_or(Put::is_latest) {
                return Err(give_up(error, failures, outcome));
            }
            if next.epoch != spot.epoch {
                failures.here = 0;
            }
            spot = next;
        }
    }

    /// One attempt. An answer of a node that the section has left by then does
    /// not count: what it acknowledged may have been ordered away.
    async fn attempt(&self, spot: Spot, call: &Call) -> Result<Answer, Error> {
        let outcome = if call.changes() {
            Outcome::Unknown
        } else {
            Outcome::NotApplied
        };
        let left = || Error::Left {
            endpoint: self.url(spot).to_owned(),
            outcome,
        };
        tokio::select! {
            biased;
            () = self.moved(spot) => Err(left()),
            answer = self.client.transport.send(self.url(spot), call) => {
                if self.spot().epoch == spot.epoch { answer } else { Err(left()) }
            }
        }
    }

    pub(super) async fn react(
        &self,
        spot: Spot,
        verdict: Verdict,
        failures: Failures,
    ) -> Result<(), Error> {
        match verdict {
            Verdict::Stop => {}
            Verdict::Lost => return Err(self.lose(LostReason::Preempted).into()),
            Verdict::Forgotten => self.acquire_again(spot).await?,
            Verdict::Turn => self.move_on(spot).await?,
            Verdict::Retry if failures.here >= self.client.options.retry.attempts.get() => {
                self.move_on(spot).await?;
            }
            Verdict::Retry | Verdict::Busy => self.client.pause(failures.here).await,
        }
        Ok(())
    }

    /// The node that keeps the section; acquires it there first where that is
    /// not settled.
    pub(super) async fn settled(&self) -> Result<Spot, Error> {
        let spot = self.spot();
        if spot.settled {
            return Ok(spot);
        }
        let _turn = self.turn.lock().await;
        if !self.spot().settled {
            self.hold_again().await?;
        }
        Ok(self.spot())
    }

    async fn acquire_again(&self, seen: Spot) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        if self.spot() != seen {
            return Ok(());
        }
        self.place().unsettle();
        self.changed.notify_waiters();
        self.hold_again().await
    }

    async fn move_on(&self, seen: Spot) -> Result<(), Error> {
        let turn = self.turn.lock().await;
        if self.spot() != seen {
            return Ok(());
        }
        if !self.place().turn() {
            drop(turn);
            self.client.pause(self.client.attempts_max()).await;
            return Ok(());
        }
        tracing::debug!(
            from = self.url(seen),
            to = self.url(self.spot()),
            "section moves on"
        );
        self.hold_again().await
    }

    /// Acquires, where this client has been granted before.
    async fn hold_again(&self) -> Result<(), Error> {
        match tokio::time::timeout_at(self.valid_until(), self.acquire_in_turn(None)).await {
            Ok(lock) => lock.map(drop),
            Err(_) => Err(self.lose(LostReason::LeaseExpired).into()),
        }
    }

    /// Waits for the grant, until then if it is given.
    pub(crate) async fn acquire(&self, until: Option<Instant>) -> Result<Option<Lock>, Error> {
        let _turn = self.turn.lock().await;
        self.acquire_in_turn(until).await
    }

    async fn acquire_in_turn(&self, until: Option<Instant>) -> Result<Option<Lock>, Error> {
        let mut failures = Failures::default();
        loop {
            match self.ask(poll(until, self.lease)).await {
                Ok(lock) => match lock.state {
                    LockState::Granted => return Ok(Some(lock)),
                    LockState::Waiting => failures = Failures::default(),
                    LockState::Lost | LockState::Released => {
                        return Err(self.lose(LostReason::Preempted).into());
                    }
                },
                Err(error) => self.overcome(error, &mut failures).await?,
            }
            if until.is_some_and(|until| until <= clock::now()) {
                return Ok(None);
            }
        }
    }

    /// Acquires what was granted before, to another client it may be.
    pub(crate) async fn take_up(&self) -> Result<Lock, Error> {
        let mut failures = Failures::default();
        // A node that takes it over says that it waits until it has it.
        let wait = poll(None, self.lease).min(TAKE_UP_MAX);
        loop {
            match self.ask(wait).await {
                Ok(lock) => match lock.state {
                    LockState::Granted => return Ok(lock),
                    LockState::Waiting => return Err(Error::Waiting),
                    LockState::Lost | LockState::Released => {
                        return Err(self.lose(LostReason::Preempted).into());
                    }
                },
                Err(error) => self.overcome(error, &mut failures).await?,
            }
        }
    }

    /// Asks the present node once to grant the lockRef, taking it over where
    /// another node keeps it.
    async fn ask(&self, wait: Duration) -> Result<Lock, Error> {
        let body = Acquire {
            wait_ms: Some(clock::to_ms(wait)),
        };
        let mut call = Call::change(Method::POST, self.path("/acquire"), Repeat::AnyNode);
        call = call.wide().json(&body)?;
        call.wait = wait;
        let began = clock::now();
        let before = self.place().ask();
        self.changed.notify_waiters();
        let spot = self.spot();
        call.moves = Some(spot.epoch);
        let answer = self.client.transport.send(self.url(spot), &call).await;
        match answer.and_then(|answer| answer.json::<Lock>()) {
            Ok(lock) => {
                self.place().settle();
                self.prove(began);
                self.client.endpoints.note(spot.at, None);
                Ok(lock)
            }
            Err(error) => {
                if error.outcome() == Outcome::NotApplied {
                    self.place().take_back(before);
                }
                Err(error)
            }
        }
    }

    async fn overcome(&self, error: Error, failures: &mut Failures) -> Result<(), Error> {
        let verdict = judge(&error);
        failures.add();
        let expired = self.valid_until() <= clock::now();
        if failures.in_all >= self.client.attempts_max() && expired {
            return Err(give_up(error, *failures, Outcome::NotApplied));
        }
        match verdict {
            Verdict::Stop => return Err(error),
            Verdict::Lost => return Err(self.lose(LostReason::Preempted).into()),
            Verdict::Turn => self.turn(failures),
            Verdict::Retry if failures.here >= self.client.options.retry.attempts.get() => {
                self.turn(failures);
            }
            Verdict::Forgotten | Verdict::Busy | Verdict::Retry => {}
        }
        self.client.pause(failures.here.max(1)).await;
        Ok(())
    }

    pub(super) fn turn(&self, failures: &mut Failures) {
        self.client
            .endpoints
            .note(self.spot().at, Some(clock::now()));
        if self.place().turn() {
            failures.here = 0;
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a node is asked to wait for the grant: as short as the time between
/// renewals, since each poll proves life.
pub(crate) fn poll(until: Option<Instant>, lease: Duration) -> Duration {
    let left = until.map(|until| until.saturating_duration_since(clock::now()));
    left.unwrap_or(Duration::MAX).min(lease / 3).min(POLL_MAX)
}

/// The error to report: the last one, if it was the only one.
pub(super) fn give_up(last: Error, failures: Failures, outcome: Outcome) -> Error {
    if failures.in_all <= 1 && last.outcome() == outcome {
        return last;
    }
    Error::Unavailable {
        attempts: failures.in_all,
        outcome,
        last: Box::new(last),
    }
}

/// The error with what earlier attempts may have done.
fn with(error: Error, outcome: Outcome) -> Error {
    match error {
        Error::Lost(lost) => Lost {
            outcome: worse(lost.outcome, outcome),
            ..lost
        }
        .into(),
        other if other.outcome() == worse(other.outcome(), outcome) => other,
        other => Error::Unavailable {
            attempts: 1,
            outcome,
            last: Box::new(other),
        },
    }
}
