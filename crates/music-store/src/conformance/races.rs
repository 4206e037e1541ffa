//! Calls that race: given up, or ending one ticket from several sites at once.

use music_core::id::{RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, LockQueue, Outcome};
use music_core::lock_ref::{Holding, Incarnation};
use tokio::task::JoinSet;

use super::{
    Harness, adopt, attempt, enqueue, force, give_up_at, key, look, release_at_last,
    ticket_at_last, until_known,
};
use crate::{Applied, LockStore};

/// The ticket in the incarnation of whoever adopted it first.
fn adopted(holding: Holding) -> Holding {
    let incarnation = Incarnation(1);
    Holding {
        incarnation,
        ..holding
    }
}

/// Each site performs one of the commands, all at once.
async fn race<S: LockStore>(
    sites: &[S],
    key: &RecordId,
    commands: impl IntoIterator<Item = Command>,
) -> Vec<Option<Applied>> {
    let mut calls = JoinSet::new();
    for (index, command) in commands.into_iter().enumerate() {
        let (site, key) = (sites[index % sites.len()].clone(), key.clone());
        calls.spawn(async move { (index, attempt(&site, &key, command).await) });
    }
    let mut all = calls.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, applied)| applied).collect()
}

fn took_effect(applied: &Applied) -> bool {
    matches!(applied.outcome, Outcome::Done(_))
}

fn tickets_of(queue: &LockQueue, request: u128) -> usize {
    let tickets = queue.tickets();
    tickets
        .filter(|(_, ticket)| ticket.request == RequestId(request))
        .count()
}

/// "After a time-out the node looks the id up, adopts the ticket or removes
/// it. No orphan": one ticket or none, never two, and none later.
pub async fn an_enqueue_given_up_left_one_ticket_or_none<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    let mut last = 0;
    for round in 0..40_u32 {
        let request = |number: usize| u128::from(round) * 10 + number as u128;
        let mut calls = JoinSet::new();
        for (number, site) in sites.iter().cloned().enumerate() {
            let (key, request) = (key.clone(), request(number));
            let moment = round + 5 * u32::try_from(number).unwrap();
            calls.spawn(async move {
                let call = site.apply(&key, enqueue(request));
                give_up_at(moment, call).await;
                look(&site, &key).await.holding_of(RequestId(request))
            });
        }
        let seen = calls.join_all().await;
        harness.settled().await;
        for site in &sites {
            let queue = look(site, &key).await;
            let kept = queue.tickets().count();
            assert_eq!(queue.last().get(), last + kept as u64, "round {round}");
            for number in 0..sites.len() {
                assert!(tickets_of(&queue, request(number)) <= 1);
                let found = queue.holding_of(RequestId(request(number)));
                assert!(found.is_none() || seen.contains(&found), "round {round}");
            }
            assert_eq!(kept, seen.iter().flatten().count(), "round {round}");
        }
        let given = last + seen.iter().flatten().count() as u64;
        for (number, site) in sites.iter().enumerate() {
            // Asked again elsewhere: the same ticket, or the first.
            let request = request((number + 1) % sites.len());
            let holding = ticket_at_last(site, &key, request).await;
            let is_new = holding.lock_ref.get() > given;
            assert_eq!(is_new, !seen.contains(&Some(holding)), "round {round}");
            until_known(site, &key, Command::Withdraw(holding.lock_ref)).await;
        }
        let queue = look(&sites[0], &key).await;
        assert_eq!(queue.tickets().count(), 0, "round {round}");
        last = queue.last().get();
    }
}

/// force, adopt and confirm are atomic: "if it is still there", the owner and
/// the incarnation as they were seen. `forced` is set by the forced release
/// that found its ticket, and by no other.
pub async fn of_a_forced_release_an_adoption_and_a_confirmed_release_one_counts<H: Harness>(
    harness: &H,
) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..15_usize {
        let holding = ticket_at_last(&sites[0], &key, round as u128).await;
        let lock_ref = holding.lock_ref;
        let owner = Some(SessionId(round as u128));
        let mut commands = [
            Command::Force { lock_ref, owner },
            adopt(holding),
            Command::Confirm(holding),
        ];
        commands.rotate_left(round % 3);
        let answers = race(&sites, &key, commands).await;
        let mut done = commands
            .iter()
            .zip(&answers)
            .filter_map(|(command, answer)| {
                let answer = answer.as_ref()?;
                took_effect(answer).then_some(command)
            });
        let (winner, second) = (done.next(), done.next());
        assert!(second.is_none(), "{answers:?}");
        assert!(
            winner.is_some() || answers.iter().any(Option::is_none),
            "{answers:?}"
        );
        for site in &sites {
            let queue = look(site, &key).await;
            match winner {
                Some(Command::Force { .. }) => assert_eq!(queue.forced(), lock_ref),
                Some(_) => assert!(queue.forced() < lock_ref),
                None => {}
            }
            if let Some(winner) = winner {
                let stays = matches!(winner, Command::Adopt { .. });
                assert_eq!(queue.present(adopted(holding)), stays);
                assert!(!queue.present(holding));
            }
        }
        // Of the adopted ticket the confirmation takes another: (r, 1).
        until_known(&sites[1], &key, Command::Confirm(adopted(holding))).await;
        until_known(&sites[1], &key, Command::Confirm(holding)).await;
        let late = attempt(&sites[2], &key, force(lock_ref)).await;
        assert!(late.is_none_or(|late| late.outcome == Outcome::Gone));
    }
}

/// force(r): "`forced = max(forced, r)` and remove ticket r, in one atomic
/// step"; adopt(r): "if it is not gone".
pub async fn a_forced_release_ends_the_ticket_before_or_after_an_adoption<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..15_usize {
        let holding = ticket_at_last(&sites[0], &key, round as u128).await;
        let lock_ref = holding.lock_ref;
        let commands = [force(lock_ref), adopt(holding)];
        let mut racing = sites.clone();
        racing.rotate_left(round % 3);
        let answers = race(&racing, &key, commands).await;
        if let [Some(forced), Some(taken)] = &answers[..] {
            assert!(took_effect(forced) && forced.queue.forced() == lock_ref);
            assert!(forced.queue.ticket(lock_ref).is_none());
            if took_effect(taken) {
                assert!(taken.queue.present(adopted(holding)));
                assert!(taken.queue.forced() < lock_ref, "adopted when it was gone");
            } else {
                assert_eq!(taken.queue.forced(), lock_ref, "gone before it was forced");
            }
        } else {
            until_known(&sites[0], &key, force(lock_ref)).await;
        }
        for site in &sites {
            let queue = look(site, &key).await;
            assert_eq!((queue.forced(), queue.tickets().count()), (lock_ref, 0));
        }
    }
}

/// A release is "monotone: a majority write", outside of consensus: beside
/// commands it brings no ticket back, and ends no incarnation but its own.
pub async fn a_release_that_races_brings_no_ticket_back<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..15_u128 {
        let holder = ticket_at_last(&sites[0], &key, round * 10).await;
        let waiter = ticket_at_last(&sites[1], &key, round * 10 + 1).await;
        let next = ticket_at_last(&sites[2], &key, round * 10 + 2).await;
        let release = {
            let (site, key) = (sites[0].clone(), key.clone());
            tokio::spawn(async move { release_at_last(&site, &key, holder).await })
        };
        let other = if round % 2 == 0 {
            force(holder.lock_ref)
        } else {
            adopt(holder)
        };
        let answers = race(
            &sites[1..],
            &key,
            [other, Command::Withdraw(waiter.lock_ref)],
        )
        .await;
        release.await.unwrap();
        let took_over = look(&sites[0], &key).await.present(adopted(holder));
        if let Some(answer) = &answers[0] {
            let done = took_effect(answer);
            assert_eq!(took_over, done && round % 2 == 1);
            let forced = look(&sites[2], &key).await.forced() == holder.lock_ref;
            assert_eq!(forced, done && round % 2 == 0, "{answer:?}");
        }
        if took_over {
            release_at_last(&sites[1], &key, adopted(holder)).await;
        }
        harness.settled().await;
        for site in &sites {
            let queue = look(site, &key).await;
            assert!(queue.ticket(holder.lock_ref).is_none(), "round {round}");
            assert!(queue.ticket(waiter.lock_ref).is_none(), "round {round}");
            assert!(queue.is_first(next.lock_ref), "round {round}");
        }
        release_at_last(&sites[2], &key, next).await;
    }
}
