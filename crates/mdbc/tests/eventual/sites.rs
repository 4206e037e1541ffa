//! Sites whose tables are eventual unless they say, and what clients do there.

use std::time::Duration;

use mdbc::engine::TableKind;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use crate::deployment::{DEADLINE, Plan};
pub(crate) use crate::deployment::{Sites, soon};

impl Sites {
    pub(crate) async fn start() -> Self {
        Self::of(Plan {
            profile: "local3",
            lease: Duration::from_secs(2),
            default_kind: TableKind::Eventual,
            urls: Vec::new(),
        })
        .await
    }

    /// A client of each site.
    pub(crate) async fn clients(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        for site in 0..self.names.len() {
            clients.push(self.client(site).await);
        }
        clients
    }
}

/// Runs statements that have to succeed.
pub(crate) async fn run(client: &Client, text: &str) {
    let done = soon(client.batch_execute(text)).await;
    done.unwrap_or_else(|error| panic!("{text}: {}", told(&error)));
}

/// Runs statements until they succeed: others may be in the way.
pub(crate) async fn insist(client: &Client, text: &str) {
    let insist = async {
        while let Err(error) = client.batch_execute(text).await {
            let state = error.code().cloned();
            let may_be = [
                SqlState::T_R_SERIALIZATION_FAILURE,
                SqlState::CANNOT_CONNECT_NOW,
            ];
            assert!(
                state.is_some_and(|state| may_be.contains(&state)),
                "{text}: {}",
                told(&error)
            );
            client.batch_execute("ROLLBACK").await.unwrap();
        }
    };
    soon(insist).await;
}

pub(crate) fn told(error: &Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |error| format!("{error:?}"))
}

/// The rows of a query, each as its values between bars.
pub(crate) async fn rows(client: &Client, query: &str) -> Vec<String> {
    let answer = soon(client.simple_query(query)).await;
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {}", told(&error)));
    let row = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned());
            Some(values.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    };
    answer.into_iter().filter_map(row).collect()
}

/// Waits until a query answers this at a site.
pub(crate) async fn until(client: &Client, query: &str, wanted: &[&str]) {
    let mut last = Vec::new();
    let wait = async {
        loop {
            last = rows(client, query).await;
            if last == wanted {
                break;
            }
        }
    };
    let is_over = tokio::time::timeout(DEADLINE, Box::pin(wait)).await;
    assert!(is_over.is_ok(), "{query}: {last:?}, not {wanted:?}");
}

/// Makes a table of marks, which tell what has arrived.
pub(crate) async fn make_marks(client: &Client) {
    insist(
        client,
        "CREATE TABLE marks (site int PRIMARY KEY, round int NOT NULL)",
    )
    .await;
}

/// Waits until every site has what every site has written: the letters of a site
/// are applied in their order.
pub(crate) async fn settle(clients: &[Client], round: usize) {
    for (site, client) in clients.iter().enumerate() {
        let mark = format!(
            "INSERT INTO marks VALUES ({site}, {round}) \
             ON CONFLICT (site) DO UPDATE SET round = {round}"
        );
        run(client, &mark).await;
    }
    let all: Vec<String> = (0..clients.len())
        .map(|site| format!("{site}|{round}"))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    for client in clients {
        until(client, "SELECT site, round FROM marks ORDER BY site", &all).await;
    }
}

/// What a query answers at all sites alike.
pub(crate) async fn agreed(clients: &[Client], query: &str) -> Vec<String> {
    let first = rows(&clients[0], query).await;
    for client in &clients[1..] {
        assert_eq!(rows(client, query).await, first, "{query}");
    }
    first
}
