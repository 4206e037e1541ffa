//! Answers that get lost: what was done is done once.

use music_client::api::code::Code;
use music_client::{Error, Outcome};

use crate::proxy::Proxy;
use crate::sites::{KEY, Sites, client, section, soon, ticket_of};

const EVENTUAL: (&str, &str) = ("kv", "k");

#[tokio::test]
async fn an_eventual_put_whose_answer_is_lost_is_one_put() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let client = client([proxy.url.clone()]);
    proxy.lose_answers(2);
    let stamp = soon(client.put(EVENTUAL, "v")).await.unwrap();
    assert_eq!(proxy.to_be_lost(), 0);
    let stored = soon(client.get(EVENTUAL)).await.unwrap().unwrap();
    assert_eq!((stored.stamp, stored.content.text()), (stamp, Some("v")));
}

#[tokio::test]
async fn a_put_that_may_have_happened_is_reported_and_not_made_elsewhere() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let client = client([proxy.url.clone(), sites.urls[1].clone()]);
    proxy.lose_answers(usize::MAX);
    let error = soon(client.put(EVENTUAL, "v")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_critical_put_whose_answer_is_lost_is_one_put() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let section = section(&client([proxy.url.clone()])).await;
    proxy.lose_answers(1);
    let stamp = soon(section.put(KEY, "v")).await.unwrap();
    assert_eq!(soon(section.get(KEY)).await.unwrap().unwrap().stamp, stamp);
    let next = soon(section.put(KEY, "w")).await.unwrap();
    assert_eq!(next, stamp + 1, "the repeated put took no tick of its own");
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_one_place_in_the_queue() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    for urls in [
        vec![proxy.url.clone()],
        vec![proxy.url.clone(), sites.urls[1].clone()],
    ] {
        proxy.lose_answers(if urls.len() == 1 { 1 } else { usize::MAX });
        let client = client(urls);
        let section = section(&client).await;
        let queue = soon(sites.client(&[2]).queue(KEY)).await.unwrap();
        let ticket = ticket_of(section.token());
        assert_eq!((queue.length, queue.last), (1, ticket));
        soon(section.put(KEY, "v")).await.unwrap();
        soon(section.release()).await.unwrap();
        soon(sites.tickets(2, 0)).await;
    }
}

#[tokio::test]
async fn a_confirmation_whose_answer_is_lost_is_found_out() {
    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let section = section(&client([proxy.url.clone()])).await;
    soon(section.put(KEY, "v")).await.unwrap();
    proxy.lose_answers(1);
    soon(section.confirm()).await.unwrap();
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_one_batch() {
    use music_client::api::name::Value;
    use music_client::{Batch, StepOutcome};

    let sites = Sites::start().await;
    let proxy = Proxy::start(&sites.urls[0]).await;
    let section = section(&client([proxy.url.clone()])).await;
    proxy.lose_answers(1);
    let batch = Batch::new()
        .put(KEY, Value::Text("v".to_owned()))
        .get(("locks", "other"));
    let outcomes = soon(section.batch(batch)).await.unwrap();
    let StepOutcome::Written(stamp) = outcomes[0] else {
        panic!("{outcomes:?}")
    };
    let StepOutcome::Failed(problem) = &outcomes[1] else {
        panic!("{outcomes:?}")
    };
    assert_eq!(problem.known, Some(Code::KeyNotInSet));
    assert_eq!(soon(section.get(KEY)).await.unwrap().unwrap().stamp, stamp);
}

#[tokio::test]
async fn what_is_refused_is_refused_with_its_code() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let code = |error: Error| error.code().unwrap();
    assert_eq!(
        code(soon(client.put(KEY, "v")).await.unwrap_err()),
        Code::WrongMode
    );
    assert_eq!(
        code(soon(client.get(("none", "k"))).await.unwrap_err()),
        Code::NoSuchTable
    );
    let twice = soon(client.lock([KEY, KEY]).acquire()).await.unwrap_err();
    assert_eq!(code(twice), Code::BadKeySet);
    let eventual = soon(client.lock([EVENTUAL]).acquire()).await.unwrap_err();
    assert_eq!(code(eventual), Code::WrongMode);
    let section = section(&client).await;
    let other = soon(section.put(("locks", "other"), "v"))
        .await
        .unwrap_err();
    assert_eq!(code(other), Code::KeyNotInSet);
}
