//! A site without others, over a PostgreSQL of its own.

use std::path::Path;

use mdbc::config::{Config, PostgresConfig};
use mdbc::server::Server;
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
        let site = (self.port, Path::new("."));
        crate::shell::psql(site, &["-qAt"], &[], script).await
    }
}
