//! Transactions that change strong and eventual tables.

use crate::sites::{Sites, agreed, insist, make_marks, rows, run, settle, soon, told, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_transaction_is_atomic_at_every_site() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE sums (id int PRIMARY KEY, sum int) WITH (music = 'strong')",
    )
    .await;
    run(
        &clients[0],
        "CREATE TABLE parts (id int PRIMARY KEY, of int, part int)",
    )
    .await;
    make_marks(&clients[0]).await;
    insist(&clients[0], "INSERT INTO sums VALUES (1, 0)").await;
    settle(&clients, 1).await;
    let watch = async {
        // A view of both in one snapshot, while they are written elsewhere.
        let mut seen = 0;
        while seen < 20 {
            let both = "SELECT (SELECT sum FROM sums), (SELECT coalesce(sum(part), 0) FROM parts)";
            let Ok(found) = clients[2].query_one(both, &[]).await else {
                continue;
            };
            let (sum, parts): (i32, i64) = (found.get(0), found.get(1));
            assert_eq!(i64::from(sum), parts, "all of it or nothing");
            seen = sum;
        }
    };
    let write = async {
        for number in 1..=20 {
            let client = &clients[number % 2];
            let text = format!(
                "BEGIN; UPDATE sums SET sum = sum + 1; \
                 INSERT INTO parts VALUES ({number}, 1, 1); COMMIT"
            );
            insist(client, &text).await;
        }
    };
    soon(async { tokio::join!(watch, write) }).await;
    settle(&clients, 2).await;
    assert_eq!(
        agreed(&clients, "SELECT count(*), sum(part) FROM parts").await,
        ["20|20"]
    );
    assert_eq!(agreed(&clients, "SELECT sum FROM sums").await, ["20"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_writer_wins_by_whatever_way_it_comes() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE sums (id int PRIMARY KEY, sum int) WITH (music = 'strong')",
    )
    .await;
    run(
        &clients[0],
        "CREATE TABLE parts (id int PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    settle(&clients, 1).await;
    // Site 0 has written the row, and nobody knows of it.
    sites.cut(0, true);
    run(
        &clients[0],
        "INSERT INTO parts VALUES (1, 'by letter'), (2, 'by letter')",
    )
    .await;
    insist(
        &clients[1],
        "BEGIN; INSERT INTO sums VALUES (1, 1); INSERT INTO parts VALUES (1, 'by log'); COMMIT",
    )
    .await;
    run(
        &clients[0],
        "UPDATE parts SET name = 'by a later letter' WHERE id = 2",
    )
    .await;
    sites.cut(0, false);
    until(&clients[0], "SELECT sum FROM sums", &["1"]).await;
    settle(&clients, 2).await;
    let all = "SELECT id, name FROM parts ORDER BY id";
    assert_eq!(
        agreed(&clients, all).await,
        ["1|by log", "2|by a later letter"]
    );
    let lost = "SELECT DISTINCT lost->>'name', kept_site FROM mdbc_conflicts";
    for site in [0, 1] {
        let wanted = [format!("by letter|{}", sites.names[1])];
        assert_eq!(rows(&clients[site], lost).await, wanted, "at site {site}");
    }
    // It was seen: no conflict.
    run(&clients[0], "UPDATE parts SET name = 'seen' WHERE id = 1").await;
    settle(&clients, 3).await;
    assert_eq!(
        agreed(&clients, all).await,
        ["1|seen", "2|by a later letter"]
    );
    assert_eq!(
        rows(&clients[1], "SELECT count(*) FROM mdbc_conflicts").await,
        ["1"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_without_a_majority_writes_eventual_tables_alone() {
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
    settle(&clients, 1).await;
    sites.cut(2, true);
    let mixed = "BEGIN; INSERT INTO parts VALUES (1, 1); INSERT INTO sums VALUES (1, 1); COMMIT";
    let error = soon(clients[2].batch_execute(mixed)).await.unwrap_err();
    println!("{}", told(&error));
    run(&clients[2], "ROLLBACK").await;
    assert!(
        rows(&clients[2], "SELECT id FROM parts").await.is_empty(),
        "nothing half done"
    );
    run(&clients[2], "INSERT INTO parts VALUES (2, 2)").await;
    sites.cut(2, false);
    settle(&clients, 2).await;
    assert_eq!(agreed(&clients, "SELECT id FROM parts").await, ["2"]);
}
