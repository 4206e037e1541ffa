//! Members that come and go.

use std::time::Duration;

use music_client::recipes::{Group, Member, Members, Membership};
use tokio::time::{sleep, timeout};

use super::hand::Hand;
use crate::recipes::log::{Answer, Ask};

/// How much longer than other effects a message of one that died may live, and
/// the record that it makes.
const FORGETTING: Duration = Duration::from_secs(12);

pub(super) async fn group(mut hand: Hand<'_>) {
    let Ok(group) = Group::new(&hand.worker.client, "g") else {
        return;
    };
    let mut members = group.members();
    let mut joined: Option<(String, Membership)> = None;
    let mut times = 0;
    while hand.works() {
        match joined.take() {
            None => {
                times += 1;
                joined = join(&group, format!("m{}.{times}", hand.worker.id)).await;
            }
            Some((_, membership)) if hand.percent(10) => {
                // Dropped now and then.
                if hand.percent(50) {
                    let _left = membership.leave().await;
                }
                hand.saw("a member that left");
            }
            Some(stays) => joined = Some(stays),
        }
        let wait = hand.ms(1..2000);
        watch(&mut members, wait).await;
    }
    while joined.is_none() {
        times += 1;
        joined = join(&group, format!("m{}.{times}", hand.worker.id)).await;
    }
    sleep(FORGETTING).await;
    if let Some((name, _)) = &joined {
        hand.board().alive().insert(name.clone());
    }
    hand.rest().await;
    watch(&mut members, Duration::from_secs(5)).await;
    let alive: Vec<String> = hand.board().alive().iter().cloned().collect();
    let names = |members: &Vec<Member>| {
        let names = members.iter().map(|member| member.name.clone());
        Answer::Members(names.collect())
    };
    let ask = Ask::Members {
        alive: alive.clone(),
    };
    hand.call(ask, group.list(), names).await;
    let observed = async { Ok(members.list()) };
    hand.call(Ask::Members { alive }, observed, names).await;
    // Nobody leaves before all have looked.
    hand.meet().await;
    drop(joined);
}

async fn join(group: &Group, name: String) -> Option<(String, Membership)> {
    let membership = group.join(&name, "").await.ok()?;
    Some((name, membership))
}

/// Observes the members for a while.
async fn watch(members: &mut Members, wait: Duration) {
    let watches = async {
        loop {
            // Where it failed, asking again goes on.
            if members.next().await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    let ended: Result<(), _> = timeout(wait, watches).await;
    drop(ended);
}
