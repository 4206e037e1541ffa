//! Changes of the schema of eventual tables, and what is refused.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::sites::{Sites, agreed, make_marks, run, settle, soon};

async fn refused(client: &Client, text: &str) {
    let error = soon(client.batch_execute(text)).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!(
        *error.code(),
        SqlState::FEATURE_NOT_SUPPORTED,
        "{text}: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_hold_across_sites_is_refused() {
    let sites = Sites::start().await;
    let client = sites.client(0).await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, n int CHECK (n > 0), name text NOT NULL)",
    )
    .await;
    run(
        &client,
        "CREATE TABLE s (id int PRIMARY KEY) WITH (music = 'strong')",
    )
    .await;
    for text in [
        "CREATE TABLE u (id int PRIMARY KEY, n int UNIQUE)",
        "CREATE TABLE u (id int PRIMARY KEY, n int REFERENCES t)",
        "CREATE TABLE u (id int PRIMARY KEY, n int REFERENCES s)",
        "CREATE TABLE u (id int PRIMARY KEY, n int REFERENCES t) WITH (music = 'strong')",
        "CREATE TABLE u (id interval PRIMARY KEY)",
        "CREATE TABLE u (id int)",
        "CREATE TABLE u (id int) WITH (music = 'strong')",
        "CREATE UNIQUE INDEX ON t (n)",
        "CREATE INDEX ON t ((1 / n))",
        "CREATE INDEX ON t (n) WHERE n > 1",
        "ALTER TABLE t ADD UNIQUE (n)",
        "ALTER TABLE t ADD CHECK (n < 9)",
        "ALTER TABLE t ADD FOREIGN KEY (n) REFERENCES s",
        "ALTER TABLE t ALTER COLUMN n SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN n TYPE bigint",
        "ALTER TABLE t ADD COLUMN m int NOT NULL",
        "ALTER TABLE t ADD COLUMN m int GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE t ADD COLUMN m timestamptz DEFAULT now()",
    ] {
        refused(&client, text).await;
    }
    run(&client, "CREATE INDEX ON t (n)").await;
    run(
        &client,
        "CREATE TABLE u (id int, n int UNIQUE) WITH (music = 'local')",
    )
    .await;
    let error = soon(client.batch_execute("INSERT INTO t VALUES (1, 0, 'a')"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::CHECK_VIOLATION));
    refused(&client, "DELETE FROM mdbc_conflicts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_fit_the_schema_whichever_comes_first() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE t (id int PRIMARY KEY, gone int, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    run(&clients[0], "INSERT INTO t VALUES (1, 1, 'one')").await;
    settle(&clients, 1).await;
    // Rows of the old schema are on their way, where the others have a new one.
    sites.cut(2, true);
    run(
        &clients[2],
        "INSERT INTO t VALUES (2, 2, 'two'); UPDATE t SET name = 'ONE'",
    )
    .await;
    run(&clients[0], "ALTER TABLE t DROP COLUMN gone").await;
    run(
        &clients[0],
        "ALTER TABLE t ADD COLUMN kind text NOT NULL DEFAULT 'plain'",
    )
    .await;
    run(
        &clients[0],
        "ALTER TABLE t ALTER COLUMN kind SET DEFAULT 'other'",
    )
    .await;
    run(&clients[0], "INSERT INTO t VALUES (3, 'three')").await;
    run(&clients[1], "INSERT INTO t VALUES (4, 'four', 'special')").await;
    run(
        &clients[0],
        "CREATE TABLE new (id int PRIMARY KEY); INSERT INTO new VALUES (1)",
    )
    .await;
    run(&clients[1], "INSERT INTO new VALUES (2)").await;
    sites.cut(2, false);
    settle(&clients, 2).await;
    let wanted = [
        "1|ONE|plain",
        "2|TWO|plain",
        "3|three|other",
        "4|four|special",
    ];
    let all = agreed(&clients, "SELECT id, name, kind FROM t ORDER BY id").await;
    assert_eq!(all, wanted.map(|row| row.replace("TWO", "ONE")));
    assert_eq!(
        agreed(&clients, "SELECT id FROM new ORDER BY id").await,
        ["1", "2"]
    );
    run(&clients[1], "DROP TABLE new").await;
    run(&clients[1], "CREATE TABLE new (id int PRIMARY KEY)").await;
    settle(&clients, 3).await;
    assert!(agreed(&clients, "SELECT id FROM new").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_too_large_has_no_effect() {
    let sites = Sites::start().await;
    let client = sites.client(0).await;
    run(&client, "CREATE TABLE t (id int PRIMARY KEY, body text)").await;
    let large = "INSERT INTO t SELECT n, repeat('x', 1000000) FROM generate_series(1, 20) AS n";
    let error = soon(client.batch_execute(large)).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::PROGRAM_LIMIT_EXCEEDED));
    run(
        &client,
        "INSERT INTO t SELECT n, repeat('x', 1000000) FROM generate_series(1, 5) AS n",
    )
    .await;
    let other = sites.client(1).await;
    crate::sites::until(&other, "SELECT count(*) FROM t", &["5"]).await;
}
