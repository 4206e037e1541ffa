//! Three sites with a PostgreSQL each.

use std::time::Duration;

use crate::sites::{Sites, all, soon, state};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_one_site_writes_the_others_read() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    let create = "CREATE TABLE p (id serial PRIMARY KEY, v text); \
         CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p ON DELETE CASCADE); \
         CREATE VIEW w AS SELECT v FROM p; \
         INSERT INTO p (v) VALUES ('x'), ('y'); INSERT INTO c SELECT id, id FROM p";
    soon(a.batch_execute(create)).await.unwrap();
    assert_eq!(all(&b, "SELECT v FROM w ORDER BY v").await, ["x", "y"]);
    soon(b.batch_execute("DELETE FROM p WHERE v = 'x'"))
        .await
        .unwrap();
    assert_eq!(
        all(&a, "SELECT count(*) FROM c").await,
        ["1"],
        "it cascades"
    );
    let insert = "INSERT INTO p (v) VALUES ('z') RETURNING id";
    let (one, other) = (all(&a, insert).await, all(&b, insert).await);
    assert_ne!(one, other, "sequences do not collide");
    assert_eq!(state(&b, "INSERT INTO c VALUES (1, 999)").await, "23503");
    let client = sites.client(2).await;
    assert_eq!(all(&client, "SELECT count(*) FROM p").await, ["3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_tables_of_a_group_is_an_entry_of_one_log() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    let create = "BEGIN; CREATE TABLE a (k int PRIMARY KEY) WITH (music_group = 'g'); \
         INSERT INTO a VALUES (1); COMMIT; \
         CREATE TABLE b (k int PRIMARY KEY) WITH (music = 'strong', music_group = 'g')";
    soon(a.batch_execute(create)).await.unwrap();
    let write = "BEGIN; INSERT INTO a VALUES (2); INSERT INTO b VALUES (3); COMMIT";
    soon(a.batch_execute(write)).await.unwrap();
    // Made anew in another group, and renamed.
    let change = "BEGIN; DROP TABLE b; CREATE TABLE b (k int PRIMARY KEY) \
         WITH (music_group = 'h'); INSERT INTO b VALUES (4); COMMIT; \
         ALTER TABLE b RENAME TO c; INSERT INTO c VALUES (5)";
    soon(a.batch_execute(change)).await.unwrap();
    assert_eq!(
        soon(all(&b, "SELECT k FROM a ORDER BY k")).await,
        ["1", "2"]
    );
    assert_eq!(
        soon(all(&b, "SELECT k FROM c ORDER BY k")).await,
        ["4", "5"]
    );
    let logs = "SELECT partition FROM mdbc_internal.positions ORDER BY partition";
    let logs = all(&sites.behind(1).await, logs).await;
    assert_eq!(logs, ["g/group", "h/group", "mdbc_schema/all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_a_user_takes_every_table() {
    let sites = Sites::start(LEASE).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    let create = "CREATE TABLE t (k int PRIMARY KEY, n int); INSERT INTO t VALUES (1, 0); \
         CREATE FUNCTION bump() RETURNS int LANGUAGE sql AS \
         'UPDATE t SET n = n + 1 WHERE k = 1 RETURNING n'";
    soon(a.batch_execute(create)).await.unwrap();
    for n in 1..=3 {
        let client = if n % 2 == 0 { &a } else { &b };
        assert_eq!(all(client, "SELECT bump()").await, [n.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_was_cut_off_catches_up() {
    let sites = Sites::start(Duration::from_secs(1)).await;
    let (a, b) = (sites.client(0).await, sites.client(1).await);
    soon(a.batch_execute("CREATE TABLE t (k int PRIMARY KEY)"))
        .await
        .unwrap();
    assert_eq!(all(&b, "SELECT count(*) FROM t").await, ["0"]);
    sites.cut(0, true);
    soon(b.batch_execute("INSERT INTO t VALUES (1)"))
        .await
        .unwrap();
    let refused = state(&a, "INSERT INTO t VALUES (2)").await;
    assert!(["40001", "57P03"].contains(&refused.as_str()), "{refused}");
    sites.cut(0, false);
    assert_eq!(soon(all(&a, "SELECT k FROM t")).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_told() {
    let sites = Sites::start(Duration::from_secs(1)).await;
    let client = sites.client(0).await;
    let create = "CREATE TABLE t (k int PRIMARY KEY)";
    soon(client.batch_execute(create)).await.unwrap();
    let other = sites.client(1).await;
    assert_eq!(soon(all(&other, "SELECT k FROM t")).await, [""; 0]);
    let insert = "BEGIN; INSERT INTO t VALUES (1)";
    soon(client.batch_execute(insert)).await.unwrap();
    sites.cut(0, true);
    assert_eq!(soon(all(&other, "SELECT k FROM t")).await, [""; 0]);
    let committed = soon(client.batch_execute("COMMIT")).await;
    assert!(committed.is_err(), "what others have not is not committed");
    sites.cut(0, false);
    assert_eq!(soon(all(&client, "SELECT k FROM t")).await, [""; 0]);
}
