//! Leader election.

use std::time::Duration;

use music_client::api::name::Value;
use music_client::recipes::{Candidacy, Election, Leadership, Refusal};
use music_client::{Error, LostReason};

use super::killing::killed_everywhere;
use crate::sites::{Sites, soon};

fn candidate(sites: &Sites, site: usize) -> Candidacy {
    let election = Election::new(&sites.client(&[site]), "e").unwrap();
    let name = format!("c{site}");
    election.candidate(&name, format!("at {site}")).unwrap()
}

async fn lead(candidacy: &Candidacy) -> Leadership {
    soon(candidacy.campaign()).await.unwrap()
}

#[tokio::test]
async fn one_leads_and_all_see_it() {
    let sites = Sites::start().await;
    let election = Election::new(&sites.client(&[2]), "e").unwrap();
    let mut observer = election.observe();
    assert_eq!(soon(observer.next()).await.unwrap(), None);
    let mut first = lead(&candidate(&sites, 0)).await;
    let seen = soon(observer.next()).await.unwrap().unwrap();
    assert_eq!(&seen, first.leader());
    assert_eq!((seen.candidate.as_str(), seen.token), ("c0", first.token()));
    let second = candidate(&sites, 1);
    let wait = Duration::from_millis(50);
    assert!(soon(second.campaign_within(wait)).await.unwrap().is_none());
    soon(first.proclaim("elsewhere")).await.unwrap();
    let seen = soon(observer.next()).await.unwrap().unwrap();
    assert_eq!(seen.value, Value::Text("elsewhere".to_owned()));
    soon(first.resign()).await.unwrap();
    assert_eq!(soon(observer.next()).await.unwrap(), None);
    let second = lead(&second).await;
    assert!(second.token() > seen.token);
    assert_eq!(
        soon(observer.next()).await.unwrap().as_ref(),
        Some(second.leader())
    );
    assert_eq!(
        soon(election.leader()).await.unwrap().as_ref(),
        Some(second.leader())
    );
}

#[tokio::test]
async fn a_leader_hands_over_to_whom_it_names() {
    let sites = Sites::start().await;
    let first = lead(&candidate(&sites, 0)).await;
    let [second, third] = [1, 2].map(|site| candidate(&sites, site));
    let key = ("recipes", "election/e");
    let watcher = sites.client(&[0]);
    let waiting = async |count| {
        while soon(watcher.queue(key)).await.unwrap().length < count {
            tokio::task::yield_now().await;
        }
    };
    let second = tokio::spawn(async move { second.campaign().await });
    waiting(2).await;
    let third = tokio::spawn(async move { third.campaign().await });
    waiting(3).await;
    soon(first.hand_over("c2")).await.unwrap();
    let third = soon(third).await.unwrap().unwrap();
    assert_eq!(third.leader().candidate, "c2");
    assert!(!second.is_finished(), "it gave way");
    soon(third.resign()).await.unwrap();
    assert_eq!(
        soon(second).await.unwrap().unwrap().leader().candidate,
        "c1"
    );
}

#[tokio::test]
async fn a_successor_that_is_not_there_is_not_waited_for() {
    let sites = Sites::start().await;
    let first = lead(&candidate(&sites, 0)).await;
    soon(first.hand_over("nobody")).await.unwrap();
    let second = lead(&candidate(&sites, 1)).await;
    assert_eq!(second.leader().candidate, "c1");
    drop(second);
    // A nomination is over when somebody led.
    assert_eq!(lead(&candidate(&sites, 2)).await.leader().candidate, "c2");
}

#[tokio::test]
async fn a_preempted_leader_is_told_and_proclaims_nothing() {
    let sites = Sites::start().await;
    let mut first = lead(&candidate(&sites, 0)).await;
    let other = sites.client(&[1]);
    assert!(soon(other.force(first.lock_ref())).await.unwrap());
    let second = lead(&candidate(&sites, 1)).await;
    let late = soon(first.proclaim("still me")).await;
    assert!(matches!(late, Err(Error::Lost(_))), "{late:?}");
    assert_eq!(soon(first.lost()).await, LostReason::Preempted);
    let work = soon(first.run(std::future::pending::<()>())).await;
    assert!(work.is_err());
    let election = Election::new(&other, "e").unwrap();
    assert_eq!(
        soon(election.leader()).await.unwrap().as_ref(),
        Some(second.leader())
    );
}

#[tokio::test]
async fn a_leader_that_is_killed_anywhere_is_followed() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| {
            let election = Election::new(&client, &name).unwrap();
            let leadership = election.candidate("killed", "").unwrap().campaign().await?;
            let token = leadership.token();
            std::mem::forget(leadership);
            Ok::<_, Error>(token)
        },
        async |name, led| {
            let election = Election::new(&other, &name).unwrap();
            let next = election
                .candidate("next", "")
                .unwrap()
                .campaign()
                .await
                .unwrap();
            assert!(led.is_err() || led.unwrap() < next.token());
            assert_eq!(
                election.leader().await.unwrap().as_ref(),
                Some(next.leader())
            );
        },
    )
    .await;
}

#[tokio::test]
async fn a_candidate_needs_a_name() {
    let sites = Sites::start().await;
    let election = Election::new(&sites.client(&[0]), "e").unwrap();
    for name in [String::new(), "n".repeat(257)] {
        let error = election.candidate(&name, "").unwrap_err();
        assert!(matches!(error, Refusal::Name { .. }), "{error:?}");
    }
}
