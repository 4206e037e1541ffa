//! What calls cost: requests, and rounds between sites.

use std::collections::BTreeSet;

use super::*;
use crate::conformance::{id, put, ticket};
use crate::table::SYSTEM_TABLE;

/// What Cassandra did for some calls, by its own traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Traced {
    /// The kinds of requests that went to other sites.
    sent: BTreeSet<String>,
    /// The most rows that one replica read at once.
    pub(super) rows: u64,
    /// The most tombstones that one replica read at once.
    pub(super) tombstones: u64,
}

/// Lets traces be kept at every site.
pub(super) async fn keep_traces(site: &Cassandra) {
    let replicas = datacentres()
        .into_iter()
        .map(|name| format!(", '{name}': 1"));
    let replicas: String = replicas.collect();
    let text = format!(
        "ALTER KEYSPACE system_traces WITH replication = \
         {{'class': 'NetworkTopologyStrategy'{replicas}}}"
    );
    let session = site.inner.cql.session();
    session.query_unpaged(text, ()).await.unwrap();
}

/// What Cassandra did for one call.
pub(super) async fn traced<T>(site: &Cassandra, call: impl Future<Output = T>) -> (T, Traced) {
    let cql = &site.inner.cql;
    cql.set_traced(true);
    let answer = call.await;
    cql.set_traced(false);
    let mut traced = Traced::default();
    for trace in cql.take_traces() {
        let info = cql.session().get_tracing_info(&trace).await.unwrap();
        for event in info
            .events
            .iter()
            .filter_map(|event| event.activity.as_deref())
        {
            let words: Vec<&str> = event.split(' ').collect();
            match &*words {
                ["Sending", kind, "message", "to", ..] if kind.ends_with("_REQ") => {
                    traced.sent.insert((*kind).to_owned());
                }
                ["Read", rows, "live", "rows", "and", tombstones, ..] => {
                    traced.rows = traced.rows.max(rows.parse().unwrap());
                    traced.tombstones = traced.tombstones.max(tombstones.parse().unwrap());
                }
                _ => {}
            }
        }
    }
    (answer, traced)
}

fn kinds(kinds: &[&str]) -> BTreeSet<String> {
    kinds.iter().map(|kind| (*kind).to_owned()).collect()
}

/// A transaction's requests; the last is not waited for.
const TRANSACTION: [&str; 3] = [
    "PAXOS2_PREPARE_REQ",
    "PAXOS2_PROPOSE_REQ",
    "PAXOS_COMMIT_REQ",
];

/// "Create + acquire, free queue: the enqueue alone (2 with Cassandra's Paxos
/// v2)"; release, put and get 1; local put and get 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_cost_the_rounds_that_the_protocol_says() {
    let deployment = Deployment::open().await;
    let [site, other, ..] = &*deployment.sites else {
        panic!("three sites");
    };
    keep_traces(site).await;
    let key = id(SYSTEM_TABLE, "key");
    // Prepares what is prepared once.
    ticket(other, &id(SYSTEM_TABLE, "another"), 1).await;

    let (holding, first) = traced(site, ticket(site, &key, 1)).await;
    assert_eq!(first.sent, kinds(&TRANSACTION));
    let (released, release) = traced(site, site.release(&key, holding)).await;
    released.unwrap();
    assert_eq!(release.sent, kinds(&["MUTATION_REQ"]));
    let before = site.requests();
    let (holding, again) = traced(site, ticket(site, &key, 2)).await;
    assert_eq!(again.sent, kinds(&TRANSACTION));
    assert_eq!(site.requests() - before, 2, "a look at the own replica");

    let before = other.requests();
    let (queue, peek) = traced(other, other.peek(&key)).await;
    assert!(queue.unwrap().is_at_head(holding.lock_ref));
    assert!(
        peek.sent
            .is_subset(&kinds(&["PAXOS2_PREPARE_REQ", "READ_REQ"])),
        "{peek:?}"
    );
    assert_eq!(other.requests() - before, 2);
    let before = other.requests();
    ticket(other, &key, 3).await;
    assert_eq!(
        other.requests() - before,
        2,
        "the peek has told what the queue is"
    );

    // Nobody has told the third site, but its own replica.
    let [.., third] = &*deployment.sites else {
        panic!("three sites");
    };
    loop {
        let news = third.inner.queues.glance(&key).await.unwrap();
        if news.is_some_and(|news| news.marks.last.get() == 3) {
            break;
        }
    }
    let before = third.requests();
    ticket(third, &key, 4).await;
    assert_eq!(third.requests() - before, 2);

    let record = id(SYSTEM_TABLE, "record");
    for (level, sent) in [
        (Level::Majority, &["MUTATION_REQ"][..]),
        (Level::Local, &["MUTATION_REQ"]),
    ] {
        let (written, write) = traced(site, site.write(&record, put(1, "x"), level)).await;
        written.unwrap();
        // A local write goes to the other sites too, and waits for none.
        assert_eq!(write.sent, kinds(sent));
    }
    let (_, read) = traced(site, site.read(&record, Level::Majority)).await;
    assert_eq!(read.sent, kinds(&["READ_REQ"]));
    let (_, read) = traced(site, site.read(&record, Level::Local)).await;
    assert_eq!(read.sent, kinds(&[]));
}
