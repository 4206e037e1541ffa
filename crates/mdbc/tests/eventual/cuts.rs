//! Sites that are cut off.

use crate::sites::{Sites, agreed, make_marks, rows, run, settle, until};

const ALL: &str = "SELECT id, name FROM people ORDER BY id";

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_cut_off_goes_on_and_loses_nothing() {
    let sites = Sites::start().await;
    let clients = sites.clients().await;
    run(
        &clients[0],
        "CREATE TABLE people (id int PRIMARY KEY, name text)",
    )
    .await;
    make_marks(&clients[0]).await;
    run(
        &clients[0],
        "INSERT INTO people SELECT n, 'first' FROM generate_series(1, 50) AS n",
    )
    .await;
    settle(&clients, 1).await;
    sites.cut(0, true);
    for id in 1..=40 {
        run(&clients[0], &format!("DELETE FROM people WHERE id = {id}")).await;
        if id % 2 == 0 {
            run(
                &clients[0],
                &format!("INSERT INTO people VALUES ({id}, 'cut off')"),
            )
            .await;
        }
    }
    run(
        &clients[1],
        "UPDATE people SET name = 'meanwhile' WHERE id > 45",
    )
    .await;
    until(
        &clients[2],
        "SELECT count(*) FROM people WHERE name = 'meanwhile'",
        &["5"],
    )
    .await;
    assert_eq!(
        rows(
            &clients[2],
            "SELECT count(*) FROM people WHERE name = 'first'"
        )
        .await,
        ["45"]
    );
    sites.cut(0, false);
    settle(&clients, 2).await;
    let all = agreed(&clients, ALL).await;
    let wanted = (1..=50)
        .filter(|id| id % 2 == 0 || *id > 40)
        .map(|id| match id {
            ..=40 => format!("{id}|cut off"),
            41..=45 => format!("{id}|first"),
            _ => format!("{id}|meanwhile"),
        });
    assert_eq!(all, wanted.collect::<Vec<_>>());
}
