//! Steps that are done once, one after the other.

use std::sync::atomic::{AtomicBool, Ordering};

use music_client::recipes::Once;
use tokio::time::sleep;

use super::hand::Hand;
use crate::recipes::log::{Answer, Ask};

/// How a step fails.
#[derive(Debug)]
struct StepFailed;

/// What a call for a step came to.
enum Came {
    Result,
    Interrupted,
    Else,
}

pub(super) async fn once(mut hand: Hand<'_>) {
    while hand.works() {
        let newest = hand.board().step.load(Ordering::Relaxed);
        let step = newest.saturating_sub(u64::from(hand.percent(20)));
        match hand.run(step).await {
            Came::Result => {
                hand.board().step.fetch_max(step + 1, Ordering::Relaxed);
            }
            Came::Interrupted => {
                hand.nap().await;
                hand.end(step).await;
            }
            Came::Else => {}
        }
        hand.nap().await;
    }
    hand.rest().await;
    let newest = hand.board().step.load(Ordering::Relaxed);
    for step in 0..=newest {
        loop {
            match hand.run(step).await {
                Came::Result => break,
                Came::Interrupted => hand.end(step).await,
                Came::Else => hand.nap().await,
            }
        }
        hand.demand("a step has a result", true);
    }
}

impl Hand<'_> {
    fn once(&self, step: u64) -> Option<Once> {
        Once::new(&self.worker.client, &format!("o{step}")).ok()
    }

    async fn run(&mut self, step: u64) -> Came {
        let Some(once) = self.once(step) else {
            return Came::Else;
        };
        let fails = self.works() && self.percent(25);
        let (result, before, after) = (self.board().log.number(), self.ms(0..40), self.ms(0..1500));
        let (board, client) = (self.board(), self.worker.id);
        let runs = once.run(async |token| {
            sleep(before).await;
            let effect = Ask::Effect {
                step,
                token,
                result,
                fails,
            };
            board.log.ask(client, effect);
            sleep(after).await;
            if fails { Err(StepFailed) } else { Ok(result) }
        });
        let answer = |ended: &Result<u64, StepFailed>| match ended {
            Ok(result) => Answer::Result(*result),
            Err(StepFailed) => Answer::StepFailed,
        };
        let interrupted = AtomicBool::new(false);
        let runs = async {
            let ended = runs.await;
            interrupted.store(is_interrupted(&ended), Ordering::Relaxed);
            ended
        };
        match self.call(Ask::Run { step }, runs, answer).await {
            Some((_, Ok(_))) => Came::Result,
            None if interrupted.load(Ordering::Relaxed) => Came::Interrupted,
            _ => Came::Else,
        }
    }

    /// Says what became of an interrupted step.
    async fn end(&mut self, step: u64) {
        let Some(once) = self.once(step) else { return };
        let changed = |changed: &bool| Answer::Changed(*changed);
        if self.percent(50) {
            self.call(Ask::Forget { step }, once.forget(), changed)
                .await;
        } else {
            let result = self.board().log.number();
            let ask = Ask::SettleStep { step, result };
            self.call(ask, once.settle(&result), changed).await;
        }
    }
}

fn is_interrupted<T>(ended: &Result<T, music_client::Error>) -> bool {
    use music_client::Error;
    use music_client::error::Refusal;
    matches!(ended, Err(Error::Refused(Refusal::Interrupted { .. })))
}
