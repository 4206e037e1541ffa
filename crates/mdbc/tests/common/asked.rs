//! What a client is answered.

use tokio_postgres::Client;

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
