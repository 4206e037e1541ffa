//! `music doctor` and `music status` on real engines.

use std::time::Instant;

use serde_json::Value;

use super::{DEPLOYMENTS, at, config, keyspace, run, serve, write};
use crate::support::{DEADLINE, music};

fn examine(config: &str) -> (Option<i32>, Value) {
    let mut doctor = music();
    doctor.args(["--json", "doctor", "--config", config]);
    let output = doctor.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap();
    (output.status.code(), report)
}

/// The names of the checks that found something this bad.
fn checks<'a>(report: &'a Value, level: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().unwrap();
    let those = findings.iter().filter(|finding| finding["level"] == level);
    those
        .map(|finding| finding["check"].as_str().unwrap())
        .collect()
}

#[test]
fn each_deployment_is_unsound_until_it_is_set_up() {
    for (engine, locks) in DEPLOYMENTS {
        let (folder, keyspace) = (tempfile::tempdir().unwrap(), keyspace(locks));
        let config = write(folder.path(), "music.toml", &config(locks, 0, &keyspace));
        let (code, report) = examine(&config);
        assert_eq!(code, Some(81), "{report}");
        assert_eq!(checks(&report, "error"), ["cassandra.schema"], "{report}");
        let (code, error) = run(&["engine", "init", "--config", &config]);
        assert_eq!(code, Some(0), "{error}");
        let (code, report) = examine(&config);
        assert_eq!(code, Some(0), "{report}");
        assert_eq!(report["engine"], engine);
        assert_eq!(checks(&report, "warning"), [] as [&str; 0], "{report}");
        let right = checks(&report, "ok");
        for check in ["cassandra.clock", "cassandra.paxos_variant", "cost"] {
            assert!(right.contains(&check), "{report}");
        }
        let servers = format!(
            "{locks}.{}",
            match locks {
                "etcd" => "member",
                "zookeeper" => "server",
                _ => "node",
            }
        );
        let servers = right.iter().filter(|check| **check == servers);
        assert_eq!(servers.count(), 3, "{report}");
    }
}

#[test]
fn a_lock_store_that_is_down_and_a_site_too_many_are_named() {
    let (folder, keyspace) = (tempfile::tempdir().unwrap(), keyspace("doctor"));
    let good = config("etcd", 0, &keyspace);
    let wrong = good.replace(":2379", ":1");
    let wrong = wrong.replace("oregon = 1", "oregon = 1, utah = 2");
    let wrong = write(folder.path(), "music.toml", &wrong);
    let (code, report) = examine(&wrong);
    assert_eq!(code, Some(81), "{report}");
    let errors = checks(&report, "error");
    for check in ["cassandra.datacentres", "etcd.majority"] {
        assert!(errors.contains(&check), "{report}");
    }
}

/// The delays are measured some time after the start.
#[test]
fn a_node_tells_of_the_servers_and_how_far_away_they_are() {
    for (_, locks) in DEPLOYMENTS {
        let (folder, keyspace) = (tempfile::tempdir().unwrap(), keyspace(locks));
        let config = write(folder.path(), "music.toml", &config(locks, 0, &keyspace));
        let (code, error) = run(&["engine", "init", "--config", &config]);
        assert_eq!(code, Some(0), "{error}");
        let (node, url) = serve(&config);
        let began = Instant::now();
        let status = loop {
            let nodes: Value = serde_json::from_str(&at(&url, &["--json", "status"])).unwrap();
            let links = nodes[0]["status"]["links"].as_array().unwrap();
            if links.len() == 2 {
                break nodes[0]["status"].clone();
            }
            assert!(began.elapsed() < DEADLINE, "{nodes}");
        };
        for link in status["links"].as_array().unwrap() {
            assert_eq!(link["a"], "ohio");
            assert!(link["rtt_ms"].as_f64().unwrap() > 0.0, "{link}");
        }
        let servers = status["servers"].as_array().unwrap();
        assert!(servers.iter().all(|server| server["reachable"] == true));
        let of = |engine| {
            servers
                .iter()
                .filter(move |server| server["engine"] == engine)
        };
        assert_eq!(of("cassandra").count(), 3, "{status}");
        if locks != "cassandra" {
            let leaders = of(locks).filter(|server| server["role"] == "leader");
            assert_eq!((of(locks).count(), leaders.count()), (3, 1), "{status}");
        }
        let text = at(&url, &["status"]);
        assert!(text.contains("SEEN FROM ohio-1"), "{text}");
        node.signal("TERM");
        let (code, error) = node.end();
        assert_eq!(code, Some(0), "{error}");
    }
}
