//! What is held goes from hand to hand by its lockRef.

use std::task::Poll;
use std::time::Duration;

use futures_util::poll;
use music_client::api::name::Value;
use music_client::error::Invalid;
use music_client::recipes::{Begun, Election, Group, Member, Once, OnceState, Refusal, Semaphore};
use music_client::{Client, Error, LostReason};

use crate::sites::{KEY, Sites, section, soon};

const NO_WAIT: Duration = Duration::ZERO;

/// Whether nobody holds the key of the tests.
async fn is_free(client: &Client) -> bool {
    soon(client.lock([KEY]).wait(NO_WAIT).acquire())
        .await
        .is_ok()
}

fn is_foreign<T: std::fmt::Debug>(result: Result<T, Error>, part: &str) {
    match result.unwrap_err() {
        Error::Refused(refusal @ Refusal::ForeignLock { .. }) => {
            assert!(refusal.to_string().contains(part), "{refusal}");
        }
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_detached_section_is_held_and_taken_up_again() {
    let sites = Sites::start().await;
    let [one, two] = [0, 0].map(|node| sites.client(&[node]));
    let first = section(&one).await;
    let token = first.token();
    first.put(KEY, "1").await.unwrap();
    let lock_ref = first.detach();
    soon(one.close()).await;
    assert!(!is_free(&two).await, "it was not released");
    let again = soon(two.resume(&lock_ref)).await.unwrap();
    assert_eq!((again.token(), again.lock_ref()), (token, &*lock_ref));
    let stored = soon(again.get(KEY)).await.unwrap().unwrap();
    assert_eq!(stored.content.text(), Some("1"));
    again.put(KEY, "2").await.unwrap();
    // Kept alive from then on, though somebody waits who would get it else.
    let wait = Duration::from_millis(2_500);
    let other = soon(one.lock([KEY]).wait(wait).acquire()).await;
    assert!(matches!(other, Err(Error::TimedOut { .. })), "{other:?}");
    assert_eq!(again.is_lost(), None);
    drop(again);
    soon(two.close()).await;
    assert!(is_free(&one).await);
}

#[tokio::test]
async fn a_section_that_nobody_takes_up_ends_with_its_lease() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]).with_lease(Duration::from_millis(300));
    let lock_ref = section(&client).await.detach();
    let next = section(&client).await;
    let error = soon(client.resume(&lock_ref)).await.unwrap_err();
    let Error::Lost(lost) = error else {
        panic!("{error:?}");
    };
    assert_eq!(lost.reason, LostReason::Preempted);
    next.release().await.unwrap();
}

#[tokio::test]
async fn another_node_takes_a_detached_section_over() {
    let sites = Sites::start().await;
    let [here, there] = [0, 1].map(|node| sites.client(&[node]));
    let first = section(&here).await;
    first.put(KEY, "1").await.unwrap();
    let again = soon(there.resume(&first.detach())).await.unwrap();
    let stored = soon(again.get(KEY)).await.unwrap().unwrap();
    assert_eq!(stored.content.text(), Some("1"));
    again.release().await.unwrap();
}

#[tokio::test]
async fn what_is_not_held_is_not_taken_up() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let error = soon(client.resume("none")).await.unwrap_err();
    assert!(
        matches!(error, Error::Invalid(Invalid::LockRef(_))),
        "{error:?}"
    );
    let first = section(&client).await;
    let lock_ref = first.lock_ref().to_owned();
    first.release().await.unwrap();
    let error = soon(client.resume(&lock_ref)).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn permits_are_held_by_their_lock_refs() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let semaphore = Semaphore::new(&client, "s", 2).unwrap();
    let held = soon(semaphore.acquire_many(2)).await.unwrap().detach();
    assert_eq!(held.len(), 2);
    let none = soon(semaphore.acquire_within(1, NO_WAIT)).await.unwrap();
    assert!(none.is_none());
    let permit = soon(client.resume(&held[1].lock_ref)).await.unwrap();
    assert_eq!(permit.token(), held[1].token);
    permit.release().await.unwrap();
    let next = soon(semaphore.acquire()).await.unwrap();
    assert_eq!(next.numbers(), [held[1].number]);
}

#[tokio::test]
async fn a_leadership_is_taken_up_again_to_proclaim_and_resign() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let election = Election::new(&client, "e").unwrap();
    let candidate = election.candidate("a", "1").unwrap();
    let lock_ref = soon(candidate.campaign()).await.unwrap().detach();
    let mut again = soon(election.resume(&lock_ref)).await.unwrap();
    assert_eq!(again.leader().candidate, "a");
    soon(again.proclaim("2")).await.unwrap();
    assert_eq!(again.detach(), lock_ref);
    let leader = soon(election.leader()).await.unwrap().unwrap();
    assert_eq!(leader.value, Value::Text("2".to_owned()));

    let other = Election::new(&client, "f").unwrap();
    is_foreign(soon(other.resume(&lock_ref)).await, "another key");
    let resumed = soon(election.resume(&lock_ref)).await;
    soon(resumed.unwrap().resign()).await.unwrap();
    assert_eq!(soon(election.leader()).await.unwrap(), None);

    // Held, but by nobody that leads: it stays as it was.
    let held = soon(client.lock([("recipes", "election/e")]).acquire()).await;
    let held = held.unwrap();
    is_foreign(soon(election.resume(held.lock_ref())).await, "not lead");
    soon(held.get(("recipes", "election/e"))).await.unwrap();
}

#[tokio::test]
async fn a_step_is_begun_here_and_done_there() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let once = Once::new(&client, "o").unwrap();
    let begin = async || soon(once.begin_within(NO_WAIT)).await.unwrap();
    assert_eq!(soon(once.state()).await.unwrap(), OnceState::Undone);
    let Some(Begun::Begun(begun)) = begin().await else {
        panic!("it was not begun before");
    };
    let token = begun.token();
    let lock_ref = begun.detach();
    assert!(begin().await.is_none(), "somebody does it");
    assert_eq!(
        soon(once.state()).await.unwrap(),
        OnceState::Begun { token }
    );
    let resumed = soon(once.resume(&lock_ref)).await.unwrap();
    soon(resumed.undone()).await.unwrap();
    let Some(Begun::Begun(begun)) = begin().await else {
        panic!("it was undone");
    };
    let lock_ref = begun.detach();
    let again = soon(once.resume(&lock_ref)).await.unwrap();
    soon(again.done(&7)).await.unwrap();
    assert!(matches!(begin().await, Some(Begun::Done(result)) if result == 7));
    assert_eq!(soon(once.state()).await.unwrap(), OnceState::Done(7.into()));
    let error = soon(once.resume(&lock_ref)).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn a_beginning_that_is_given_up_interrupts_nothing() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    // Given up wherever it happens to be.
    for turns in (0..400).step_by(25) {
        let once = Once::new(&client, &format!("o{turns}")).unwrap();
        let mut begins = Box::pin(once.begin_within(Duration::from_secs(10)));
        let mut begun = None;
        for _ in 0..turns {
            if let Poll::Ready(done) = poll!(&mut begins) {
                begun = done.unwrap();
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begins);
        if begun.is_none() {
            let again = soon(once.begin_within(Duration::from_secs(10))).await;
            begun = again.unwrap();
        }
        let Some(Begun::Begun(step)) = begun else {
            panic!("it was not done");
        };
        soon(step.undone()).await.unwrap();
    }
}

#[tokio::test]
async fn a_member_without_a_process_tells_by_itself() {
    let sites = Sites::start().await;
    let client = sites.client(&[0]);
    let group = Group::new(&client, "g/h").unwrap();
    assert!(soon(group.tell("a", "1")).await.unwrap());
    assert!(!soon(group.tell("a", "2")).await.unwrap());
    let listed = soon(group.list()).await.unwrap();
    let value = Value::Text("2".to_owned());
    let name = "a".to_owned();
    assert_eq!(listed, [Member { name, value }]);
    // Neither the name of one group nor a member's reaches into another's.
    let other = Group::new(&client, "g").unwrap();
    soon(other.tell("h/a", "3")).await.unwrap();
    soon(other.remove("h/a")).await.unwrap();
    assert_eq!(soon(group.list()).await.unwrap().len(), 1);
    soon(group.remove("a")).await.unwrap();
    assert_eq!(soon(group.list()).await.unwrap(), []);
}
