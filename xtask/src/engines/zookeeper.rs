//! Apache ZooKeeper, its jars fetched by Maven.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Node, Server, java, wire};

pub(super) struct ZooKeeper;

const CLIENT_PORT: u16 = 2181;
/// Group, artifact, version; the last three are needed by the server, yet it
/// calls them optional.
const ARTIFACTS: [java::Artifact; 4] = [
    ("org.apache.zookeeper", "zookeeper", "3.9.5"),
    ("ch.qos.logback", "logback-classic", "1.3.15"),
    ("io.dropwizard.metrics", "metrics-core", "4.1.12.1"),
    ("org.xerial.snappy", "snappy-java", "1.1.10.5"),
];

impl Server for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn version(&self) -> &'static str {
        ARTIFACTS[0].2
    }

    fn install(&self, folder: &Path) -> Result<()> {
        java::install(folder, &ARTIFACTS)
    }

    fn command(&self, installed: &Path, nodes: &[Node], node: &Node) -> Result<Command> {
        let data = node.folder.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        node.write("data/myid", &node.number.to_string())?;
        node.write("logback.xml", &java::logback("WARN"))?;
        node.write("zoo.cfg", &configuration(nodes, node))?;
        let mut java = Command::new(java::program()?);
        java.args(["-Xms64m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"]);
        java.args(["-Djava.net.preferIPv4Stack=true", "-cp"]);
        java.arg(format!(".:{}/*", installed.join("lib").display()));
        java.args([
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            "zoo.cfg",
        ]);
        Ok(java)
    }

    fn port(&self) -> u16 {
        CLIENT_PORT
    }

    /// A node that serves is the leader or follows one; one that still looks
    /// for a leader says something else.
    fn serves(&self, node: &Node) -> bool {
        let answer = wire::ask(&node.place.host, CLIENT_PORT, "srvr").unwrap_or_default();
        ["Mode: leader", "Mode: follower"]
            .iter()
            .any(|mode| answer.contains(mode))
    }
}

fn configuration(nodes: &[Node], node: &Node) -> String {
    let mut text = format!(
        "dataDir={}/data\nclientPort={CLIENT_PORT}\nclientPortAddress={}\n\
         tickTime=1000\ninitLimit=20\nsyncLimit=4\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=srvr\n",
        node.folder.display(),
        node.place.host
    );
    for Node { number, place, .. } in nodes {
        let host = &place.host;
        let _always: std::fmt::Result = writeln!(text, "server.{number}={host}:2888:3888");
    }
    text
}
