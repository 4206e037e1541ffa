//! Writes of one row at several sites.

use crate::sites::{Sites, agreed, insist, make_marks, rows, run, settle};

const ALL: &str = "SELECT id, name FROM people ORDER BY id";
const CONFLICTS: &str = "SELECT relation, key->>'id', lost->>'name', lost_site <> kept_site, \
                         lost_at < kept_at \
                         FROM mdbc_conflicts ORDER BY number";

#[tokio::test(flavor = "multi_thread")]
async fn what_each_site_writes_all_sites_have() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, born date)",
    )
    .await;
    make_marks(&clients[0]).await;
    for (site, client) in clients.iter().enumerate() {
        run(
            client,
            &format!(
                "INSERT INTO people VALUES ({site}, 'of {site}', '2000-01-0{}')",
                site + 1
            ),
        )
        .await;
    }
    settle(&clients, 1).await;
    let all = "SELECT id, name, born FROM people ORDER BY id";
    assert_eq!(
        agreed(&clients, all).await,
        [
            "0|of 0|2000-01-01",
            "1|of 1|2000-01-02",
            "2|of 2|2000-01-03"
        ]
    );
    // Each changes what another has written, and has seen.
    run(
        &clients[1],
        "UPDATE people SET name = 'changed' WHERE id = 0",
    )
    .await;
    run(&clients[2], "DELETE FROM people WHERE id = 1").await;
    run(&clients[0], "UPDATE people SET id = 7 WHERE id = 2").await;
    settle(&clients, 2).await;
    assert_eq!(agreed(&clients, ALL).await, ["0|changed", "7|of 2"]);
    run(&clients[1], "INSERT INTO people VALUES (1, 'again', NULL)").await;
    settle(&clients, 3).await;
    assert_eq!(
        agreed(&clients, ALL).await,
        ["0|changed", "1|again", "7|of 2"]
    );
    run(&clients[2], "TRUNCATE people").await;
    run(&clients[2], "INSERT INTO people VALUES (2, 'only')").await;
    settle(&clients, 4).await;
    assert_eq!(agreed(&clients, ALL).await, ["2|only"]);
    for client in &clients {
        assert!(
            rows(client, CONFLICTS).await.is_empty(),
            "nobody wrote what he had not seen"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_writes_the_last_one_wins_and_the_others_are_in_the_log() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id numeric PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    settle(&clients, 1).await;
    for site in 0..3 {
        sites.cut(site, true);
    }
    // Equal keys, however they are written.
    run(
        &clients[0],
        "INSERT INTO people VALUES (1, 'ohio'), (2, 'same')",
    )
    .await;
    run(
        &clients[1],
        "INSERT INTO people VALUES (1.0, 'oregon'), (2, 'same')",
    )
    .await;
    run(&clients[2], "INSERT INTO people VALUES (1.00, 'tokyo')").await;
    run(&clients[2], "DELETE FROM people").await;
    for site in 0..3 {
        sites.cut(site, false);
    }
    settle(&clients, 2).await;
    assert_eq!(
        agreed(&clients, ALL).await,
        ["2|same"],
        "the deletion was the last"
    );
    // Each site tells of what lost there: of its own or of what came.
    for client in &clients {
        let conflicts = rows(client, CONFLICTS).await;
        assert!(!conflicts.is_empty());
        for conflict in &conflicts {
            let [relation, key, name, others, is_later]: [&str; 5] =
                conflict.split('|').collect::<Vec<_>>().try_into().unwrap();
            assert_eq!(
                (relation, key.split('.').next(), others, is_later),
                ("people", Some("1"), "t", "t")
            );
            assert!(["ohio", "oregon"].contains(&name), "{conflict}");
        }
    }
    let lost = rows(
        &clients[2],
        "SELECT DISTINCT lost->>'name' FROM mdbc_conflicts ORDER BY 1",
    )
    .await;
    assert_eq!(
        lost,
        ["ohio", "oregon"],
        "the site that won has seen both lose"
    );
    // What lost was seen: writing it anew is no conflict.
    let before = rows(&clients[0], CONFLICTS).await.len();
    run(&clients[0], "INSERT INTO people VALUES (1, 'anew')").await;
    settle(&clients, 3).await;
    assert_eq!(agreed(&clients, ALL).await, ["1|anew", "2|same"]);
    assert_eq!(rows(&clients[0], CONFLICTS).await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_loses_is_in_the_log_without_a_row() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id int PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    run(&clients[0], "INSERT INTO people VALUES (1, 'first')").await;
    settle(&clients, 1).await;
    sites.cut(0, true);
    run(&clients[0], "DELETE FROM people").await;
    insist(&clients[1], "UPDATE people SET name = 'kept' WHERE id = 1").await;
    sites.cut(0, false);
    settle(&clients, 2).await;
    assert_eq!(agreed(&clients, ALL).await, ["1|kept"]);
    let lost = "SELECT key->>'id', lost IS NULL, lost_site FROM mdbc_conflicts";
    assert_eq!(
        rows(&clients[1], lost).await,
        [format!("1|t|{}", sites.names[0])]
    );
}
