//! Apache Cassandra, its jars fetched by Maven: a data centre a node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{Node, Server, cql, java};

pub(super) struct Cassandra;

const CLIENT_PORT: u16 = 9042;
const VERSION: &str = "5.0.9";
const ARTIFACTS: [java::Artifact; 1] = [("org.apache.cassandra", "cassandra-all", VERSION)];

/// What Cassandra uses of the inside of Java, module by module: it does not
/// start where one of these is closed.
const EXPORTS: [&str; 4] = [
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.rmi/sun.rmi.registry",
];
const OPENS: [&str; 5] = [
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.nio",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
];

impl Server for Cassandra {
    fn name(&self) -> &'static str {
        "cassandra"
    }

    fn version(&self) -> &'static str {
        VERSION
    }

    fn install(&self, folder: &Path) -> Result<()> {
        java::install(folder, &ARTIFACTS)
    }

    fn command(&self, installed: &Path, nodes: &[Node], node: &Node) -> Result<Command> {
        let temporary = node.folder.join("tmp");
        fs::create_dir_all(&temporary)
            .with_context(|| format!("cannot make {}", temporary.display()))?;
        node.write("cassandra.yaml", &configuration(nodes, node))?;
        node.write("cassandra-rackdc.properties", &place(node))?;
        node.write("logback.xml", &java::logback("INFO"))?;
        let lib = installed.join("lib");
        let mut java = Command::new(java::program()?);
        // Quick to start on few cores, rather than quick in the end.
        java.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]);
        java.args(["-Xms512m", "-Xmx512m", "-XX:+ExitOnOutOfMemoryError"]);
        java.args(["-Djava.net.preferIPv4Stack=true", "-Djava.io.tmpdir=tmp"]);
        java.args(EXPORTS.map(|package| format!("--add-exports={package}=ALL-UNNAMED")));
        java.args(OPENS.map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
        java.arg("-Djdk.attach.allowAttachSelf=true");
        java.arg("-Dio.netty.tryReflectionSetAccessible=true");
        java.arg(format!("-javaagent:{}", agent(&lib)?));
        java.arg(format!(
            "-Dcassandra.storagedir={}",
            node.folder.join("data").display()
        ));
        java.arg(format!("-Dcassandra.logdir={}", node.folder.display()));
        // It would close its output otherwise, which is its log.
        java.arg("-Dcassandra-foreground=yes");
        // There is nobody to wait for: all nodes are known.
        java.arg("-Dcassandra.skip_wait_for_gossip_to_settle=0");
        java.arg("-Dcassandra.superuser_setup_delay_ms=0");
        java.args(["-cp", &format!(".:{}/*", lib.display())]);
        java.arg("org.apache.cassandra.service.CassandraDaemon");
        Ok(java)
    }

    fn port(&self) -> u16 {
        CLIENT_PORT
    }

    fn serves(&self, node: &Node) -> bool {
        cql::answers_with_all(&node.place.host, CLIENT_PORT)
    }
}

/// The jar that lets Cassandra measure its memory.
fn agent(lib: &Path) -> Result<String> {
    let entries = fs::read_dir(lib).with_context(|| format!("cannot read {}", lib.display()))?;
    let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let is_agent = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("jamm-"))
    };
    let agent = paths.find(is_agent);
    let agent = agent.with_context(|| format!("no jamm in {}", lib.display()))?;
    Ok(agent.display().to_string())
}

/// Where the node is, in the words of its snitch.
fn place(node: &Node) -> String {
    format!("dc={}\nrack=rack1\n", node.place.datacentre)
}

fn configuration(nodes: &[Node], node: &Node) -> String {
    let hosts: Vec<&str> = nodes.iter().map(|node| node.place.host.as_str()).collect();
    let host = &node.place.host;
    // All nodes are seeds: none waits for another, and any comes back alone.
    // Version 2 of Paxos may commit at the local site alone where what was
    // promised is kept until a repair.
    format!(
        r#"cluster_name: music
listen_address: {host}
rpc_address: {host}
native_transport_port: {CLIENT_PORT}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{seeds}"
endpoint_snitch: GossipingPropertyFileSnitch
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
initial_token: "{token}"
num_tokens: 1
auto_bootstrap: false
storage_compatibility_mode: NONE
paxos_variant: v2
paxos_state_purging: repaired
inter_dc_tcp_nodelay: true
internode_compression: none
auto_snapshot: false
hints_flush_period: 1000ms
commitlog_sync: periodic
commitlog_sync_period: 10000ms
"#,
        seeds = hosts.join(","),
        token = token(node.number, nodes.len()),
    )
}

/// The node's place on the ring, which the nodes cut into equal parts.
fn token(number: usize, nodes: usize) -> i64 {
    let part = u64::MAX / u64::try_from(nodes).unwrap_or(1).max(1);
    let number = u64::try_from(number).unwrap_or_default();
    i64::MIN.wrapping_add_unsigned(part.wrapping_mul(number))
}
