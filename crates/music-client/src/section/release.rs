//! The end of a section, asked of the nodes.

use std::sync::Arc;

use music_api::code::Code;
use music_api::lock::{Release, Released};
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::error::{Error, Lost, LostReason, Outcome, worse};
use crate::section::judge::{Verdict, judge};
use crate::section::place::Spot;
use crate::section::seat::{Failures, Seat, give_up};

impl Seat {
    /// Releases the lockRef at the node that keeps it; if that does not answer,
    /// at another one, which takes it for dead.
    pub(crate) async fn release(&self) -> Result<(), Error> {
        let mut call = Call::change(Method::POST, self.path("/release"), Repeat::AnyNode);
        call = call.wide().json(&Release { confirm: false })?;
        let mut outcome = Outcome::NotApplied;
        let mut failures = Failures::default();
        loop {
            let Err(error) = self
                .client
                .transport
                .send(self.url(self.spot()), &call)
                .await
            else {
                return Ok(());
            };
            failures.add();
            let verdict = judge(&error);
            match verdict {
                // An earlier attempt may have been the one that released it.
                Verdict::Lost if outcome == Outcome::Unknown => return Ok(()),
                Verdict::Lost => return Err(self.lose(LostReason::Preempted).into()),
                Verdict::Stop => return Err(error),
                _ => {}
            }
            outcome = worse(outcome, error.outcome());
            if failures.in_all >= self.client.attempts_max() {
                return Err(give_up(error, failures, outcome));
            }
            let attempts = self.client.options.retry.attempts.get();
            if verdict != Verdict::Busy && (verdict != Verdict::Retry || failures.here >= attempts)
            {
                self.turn(&mut failures);
            }
            self.client.pause(failures.in_all).await;
        }
    }

    /// Releases the lockRef unless it is gone already; nobody is told how that
    /// went.
    pub(crate) async fn release_quietly(&self) {
        if self.is_lost() == Some(LostReason::Preempted) {
            return;
        }
        if let Err(error) = self.release().await {
            tracing::debug!(%error, "a dropped section could not be released");
        }
    }

    /// Releases the lockRef in the background.
    pub(crate) fn release_in_background(self: Arc<Self>) {
        let client = Arc::clone(&self.client);
        client.in_background(async move { self.release_quietly().await });
    }

    /// Releases the lockRef and finds out whether nobody else was granted
    /// since this section was.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        let mut call = Call::change(Method::POST, self.path("/release"), Repeat::SameNode);
        call = call.wide().json(&Release { confirm: true })?;
        let mut failures = Failures::default();
        loop {
            // As long as nothing was sent, another node may take over and
            // confirm; after that only the same node can tell.
            let spot = self.settled().await?;
            let error = match self.confirm_at(spot, &call).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if error.outcome() == Outcome::Unknown {
                return self.confirm_again(&call, error).await;
            }
            failures.add();
            match judge(&error) {
                Verdict::Stop | Verdict::Lost => return Err(error),
                _ if failures.in_all >= self.client.attempts_max() => {
                    return Err(give_up(error, failures, Outcome::NotApplied));
                }
                verdict => self.react(spot, verdict, failures).await?,
            }
        }
    }

    async fn confirm_again(&self, call: &Call, first: Error) -> Result<(), Error> {
        let spot = self.spot();
        let (mut last, mut failures) = (first, Failures::default());
        failures.add();
        while failures.in_all < self.client.options.retry.attempts.get() {
            self.client.pause(failures.in_all).await;
            match self.confirm_at(spot, call).await {
                Ok(()) => return Ok(()),
                // The node has forgotten: the ticket that is gone may be the
                // one that the first attempt removed.
                Err(error) if is_forgotten(&error) => {
                    last = error;
                    break;
                }
                Err(Error::Lost(lost)) => return Err(lost.into()),
                Err(error) => last = error,
            }
            failures.add();
        }
        Err(give_up(last, failures, Outcome::Unknown))
    }

    async fn confirm_at(&self, spot: Spot, call: &Call) -> Result<(), Error> {
        match self.client.transport.send(self.url(spot), call).await {
            Ok(answer) if answer.json::<Released>()?.confirmed => Ok(()),
            Ok(_) => Err(self.lose(LostReason::Preempted).into()),
            Err(error) if error.code() == Some(Code::Lost) => {
                let Lost { reason, .. } = self.lose(LostReason::Preempted);
                Err(Lost {
                    reason,
                    outcome: error.outcome(),
                }
                .into())
            }
            Err(error) => Err(error),
        }
    }
}

fn is_forgotten(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(Code::NoSuchSection | Code::Released | Code::NotHere)
    )
}
