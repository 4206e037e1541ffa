//! What an operation costs: how often the servers are changed by it, and how
//! long it takes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use music_core::id::{Key, Moves, RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, Mode, NewTicket, Outcome};
use music_core::lock_ref::Holding;
use music_core::time::Lease;
use music_store::LockStore;
use music_store::table::SYSTEM_TABLE;
use tokio::task::JoinSet;

use super::{etcd, zookeeper};

/// How many operations of a kind are measured.
const COUNT: u128 = 100;

pub(crate) fn key(name: &'static str) -> RecordId {
    RecordId {
        table: SYSTEM_TABLE,
        key: Key::new(Bytes::from_static(name.as_bytes())).unwrap(),
    }
}

pub(crate) fn enqueue(request: u128) -> Command {
    Command::Enqueue(NewTicket {
        owner: SessionId(1),
        mode: Mode::Exclusive,
        lease: Lease::MAX,
        request: RequestId(request),
        moves: Moves::default(),
    })
}

pub(crate) async fn ticket(store: &impl LockStore, key: &RecordId, request: u128) -> Holding {
    match store.apply(key, enqueue(request)).await.unwrap().outcome {
        Outcome::Done(holding) => holding,
        outcome => panic!("{outcome:?}"),
    }
}

/// The median time of an operation.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Enqueue, peek and release in turn, by one node alone.
async fn alone(name: &str, store: &impl LockStore) {
    let key = key("alone");
    let (mut enqueues, mut peeks, mut releases) = (Vec::new(), Vec::new(), Vec::new());
    for request in 0..COUNT {
        let begin = Instant::now();
        let holding = ticket(store, &key, request).await;
        enqueues.push(begin.elapsed());
        let begin = Instant::now();
        assert!(store.peek(&key).await.unwrap().is_first(holding.lock_ref));
        peeks.push(begin.elapsed());
        let begin = Instant::now();
        store.release(&key, holding).await.unwrap();
        releases.push(begin.elapsed());
    }
    println!(
        "{name}, alone: enqueue {:?}, peek {:?}, release {:?}",
        median(enqueues),
        median(peeks),
        median(releases)
    );
}

/// All nodes want one key all the time; a section is an enqueue and a confirm.
async fn contended<L: LockStore>(name: &str, stores: &[L]) {
    let key = key("contended");
    let begin = Instant::now();
    let mut nodes = JoinSet::new();
    for (number, store) in stores.iter().cloned().enumerate() {
        let key = key.clone();
        nodes.spawn(async move {
            for request in 0..COUNT {
                let holding = ticket(&store, &key, request * 10 + number as u128).await;
                let confirm = Command::Confirm(holding);
                let confirmed = store.apply(&key, confirm).await.unwrap();
                assert_eq!(confirmed.outcome, Outcome::Done(holding));
            }
            begin.elapsed()
        });
    }
    let times = nodes.join_all().await;
    let commands = COUNT * 2 * stores.len() as u128;
    let all = begin.elapsed();
    println!("{name}, contended: {commands} commands in {all:?}; nodes ended after {times:?}");
    let queue = stores[0].peek(&key).await.unwrap();
    assert_eq!(u128::from(queue.last().get()), commands / 2);
    assert_eq!(queue.tickets().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_moving_with_and_without_contention() {
    let views = etcd::views().await;
    alone("etcd", &views[0]).await;
    contended("etcd", &views).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zookeeper_keeps_moving_with_and_without_contention() {
    let views = zookeeper::views().await;
    alone("ZooKeeper", &views[0]).await;
    contended("ZooKeeper", &views).await;
}
