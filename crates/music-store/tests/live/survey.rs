//! How real deployments of etcd and ZooKeeper look.

use std::time::Duration;

use music_store::etcd::EtcdConfig;
use music_store::etcd::survey::{self as etcd, Lookout};
use music_store::zookeeper::ZooKeeperConfig;
use music_store::zookeeper::survey::{self as zookeeper, Root, State};

use super::deployment::{endpoints, fresh_name};

fn etcd_config() -> EtcdConfig {
    EtcdConfig {
        endpoints: endpoints(0, "http://", 2379),
        prefix: format!("{}/", fresh_name()),
        ..EtcdConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_members_of_etcd_are_seen() {
    let survey = etcd::take(&etcd_config()).await.unwrap();
    let answers: Vec<_> = survey
        .endpoints
        .iter()
        .map(|endpoint| endpoint.answer.as_ref().unwrap())
        .collect();
    let first = answers[0];
    for answer in &answers {
        assert!(answer.version.starts_with("3."), "{answer:?}");
        assert_eq!(
            (answer.cluster, answer.leader),
            (first.cluster, first.leader)
        );
        assert!(
            answer.rtt > Duration::ZERO && answer.db_bytes > 0,
            "{answer:?}"
        );
        assert!(!answer.learner && answer.term > 0, "{answer:?}");
    }
    let leaders = answers.iter().filter(|answer| answer.role() == "leader");
    assert_eq!(leaders.count(), 1, "{answers:?}");
    assert!(survey.agreed.unwrap() > Duration::ZERO);
    assert_eq!(survey.alarms.unwrap(), []);
    let members = survey.members.unwrap();
    assert_eq!(members.len(), 3, "{members:?}");
    assert!(members.iter().any(|member| member.id == first.member));
    assert!(members.iter().all(|member| !member.client_urls.is_empty()));
}

/// A member that is down does not keep the others from being seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_of_etcd_that_is_down_is_named() {
    let mut config = etcd_config();
    config.endpoints.insert(0, "http://127.0.0.1:1".to_owned());
    let survey = etcd::take(&config).await.unwrap();
    let [down, up, ..] = &*survey.endpoints else {
        panic!("{survey:?}");
    };
    assert!(down.answer.is_err() && up.answer.is_ok(), "{survey:?}");
    assert!(survey.agreed.is_ok(), "{survey:?}");
    assert!(survey.members.is_some() && survey.alarms.is_some());

    let lookout = Lookout::new(&config).unwrap();
    for _ in 0..2 {
        let seen = lookout.look().await;
        assert!(
            seen[0].answer.is_err() && seen[1].answer.is_ok(),
            "{seen:?}"
        );
    }
}

fn zookeeper_config() -> ZooKeeperConfig {
    ZooKeeperConfig {
        endpoints: endpoints(0, "", 2181),
        root: format!("/{}", fresh_name()),
        ..ZooKeeperConfig::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_servers_of_zookeeper_are_seen() {
    let mut config = zookeeper_config();
    let survey = zookeeper::take(&config).await.unwrap();
    let mut modes: Vec<_> = survey
        .endpoints
        .iter()
        .map(|endpoint| match &endpoint.answer.as_ref().unwrap().state {
            State::Serves { version, mode } => {
                assert!(version.starts_with("3."), "{version}");
                mode.clone()
            }
            state => panic!("{state:?}"),
        })
        .collect();
    modes.sort();
    assert_eq!(modes, ["follower", "follower", "leader"]);
    assert!(survey.agreed.unwrap() > Duration::ZERO);
    assert_eq!((survey.root, survey.voters), (Root::Missing, Some(3)));
    // It was looked at, and not made.
    let again = zookeeper::take(&config).await.unwrap();
    assert_eq!(again.root, Root::Missing);
    "/zookeeper".clone_into(&mut config.root);
    let present = zookeeper::take(&config).await.unwrap();
    assert_eq!(present.root, Root::Present);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_zookeeper_that_is_down_is_named() {
    let mut config = zookeeper_config();
    config.endpoints.insert(0, "127.0.0.1:1".to_owned());
    let survey = zookeeper::take(&config).await.unwrap();
    assert!(survey.endpoints[0].answer.is_err(), "{survey:?}");
    assert!(survey.endpoints[1].answer.is_ok() && survey.agreed.is_ok());
    config.endpoints.truncate(1);
    let survey = zookeeper::take(&config).await.unwrap();
    assert!(survey.agreed.is_err() && survey.voters.is_none());
}
