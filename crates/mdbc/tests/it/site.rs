//! A site without others, and psql.

use std::process::Stdio;

use mdbc::config::Config;
use mdbc::engine::{Database, LocalOnly};
use mdbc::proxy::{Site, serve};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// A site that is being served.
pub(crate) struct TestSite {
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    pub(crate) shutdown: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl TestSite {
    /// Starts one in a folder of its own.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts one with more lines in its configuration, where `{folder}` stands
    /// for its folder.
    pub(crate) async fn start_with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, lines).await
    }

    /// Starts one on a database that may be there already.
    pub(crate) async fn start_in(folder: TempDir, lines: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let path = folder.path().join("site.db").display().to_string();
        let lines = lines.replace("{folder}", folder.path().to_str().unwrap());
        let text =
            format!("listen = \"{address}\"\npath = \"{path}\"\nsite = 1\nsites_max = 1\n{lines}");
        let config = Config::parse(&text).unwrap();
        let database = Database::open(&config.options()).unwrap();
        let shutdown = CancellationToken::new();
        let stopped = shutdown.clone();
        let site = Site {
            config,
            database,
            replication: LocalOnly,
        };
        let task = tokio::spawn(async move {
            serve(listener, site, stopped).await.unwrap();
        });
        Self {
            port: address.port(),
            folder,
            shutdown,
            _task: AbortOnDropHandle::new(task),
        }
    }

    #[cfg(feature = "clients")]
    pub(crate) fn url(&self) -> String {
        format!("postgres://mdbc@127.0.0.1:{}/music", self.port)
    }

    /// Runs a script with psql; what it printed on both outputs.
    pub(crate) async fn psql(&self, script: &str) -> String {
        self.psql_with(&[], &[], script).await
    }

    pub(crate) async fn psql_with(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        script: &str,
    ) -> String {
        let mut command = Command::new("psql");
        command
            .args(["--no-psqlrc", "--host=127.0.0.1", "--no-password"])
            .arg(format!("--port={}", self.port))
            .args(arguments)
            .env("PGUSER", "mdbc")
            .env("PGDATABASE", "music")
            .env("PGTZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
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
