//! Random writes of many rows at all sites, with sites that are cut off and
//! processes that are killed: in the end all sites are equal.

use tokio_postgres::Client;

use crate::dice::Dice;
use crate::sites::{Sites, agreed, make_marks, run, settle, told};

/// Steps of a history.
const STEPS: usize = 150;
/// Rows that are written.
const ROWS: u64 = 12;

/// A random transaction on eventual tables.
fn transaction(dice: &mut Dice, step: usize) -> String {
    let statement = |dice: &mut Dice| {
        let (table, id) = (["a", "b"][usize::from(dice.one_in(3))], dice.below(ROWS));
        match dice.below(4) {
            0 => format!("DELETE FROM {table} WHERE id = {id};"),
            1 => format!("UPDATE {table} SET name = '{step}' WHERE id >= {id} AND id < {id} + 3;"),
            _ => format!(
                "INSERT INTO {table} VALUES ({id}, '{step}') ON CONFLICT (id) \
                 DO UPDATE SET name = '{step}';"
            ),
        }
    };
    let count = 1 + dice.below(3);
    let statements: String = (0..count).map(|_| statement(dice)).collect();
    format!("BEGIN; {statements} COMMIT")
}

/// A transaction that counts in a strong table too: it may fail.
fn mixed(dice: &mut Dice, step: usize) -> String {
    let id = dice.below(ROWS);
    format!(
        "BEGIN; UPDATE counts SET n = n + 1; INSERT INTO log VALUES ({step}, 'mixed'); \
         INSERT INTO a VALUES \
         ({id}, '{step}') ON CONFLICT (id) DO UPDATE SET name = '{step}'; COMMIT"
    )
}

async fn history(seed: u64) {
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let sites = Sites::start().await;
    let mut clients = sites.clients().await;
    for table in ["a", "b", "log"] {
        run(
            &clients[0],
            &format!("CREATE TABLE {table} (id int PRIMARY KEY, name text)"),
        )
        .await;
    }
    run(
        &clients[0],
        "CREATE TABLE counts (id int PRIMARY KEY, n int) WITH (music = 'strong')",
    )
    .await;
    run(&clients[0], "INSERT INTO counts VALUES (1, 0)").await;
    make_marks(&clients[0]).await;
    settle(&clients, 1).await;
    let mut cut = None;
    for step in 0..STEPS {
        let site = usize::try_from(dice.below(3)).unwrap();
        match dice.below(20) {
            0 => cut = toggle(&sites, cut, site),
            1 if cut.is_none() => {
                sites.kill(site).await;
                sites.serve(site).await;
                clients[site] = sites.client(site).await;
            }
            2 if cut != Some(site) => try_mixed(&clients[site], &mixed(&mut dice, step)).await,
            _ => insist(&clients[site], &transaction(&mut dice, step)).await,
        }
    }
    if let Some(site) = cut {
        sites.cut(site, false);
    }
    settle(&clients, 2).await;
    // The latest of a strong table brings what came with it.
    let counted = agreed(&clients, "SELECT n FROM counts").await;
    settle(&clients, 3).await;
    for table in ["a", "b"] {
        let rows = agreed(
            &clients,
            &format!("SELECT id, name FROM {table} ORDER BY id"),
        )
        .await;
        println!("{table}: {rows:?}");
    }
    assert_eq!(
        agreed(&clients, "SELECT count(*) FROM log").await,
        counted,
        "all of it or nothing"
    );
}

fn toggle(sites: &Sites, cut: Option<usize>, site: usize) -> Option<usize> {
    if let Some(site) = cut {
        sites.cut(site, false);
        return None;
    }
    sites.cut(site, true);
    Some(site)
}

/// Letters that arrive are in the way of what has read already, as any commit.
async fn insist(client: &Client, text: &str) {
    while let Err(error) = client.batch_execute(text).await {
        let is_in_the_way = error.code().is_some_and(|state| state.code() == "40001");
        assert!(is_in_the_way, "{text}: {}", told(&error));
        run(client, "ROLLBACK").await;
    }
}

async fn try_mixed(client: &Client, text: &str) {
    if let Err(error) = client.batch_execute(text).await {
        println!("{}", told(&error));
        run(client, "ROLLBACK").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_histories_end_equal_at_all_sites() {
    for seed in 1..=3 {
        history(seed).await;
    }
}
