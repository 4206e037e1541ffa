//! A site without others, over a PostgreSQL of its own.

use std::process::Stdio;

use mdbc::config::{Config, PostgresConfig};
use mdbc::server::Server;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;

/// A site that is being served.
pub(crate) struct TestSite {
    pub(crate) port: u16,
    pub(crate) cluster: Cluster,
    _task: AbortOnDropHandle<()>,
}

impl TestSite {
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start();
        let url = cluster.database("music").await;
        let config = Config {
            postgres: Some(PostgresConfig { url }),
            ..Config::new("127.0.0.1:0".parse().unwrap(), "", 1)
        };
        let server = Server::open(config).await.unwrap();
        let port = server.address().port();
        let task = tokio::spawn(async move {
            let run = server.run(CancellationToken::new());
            Box::pin(run).await.unwrap();
        });
        Self {
            port,
            cluster,
            _task: AbortOnDropHandle::new(task),
        }
    }

    #[cfg(feature = "clients")]
    pub(crate) fn url(&self) -> String {
        format!("postgres://mdbc@127.0.0.1:{}/music", self.port)
    }

    pub(crate) async fn client(&self) -> Client {
        let settings = format!("host=127.0.0.1 port={} user=mdbc dbname=music", self.port);
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs a script with psql; what it printed on both outputs.
    pub(crate) async fn psql(&self, script: &str) -> String {
        let mut command = Command::new("psql");
        command
            .args(["--no-psqlrc", "--host=127.0.0.1", "--no-password", "-qAt"])
            .arg(format!("--port={}", self.port))
            .env("PGUSER", "mdbc")
            .env("PGDATABASE", "music")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().expect("psql is needed: postgresql-client");
        let mut input = child.stdin.take().unwrap();
        input.write_all(script.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        text.push_str(&String::from_utf8(output.stderr).unwrap());
        text
    }
}
