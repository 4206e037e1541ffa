//! Apache ZooKeeper, its jars fetched by Maven.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{HOSTS, Node, Server, wire};
use crate::shell;

pub(super) struct ZooKeeper;

const CLIENT_PORT: u16 = 2181;
/// Group, artifact, version; the last three are needed by the server, yet it
/// calls them optional.
const ARTIFACTS: [(&str, &str, &str); 4] = [
    ("org.apache.zookeeper", "zookeeper", "3.9.5"),
    ("ch.qos.logback", "logback-classic", "1.3.15"),
    ("io.dropwizard.metrics", "metrics-core", "4.1.12.1"),
    ("org.xerial.snappy", "snappy-java", "1.1.10.5"),
];
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";
const LOGBACK: &str = r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %logger{0} - %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"#;

impl Server for ZooKeeper {
    fn name(&self) -> &'static str {
        "zookeeper"
    }

    fn version(&self) -> &'static str {
        ARTIFACTS[0].2
    }

    fn install(&self, folder: &Path) -> Result<()> {
        for (program, package) in [("mvn", "Maven"), ("java", "a Java of version 11 or 17")] {
            ensure!(
                shell::is_on_path(program),
                "`{program}` is missing: install {package} as your system does"
            );
        }
        fs::write(folder.join("pom.xml"), project()).context("cannot write pom.xml")?;
        let lib = format!("-DoutputDirectory={}", folder.join("lib").display());
        let arguments = ["-q", "-B", COPY, "-DincludeScope=runtime", &lib];
        shell::run(&mut shell::program(folder, "mvn", &arguments))
    }

    fn command(&self, installed: &Path, node: &Node) -> Result<Command> {
        let write = |name: &str, text: &str| {
            let path = node.folder.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        let data = node.folder.join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        write("data/myid", &node.number.to_string())?;
        write("logback.xml", LOGBACK)?;
        write("zoo.cfg", &configuration(node))?;
        let mut java = Command::new("java");
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
        let answer = wire::ask(node.host, CLIENT_PORT, "srvr").unwrap_or_default();
        ["Mode: leader", "Mode: follower"]
            .iter()
            .any(|mode| answer.contains(mode))
    }
}

/// What Maven copies.
fn project() -> String {
    let dependency = |(group, artifact, version): &(&str, &str, &str)| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let dependencies: String = ARTIFACTS.iter().map(dependency).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId>\
         <artifactId>engines</artifactId><version>1</version>\
         <dependencies>{dependencies}</dependencies></project>"
    )
}

fn configuration(node: &Node) -> String {
    let mut text = format!(
        "dataDir={}/data\nclientPort={CLIENT_PORT}\nclientPortAddress={}\n\
         tickTime=2000\ninitLimit=10\nsyncLimit=5\nmaxClientCnxns=0\n\
         admin.enableServer=false\n4lw.commands.whitelist=srvr\n",
        node.folder.display(),
        node.host
    );
    for (number, host) in (1..).zip(HOSTS) {
        let _always: std::fmt::Result = writeln!(text, "server.{number}={host}:2888:3888");
    }
    text
}
