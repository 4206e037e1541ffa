//! Sites whose tables are strong unless they say, and what clients do there.

use std::time::Duration;

use mdbc::engine::TableKind;
use tokio_postgres::Client;

use crate::deployment::Plan;
pub(crate) use crate::deployment::{Sites, soon};

impl Sites {
    /// Without delays; a node may go unheard for so long.
    pub(crate) async fn start(lease: Duration) -> Self {
        Self::with_delays("local3", lease).await
    }

    pub(crate) async fn with_delays(profile: &'static str, lease: Duration) -> Self {
        Self::of(Plan {
            profile,
            lease,
            default_kind: TableKind::Strong,
            urls: Vec::new(),
        })
        .await
    }
}

/// The only value of the only row of a query, as text.
pub(crate) async fn one(client: &Client, query: &str) -> String {
    let rows = all(client, query).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone()
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
