//! Processes that end between the local commit and the letter.

use crate::sites::{Sites, agreed, make_marks, rows, run, settle};

const ALL: &str = "SELECT id, name FROM people ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_was_not_sent_is_sent_at_the_next_start() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id int PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    settle(&clients, 1).await;
    let node = sites.nodes[0].clone();
    for round in 1..=3 {
        // With the node away, nothing is sent.
        sites.deployment.suspend(&node).unwrap();
        let client = sites.client(0).await;
        run(
            &client,
            &format!("INSERT INTO people VALUES ({round}, 'told to nobody')"),
        )
        .await;
        run(
            &client,
            &format!("UPDATE people SET name = 'round {round}' WHERE id = {round}"),
        )
        .await;
        sites.kill(0).await;
        sites.deployment.resume(&node).unwrap();
        assert!(
            !rows(&clients[1], ALL)
                .await
                .iter()
                .any(|row| row.starts_with(&round.to_string()))
        );
        sites.serve(0).await;
        let clients = sites.clients().await;
        settle(&clients, round + 1).await;
        assert_eq!(agreed(&clients, ALL).await.len(), round);
    }
    let clients = sites.clients().await;
    assert_eq!(
        agreed(&clients, ALL).await,
        ["1|round 1", "2|round 2", "3|round 3"]
    );
    for client in &clients {
        assert!(
            rows(client, "SELECT number FROM mdbc_conflicts")
                .await
                .is_empty()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_away_gets_everything_in_order() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id int PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    settle(&clients, 1).await;
    sites.stop(2).await;
    for id in 0..100 {
        let text = format!(
            "INSERT INTO people VALUES ({}, '{id}') ON CONFLICT (id) DO UPDATE SET name = '{id}'",
            id % 10
        );
        run(&clients[0], &text).await;
    }
    sites.serve(2).await;
    let clients = sites.clients().await;
    settle(&clients, 2).await;
    let wanted: Vec<String> = (0..10).map(|id| format!("{id}|{}", 90 + id)).collect();
    assert_eq!(agreed(&clients, ALL).await, wanted);
}
