//! Writes that Cassandra keeps for a node that does not answer, and delivers
//! when it does: hints.

use music_core::id::Field;
use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::{Holding, Tick};
use music_core::stamp::Stamp;

use super::nodes::Nodes;
use super::*;
use crate::conformance::{enqueue, id, ticket};
use crate::table::SYSTEM_TABLE;

fn critical_put(holding: Holding, tick: u32, value: &'static str) -> Record {
    let stamp = Stamp::critical(holding, Tick::new(tick).unwrap());
    Record::write(stamp, [(Field::DEFAULT, Some(value.into()))])
}

/// For how many nodes that of a site keeps hints on its disk.
async fn nodes_with_hints(site: &Cassandra) -> usize {
    let text = "SELECT host_id FROM system_views.pending_hints".to_owned();
    let access = session::Access::Plain(Level::Local);
    let rows: Result<Vec<(uuid::Uuid,)>, _> = site.inner.cql.rows(text, access, ()).await;
    rows.unwrap().len()
}

/// The preempted holder is forced out, and the next one puts "new".
async fn hand_over(site: &Cassandra, key: &RecordId, preempted: Holding) {
    until("two nodes are a majority", async || {
        site.peek(key).await.is_ok()
    })
    .await;
    let force = Command::Force {
        lock_ref: preempted.lock_ref,
        owner: None,
    };
    let forced = site.apply(key, force).await.unwrap();
    assert_eq!(forced.outcome, Outcome::Done(preempted));
    let applied = site.apply(key, enqueue(2)).await.unwrap();
    let Outcome::Done(holder) = applied.outcome else {
        panic!("{:?}", applied.outcome);
    };
    assert!(applied.queue.is_at_head(holder.lock_ref) && applied.queue.needs_synchronization());
    assert_eq!(value(site, key, Level::Majority).await, "early");
    let put = critical_put(holder, 0, "new");
    site.write(key, put, Level::Majority).await.unwrap();
}

/// "A holder that was preempted has a lower lockRef than its successor, so
/// whatever it still has on its way loses, whenever it lands."
///
/// ```text
/// site 0       put "late"          paused                  hints arrive
/// sites 1, 2     paused    force, enqueue, read, put "new"
/// ```
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_put_of_a_preempted_holder_is_never_seen() {
    let Some(nodes) = Nodes::alone().await else {
        return;
    };
    let deployment = Deployment::open_alone(|_| {}).await;
    let [first, second, third] = &*deployment.sites else {
        panic!("three sites");
    };
    let (key, witness) = (id(SYSTEM_TABLE, "key"), id(SYSTEM_TABLE, "witness"));
    let preempted = ticket(first, &key, 1).await;
    let put = critical_put(preempted, 0, "early");
    first.write(&key, put, Level::Majority).await.unwrap();

    nodes.pause(&[1, 2]);
    // Until the node takes the others for dead. Before that it would send
    // them what it is to keep, too.
    let alone = id(SYSTEM_TABLE, "alone");
    until("the node takes the others for dead", async || {
        let refused = first
            .write(&alone, critical_put(preempted, 1, "x"), Level::Majority)
            .await;
        refused.unwrap_err().outcome() == crate::error::Outcome::NotApplied
    })
    .await;
    // A put that reached one replica.
    for id in [&key, &witness] {
        let late = critical_put(preempted, 1, "late");
        first.write(id, late, Level::Local).await.unwrap();
    }
    until("the node keeps hints", async || {
        nodes_with_hints(first).await == 2
    })
    .await;

    nodes.pause(&[0]);
    nodes.resume(&[1, 2]);
    hand_over(second, &key, preempted).await;

    nodes.resume(&[0]);
    for site in [second, third] {
        until("a hint arrives", async || {
            value(site, &witness, Level::Local).await == "late"
        })
        .await;
    }
    until("all hints were delivered", async || {
        nodes_with_hints(first).await == 0
    })
    .await;
    for site in &deployment.sites {
        assert_eq!(value(site, &key, Level::Majority).await, "new");
    }
    for site in &deployment.sites {
        until("the last value is everywhere", async || {
            value(site, &key, Level::Local).await == "new"
        })
        .await;
    }
}
