//! Deployments in which nothing is wrong, for tests to spoil.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use music_store::cassandra::survey::{Answer, Node, Replication, Schema, Survey};
use music_store::cassandra::{Config, Keyspace, SCHEMA_VERSION};
use music_store::etcd::{self, EtcdConfig};
use music_store::probe::ClockOffset;
use music_store::zookeeper::{self, ZooKeeperConfig};

use super::finding::{Finding, Level};

/// The data centres, each with a node, and how far away they are, in ms.
const SITES: [(&str, u64); 3] = [("ncalifornia", 54), ("ohio", 1), ("oregon", 72)];

/// A site of three, with Cassandra's own time-outs in mind.
pub(super) fn config() -> Config {
    let replication = SITES.map(|(name, _)| (name.to_owned(), 1));
    Config {
        request_time: Duration::from_secs(6),
        ..Config::new(
            vec!["127.0.0.1:9042".to_owned()],
            Keyspace::default(),
            "ohio",
            replication.into(),
        )
    }
}

/// A node of Cassandra in each data centre.
pub(super) fn cassandra() -> Survey {
    let replicas = SITES.map(|(name, _)| (name.to_owned(), 1));
    Survey {
        nodes: (1..)
            .zip(SITES)
            .map(|(number, site)| node(number, site))
            .collect(),
        replication: Some(Replication::PerDatacentre(replicas.into())),
        schema: Schema::Version(SCHEMA_VERSION),
        read_repair: Some(pairs(&[("registers", "BLOCKING"), ("cells_0", "BLOCKING")])),
    }
}

fn node(number: u8, (datacentre, ms): (&str, u64)) -> Node {
    let answer = Answer {
        version: "5.0.9".to_owned(),
        scylla: false,
        rtt: Duration::from_millis(ms),
        clock: ClockOffset {
            ahead_ms: 3,
            uncertainty: Duration::from_millis(ms / 2),
        },
        settings: Some(pairs(&[
            ("cas_contention_timeout", "1800ms"),
            ("paxos_state_purging", "repaired"),
            ("paxos_variant", "v2"),
            ("read_request_timeout", "5000ms"),
            ("user_timestamps_enabled", "true"),
            ("write_request_timeout", "2s"),
        ])),
    };
    Node {
        address: SocketAddr::from(([10, 0, 0, number], 9042)),
        datacentre: datacentre.to_owned(),
        answer: Ok(answer),
    }
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The answer of a node, to be spoilt.
pub(super) fn answer<'a>(survey: &'a mut Survey, datacentre: &str) -> &'a mut Answer {
    let mut nodes = survey.nodes.iter_mut();
    let node = nodes.find(|node| node.datacentre == datacentre).unwrap();
    node.answer.as_mut().unwrap()
}

/// Gives a setting of a node another value.
pub(super) fn set(survey: &mut Survey, datacentre: &str, name: &str, value: &str) {
    let settings = answer(survey, datacentre).settings.as_mut().unwrap();
    settings.insert(name.to_owned(), value.to_owned());
}

/// A node that does not answer.
pub(super) fn kill(survey: &mut Survey, datacentre: &str) {
    let mut nodes = survey.nodes.iter_mut();
    let node = nodes.find(|node| node.datacentre == datacentre).unwrap();
    node.answer = Err("it does not answer".to_owned());
}

/// Three members, of which the second leads.
pub(super) fn etcd() -> (EtcdConfig, etcd::survey::Survey) {
    let addresses = ["http://a:2379", "http://b:2379", "http://c:2379"].map(str::to_owned);
    let endpoints = (1..)
        .zip(&addresses)
        .map(|(member, address)| etcd::survey::Endpoint {
            address: address.clone(),
            answer: Ok(etcd::survey::Answer {
                rtt: Duration::from_millis(10 * member),
                version: "3.6.16".to_owned(),
                cluster: 7,
                member,
                leader: Some(2),
                term: 4,
                learner: false,
                db_bytes: 1 << 20,
                db_bytes_max: Some(1 << 31),
            }),
        });
    let members = (1..)
        .zip(&addresses)
        .map(|(id, address)| etcd::survey::Member {
            id,
            name: format!("member-{id}"),
            client_urls: vec![address.clone()],
            learner: false,
        });
    let survey = etcd::survey::Survey {
        endpoints: endpoints.collect(),
        agreed: Ok(Duration::from_millis(60)),
        members: Some(members.collect()),
        alarms: Some(Vec::new()),
    };
    let config = EtcdConfig {
        endpoints: addresses.into(),
        ..EtcdConfig::default()
    };
    (config, survey)
}

/// Three servers, of which the second leads.
pub(super) fn zookeeper() -> (ZooKeeperConfig, zookeeper::survey::Survey) {
    let addresses = ["a:2181", "b:2181", "c:2181"].map(str::to_owned);
    let modes = ["follower", "leader", "follower"];
    let endpoints = addresses.iter().zip(modes);
    let endpoints = endpoints.map(|(address, mode)| zookeeper::survey::Endpoint {
        address: address.clone(),
        answer: Ok(zookeeper::survey::Answer {
            rtt: Duration::from_millis(10),
            state: zookeeper::survey::State::Serves {
                version: "3.9.5".to_owned(),
                mode: mode.to_owned(),
            },
        }),
    });
    let survey = zookeeper::survey::Survey {
        endpoints: endpoints.collect(),
        agreed: Ok(Duration::from_millis(60)),
        root: zookeeper::survey::Root::Present,
        voters: Some(3),
    };
    let config = ZooKeeperConfig {
        endpoints: addresses.into(),
        ..ZooKeeperConfig::default()
    };
    (config, survey)
}

/// Each finding that is not as it should be, in one line.
pub(super) fn problems(findings: &[Finding]) -> Vec<String> {
    let problems = findings.iter().filter(|finding| finding.level > Level::Ok);
    let line = |finding: &Finding| {
        // Whoever is told of a problem is told what it means, and what to do.
        let meaning = finding.meaning.as_ref().expect(&finding.what);
        let advice = finding.advice.as_ref().expect(&finding.what);
        let Finding {
            level, check, what, ..
        } = finding;
        format!("{level:?} {check}: {what}; {meaning}; {advice}")
    };
    problems.map(line).collect()
}

/// The level of each finding.
pub(super) fn levels(findings: &[Finding]) -> Vec<String> {
    let levels = findings.iter();
    levels
        .map(|finding| format!("{:?}", finding.level))
        .collect()
}

/// That something is wrong once, to this degree, and said so.
#[track_caller]
pub(super) fn assert_problem(findings: &[Finding], begins: &str, contains: &str) {
    let problems = problems(findings);
    let found = |problem: &&String| problem.starts_with(begins) && problem.contains(contains);
    let count = problems.iter().filter(found).count();
    assert_eq!(count, 1, "`{begins}` with `{contains}` in {problems:#?}");
}
