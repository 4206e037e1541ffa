//! Strong tables, and changes of the schema, as clients of several sites see them.

use std::time::Duration;

use crate::sites::{Sites, all, one, soon, state};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_at_one_site_is_read_at_the_others() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(2).await);
    a.batch_execute("CREATE TABLE t (k int PRIMARY KEY, v text)")
        .await
        .unwrap();
    a.batch_execute("INSERT INTO t VALUES (1, 'one')")
        .await
        .unwrap();
    assert_eq!(one(&b, "SELECT v FROM t WHERE k = 1").await, "one");
    for round in 0..10 {
        let (from, to) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let update = format!("UPDATE t SET v = 'round {round}' WHERE k = 1");
        soon(from.batch_execute(&update)).await.unwrap();
        assert_eq!(one(to, "SELECT v FROM t").await, format!("round {round}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_changes_everywhere_in_order_with_the_data() {
    let sites = Sites::start(LEASE).await;
    let (a, b, c) = (
        sites.client(0).await,
        sites.client(1).await,
        sites.client(2).await,
    );
    a.batch_execute("CREATE TABLE t (k int PRIMARY KEY); INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    b.batch_execute("ALTER TABLE t ADD COLUMN v text DEFAULT 'old'")
        .await
        .unwrap();
    c.batch_execute("INSERT INTO t VALUES (2, 'new')")
        .await
        .unwrap();
    a.batch_execute("ALTER TABLE t ADD COLUMN w int; UPDATE t SET w = k * 10")
        .await
        .unwrap();
    for client in [&a, &b, &c] {
        assert_eq!(
            all(client, "SELECT * FROM t ORDER BY k").await,
            ["1|old|10", "2|new|20"]
        );
    }
    b.batch_execute("CREATE INDEX ON t (v); CREATE VIEW seen AS SELECT v FROM t")
        .await
        .unwrap();
    c.batch_execute("DROP VIEW seen; ALTER TABLE t RENAME TO u")
        .await
        .unwrap();
    assert_eq!(all(&a, "SELECT k FROM u ORDER BY k").await, ["1", "2"]);
    assert_eq!(state(&b, "SELECT * FROM t").await, "42P01");
    b.batch_execute("DROP TABLE u; CREATE TABLE u (name text PRIMARY KEY)")
        .await
        .unwrap();
    c.batch_execute("INSERT INTO u VALUES ('again')")
        .await
        .unwrap();
    assert_eq!(one(&a, "SELECT name FROM u").await, "again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_several_tables_is_whole_at_every_site() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    a.batch_execute(
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent ON DELETE CASCADE)",
    )
    .await
    .unwrap();
    a.batch_execute(
        "BEGIN; INSERT INTO parent VALUES (1); INSERT INTO child VALUES (7, 1); COMMIT",
    )
    .await
    .unwrap();
    assert_eq!(one(&b, "SELECT count(*) FROM parent, child").await, "1");
    b.batch_execute(
        "BEGIN; INSERT INTO parent VALUES (2); INSERT INTO child VALUES (8, 2); ROLLBACK",
    )
    .await
    .unwrap();
    assert_eq!(one(&a, "SELECT count(*) FROM child").await, "1");
    assert_eq!(state(&b, "INSERT INTO child VALUES (9, 5)").await, "23503");
    b.batch_execute("DELETE FROM parent").await.unwrap();
    assert_eq!(one(&a, "SELECT count(*) FROM child").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_ids_of_several_sites_never_collide() {
    let sites = Sites::start(LEASE).await;
    let first = sites.client(0).await;
    first
        .batch_execute("CREATE TABLE t (id bigserial PRIMARY KEY, site int)")
        .await
        .unwrap();
    let mut work = tokio::task::JoinSet::new();
    for site in 0..3 {
        let client = sites.client(site).await;
        work.spawn(async move {
            let mut left = 20;
            while left > 0 {
                let insert = format!("INSERT INTO t (site) VALUES ({site})");
                match client.batch_execute(&insert).await {
                    Ok(()) => left -= 1,
                    Err(error) => {
                        let code = error.code().unwrap().code();
                        assert!(["40001", "57P03"].contains(&code), "{error}");
                    }
                }
            }
        });
    }
    soon(work.join_all()).await;
    assert_eq!(
        one(&first, "SELECT count(DISTINCT id), count(*) FROM t").await,
        "60|60"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_statement_is_told_what_is_wrong_at_a_site_that_is_cut_off() {
    let sites = Sites::start(LEASE).await;
    let client = sites.client(2).await;
    sites
        .deployment
        .set_site_cut(&sites.names[2], true)
        .unwrap();
    assert_eq!(soon(state(&client, "SELECT * FROM nothing")).await, "42P01");
    assert_eq!(soon(state(&client, "SELEKT 1")).await, "42601");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_begins_again_has_missed_nothing() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    a.batch_execute("CREATE TABLE t (k int PRIMARY KEY)")
        .await
        .unwrap();
    sites.kill(0).await;
    b.batch_execute("INSERT INTO t VALUES (1); ALTER TABLE t ADD COLUMN v int")
        .await
        .unwrap();
    b.batch_execute("INSERT INTO t VALUES (2, 3)")
        .await
        .unwrap();
    soon(sites.serve(0)).await;
    let a = sites.client(0).await;
    assert_eq!(all(&a, "SELECT * FROM t ORDER BY k").await, ["1|-", "2|3"]);
}
