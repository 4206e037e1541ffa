//! What all trades have in common: calls that are logged and may be given up,
//! pauses, and the rest at the end.

use std::ops::Range;
use std::time::Duration;

use music_client::error::{LostReason, Refusal};
use music_client::{Error, Outcome};
use music_history::workload::dice::{Dice, Rng as _, dice};
use tokio::time::{sleep, timeout};

use super::{Board, Worker};
use crate::recipes::log::{Answer, Ask, Call};
use crate::recipes::trades::Trade;

/// How many calls are given up by their client, in percent.
const GIVEN_UP: u32 = 6;

/// One client at one trade.
pub(super) struct Hand<'a> {
    pub(super) worker: &'a Worker,
    trade: Trade,
    dice: Dice,
}

impl<'a> Hand<'a> {
    pub(super) fn new(worker: &'a Worker, trade: Trade) -> Self {
        let part = u64::from(worker.id) << 40 | (trade as u64) << 32;
        Self {
            worker,
            trade,
            dice: dice(worker.seed, part),
        }
    }

    /// The same client at the same trade, with dice of its own.
    pub(super) fn other(&mut self) -> Self {
        Self {
            worker: self.worker,
            trade: self.trade,
            dice: dice(self.dice.random_range(0..u64::MAX), 0),
        }
    }

    pub(super) fn board(&self) -> &'a Board {
        &self.worker.board
    }

    /// Whether there are faults still.
    pub(super) fn works(&self) -> bool {
        !self.worker.calm.is_cancelled()
    }

    pub(super) fn saw(&self, what: &'static str) {
        (self.worker.saw)(what);
    }

    pub(super) fn saw_loss(&self, lost: Option<LostReason>) {
        if lost.is_some() {
            self.saw("a hold that was lost");
        }
    }

    pub(super) fn percent(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.dice.random_range(0..end.max(1))
    }

    pub(super) fn ms(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.dice.random_range(range))
    }

    /// A short pause, now and then one in which much may happen.
    pub(super) async fn nap(&mut self) {
        let longest = if self.percent(8) { 4000 } else { 250 };
        let length = self.ms(1..longest);
        sleep(length).await;
    }

    /// Waits until the effects of faults are over, and all clients are here.
    pub(super) async fn rest(&self) {
        self.worker.calm.cancelled().await;
        sleep(self.worker.settling).await;
        self.meet().await;
    }

    /// Waits until all clients are here.
    pub(super) async fn meet(&self) {
        if let Some(meeting) = self.board().meetings.get(&self.trade) {
            meeting.wait().await;
        }
    }

    /// Notes a call that is answered at once, or never.
    pub(super) fn note(&self, ask: Ask) -> Call {
        self.board().log.ask(self.worker.id, ask)
    }

    /// Notes an answer.
    pub(super) fn answer(&self, call: Call, answer: Answer) {
        self.board().log.answer(self.worker.id, call, answer);
    }

    /// Makes a call, unless it is given up, and notes how it ends.
    pub(super) async fn call<T>(
        &mut self,
        ask: Ask,
        what: impl Future<Output = Result<T, Error>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Option<(Call, T)> {
        let given_up = self.works() && self.percent(GIVEN_UP);
        let patience = given_up.then(|| self.ms(1..1500));
        let call = self.note(ask);
        let what = Box::pin(what);
        let ended = match patience {
            Some(patience) => {
                let ended = timeout(patience, what).await;
                if ended.is_err() {
                    self.saw("a call given up");
                }
                ended.ok()?
            }
            None => what.await,
        };
        let told = match &ended {
            Ok(value) => answer(value),
            Err(error) => self.failure(error),
        };
        self.answer(call, told);
        ended.ok().map(|value| (call, value))
    }

    /// Something that must succeed, once all has come to rest.
    pub(super) async fn must<T>(
        &mut self,
        what: &'static str,
        does: impl Future<Output = Result<T, Error>>,
    ) -> Option<T> {
        let done = self.call(Ask::Rest { what }, does, |_| Answer::Done).await;
        done.map(|(_, value)| value)
    }

    /// Something that must be so, once all has come to rest.
    pub(super) fn demand(&self, what: &'static str, is_so: bool) {
        let call = self.note(Ask::Rest { what });
        if is_so {
            self.answer(call, Answer::Done);
        }
    }

    /// What a failure says.
    pub(super) fn failure(&self, error: &Error) -> Answer {
        match error {
            Error::Refused(Refusal::ClaimLost) => Answer::ClaimLost,
            Error::Refused(Refusal::Interrupted { token }) => Answer::Interrupted(*token),
            Error::Refused(refusal) => Answer::Refused(refusal.to_string()),
            error => {
                if matches!(error, Error::Lost(_)) {
                    self.saw("a preempted holder that was told");
                }
                Answer::Failed {
                    perhaps: error.outcome() == Outcome::Unknown,
                    why: error.to_string(),
                }
            }
        }
    }

    /// Does something outside under a token, which refuses lower ones than it
    /// has accepted. What is done may be long on its way.
    pub(super) async fn touch(&mut self, thing: &str, token: u64) {
        let longest = if self.percent(30) { 6000 } else { 400 };
        let way = self.ms(1..longest);
        self.touch_after(way, thing, token).await;
    }

    /// Often, so that one that was preempted comes late with what it does.
    pub(super) async fn touch_at_once(&mut self, thing: &str, token: u64) {
        if self.percent(60) {
            let way = self.ms(1..20);
            self.touch_after(way, thing, token).await;
        }
    }

    async fn touch_after(&self, way: Duration, thing: &str, token: u64) {
        let thing = thing.to_owned();
        let call = self.note(Ask::Touch {
            thing: thing.clone(),
            token,
        });
        sleep(way).await;
        self.worker.host.passes().await;
        let is_accepted = {
            let mut outside = self.board().outside();
            let highest = outside.entry(thing).or_default();
            let is_accepted = token >= *highest;
            *highest = token.max(*highest);
            is_accepted
        };
        self.answer(call, Answer::Accepted(is_accepted));
    }
}
