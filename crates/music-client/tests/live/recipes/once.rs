//! A step that is done once.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use music_client::recipes::{Once, Refusal};
use music_client::{Error, LostReason};

use super::killing::killed_everywhere;
use crate::sites::{Sites, soon};

type Never = std::convert::Infallible;

#[tokio::test]
async fn a_step_is_done_once_and_all_have_its_result() {
    let sites = Sites::start().await;
    let done = AtomicUsize::new(0);
    let callers = (0..9).map(|number| {
        let once = Once::new(&sites.client(&[number % 3]), "o").unwrap();
        let done = &done;
        async move {
            once.run(async |token| {
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Never>(format!("by {token}"))
            })
            .await
        }
    });
    let results = soon(join_all(callers)).await;
    assert_eq!(done.load(Ordering::SeqCst), 1);
    for result in results {
        assert_eq!(result.unwrap().unwrap(), "by 65536");
    }
    let elsewhere = Once::new(&sites.client(&[2]), "o").unwrap();
    while soon(elsewhere.result::<String>()).await.unwrap().as_deref() != Some("by 65536") {
        tokio::task::yield_now().await;
    }
    let error = soon(elsewhere.result::<u64>()).await.unwrap_err();
    assert!(
        matches!(error, Error::Refused(Refusal::Foreign(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_step_that_fails_was_not_done() {
    let sites = Sites::start().await;
    let once = Once::new(&sites.client(&[0]), "o").unwrap();
    let failed = soon(once.run(async |token| Err::<u64, _>(token))).await;
    let tried = failed.unwrap().unwrap_err();
    assert!(!soon(once.forget()).await.unwrap(), "it is not interrupted");
    let done = soon(once.run(async |token| Ok::<_, Never>(token)))
        .await
        .unwrap();
    assert!(matches!(done, Ok(token) if token > tried), "{done:?}");
}

#[tokio::test]
async fn an_interrupted_step_waits_for_somebody_who_looked() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let once = Once::new(&client, "o").unwrap();
    let began = tokio::sync::Notify::new();
    tokio::select! {
        _ = once.run(async |_| {
            began.notify_one();
            std::future::pending::<Result<u64, Never>>().await
        }) => unreachable!(),
        () = began.notified() => {}
    }
    soon(client.close()).await;
    let error = soon(once.run(async |_| Ok::<u64, Never>(0)))
        .await
        .unwrap_err();
    let Error::Refused(Refusal::Interrupted { token: 65_536 }) = error else {
        panic!("{error:?}");
    };
    assert!(soon(once.forget()).await.unwrap());
    let again = Once::new(&sites.client(&[1]), "o").unwrap();
    assert_eq!(
        soon(again.run(async |_| Ok::<u64, Never>(7)))
            .await
            .unwrap(),
        Ok(7)
    );
    assert!(!soon(again.settle(&8)).await.unwrap());
    assert_eq!(
        soon(once.run(async |_| Ok::<u64, Never>(9))).await.unwrap(),
        Ok(7)
    );
}

#[tokio::test]
async fn a_step_whose_lock_is_lost_is_dropped_and_interrupted() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|site| sites.client(&[site]));
    let once = Once::new(&here, "o").unwrap();
    let ended = soon(once.run(async |_| {
        let queue = there.queue(("recipes", "once/o")).await.unwrap();
        let number = queue.tickets[0].number;
        there
            .force_ticket(("recipes", "once/o"), number)
            .await
            .unwrap();
        std::future::pending::<Result<u64, Never>>().await
    }))
    .await;
    let Err(Error::Lost(lost)) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(lost.reason, LostReason::Preempted);
    let once = Once::new(&there, "o").unwrap();
    assert!(soon(once.settle(&5)).await.unwrap());
    assert_eq!(
        soon(once.run(async |_| Ok::<u64, Never>(9))).await.unwrap(),
        Ok(5)
    );
}

#[tokio::test]
async fn a_caller_that_is_killed_anywhere_has_done_it_at_most_once() {
    let sites = Sites::start().await;
    let other = sites.client(&[1]);
    killed_everywhere(
        &sites,
        async |client, name| {
            let done = AtomicUsize::new(0);
            let once = Once::new(&client, &name).unwrap();
            let ended = once.run(async |_| {
                done.fetch_add(1, Ordering::SeqCst);
                Ok::<u64, Never>(1)
            });
            (ended.await, done)
        },
        async |name, (ended, done)| {
            let once = Once::new(&other, &name).unwrap();
            let next = once
                .run(async |_| {
                    done.fetch_add(1, Ordering::SeqCst);
                    Ok::<u64, Never>(2)
                })
                .await;
            match next {
                Ok(result) => assert_eq!(done.load(Ordering::SeqCst), 1, "{result:?} {ended:?}"),
                Err(Error::Refused(Refusal::Interrupted { .. })) => {
                    assert!(done.load(Ordering::SeqCst) <= 1);
                    assert!(ended.is_err());
                }
                Err(error) => panic!("{error:?}"),
            }
        },
    )
    .await;
}
