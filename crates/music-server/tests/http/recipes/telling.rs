//! Groups.

use reqwest::Method;
use serde_json::json;

use super::{at, get, put};
use crate::fixture::{Events, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn members_join_prove_life_and_leave() {
    let fixture = Fixture::start().await;
    assert_eq!(
        get(&fixture, 0, "groups/g/members").await,
        json!({ "members": [] })
    );
    let mut events = Events::of(at(&fixture, 0, Method::GET, "groups/g/events")).await;
    let body = json!({ "value": { "text": "1" }, "lease_ms": 60_000 });
    let joined = put(&fixture, 0, "groups/g/members/a%2Fb", body.clone()).await;
    assert_eq!(joined, json!({ "joined": true, "lease_ms": 60_000 }));
    let member = json!({ "name": "a/b", "value": { "text": "1" } });
    assert_eq!(
        events.next().await.unwrap(),
        ("joined".to_owned(), member.clone())
    );
    let again = put(&fixture, 0, "groups/g/members/a%2Fb", body).await;
    assert_eq!(again["joined"], false);
    // Nothing to be said beyond that it lives.
    let other = at(&fixture, 0, Method::PUT, "groups/g/members/c")
        .send()
        .await
        .ok();
    assert_eq!(other, json!({ "joined": true, "lease_ms": 10_000 }));
    let second = json!({ "name": "c", "value": { "json": null } });
    assert_eq!(
        events.next().await.unwrap(),
        ("joined".to_owned(), second.clone())
    );
    let members = json!({ "members": [member, second] });
    assert_eq!(get(&fixture, 0, "groups/g/members").await, members);

    put(
        &fixture,
        0,
        "groups/g/members/c",
        json!({ "value": { "json": 2 } }),
    )
    .await;
    let changed = json!({ "name": "c", "value": { "json": 2 } });
    assert_eq!(
        events.next().await.unwrap(),
        ("changed".to_owned(), changed)
    );
    let left = at(&fixture, 1, Method::DELETE, "groups/g/members/a%2Fb")
        .send()
        .await;
    assert_eq!(left.status, 204);
    let (event, member) = events.next().await.unwrap();
    assert_eq!((event.as_str(), &member["name"]), ("left", &json!("a/b")));
    let members = get(&fixture, 1, "groups/g/members").await;
    assert_eq!(members["members"][0]["name"], "c", "{members}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_proves_life_no_more_is_gone() {
    let fixture = Fixture::start().await;
    let mut events = Events::of(at(&fixture, 0, Method::GET, "groups/g/events")).await;
    put(
        &fixture,
        0,
        "groups/g/members/a",
        json!({ "lease_ms": 400 }),
    )
    .await;
    assert_eq!(events.next().await.unwrap().0, "joined");
    assert_eq!(events.next().await.unwrap().0, "left");
}
