//! `music` on real engines, each deployment that the documentation shows. The
//! servers are those that `cargo xtask engines start` starts.

mod doctor;

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::support::{DEADLINE, Running, music, succeeded};

const HOSTS: [&str; 3] = ["127.0.0.31", "127.0.0.32", "127.0.0.33"];
const SITES: [&str; 3] = ["ohio", "ncalifornia", "oregon"];

/// State and locks.
const DEPLOYMENTS: [(&str, &str); 3] = [
    ("cassandra", "cassandra"),
    ("cassandra+etcd", "etcd"),
    ("cassandra+zookeeper", "zookeeper"),
];

/// The servers' addresses as TOML has a list, that of a site first.
fn endpoints(site: usize, scheme: &str, port: u16) -> String {
    let mut hosts = HOSTS;
    hosts.rotate_left(site);
    let endpoints = hosts.map(|host| format!("\"{scheme}{host}:{port}\""));
    endpoints.join(", ")
}

/// The configuration of a node at a site; `keyspace` is this test's own.
fn config(locks: &str, site: usize, keyspace: &str) -> String {
    format!(
        "node = \"{name}-1\"
        site = \"{name}\"
        listen = \"127.0.0.1:0\"
        [[tables]]
        name = \"locks\"
        mode = \"critical\"
        [[tables]]
        name = \"kv\"
        mode = \"eventual\"
        [engine]
        state = \"cassandra\"
        locks = \"{locks}\"
        [cassandra]
        contact_points = [{cassandra}]
        keyspace = \"{keyspace}\"
        replication = {{ ohio = 1, ncalifornia = 1, oregon = 1 }}
        request_timeout_ms = 10000
        call_timeout_ms = 30000
        [etcd]
        endpoints = [{etcd}]
        prefix = \"{keyspace}/\"
        [zookeeper]
        endpoints = [{zookeeper}]
        root = \"/{keyspace}\"
        ",
        name = SITES[site],
        cassandra = endpoints(site, "", 9042),
        etcd = endpoints(site, "http://", 2379),
        zookeeper = endpoints(site, "", 2181),
    )
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn keyspace(locks: &str) -> String {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("music_{locks}_{}", now.as_millis())
}

/// The code, and what was written to standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = music().args(arguments).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), error)
}

/// A node that serves, and its address.
fn serve(config: &str) -> (Running, String) {
    let mut serve = music();
    serve.args(["--json", "serve", "--config", config]);
    let node = Running::start(&mut serve);
    let says: Value = serde_json::from_str(&node.line()).unwrap();
    let url = says["url"].as_str().unwrap().to_owned();
    (node, url)
}

fn at(url: &str, arguments: &[&str]) -> String {
    let mut command = music();
    command.args(["--endpoint", url]).args(arguments);
    succeeded(&command.output().unwrap())
}

#[test]
fn each_deployment_serves_two_sites() {
    for (engine, locks) in DEPLOYMENTS {
        let (folder, keyspace) = (tempfile::tempdir().unwrap(), keyspace(locks));
        let configs = [0, 2].map(|site| {
            let text = config(locks, site, &keyspace);
            write(folder.path(), SITES[site], &text)
        });
        let (code, error) = run(&["serve", "--config", &configs[0]]);
        assert_eq!(code, Some(78), "{error}");
        assert!(error.contains("music engine init"), "{error}");
        // The second time it finds all that it needs.
        for _ in 0..2 {
            let (code, error) = run(&["engine", "init", "--config", &configs[0]]);
            assert_eq!(code, Some(0), "{error}");
        }
        let [(ohio, first), (oregon, second)] = configs.each_ref().map(|config| serve(config));

        at(&first, &["put", "-t", "kv", "key", "value"]);
        let began = Instant::now();
        let arrived = || {
            let mut get = music();
            get.args(["--endpoint", &second, "get", "-t", "kv", "key"]);
            get.output().unwrap().stdout == b"value"
        };
        while !arrived() {
            assert!(began.elapsed() < DEADLINE, "the value has to arrive");
        }

        for (url, count) in [(&first, "65536"), (&second, "131072"), (&first, "196608")] {
            let script = "printf %s \"$MUSIC_FENCING_TOKEN\"";
            let token = at(
                url,
                &["lock", "key", "-t", "locks", "--", "sh", "-c", script],
            );
            assert_eq!(token, count, "{engine}");
        }
        let status: Value = serde_json::from_str(&at(&first, &["--json", "status"])).unwrap();
        let status = &status[0]["status"];
        assert_eq!(status["engine"], engine);
        let sites = status["sites"].as_array().unwrap();
        assert!(sites.iter().all(|site| site["running"] == true), "{status}");
        for node in [ohio, oregon] {
            node.signal("TERM");
            let (code, error) = node.end();
            assert_eq!(code, Some(0), "{error}");
        }
    }
}

#[test]
fn the_placement_demonstration_ends_as_it_does_embedded() {
    for (engine, locks) in DEPLOYMENTS {
        let folder = tempfile::tempdir().unwrap();
        let config = write(folder.path(), "music.toml", &config(locks, 0, "unused"));
        let mut demo = music();
        demo.args(["--json", "demo", "placement", "--engine", engine]);
        let output = demo.args(["--config", &config]).output().unwrap();
        let report: Value = serde_json::from_str(&succeeded(&output)).unwrap();
        assert_eq!(report["exactly_once"], true, "{report}");
        assert_eq!(report["engine"], engine);
        assert_eq!(report["duplicates"], 0, "{report}");
        let faults = report["faults"].as_array().unwrap();
        for kind in ["worker_killed", "site_cut", "node_killed"] {
            assert!(faults.iter().any(|fault| fault["kind"] == kind), "{report}");
        }
    }
}

#[test]
fn an_engine_that_cannot_be_used_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let good = config("etcd", 0, &keyspace("bad"));
    let zookeeper = good.replace("locks = \"etcd\"", "locks = \"zookeeper\"");
    for (wrong, code, says) in [
        (good.replace("ohio", "utah"), 78, "no data centre \"utah\""),
        (good.replace(":9042", ":1"), 69, "no Cassandra node answers"),
        (good.replace(":2379", ":1"), 69, "etcd does not answer"),
        (
            zookeeper.replace(":2181", ":1"),
            69,
            "ZooKeeper does not answer",
        ),
        (
            good.replace("http://", "https://"),
            78,
            "TLS is not supported",
        ),
    ] {
        let config = write(folder.path(), "music.toml", &wrong);
        let (exit, error) = run(&["engine", "init", "--config", &config]);
        assert_eq!(exit, Some(code), "{error}");
        assert!(error.contains(says), "{error}");
    }
}

/// "An engine down at start": the node says so, and serves when it answers.
#[test]
fn a_node_whose_engine_is_down_waits_and_can_be_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let text = config("etcd", 0, "unused").replace(":9042", ":1");
    let config = write(folder.path(), "music.toml", &text);
    let mut serve = music();
    serve.args(["serve", "--config", &config]);
    let mut node = Running::start(&mut serve);
    let said = node.error_with("this node serves when its engine answers");
    assert!(said.contains("no Cassandra node answers"), "{said}");
    node.signal("TERM");
    let (code, _) = node.end();
    assert_eq!(code, Some(143));
}
