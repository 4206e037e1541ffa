//! Candidates and observers.

use std::time::Duration;

use futures_util::future::join;
use music_client::recipes::{Election, Leader, Leadership};
use tokio::time::timeout;

use super::hand::Hand;
use crate::recipes::log::{Answer, Ask};

/// Who leads when all has come to rest.
const LAST: &str = "last";

pub(super) async fn election(mut hand: Hand<'_>) {
    let Ok(election) = Election::new(&hand.worker.client, "e") else {
        return;
    };
    let mut observer = hand.other();
    let campaigns = campaign(&mut hand, &election);
    join(campaigns, observe(&mut observer, &election)).await;
    hand.rest().await;
    let last = (hand.worker.place == 0).then(|| election.candidate(LAST, "").ok());
    let mut leadership = None;
    if let Some(last) = last.flatten() {
        leadership = hand.must("somebody leads", last.campaign()).await;
    }
    let sees = async {
        let mut observer = election.observe();
        loop {
            match observer.next().await {
                Ok(Some(leader)) if leader.candidate == LAST => return Ok(()),
                Ok(_) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
    };
    hand.must("all see the leader", sees).await;
    hand.meet().await;
    if let Some(leadership) = leadership {
        hand.must("a leader resigns", leadership.resign()).await;
    }
}

async fn campaign(hand: &mut Hand<'_>, election: &Election) {
    let name = |place: u64| format!("c{place}");
    let own = name(hand.worker.place as u64);
    let Ok(candidate) = election.candidate(&own, "") else {
        return;
    };
    let held = |leadership: &Option<Leadership>| match leadership {
        Some(leadership) => Answer::Held(vec![("election".to_owned(), leadership.token())]),
        None => Answer::Nothing,
    };
    while hand.works() {
        let wait = hand.ms(0..9000);
        let (of, shared) = ("election", false);
        let asks = candidate.campaign_within(wait);
        let asked = hand.call(Ask::Hold { of, shared }, asks, held).await;
        if let Some((_, Some(mut leadership))) = asked {
            let token = leadership.token();
            hand.touch_at_once("election", token).await;
            hand.nap().await;
            hand.touch("election", token).await;
            if hand.percent(40) {
                let _said = leadership.proclaim(token.to_string()).await;
            }
            hand.saw_loss(leadership.is_lost());
            match hand.below(100) {
                0..40 => drop(leadership.resign().await),
                40..70 => {
                    let to = name(hand.below(5));
                    if leadership.hand_over(&to).await.is_ok() {
                        hand.saw("a leadership handed over");
                    }
                }
                _ => {}
            }
        }
        hand.nap().await;
    }
}

async fn observe(hand: &mut Hand<'_>, election: &Election) {
    while hand.works() {
        let mut observer = election.observe();
        let number = hand.board().log.number();
        let mut left = 1 + hand.below(20);
        while hand.works() && left > 0 {
            left -= 1;
            let next = async {
                let next = timeout(Duration::from_secs(2), observer.next()).await;
                next.map_or(Ok(None), |leader| leader.map(Some))
            };
            let answer = |seen: &Option<Option<Leader>>| match seen {
                Some(leader) => Answer::Leader(leader.as_ref().map(|leader| leader.token)),
                None => Answer::Nothing,
            };
            let seen = hand.call(Ask::Observe { observer: number }, next, answer);
            if seen.await.is_none() {
                hand.nap().await;
            }
        }
        hand.nap().await;
    }
}
