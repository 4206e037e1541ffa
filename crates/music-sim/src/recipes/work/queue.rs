//! Pushers and takers.

use std::time::Duration;

use futures_util::future::join;
use music_client::Content;
use music_client::recipes::{Item, Push, Queue, Taker};
use tokio::time::sleep;

use super::hand::Hand;
use crate::recipes::log::{Answer, Ask, Settling, Taken};

/// How often the queue is looked at before all items must be done.
const ROUNDS_MAX: usize = 100;

pub(super) async fn queue(mut hand: Hand<'_>) {
    let Ok(queue) = Queue::new(&hand.worker.client, "q") else {
        return;
    };
    let mut pusher = hand.other();
    join(push(&mut pusher, &queue), take(&mut hand, &queue)).await;
    hand.rest().await;
    // One alone: takers that all go for the last item at once keep each other
    // from it, for minutes on a lock store whose proposers duel.
    if hand.worker.place == 0 {
        hand.drain(&queue).await;
    }
    hand.meet().await;
    // Until the nearest replica has heard.
    for _ in 0..ROUNDS_MAX {
        if queue.is_empty().await.unwrap_or(false) {
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    let length = |length: &usize| Answer::Number(i64::try_from(*length).unwrap_or(i64::MAX));
    hand.call(Ask::Length, queue.len(), length).await;
}

async fn push(hand: &mut Hand<'_>, queue: &Queue) {
    while hand.works() {
        let number = 1 + hand.below(3);
        let values: Vec<u64> = (0..number).map(|_| hand.board().log.number()).collect();
        let mut items = Vec::new();
        for value in &values {
            let item = Push::new(Content::from(value.to_string()));
            let urgent = u8::try_from(hand.below(3)).unwrap_or_default();
            let delay = if hand.percent(20) { 2000 } else { 1 };
            items.push(item.priority(urgent).delay(hand.ms(0..delay)));
        }
        let pushes = queue.push_all(items);
        hand.call(Ask::Push { values }, pushes, |()| Answer::Done)
            .await;
        let pause = hand.ms(1..3000);
        sleep(pause).await;
    }
}

async fn take(hand: &mut Hand<'_>, queue: &Queue) {
    while hand.works() {
        let claim = if hand.percent(50) {
            hand.ms(300..2000)
        } else {
            hand.ms(4000..9000)
        };
        let Ok(mut taker) = queue.taker().claim(claim) else {
            return;
        };
        for _ in 0..hand.below(20) {
            let wait = hand.ms(0..4000);
            let items = hand.take(&mut taker, claim, wait).await;
            hand.nap().await;
            if items.len() > 1 && hand.percent(50) {
                hand.finish(queue, &items).await;
            } else {
                for item in items {
                    hand.work_on(&item).await;
                }
            }
            if !hand.works() {
                return;
            }
        }
    }
}

impl Hand<'_> {
    /// Takes all that there is.
    async fn drain(&mut self, queue: &Queue) {
        let claim = Duration::from_secs(20);
        let Ok(mut taker) = queue.taker().claim(claim) else {
            return;
        };
        for _ in 0..ROUNDS_MAX {
            // Only to be taken for a reason to stop: the lanes may be behind.
            let is_empty = queue.is_empty().await.unwrap_or(false);
            let wait = Duration::from_secs(5);
            for item in self.take(&mut taker, claim, wait).await {
                self.settle(&item, Settling::Done).await;
            }
            if is_empty {
                break;
            }
        }
    }

    async fn take(&mut self, taker: &mut Taker, claim: Duration, wait: Duration) -> Vec<Item> {
        let claim_us = u64::try_from(claim.as_micros()).unwrap_or(u64::MAX);
        let most = if !self.works() || self.percent(20) {
            8
        } else {
            1
        };
        let takes = taker.take_up_to_within(most, wait);
        let answer = |items: &Vec<Item>| Answer::Taken(items.iter().map(taken).collect());
        let took = self.call(Ask::Take { claim_us }, takes, answer).await;
        took.map(|(_, items)| items).unwrap_or_default()
    }

    async fn work_on(&mut self, item: &Item) {
        while self.percent(30) {
            let claim_us = 300_000 + self.below(3_000_000);
            self.settle(item, Settling::Renew { claim_us }).await;
            self.nap().await;
        }
        match self.below(100) {
            0..65 => self.settle(item, Settling::Done).await,
            65..80 => self.settle(item, Settling::GiveBack).await,
            // Dropped: its claim lapses.
            80..90 => {}
            _ => {
                self.settle(item, Settling::Done).await;
                self.settle(item, Settling::Done).await;
            }
        }
    }

    /// Says of all of them at once that they are done.
    async fn finish(&mut self, queue: &Queue, items: &[Item]) {
        let ask = |item: &Item| {
            let Taken { value, token, .. } = taken(item);
            let how = Settling::Done;
            (self.note(Ask::Settle { value, token, how }), value)
        };
        let calls: Vec<_> = items.iter().map(ask).collect();
        let ended = queue.done_all(items).await;
        for (call, value) in calls {
            let answer = match &ended {
                Ok(lost) if lost.iter().any(|item| taken(item).value == value) => Answer::ClaimLost,
                Ok(_) => Answer::Done,
                Err(error) => self.failure(error),
            };
            self.answer(call, answer);
        }
        self.saw("items done together");
    }

    async fn settle(&mut self, item: &Item, how: Settling) {
        let settles = async {
            match how {
                Settling::Done => item.done().await,
                Settling::GiveBack => item.give_back(Duration::from_millis(100)).await,
                Settling::Renew { claim_us } => item.renew(Duration::from_micros(claim_us)).await,
            }
        };
        let Taken { value, token, .. } = taken(item);
        let ask = Ask::Settle { value, token, how };
        self.call(ask, settles, |()| Answer::Done).await;
    }
}

fn taken(item: &Item) -> Taken {
    let text = item.content().and_then(|content| content.text());
    Taken {
        // What cannot be read is an item that nobody pushed.
        value: text.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX),
        id: item.id(),
        token: item.token(),
        deliveries: item.deliveries(),
    }
}
