//! Parties that wait for each other: a party for each of the first places.
//!
//! One that died may be counted as arrived, so that its successor, which has its
//! name, comes too late for a crossing and is left over. In the end the parties
//! wait until nobody is, and then cross once more, without a limit.

use std::time::Duration;

use music_client::Error;
use music_client::recipes::{Barrier, Crossing, DoubleBarrier};

use super::hand::Hand;
use crate::recipes::log::{Answer, Ask, Barrier as Which};

/// How long parties wait that may be left over.
const CLEARING: Duration = Duration::from_secs(8);

impl Hand<'_> {
    /// Waits for the others. Whether it crossed; `None` where it failed.
    async fn cross(
        &mut self,
        barrier: Which,
        waits: impl Future<Output = Result<Option<Crossing>, Error>>,
    ) -> Option<bool> {
        let ask = Ask::Cross {
            barrier,
            party: self.worker.place,
            parties: self.board().parties(),
        };
        let answer = |crossing: &Option<Crossing>| match crossing {
            Some(Crossing { number, last }) => Answer::Crossed {
                number: *number,
                last: *last,
            },
            None => Answer::Nothing,
        };
        let crossed = self.call(ask, waits, answer).await;
        crossed.map(|(_, crossing)| crossing.is_some())
    }

    fn is_party(&self) -> bool {
        self.worker.place < self.board().parties()
    }

    fn party(&self) -> String {
        format!("p{}", self.worker.place)
    }
}

fn some(crossing: Result<Crossing, Error>) -> Result<Option<Crossing>, Error> {
    crossing.map(Some)
}

pub(super) async fn barrier(mut hand: Hand<'_>) {
    let parties = hand.board().parties() as u64;
    let barrier = Barrier::new(&hand.worker.client, "b", parties);
    let (true, Ok(barrier)) = (hand.is_party(), barrier) else {
        hand.rest().await;
        return hand.meet().await;
    };
    let party = hand.party();
    while hand.works() {
        let wait = hand.ms(300..9000);
        let waits = barrier.wait_as_within(&party, wait);
        hand.cross(Which::Single, waits).await;
        hand.nap().await;
    }
    hand.rest().await;
    loop {
        let waits = barrier.wait_as_within(&party, CLEARING);
        if hand.cross(Which::Single, waits).await.is_some() {
            break;
        }
    }
    hand.meet().await;
    let waits = async { some(barrier.wait_as(&party).await) };
    let crossed = hand.cross(Which::Single, waits).await;
    hand.demand("all parties cross", crossed == Some(true));
}

pub(super) async fn double_barrier(mut hand: Hand<'_>) {
    let parties = hand.board().parties() as u64;
    let party = hand.party();
    let barrier = DoubleBarrier::new_as(&hand.worker.client, "d", parties, &party);
    let (true, Ok(mut barrier)) = (hand.is_party(), barrier) else {
        hand.rest().await;
        for _ in 0..4 {
            hand.meet().await;
        }
        return;
    };
    // One that comes for another that died does not know where that was.
    let mut is_in = hand.percent(50);
    while hand.works() {
        let wait = hand.ms(300..9000);
        let crossed = if is_in {
            hand.cross(Which::Leave, barrier.leave_within(wait)).await
        } else {
            hand.cross(Which::Enter, barrier.enter_within(wait)).await
        };
        is_in = match crossed {
            Some(true) => !is_in,
            // It may be on the other side after all.
            _ => is_in != hand.percent(30),
        };
        hand.nap().await;
    }
    hand.rest().await;
    for is_in in [true, false, true] {
        loop {
            let crossed = if is_in {
                hand.cross(Which::Leave, barrier.leave_within(CLEARING))
                    .await
            } else {
                hand.cross(Which::Enter, barrier.enter_within(CLEARING))
                    .await
            };
            if crossed.is_some() {
                break;
            }
        }
        hand.meet().await;
    }
    let enters = async { some(barrier.enter().await) };
    let entered = hand.cross(Which::Enter, enters).await;
    hand.demand("all parties enter", entered == Some(true));
    hand.meet().await;
    let leaves = async { some(barrier.leave().await) };
    let left = hand.cross(Which::Leave, leaves).await;
    hand.demand("all parties leave", left == Some(true));
}
