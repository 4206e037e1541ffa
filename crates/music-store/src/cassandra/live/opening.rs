//! Setting up and opening, and what is refused.

use super::*;
use crate::conformance::{at, id, put, text};

/// "Idempotent, safe when two nodes run it at once."
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_may_be_set_up_by_all_sites_at_once_and_again() {
    let _share = NODES.read().await;
    let keyspace = fresh_keyspace();
    let configs: Vec<Config> = datacentres()
        .iter()
        .map(|name| config(&keyspace, name))
        .collect();
    let at_once = configs.iter().map(Cassandra::init);
    for result in futures_util::future::join_all(at_once).await {
        result.unwrap();
    }
    Cassandra::init(&configs[1]).await.unwrap();
    let mut sites = Vec::new();
    for config in configs {
        sites.push(Cassandra::connect(config).await.unwrap());
    }
    let key = id(crate::table::SYSTEM_TABLE, "key");
    let [first, .., last] = &*sites else {
        panic!("three sites");
    };
    first
        .write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    let record = last.read(&key, Level::Majority).await.unwrap();
    assert_eq!(text(&record), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_work_is_refused_with_what_to_do() {
    let _share = NODES.read().await;
    let keyspace = fresh_keyspace();
    let good = config(&keyspace, &datacentres()[0]);
    let refusal = |change: fn(&mut Config)| {
        let mut config = good.clone();
        change(&mut config);
        async move { Cassandra::init(&config).await.unwrap_err() }
    };
    let nobody = refusal(|config| config.contact_points = vec!["127.0.0.1:1".to_owned()]).await;
    assert!(matches!(nobody, OpenError::Unreachable { .. }), "{nobody}");
    let unknown = refusal(|config| {
        config.replication.insert("atlantis".to_owned(), 1);
    });
    let unknown = unknown.await;
    let OpenError::UnknownDatacentre { datacentre, known } = &unknown else {
        panic!("{unknown}");
    };
    assert_eq!(datacentre, "atlantis");
    assert!(datacentres().iter().all(|name| known.contains(name)));
    let own = refusal(|config| {
        config.replication.remove(&config.datacentre);
    });
    assert!(matches!(own.await, OpenError::NoReplica { .. }));
    let zero = refusal(|config| {
        let last = config.replication.values_mut().last().unwrap();
        *last = 0;
    });
    assert!(matches!(zero.await, OpenError::NoReplica { .. }));
    let early = Cassandra::connect(good).await.unwrap_err();
    assert!(matches!(early, OpenError::NoSchema { .. }), "{early}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyspace_that_leaves_a_site_out_is_refused() {
    let _share = NODES.read().await;
    let keyspace = fresh_keyspace();
    let [first, .., last] = &*datacentres() else {
        panic!("three data centres");
    };
    let mut smaller = config(&keyspace, first);
    smaller.replication.remove(last);
    Cassandra::init(&smaller).await.unwrap();
    Cassandra::connect(smaller).await.unwrap();
    let refused = Cassandra::connect(config(&keyspace, last)).await;
    let refused = refused.unwrap_err();
    let OpenError::NoReplica { datacentre } = &refused else {
        panic!("{refused}");
    };
    assert_eq!(datacentre, last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let deployment = Deployment::open().await;
    let cql = &deployment.sites[0].inner.cql;
    let place = schema::version_place();
    let register = register::Register::new(cql, &place);
    let seen = register.read().await.unwrap();
    let raise = |version: &mut u32, _| *version = SCHEMA_VERSION + 1;
    let raised = register
        .transact(seen, Duration::from_secs(10), raise)
        .await;
    raised.unwrap_or_else(|_| panic!("not raised"));
    let config = config(cql.keyspace(), &datacentres()[0]);
    for refused in [
        Cassandra::init(&config).await.unwrap_err(),
        Cassandra::connect(config).await.unwrap_err(),
    ] {
        let newer = i64::from(SCHEMA_VERSION + 1);
        assert!(
            matches!(refused, OpenError::NewerSchema { found } if found == newer),
            "{refused}"
        );
    }
}

/// A node may die between a table's entry in the catalogue and its CQL table,
/// when it creates one and when it drops one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_left_half_done_is_finished() {
    let deployment = Deployment::open().await;
    let [first, second, ..] = &*deployment.sites else {
        panic!("three sites");
    };
    let cql = &first.inner.cql;
    let half = crate::conformance::table(first, TableMode::Critical).await;
    schema::drop_cells(cql, half).await.unwrap();
    let key = id(half, "key");
    second
        .write(&key, put(1, "x"), Level::Majority)
        .await
        .unwrap();
    let record = first.read(&key, Level::Majority).await.unwrap();
    assert_eq!(record.stamp_max(), Some(at(1)));

    let name = TableName::new("conformance").unwrap();
    assert!(first.drop_table(&name).await.unwrap());
    schema::create_cells(cql, half).await.unwrap();
    Cassandra::init(&config(cql.keyspace(), &datacentres()[0]))
        .await
        .unwrap();
    let gone = cells::read(cql, &key, Level::Majority).await;
    assert!(matches!(gone, Err(Failure::Invalid(_))), "{gone:?}");
}
