//! Sections: how they are begun, kept, lost, moved and ended.

use std::sync::Arc;
use std::time::Duration;

use crate::fake_node::{FakeNode, Reply, fine, lock, problem};
use crate::support::{client, quick, soon};
use music_client::api::code::Code;
use music_client::{Client, CriticalSection, Error, LostReason, Options, Outcome};
use serde_json::json;
use tokio::sync::watch;

const PUT: &str = "PUT /v1/locks/L/tables/t/keys/k";

async fn fine_node() -> FakeNode {
    FakeNode::start(|request, _| fine(request)).await
}

async fn section(client: &Client) -> CriticalSection {
    soon(client.lock([("t", "k")]).acquire()).await.unwrap()
}

#[tokio::test]
async fn a_section_is_granted_used_and_released() {
    let node = fine_node().await;
    let client = client([&node.url]);
    let section = section(&client).await;
    assert_eq!((section.token(), section.lock_ref()), (7, "L"));
    soon(section.put(("t", "k"), "v")).await.unwrap();
    soon(section.release()).await.unwrap();
    soon(client.close()).await;
    assert_eq!(node.asked("/release").len(), 1);
}

#[tokio::test]
async fn a_waiter_polls_until_it_is_granted() {
    let node = FakeNode::start(|request, before| match request.line.as_str() {
        "POST /v1/locks" => Reply::Json(201, lock("waiting")),
        line if line.ends_with("/acquire") && before < 2 => Reply::Json(200, lock("waiting")),
        _ => fine(request),
    })
    .await;
    section(&client([&node.url])).await;
    assert_eq!(node.asked("/acquire").len(), 3);
}

#[tokio::test]
async fn a_wait_that_is_over_gives_the_place_up() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => Reply::Json(201, lock("waiting")),
        line if line.ends_with("/acquire") => Reply::Json(200, lock("waiting")),
        _ => fine(request),
    })
    .await;
    let client = client([&node.url]);
    let error = soon(client.lock([("t", "k")]).wait(Duration::ZERO).acquire())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
    soon(client.close()).await;
    assert_eq!(node.asked("/release").len(), 1);
}

#[tokio::test]
async fn a_dropped_wait_gives_the_place_up() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => Reply::Json(201, lock("waiting")),
        line if line.ends_with("/acquire") => Reply::Silence,
        _ => fine(request),
    })
    .await;
    let client = client([&node.url]);
    tokio::select! {
        _ = client.lock([("t", "k")]).acquire() => panic!("it was not granted"),
        () = node.when_asked("/acquire", 1) => {}
    }
    soon(client.close()).await;
    assert_eq!(node.asked("/release").len(), 1);
}

#[tokio::test]
async fn a_creation_dropped_on_the_way_is_found_again_and_released() {
    let node = FakeNode::start(|request, before| match (request.line.as_str(), before) {
        ("POST /v1/locks", 0) => Reply::Silence,
        _ => fine(request),
    })
    .await;
    let client = client([&node.url]);
    tokio::select! {
        _ = client.lock([("t", "k")]).acquire() => panic!("it was not answered"),
        () = node.when_asked("/v1/locks", 1) => {}
    }
    soon(client.close()).await;
    let created = node.asked("/v1/locks");
    assert_eq!(created.len(), 2);
    assert_eq!(created[0].key(), created[1].key());
    assert_eq!(created[0].body, created[1].body);
    assert_eq!(node.asked("/release").len(), 1);
}

#[tokio::test]
async fn a_creation_without_an_answer_is_found_again_at_another_node() {
    let node = FakeNode::start(|_, _| Reply::HangUp).await;
    let other = fine_node().await;
    let section = section(&client([&node.url, &other.url])).await;
    assert_eq!(section.endpoint(), other.url);
    assert_eq!(
        node.asked("/v1/locks")[0].key(),
        other.asked("/v1/locks")[0].key()
    );
    soon(section.release()).await.unwrap();
    assert!(
        node.asked("/release").is_empty(),
        "a node that was left is never asked again"
    );
}

#[tokio::test]
async fn a_dropped_section_is_released() {
    let node = fine_node().await;
    let client = client([&node.url]);
    drop(section(&client).await);
    soon(client.close()).await;
    assert_eq!(node.asked("/release").len(), 1);
}

#[tokio::test]
async fn background_releases_are_bounded() {
    let node = fine_node().await;
    let options = Options {
        background_releases_max: 0,
        ..quick()
    };
    let client = Client::new([&node.url], options).unwrap();
    drop(section(&client).await);
    soon(client.close()).await;
    assert!(node.asked("/release").is_empty());
}

#[tokio::test]
async fn a_section_is_renewed_while_it_is_held() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => {
            let mut lock = lock("granted");
            lock["lease_ms"] = json!(150);
            Reply::Json(201, lock)
        }
        _ => fine(request),
    })
    .await;
    let section = section(&client([&node.url])).await;
    node.when_asked("/renew", 4).await;
    assert_eq!(section.is_lost(), None);
}

#[tokio::test]
async fn a_renewal_that_says_lost_is_told_to_everything_at_once() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        line if line.ends_with("/renew") => problem(Code::Lost),
        PUT => Reply::Silence,
        _ => fine(request),
    })
    .await;
    let section = section(&client([&node.url])).await;
    let work = section.run(std::future::pending::<()>());
    let (put, work, reason) =
        soon(async { tokio::join!(section.put(("t", "k"), "v"), work, section.lost()) }).await;
    assert_eq!(put.unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(work.unwrap_err().reason, LostReason::Preempted);
    assert_eq!(reason, LostReason::Preempted);
    let later = section.put(("t", "k"), "v").await.unwrap_err();
    assert!(matches!(later, Error::Lost(_)));
    assert_eq!(later.outcome(), Outcome::NotApplied);
    assert_eq!(node.asked(PUT).len(), 1, "a lost section sends nothing");
    assert!(matches!(section.release().await, Err(Error::Lost(_))));
}

#[tokio::test]
async fn an_event_that_says_lost_comes_before_the_next_renewal() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        line if line.ends_with("/events") => {
            Reply::Events(format!("event: lock\ndata: {}\n\n", lock("lost")))
        }
        _ => fine(request),
    })
    .await;
    let section = section(&client([&node.url])).await;
    assert_eq!(soon(section.lost()).await, LostReason::Preempted);
    assert!(node.asked("/renew").is_empty());
}

#[tokio::test]
async fn a_section_that_no_node_renews_for_a_lease_is_lost() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => {
            let mut lock = lock("granted");
            lock["lease_ms"] = json!(200);
            Reply::Json(201, lock)
        }
        _ => Reply::Silence,
    })
    .await;
    let section = section(&client([&node.url])).await;
    assert_eq!(soon(section.lost()).await, LostReason::LeaseExpired);
}

/// A node that grants a section, and does nothing for it.
async fn dead_after_grant() -> FakeNode {
    FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => fine(request),
        _ => Reply::HangUp,
    })
    .await
}

#[tokio::test]
async fn a_section_moves_on_when_its_node_is_gone_and_never_goes_back() {
    let node = dead_after_grant().await;
    let other = fine_node().await;
    let section = section(&client([&node.url, &other.url])).await;
    soon(section.put(("t", "k"), "v")).await.unwrap();
    assert_eq!(section.endpoint(), other.url);
    let log = other.requests();
    assert!(log[0].is("/acquire"), "{log:?}");
    assert_eq!(node.asked(PUT)[0].key(), other.asked(PUT)[0].key());
    let asked = node.requests().len();
    soon(section.put(("t", "k"), "w")).await.unwrap();
    soon(section.release()).await.unwrap();
    assert_eq!(node.requests().len(), asked);
}

#[tokio::test]
async fn a_section_stays_while_no_other_node_can_be_reached() {
    let node = FakeNode::start(|request, before| match (request.line.as_str(), before) {
        (PUT, 0..3) => problem(Code::Unavailable),
        _ => fine(request),
    })
    .await;
    let gone = fine_node().await;
    let url = gone.url.clone();
    drop(gone);
    let section = section(&client([&node.url, &url])).await;
    soon(section.put(("t", "k"), "v")).await.unwrap();
    assert_eq!(section.endpoint(), node.url);
}

#[tokio::test]
async fn an_acknowledgement_of_a_node_that_was_left_does_not_count() {
    let (go, when) = watch::channel(false);
    let node = FakeNode::start(move |request, _| match request.line.as_str() {
        PUT => Reply::Later(when.clone(), Box::new(fine(request))),
        line if line.ends_with("/fields") => Reply::HangUp,
        _ => fine(request),
    })
    .await;
    let other = fine_node().await;
    let section = section(&client([&node.url, &other.url])).await;
    // The put waits at the first node while the delete makes the section move.
    let put = section.put(("t", "k"), "v");
    let move_on = async {
        node.when_asked(PUT, 1).await;
        section.delete_field(("t", "k", "other")).await.unwrap();
        go.send_replace(true);
    };
    let (put, ()) = soon(async { tokio::join!(put, move_on) }).await;
    put.unwrap();
    assert_eq!(
        other.asked(PUT).len(),
        1,
        "the acknowledgement must come from the new node"
    );
}

#[tokio::test]
async fn a_put_with_a_later_one_to_its_field_is_unknown_after_a_move() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        "POST /v1/locks" => fine(request),
        PUT => Reply::Silence,
        _ => Reply::HangUp,
    })
    .await;
    let other = fine_node().await;
    let section = section(&client([&node.url, &other.url])).await;
    let second = async {
        node.when_asked(PUT, 1).await;
        let put = section.put(("t", "k"), "second");
        let move_on = async {
            node.when_asked(PUT, 2).await;
            section.delete_field(("t", "k", "other")).await.unwrap();
        };
        tokio::join!(put, move_on).0
    };
    let (first, second) =
        soon(async { tokio::join!(section.put(("t", "k"), "first"), second) }).await;
    assert_eq!(first.unwrap_err().outcome(), Outcome::Unknown);
    second.unwrap();
    let made = other.asked(PUT);
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].body, b"second");
}

#[tokio::test]
async fn a_node_that_forgot_the_section_is_asked_to_take_it_over() {
    let node = FakeNode::start(|request, before| match (request.line.as_str(), before) {
        (PUT, 0) => problem(Code::NotHere),
        _ => fine(request),
    })
    .await;
    let section = section(&client([&node.url])).await;
    soon(section.put(("t", "k"), "v")).await.unwrap();
    assert_eq!(node.asked("/acquire").len(), 1);
}

#[tokio::test]
async fn a_node_that_started_again_does_not_know_which_puts_it_had() {
    let (go, when) = watch::channel(false);
    let node = FakeNode::start(
        move |request, before| match (request.line.as_str(), before) {
            (PUT, 0) => Reply::HangUp,
            (PUT, 1) => Reply::Later(when.clone(), Box::new(problem(Code::NotHere))),
            _ => fine(request),
        },
    )
    .await;
    let section = section(&client([&node.url])).await;
    let second = async {
        node.when_asked(PUT, 2).await;
        section.put(("t", "k"), "second").await.unwrap();
        go.send_replace(true);
    };
    let first = section.put(("t", "k"), "first");
    let (first, ()) = soon(async { tokio::join!(first, second) }).await;
    assert_eq!(first.unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(
        node.asked(PUT).len(),
        3,
        "the first must not come after the second"
    );
}

#[tokio::test]
async fn a_node_that_hangs_is_left_after_one_attempt() {
    let node = FakeNode::start(|request, _| match request.line.as_str() {
        PUT => Reply::Silence,
        _ => fine(request),
    })
    .await;
    let other = fine_node().await;
    let options = Options {
        majority_timeout: Duration::from_millis(100),
        ..quick()
    };
    let client = Client::new([&node.url, &other.url], options).unwrap();
    let section = section(&client).await;
    soon(section.put(("t", "k"), "v")).await.unwrap();
    assert_eq!((node.asked(PUT).len(), other.asked(PUT).len()), (1, 1));
}

#[tokio::test]
async fn a_release_whose_answer_is_lost_has_released() {
    let node = FakeNode::start(|request, before| match (request.is("/release"), before) {
        (true, 0) => Reply::HangUp,
        (true, _) => problem(Code::NoSuchSection),
        _ => fine(request),
    })
    .await;
    soon(section(&client([&node.url])).await.release())
        .await
        .unwrap();
    assert_eq!(node.asked("/release").len(), 2);
}

#[tokio::test]
async fn a_release_goes_to_another_node_where_its_own_is_gone() {
    let node = dead_after_grant().await;
    let other = fine_node().await;
    soon(section(&client([&node.url, &other.url])).await.release())
        .await
        .unwrap();
    assert_eq!(other.asked("/release").len(), 1);
    assert!(
        other.asked("/acquire").is_empty(),
        "what ends need not be taken over"
    );
}

#[tokio::test]
async fn a_take_over_that_finds_no_ticket_is_a_lost_lock() {
    let node = dead_after_grant().await;
    let other = FakeNode::start(|_, _| problem(Code::NoSuchSection)).await;
    let section = section(&client([&node.url, &other.url])).await;
    let error = soon(section.put(("t", "k"), "v")).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_confirmation_that_got_no_answer_is_asked_of_the_same_node_only() {
    let node = FakeNode::start(|request, before| match before {
        0 if request.is("/release") => Reply::HangUp,
        _ => fine(request),
    })
    .await;
    let other = fine_node().await;
    let section = section(&client([&node.url, &other.url])).await;
    soon(section.confirm()).await.unwrap();
    let asked = node.asked("/release");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].key(), asked[1].key());
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_confirmation_that_cannot_be_found_out_is_unknown() {
    let node = FakeNode::start(|request, before| match (request.is("/release"), before) {
        (true, 0) => Reply::HangUp,
        (true, _) => problem(Code::NoSuchSection),
        _ => fine(request),
    })
    .await;
    let client = client([&node.url]);
    let section = section(&client).await;
    let error = soon(section.confirm()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    soon(client.close()).await;
}

#[tokio::test]
async fn a_confirmation_of_a_lost_section_says_so() {
    let node = FakeNode::start(|request, _| {
        if request.is("/release") {
            problem(Code::Lost)
        } else {
            fine(request)
        }
    })
    .await;
    let error = soon(section(&client([&node.url])).await.confirm())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn many_puts_are_under_way_at_once() {
    let (go, when) = watch::channel(false);
    let node = FakeNode::start(move |request, _| {
        if request.line.starts_with("PUT") {
            Reply::Later(when.clone(), Box::new(fine(request)))
        } else {
            fine(request)
        }
    })
    .await;
    let section = Arc::new(section(&client([&node.url])).await);
    let puts: Vec<_> = (0..10)
        .map(|number| {
            let section = Arc::clone(&section);
            let field = number.to_string();
            tokio::spawn(async move { section.put(("t", "k", field.as_str()), "v").await })
        })
        .collect();
    for number in 0..10 {
        node.when_asked(&format!("?field={number}"), 1).await;
    }
    go.send_replace(true);
    for put in puts {
        soon(put).await.unwrap().unwrap();
    }
}
