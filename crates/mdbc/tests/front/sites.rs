//! Three sites, each over a database of its own in one PostgreSQL.

use std::time::Duration;

use mdbc::engine::TableKind;
use tokio_postgres::{Client, NoTls};

pub(crate) use crate::asked::{all, state};
use crate::cluster::Cluster;
use crate::deployment::Plan;
pub(crate) use crate::deployment::soon;

/// The sites, and their server.
pub(crate) struct Sites {
    inner: crate::deployment::Sites,
    urls: Vec<String>,
    _cluster: Cluster,
}

impl std::ops::Deref for Sites {
    type Target = crate::deployment::Sites;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl Sites {
    /// Without delays; a node may go unheard for so long.
    pub(crate) async fn start(lease: Duration) -> Self {
        let cluster = Cluster::start();
        let urls = cluster.databases(3).await;
        let plan = Plan {
            profile: "local3",
            lease,
            default_kind: TableKind::Strong,
            urls: urls.clone(),
        };
        Self {
            inner: crate::deployment::Sites::of(plan).await,
            urls,
            _cluster: cluster,
        }
    }

    /// A connection to the database of a site, not through mdbc.
    pub(crate) async fn behind(&self, site: usize) -> Client {
        let connected = tokio_postgres::connect(&self.urls[site], NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }
}
