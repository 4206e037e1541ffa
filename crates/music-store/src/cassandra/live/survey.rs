//! How a real deployment looks.

use super::*;
use crate::cassandra::survey::{Replication, Schema, take};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_seen_before_and_after_it_is_set_up() {
    let _share = NODES.read().await;
    let keyspace = fresh_keyspace();
    let names = datacentres();
    let config = config(&keyspace, &names[0]);
    let before = take(&config).await.unwrap();
    assert_eq!(before.schema, Schema::Missing);
    assert_eq!(before.replication, None);
    for node in &before.nodes {
        let answer = node.answer.as_ref().unwrap();
        assert!(!answer.scylla && answer.version.starts_with(char::is_numeric));
        assert!(answer.rtt > Duration::ZERO);
        let settings = answer.settings.as_ref().unwrap();
        for name in [
            "paxos_variant",
            "paxos_state_purging",
            "read_request_timeout",
        ] {
            assert!(settings.contains_key(name), "{settings:?}");
        }
        // Those are not set, which is not the same as set to nothing.
        assert!(!settings.contains_key("maximum_timestamp_fail_threshold"));
        // It is this machine's own clock, and has whole milliseconds.
        let apart = Duration::from_millis(answer.clock.ahead_ms.unsigned_abs());
        let doubt = answer.clock.uncertainty + Duration::from_millis(2);
        assert!(apart <= doubt, "{:?}", answer.clock);
    }
    for name in &names {
        assert!(before.nodes.iter().any(|node| node.datacentre == *name));
    }

    Cassandra::init(&config).await.unwrap();
    let after = take(&config).await.unwrap();
    assert_eq!(after.schema, Schema::Version(SCHEMA_VERSION));
    let replicas = names.iter().map(|name| (name.clone(), 1)).collect();
    let replication = Replication::PerDatacentre(replicas);
    assert_eq!(after.replication, Some(replication));
    let modes = after.read_repair.unwrap();
    assert!(modes.contains_key("registers"), "{modes:?}");
    assert!(modes.values().all(|mode| mode == "BLOCKING"), "{modes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_repair_that_was_turned_off_is_seen() {
    let deployment = Deployment::open().await;
    let keyspace = deployment.sites[0].inner.cql.keyspace().clone();
    let text = format!("ALTER TABLE {keyspace}.registers WITH read_repair = 'NONE'");
    let mut alter = Statement::new(text);
    alter.set_request_timeout(Some(Duration::from_mins(1)));
    let session = deployment.sites[0].inner.cql.session();
    session.query_unpaged(alter, ()).await.unwrap();
    let survey = take(&config(&keyspace, &datacentres()[0])).await.unwrap();
    assert_eq!(survey.read_repair.unwrap()["registers"], "NONE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_each_data_centre_is_timed() {
    let deployment = Deployment::open().await;
    let seen = deployment.sites[0].look().await;
    assert!(seen.iter().all(|node| node.reachable), "{seen:?}");
    for name in datacentres() {
        let mut nodes = seen.iter().filter(|node| node.datacentre == name);
        assert!(nodes.any(|node| node.rtt.is_some() && node.version.is_some()));
    }
}
