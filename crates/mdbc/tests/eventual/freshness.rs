//! What a transaction reads of strong tables, before and behind eventual ones.

use tokio_postgres::Client;

use crate::sites::{Sites, insist, make_marks, rows, run, settle, soon, told, until};

async fn state_of(client: &Client, text: &str) -> Option<String> {
    let error = soon(client.batch_execute(text)).await.err()?;
    println!("{text}: {}", told(&error));
    error.code().map(|state| state.code().to_owned())
}

async fn start() -> (Sites, Vec<Client>) {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE sums (id int PRIMARY KEY, sum int) WITH (music = 'strong')",
    )
    .await;
    run(
        &clients[0],
        "CREATE TABLE parts (id int PRIMARY KEY, part int)",
    )
    .await;
    make_marks(&clients[0]).await;
    insist(&clients[0], "INSERT INTO sums VALUES (1, 1)").await;
    settle(&clients, 1).await;
    (sites, clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_eventual_tables_makes_no_strong_table_old() {
    let (_sites, clients) = start().await;
    until(&clients[1], "SELECT sum FROM sums", &["1"]).await;
    run(&clients[1], "BEGIN; SELECT * FROM parts").await;
    insist(&clients[0], "UPDATE sums SET sum = 2").await;
    let state = state_of(&clients[1], "SELECT sum FROM sums").await;
    assert_eq!(
        state.as_deref(),
        Some("40001"),
        "the snapshot is older than the commit"
    );
    run(&clients[1], "ROLLBACK").await;
    assert_eq!(rows(&clients[1], "SELECT sum FROM sums").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_wrote_eventual_tables_first_is_not_stuck() {
    let (_sites, clients) = start().await;
    run(&clients[1], "BEGIN; INSERT INTO parts VALUES (1, 1)").await;
    insist(&clients[0], "UPDATE sums SET sum = 2").await;
    let state = state_of(&clients[1], "UPDATE sums SET sum = sum + 1").await;
    assert_eq!(state.as_deref(), Some("40001"));
    run(&clients[1], "ROLLBACK").await;
    insist(
        &clients[1],
        "BEGIN; INSERT INTO parts VALUES (1, 1); UPDATE sums SET sum = sum + 1; COMMIT",
    )
    .await;
    assert_eq!(rows(&clients[0], "SELECT sum FROM sums").await, ["3"]);
    until(&clients[0], "SELECT id FROM parts", &["1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_read_what_its_site_has() {
    let (sites, clients) = start().await;
    until(&clients[1], "SELECT sum FROM sums", &["1"]).await;
    // It is known how old that is, once all sites have said so.
    let age = async { while rows(&clients[1], "SHOW music.age").await[0] == "of unknown age" {} };
    soon(age).await;
    sites.cut(1, true);
    insist(&clients[0], "UPDATE sums SET sum = 2").await;
    assert!(
        state_of(&clients[1], "SELECT sum FROM sums")
            .await
            .is_some(),
        "the latest is not known"
    );
    run(&clients[1], "SET music.read = 'local'").await;
    assert_eq!(rows(&clients[1], "SELECT sum FROM sums").await, ["1"]);
    let age = rows(&clients[1], "SHOW music.age").await;
    assert!(age[0].ends_with(" s old at most"), "{age:?}");
    run(
        &clients[1],
        "BEGIN; SELECT sum FROM sums; INSERT INTO parts VALUES (1, 1)",
    )
    .await;
    let state = state_of(&clients[1], "UPDATE sums SET sum = 3").await;
    assert_eq!(state.as_deref(), Some("25006"), "what was read may be old");
    run(&clients[1], "ROLLBACK").await;
    sites.cut(1, false);
    until(&clients[1], "SELECT sum FROM sums", &["2"]).await;
    run(&clients[1], "SET music.read = 'latest'").await;
    assert_eq!(rows(&clients[1], "SELECT sum FROM sums").await, ["2"]);
}
