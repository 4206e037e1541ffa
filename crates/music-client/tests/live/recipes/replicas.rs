//! Load-balanced active-passive replication.

use std::time::Duration;

use music_client::Error;
use music_client::recipes::{
    ActivePassive, Policy, Refusal, Replica, ReplicaStatus, Role, Standby,
};

use super::killing::killed_everywhere;
use crate::proxy::Proxy;
use crate::sites::{Sites, client_with_lease, soon};

const LEASE: Duration = Duration::from_millis(600);
const SITES: [&str; 3] = ["ohio", "ncalifornia", "oregon"];

fn service(sites: &Sites, site: usize, active: u64) -> ActivePassive {
    let client = client_with_lease([sites.urls[site].clone()], LEASE);
    let service = ActivePassive::new(&client, "s", active).unwrap();
    service.policy(Policy::sites(SITES))
}

async fn join(sites: &Sites, site: usize, name: &str, load: u32) -> Standby {
    let replica = Replica::new(name, SITES[site]).load(load);
    soon(service(sites, site, 1).join(replica)).await.unwrap()
}

#[tokio::test]
async fn so_many_are_active_and_the_state_is_handed_on() {
    let sites = Sites::start().await;
    let mut first = join(&sites, 0, "a", 0).await;
    let mut second = join(&sites, 1, "b", 0).await;
    let active = soon(first.activate()).await.unwrap();
    assert_eq!(soon(active.state()).await.unwrap(), None);
    soon(active.save("at work")).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_secs(2), second.activate());
    assert!(waits.await.is_err(), "one is active");
    let token = active.token();
    let (next, ended) = soon(async { tokio::join!(second.activate(), active.step_down()) }).await;
    ended.unwrap();
    let next = next.unwrap();
    assert!(next.token() > token && next.slot() == 0);
    let state = soon(next.state()).await.unwrap().unwrap();
    assert_eq!(state.content.text(), Some("at work"));
}

#[tokio::test]
async fn the_best_that_wait_are_active() {
    let sites = Sites::start().await;
    let blocker = service(&sites, 0, 1);
    let mut blocker = soon(blocker.join(Replica::new("blocker", "ohio")))
        .await
        .unwrap();
    let active = soon(blocker.activate()).await.unwrap();
    // The worst ones ask first, and wait.
    let worst_first = [(2, "d", 0), (1, "c", 9), (1, "b", 3), (0, "a", 5)];
    let mut waiting = Vec::new();
    for (site, name, load) in worst_first {
        let mut standby = join(&sites, site, name, load).await;
        waiting.push(tokio::spawn(async move {
            let active = standby.activate().await.unwrap();
            (name, active, standby)
        }));
    }
    // All wait, as the one that is active sees it, the best one too.
    assert_eq!(soon(join_for(&mut blocker, 5)).await, 5);
    let mut order = Vec::new();
    let mut held = Some(active);
    while !waiting.is_empty() {
        soon(held.take().unwrap().step_down()).await.unwrap();
        let all = futures_util::future::select_all(waiting);
        let (next, _, rest) = soon(all).await;
        let (name, active, standby) = next.unwrap();
        order.push(name);
        held = Some(active);
        waiting = rest;
        drop(standby);
    }
    assert_eq!(order, ["a", "b", "c", "d"]);
}

/// Waits until so many replicas are there.
async fn join_for(standby: &mut Standby, count: usize) -> usize {
    while standby.replicas().len() < count {
        standby.changed().await.unwrap();
    }
    standby.replicas().len()
}

#[tokio::test]
async fn an_active_one_that_dies_is_replaced_and_one_of_a_better_site_is_told_of() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[2]).await;
    let doomed = client_with_lease([proxy.url.clone()], LEASE);
    let doomed = ActivePassive::new(&doomed, "s", 1).unwrap();
    let mut doomed = soon(
        doomed
            .policy(Policy::sites(SITES))
            .join(Replica::new("z", "oregon")),
    )
    .await
    .unwrap();
    let dying = soon(doomed.activate()).await.unwrap();
    soon(dying.save("last words")).await.unwrap();
    let mut heir = join(&sites, 0, "a", 0).await;
    let dies = async {
        let better = doomed.outranked().await.unwrap();
        proxy.cut_after(0);
        better
    };
    let (better, active) = soon(async { tokio::join!(dies, heir.activate()) }).await;
    assert_eq!(better, "a");
    let active = active.unwrap();
    let state = soon(active.state()).await.unwrap().unwrap();
    assert_eq!(state.content.text(), Some("last words"));
    soon(dying.lost()).await;
    assert!(matches!(
        soon(dying.save("late")).await,
        Err(Error::Lost(_))
    ));
}

#[tokio::test]
async fn two_of_three_are_active() {
    let sites = Sites::start().await;
    let mut standbys = Vec::new();
    for (site, name) in ["a", "b", "c"].into_iter().enumerate() {
        let replica = Replica::new(name, SITES[site]);
        standbys.push(soon(service(&sites, site, 2).join(replica)).await.unwrap());
    }
    let [mut a, mut b, mut c] = <[Standby; 3]>::try_from(standbys).unwrap();
    let (first, second) = soon(async { tokio::join!(a.activate(), b.activate()) }).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.slot(), second.slot());
    let third = tokio::time::timeout(Duration::from_secs(3), c.activate());
    assert!(third.await.is_err(), "two are active");
    let slot = first.slot();
    soon(first.step_down()).await.unwrap();
    assert_eq!(soon(c.activate()).await.unwrap().slot(), slot);
}

/// Waits until a replica is known, as a standby sees it, to be as given.
async fn seen(standby: &mut Standby, name: &str, load: u32, role: Role) {
    let is = |known: &ReplicaStatus| known.name == name && known.load == load && known.role == role;
    while !standby.replicas().iter().any(is) {
        standby.changed().await.unwrap();
    }
}

#[tokio::test]
async fn the_worst_active_one_makes_room_and_roles_and_loads_are_told() {
    let sites = Sites::start().await;
    let two = |site: usize| service(&sites, site, 2);
    let mut b = soon(two(1).join(Replica::new("b", SITES[1])))
        .await
        .unwrap();
    let mut c = soon(two(2).join(Replica::new("c", SITES[2])))
        .await
        .unwrap();
    let b_active = soon(b.activate()).await.unwrap();
    assert!(b_active.valid_for() > Duration::ZERO && b_active.valid_for() <= LEASE);
    let c_active = soon(c.activate()).await.unwrap();
    let mut a = soon(two(0).join(Replica::new("a", SITES[0])))
        .await
        .unwrap();
    let gauge = a.load_gauge();
    let waits = tokio::spawn(async move { (a.activate().await.unwrap(), a) });
    soon(seen(&mut c, "a", 0, Role::Waiting)).await;
    soon(gauge.set(7)).await.unwrap();
    soon(seen(&mut b, "a", 7, Role::Waiting)).await;
    soon(seen(&mut b, "c", 0, Role::Active)).await;
    assert_eq!(soon(c.outranked()).await.unwrap(), "a");
    // The other one stays, as long as it sees that a worse one makes room.
    let known = soon(two(1).replicas()).await.unwrap();
    let roles: Vec<_> = known
        .iter()
        .map(|known| (&*known.name, known.role))
        .collect();
    let expected = [
        ("a", Role::Waiting),
        ("b", Role::Active),
        ("c", Role::Active),
    ];
    assert_eq!(roles, expected);
    let outranked = tokio::time::timeout(LEASE, b.outranked());
    assert!(outranked.await.is_err(), "the worse one makes room");
    soon(c_active.step_down()).await.unwrap();
    let (a_active, a) = soon(waits).await.unwrap();
    assert_ne!(a_active.slot(), b_active.slot());
    soon(a.leave()).await.unwrap();
    soon(gauge.set(8)).await.unwrap();
}

#[tokio::test]
async fn one_that_is_killed_anywhere_is_replaced() {
    let sites = Sites::start().await;
    killed_everywhere(
        &sites,
        async |client, name| {
            let service = ActivePassive::new(&client, &name, 1).unwrap();
            let mut standby = service.join(Replica::new("killed", "ohio")).await?;
            let active = standby.activate().await?;
            let saved = active.save("saved").await;
            std::mem::forget((active, standby));
            saved
        },
        async |name, saved| {
            let client = client_with_lease([sites.urls[1].clone()], LEASE);
            let service = ActivePassive::new(&client, &name, 1).unwrap();
            let mut standby = service.join(Replica::new("heir", "oregon")).await.unwrap();
            let active = standby.activate().await.unwrap();
            let state = active.state().await.unwrap();
            assert!(saved.is_err() || state.unwrap().content.text() == Some("saved"));
            active.step_down().await.unwrap();
            standby.leave().await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn replicas_that_disagree_are_told() {
    let sites = Sites::start().await;
    let _one = join(&sites, 0, "a", 0).await;
    let error = soon(service(&sites, 1, 2).join(Replica::new("b", "oregon")))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Disagreement { .. })),
        "{error:?}"
    );
    for active in [0, 65] {
        let error = ActivePassive::new(&sites.client(&[0]), "s", active).unwrap_err();
        assert!(matches!(error, Refusal::OutOfBounds { .. }), "{error:?}");
    }
}
