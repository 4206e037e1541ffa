use bytes::Bytes;
use music_core::id::{Field, Moves, RequestId, SessionId};
use music_core::lock_queue::{Mode, NewTicket};
use music_core::stamp::Stamp;
use music_core::time::{Lease, WallTime};

use super::*;
use crate::memory::{Memory, MemorySite, Propagation};
use crate::table::SYSTEM_TABLE;

fn id() -> RecordId {
    RecordId {
        table: SYSTEM_TABLE,
        key: Key::new("k").unwrap(),
    }
}

fn change() -> Record {
    let stamp = Stamp::eventual(WallTime(1));
    Record::write(stamp, [(Field::DEFAULT, Some(Bytes::from("x")))])
}

fn enqueue() -> Command {
    Command::Enqueue(NewTicket {
        owner: SessionId(1),
        mode: Mode::Exclusive,
        lease: Lease::MIN,
        request: RequestId(1),
        moves: Moves::default(),
    })
}

fn engine() -> (Memory, Faulty<MemorySite>, Faults) {
    let memory = Memory::new(3, Propagation::Explicit);
    let faults = Faults::default();
    let store = Faulty::new(memory.site(0).unwrap(), faults.clone());
    (memory, store, faults)
}

async fn exists(store: &impl StateStore, level: Level) -> bool {
    store.read(&id(), level).await.unwrap().exists()
}

#[tokio::test]
async fn a_call_that_fails_before_has_no_effect() {
    let (_memory, store, faults) = engine();
    faults.next(Call::Write, Fault::FailBefore);
    let error = store
        .write(&id(), change(), Level::Majority)
        .await
        .unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(!exists(&store, Level::Majority).await);
    store.write(&id(), change(), Level::Majority).await.unwrap();
    assert!(exists(&store, Level::Majority).await);
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_took_effect() {
    let (_memory, store, faults) = engine();
    faults.next(Call::Apply, Fault::LoseAnswer);
    let error = store.apply(&id(), enqueue()).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(store.peek(&id()).await.unwrap().tickets().count(), 1);
}

#[tokio::test]
async fn a_late_call_takes_effect_when_told() {
    let (_memory, store, faults) = engine();
    faults.next(Call::Write, Fault::Late);
    assert!(store.write(&id(), change(), Level::Majority).await.is_err());
    assert!(!exists(&store, Level::Majority).await);
    assert_eq!(faults.deliver_late().await, 1);
    assert!(exists(&store, Level::Majority).await);
}

#[tokio::test]
async fn a_local_only_write_reaches_the_others_when_the_engine_tells_them() {
    let (memory, store, faults) = engine();
    faults.next(Call::Write, Fault::LocalOnly);
    assert!(store.write(&id(), change(), Level::Majority).await.is_err());
    let other = memory.site(1).unwrap();
    assert!(exists(&store, Level::Local).await);
    assert!(!exists(&other, Level::Majority).await);
    memory.propagate();
    assert!(exists(&other, Level::Local).await);
}

#[tokio::test]
async fn an_answer_is_held_until_released() {
    let (_memory, store, faults) = engine();
    faults.next(Call::Write, Fault::HoldAnswer);
    faults.next(Call::Peek, Fault::HoldRequest);
    let writer = store.clone();
    let write = tokio::spawn(async move { writer.write(&id(), change(), Level::Majority).await });
    let peeker = store.clone();
    let peek = tokio::spawn(async move { peeker.peek(&id()).await });
    faults.held(2).await;
    assert!(exists(&store, Level::Majority).await);
    assert!(!write.is_finished() && !peek.is_finished());
    faults.release_held();
    write.await.unwrap().unwrap();
    peek.await.unwrap().unwrap();
    assert_eq!(faults.planned(), 0);
}

#[tokio::test]
async fn a_site_that_is_cut_off_has_its_own_replica_only() {
    let (_memory, store, faults) = engine();
    faults.set_cut_off(true);
    store.write(&id(), change(), Level::Local).await.unwrap();
    assert!(exists(&store, Level::Local).await);
    let failures = [
        store.write(&id(), change(), Level::Majority).await.err(),
        store.read(&id(), Level::Majority).await.err(),
        store.apply(&id(), enqueue()).await.err(),
        store.peek(&id()).await.err(),
    ];
    for error in failures {
        assert_eq!(error.unwrap().outcome(), Outcome::NotApplied);
    }
    faults.set_cut_off(false);
    assert!(store.peek(&id()).await.unwrap().tickets().next().is_none());
}
