//! A site without others, and psql.

use mdbc::config::Config;
use mdbc::engine::{Database, LocalOnly};
use mdbc::proxy::{Site, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
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
        let site = (self.port, self.folder.path());
        crate::shell::psql(site, arguments, variables, script).await
    }
}
