//! etcd, compiled by Go from the Go module proxy.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::{Node, Server, wire};
use crate::shell;

pub(super) struct Etcd;

const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

impl Server for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn version(&self) -> &'static str {
        "3.6.16"
    }

    fn install(&self, folder: &Path) -> Result<()> {
        ensure!(
            shell::is_on_path("go"),
            "Go is missing, which compiles etcd: see https://go.dev/dl"
        );
        // `go install` refuses modules that replace others, as etcd's does;
        // as a dependency of an empty module it is built all the same.
        let package = "go.etcd.io/etcd/server/v3";
        let version = format!("{package}@v{}", self.version());
        let steps: [&[&str]; 3] = [
            &["mod", "init", "local/engines"],
            &["get", &version],
            &["build", "-trimpath", "-o", "etcd", package],
        ];
        for step in steps {
            let mut go = shell::program(folder, "go", step);
            go.envs([
                ("CGO_ENABLED", "0"),
                ("GOFLAGS", "-mod=mod"),
                ("GOWORK", "off"),
            ]);
            shell::run(&mut go)?;
        }
        Ok(())
    }

    fn command(&self, installed: &Path, nodes: &[Node], node: &Node) -> Result<Command> {
        let url = |host: &str, port: u16| format!("http://{host}:{port}");
        let member = |node: &Node| format!("n{}={}", node.number, url(&node.place.host, PEER_PORT));
        let members: Vec<String> = nodes.iter().map(member).collect();
        let clients = url(&node.place.host, CLIENT_PORT);
        let peers = url(&node.place.host, PEER_PORT);
        let mut command = Command::new(installed.join("etcd"));
        command.args(["--name", &format!("n{}", node.number), "--data-dir", "data"]);
        command.args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients]);
        command.args(["--listen-peer-urls", &peers]);
        command.args(["--initial-advertise-peer-urls", &peers]);
        command.args(["--initial-cluster", &members.join(",")]);
        command.args(["--initial-cluster-token", "music", "--log-level", "warn"]);
        Ok(command)
    }

    fn port(&self) -> u16 {
        CLIENT_PORT
    }

    /// It says that it is healthy after a linearizable read.
    fn serves(&self, node: &Node) -> bool {
        let host = &node.place.host;
        let question = format!("GET /health HTTP/1.0\r\nHost: {host}\r\n\r\n");
        wire::ask(host, CLIENT_PORT, &question)
            .is_some_and(|answer| answer.contains(r#""health":"true""#))
    }
}
