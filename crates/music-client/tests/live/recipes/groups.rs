//! Group membership.

use std::time::Duration;

use music_client::Error;
use music_client::api::name::Value;
use music_client::recipes::{Group, GroupEvent, Member, Refusal};

use crate::proxy::Proxy;
use crate::sites::{Sites, client_with_lease, soon};

fn member(name: &str, value: &str) -> Member {
    Member {
        name: name.to_owned(),
        value: Value::Text(value.to_owned()),
    }
}

#[tokio::test]
async fn members_come_change_and_go() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| Group::new(&sites.client(&[site]), "g").unwrap());
    let first = soon(here.join("a", "one")).await.unwrap();
    let mut members = there.members();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Joined(member("a", "one"))
    );
    let second = soon(there.join("b", "two")).await.unwrap();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Joined(member("b", "two"))
    );
    assert_eq!(members.list(), [member("a", "one"), member("b", "two")]);
    soon(first.proclaim("three")).await.unwrap();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Changed(member("a", "three"))
    );
    assert_eq!(soon(there.list()).await.unwrap().len(), 2);
    soon(first.leave()).await.unwrap();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Left(member("a", "three"))
    );
    drop(second);
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Left(member("b", "two"))
    );
    assert_eq!(soon(there.list()).await.unwrap(), []);
}

#[tokio::test]
async fn a_member_that_goes_on_stays() {
    let sites = Sites::start().await;
    let short = client_with_lease([sites.urls[0].clone()], Duration::from_millis(100));
    let group = Group::new(&short, "g").unwrap();
    let membership = soon(group.join("a", "one")).await.unwrap();
    let mut members = Group::new(&sites.client(&[1]), "g").unwrap().members();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Joined(member("a", "one"))
    );
    let many_leases = Duration::from_millis(600);
    let event = tokio::time::timeout(many_leases, members.next()).await;
    assert!(event.is_err(), "{event:?}");
    drop(membership);
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Left(member("a", "one"))
    );
}

#[tokio::test]
async fn a_member_that_dies_is_missed() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let doomed = client_with_lease([proxy.url.clone()], Duration::from_millis(200));
    let group = Group::new(&doomed, "g").unwrap();
    let membership = soon(group.join("a", "one")).await.unwrap();
    let mut members = Group::new(&sites.client(&[1]), "g").unwrap().members();
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Joined(member("a", "one"))
    );
    proxy.cut_after(0);
    assert_eq!(
        soon(members.next()).await.unwrap(),
        GroupEvent::Left(member("a", "one"))
    );
    assert_eq!(members.list(), []);
    drop(membership);
}

#[tokio::test]
async fn groups_whose_names_begin_alike_are_two() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let long = Group::new(&client, "g/h").unwrap();
    let _one = soon(long.join("a", "one")).await.unwrap();
    let short = Group::new(&client, "g").unwrap();
    assert_eq!(soon(short.list()).await.unwrap(), []);
    assert_eq!(soon(long.list()).await.unwrap(), [member("a", "one")]);
}

#[tokio::test]
async fn a_member_needs_a_name() {
    let sites = Sites::start().await;
    let group = Group::new(&sites.client(&[0]), "g").unwrap();
    for name in [String::new(), "n".repeat(101)] {
        let error = soon(group.join(&name, "")).await.unwrap_err();
        assert!(
            matches!(error, Error::Refused(Refusal::Name { .. })),
            "{error:?}"
        );
    }
}
