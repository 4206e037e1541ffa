//! Three sites, each over a database of its own in one PostgreSQL.

use std::time::Duration;

use mdbc::engine::TableKind;
use tokio_postgres::Client;

use crate::cluster::Cluster;
use crate::deployment::Plan;
pub(crate) use crate::deployment::soon;

/// The sites, and their server.
pub(crate) struct Sites {
    inner: crate::deployment::Sites,
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
        let mut urls = Vec::new();
        for site in 0..3 {
            urls.push(cluster.database(&format!("site_{site}")).await);
        }
        let plan = Plan {
            profile: "local3",
            lease,
            default_kind: TableKind::Strong,
            urls,
        };
        Self {
            inner: crate::deployment::Sites::of(plan).await,
            _cluster: cluster,
        }
    }
}

/// The rows of a query, their values joined.
pub(crate) async fn all(client: &Client, query: &str) -> Vec<String> {
    let messages = client.simple_query(query).await.unwrap();
    let rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |row: &tokio_postgres::SimpleQueryRow| {
        let values = (0..row.len()).map(|at| row.get(at).unwrap_or("-"));
        values.collect::<Vec<_>>().join("|")
    };
    rows.map(text).collect()
}

/// The SQLSTATE with which a statement fails.
pub(crate) async fn state(client: &Client, query: &str) -> String {
    let failed = client.batch_execute(query).await.unwrap_err();
    failed
        .code()
        .map_or(String::new(), |code| code.code().to_owned())
}
