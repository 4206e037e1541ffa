//! What is changed and not held: a counter, a register, latches.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join;
use music_client::Content;
use music_client::recipes::{Counter, Latch, Register};

use super::hand::Hand;
use crate::recipes::judges::LATCH_COUNT;
use crate::recipes::log::{Answer, Ask};

pub(super) async fn counter(mut hand: Hand<'_>) {
    let Ok(counter) = Counter::new(&hand.worker.client, "c") else {
        return;
    };
    let number = |number: &i64| Answer::Number(*number);
    while hand.works() {
        if hand.percent(75) {
            let by = 1 + hand.below(3);
            let adds = counter.add(i64::try_from(by).unwrap_or(1));
            hand.call(Ask::Add { by }, adds, number).await;
        } else {
            hand.call(Ask::Number, counter.get(), number).await;
        }
        hand.nap().await;
    }
    hand.rest().await;
    let read = hand.call(Ask::Number, counter.get(), number).await;
    hand.demand("a counter is read", read.is_some());
}

fn content(value: u64) -> Content {
    Content::from(value.to_string())
}

fn number(content: &Content) -> u64 {
    // What cannot be read is a value that nobody set.
    content
        .text()
        .and_then(|text| text.parse().ok())
        .unwrap_or(u64::MAX)
}

pub(super) async fn register(mut hand: Hand<'_>) {
    let Ok(register) = Register::new(&hand.worker.client, "r") else {
        return;
    };
    let found = |(version, value): &(u64, Option<Content>)| {
        Answer::Found(*version, value.as_ref().map(number))
    };
    let mut known = 0;
    while hand.works() {
        let value = hand.board().log.number();
        match hand.below(100) {
            0..30 => {
                let (ask, sets) = (
                    Ask::Set {
                        value,
                        expected: None,
                    },
                    register.set(content(value)),
                );
                let set = hand.call(ask, sets, |version| Answer::Version(Ok(*version)));
                known = set.await.map_or(known, |(_, version)| version);
            }
            30..75 => {
                let expected = Some(known);
                let sets = register.compare_and_set(known, content(value));
                let ask = Ask::Set { value, expected };
                let set = hand.call(ask, sets, |version| Answer::Version(*version));
                let set = set.await;
                known = set.map_or(known, |(_, set)| set.unwrap_or_else(|found| found));
            }
            _ => {
                let got = hand.call(Ask::Get, register.get(), found).await;
                known = got.map_or(known, |(_, (version, _))| version);
            }
        }
        hand.nap().await;
    }
    hand.rest().await;
    let read = hand.call(Ask::Get, register.get(), found).await;
    hand.demand("a register is read", read.is_some());
}

impl Hand<'_> {
    fn latch(&self, number: u64) -> Option<Latch> {
        Latch::new(&self.worker.client, &format!("l{number}"), LATCH_COUNT).ok()
    }

    fn present_latch(&self) -> u64 {
        self.board().latch.load(Ordering::Relaxed)
    }

    /// Counts, and goes on to the next latch where that was the last count.
    async fn count_down(&mut self, latch: u64) -> Option<u64> {
        let counts = self.latch(latch)?;
        let left = |left: &u64| Answer::Number(i64::try_from(*left).unwrap_or(i64::MAX));
        let counted = self.call(Ask::CountDown { latch }, counts.count_down(), left);
        let (_, left) = counted.await?;
        if left == 0 {
            self.board().latch.fetch_max(latch + 1, Ordering::Relaxed);
        }
        Some(left)
    }

    async fn open(&mut self, latch: u64, wait: Duration) -> Option<bool> {
        let waits = self.latch(latch)?;
        let open = |open: &bool| if *open { Answer::Done } else { Answer::Nothing };
        let waited = self.call(Ask::Open { latch }, waits.wait_within(wait), open);
        waited.await.map(|(_, open)| open)
    }
}

pub(super) async fn latch(mut hand: Hand<'_>) {
    let mut waiter = hand.other();
    let counts = async {
        while hand.works() {
            let latch = hand.present_latch();
            hand.count_down(latch).await;
            hand.nap().await;
        }
    };
    let waits = async {
        while waiter.works() {
            let wait = waiter.ms(0..6000);
            let latch = waiter.present_latch();
            waiter.open(latch, wait).await;
            waiter.nap().await;
        }
    };
    join(counts, waits).await;
    hand.rest().await;
    for latch in 0..=hand.present_latch() {
        while hand.count_down(latch).await.is_some_and(|left| left > 0) {}
        if let Some(latch) = hand.latch(latch) {
            hand.must("a latch opens", latch.wait()).await;
        }
    }
}
