//! What is captured of a transaction.

use mdbc::engine::postgres::Id;

use crate::cluster::Cluster;
use crate::site::Site;

const TABLE: &str = "CREATE TABLE account (id int PRIMARY KEY, name text UNIQUE, balance int)";

/// Two sites with the same table.
async fn two(cluster: &Cluster) -> (Site, Site) {
    let (here, there) = (Site::new(cluster, 1).await, Site::new(cluster, 2).await);
    let digest = here.change(TABLE, 1).await;
    there.apply(&digest, 1).await;
    (here, there)
}

#[tokio::test]
async fn rows_that_are_made_changed_and_gone_are_so_at_another_site() {
    let cluster = Cluster::start();
    let (here, there) = two(&cluster).await;
    let texts = [
        "INSERT INTO account VALUES (1, 'a', 10), (2, 'b', NULL), (3, 'c', 30)",
        "UPDATE account SET balance = 11 WHERE id = 1; DELETE FROM account WHERE id = 2",
        // Keys and unique values change hands.
        "UPDATE account SET name = 'x' WHERE id = 1; UPDATE account SET name = 'a' WHERE id = 3; \
         UPDATE account SET name = 'c' WHERE id = 1; UPDATE account SET id = 4 WHERE id = 1",
        "INSERT INTO account VALUES (3, 'd', 1) ON CONFLICT (id) DO UPDATE SET balance = 31; \
         INSERT INTO account VALUES (9, 'd', 1) ON CONFLICT (id) DO UPDATE SET balance = 31",
        "TRUNCATE account; INSERT INTO account VALUES (4, 'new', 4)",
    ];
    for (position, text) in (2..).zip(texts) {
        let digest = here.write(text, position).await;
        there.apply(&digest, position).await;
        assert_eq!(
            here.all("account").await,
            there.all("account").await,
            "{text}"
        );
    }
    assert_eq!(there.all("account").await, ["(4,new,4)"]);
}

#[tokio::test]
async fn what_was_undone_is_in_no_digest() {
    let cluster = Cluster::start();
    let (here, there) = two(&cluster).await;
    here.run("BEGIN; INSERT INTO account VALUES (1, 'a', 1); SAVEPOINT s")
        .await;
    here.run("INSERT INTO account VALUES (2, 'b', 2); ROLLBACK TO s")
        .await;
    here.run(
        "DO $$ BEGIN INSERT INTO account VALUES (3, 'c', 3); RAISE 'no'; \
              EXCEPTION WHEN OTHERS THEN NULL; END $$",
    )
    .await;
    let digest = here.end(2).await;
    there.apply(&digest, 2).await;
    assert_eq!(there.all("account").await, ["(1,a,1)"]);
    here.run("BEGIN; INSERT INTO account VALUES (5, 'e', 5); DELETE FROM account WHERE id = 5")
        .await;
    assert!(
        here.seal(Id::draw()).await.is_empty(),
        "made and gone again"
    );
    here.run("ROLLBACK; BEGIN; SELECT * FROM account").await;
    assert!(here.seal(Id::draw()).await.is_empty(), "it only read");
}

#[tokio::test]
async fn what_triggers_and_foreign_keys_do_is_captured_and_not_done_twice() {
    let cluster = Cluster::start();
    let (here, there) = two(&cluster).await;
    let schema = [
        "CREATE TABLE entry (id int PRIMARY KEY, account int REFERENCES account ON DELETE CASCADE \
         ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, note text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         UPDATE account SET balance = coalesce(balance, 0) + 1 WHERE id > NEW.id; \
         RETURN NEW; END $$",
        "CREATE TRIGGER note AFTER UPDATE ON account FOR EACH ROW WHEN (pg_trigger_depth() = 0) \
         EXECUTE FUNCTION note()",
    ];
    let mut position = 2;
    for text in schema {
        there
            .apply(&here.change(text, position).await, position)
            .await;
        position += 1;
    }
    let texts = [
        "INSERT INTO entry VALUES (1, 1, 'first'), (2, 2, 'second'), (3, 3, 'third'); \
         INSERT INTO account VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)",
        // The trigger changes rows that the statement changes too.
        "UPDATE account SET balance = balance + 100",
        "UPDATE account SET id = id + 10 WHERE id > 1; DELETE FROM account WHERE id = 1",
    ];
    for text in texts {
        there
            .apply(&here.write(text, position).await, position)
            .await;
        for table in ["account", "entry"] {
            assert_eq!(here.all(table).await, there.all(table).await, "{text}");
        }
        position += 1;
    }
    assert_eq!(there.all("account").await, ["(12,b,101)", "(13,c,103)"]);
    assert_eq!(there.all("entry").await, ["(2,12,second)", "(3,13,third)"]);
}

#[tokio::test]
async fn a_row_that_is_not_as_it_was_is_told() {
    let cluster = Cluster::start();
    let (here, there) = two(&cluster).await;
    let digest = here
        .write("INSERT INTO account VALUES (1, 'a', 1)", 2)
        .await;
    there.apply(&digest, 2).await;
    // Somebody edits the other database behind mdbc's back, past the triggers.
    let edit = "SET session_replication_role = replica; UPDATE account SET balance = 7";
    cluster
        .connect("site_2")
        .await
        .batch_execute(edit)
        .await
        .unwrap();
    let digest = here.write("UPDATE account SET balance = 2", 3).await;
    let error = there.try_apply(&digest, 3).await.unwrap_err();
    assert_eq!(error.state.code(), "XX001");
    assert!(
        error.message.contains("public.account is not as it was"),
        "{error}"
    );
    assert_eq!(there.position().await, 2, "nothing of it is done");
}

#[tokio::test]
async fn entries_are_applied_at_once_up_to_one_that_cannot_be() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    let create = "CREATE TABLE t (id int PRIMARY KEY, n int)";
    let first = here.change(create, 1).await;
    let second = here.write("INSERT INTO t VALUES (1, 1)", 2).await;
    here.run("BEGIN; UPDATE t SET n = 9").await;
    let (id, wrong) = here.prepare().await;
    here.run(&format!("ROLLBACK PREPARED '{}'", id.gid())).await;
    let third = here.write("UPDATE t SET n = 2", 3).await;
    let fourth = here.write("INSERT INTO t VALUES (2, 2)", 4).await;
    let fifth = here.write("INSERT INTO t VALUES (3, 3)", 5).await;
    let sixth = here.change("ALTER TABLE t ADD u text", 6).await;
    let entries = [
        (&first, 1),
        (&second, 2),
        (&third, 3),
        (&wrong, 4),
        (&fifth, 5),
    ];
    let (done, error) = there.apply_all(&entries).await;
    assert_eq!((done, error.unwrap_err().state.code()), (3, "XX001"));
    assert_eq!(there.all("t").await, ["(1,2)"]);
    assert_eq!(there.position().await, 3);
    let entries = [(&third, 3), (&fourth, 4), (&fifth, 5), (&sixth, 6)];
    let (done, end) = there.apply_all(&entries).await;
    assert_eq!((done, end), (4, Ok(())));
    assert_eq!(there.all("t").await, here.all("t").await);
    assert_eq!(there.position().await, 6);
    let transactions = "SELECT count(DISTINCT xmin::text)::text FROM t WHERE id > 1";
    assert_eq!(there.rows(transactions).await, ["1"]);
}

#[tokio::test]
async fn transactions_on_different_rows_do_not_meet() {
    let cluster = Cluster::start();
    let (here, _there) = two(&cluster).await;
    let rows = "INSERT INTO account SELECT n, n::text, 0 FROM generate_series(1, 1000) AS n";
    here.write(rows, 2).await;
    let beside = here.another().await;
    for round in 0..5 {
        here.run("BEGIN; UPDATE account SET balance = balance + 1 WHERE id = 1")
            .await;
        beside
            .run("BEGIN; UPDATE account SET balance = balance + 1 WHERE id = 1000")
            .await;
        let (first, second) = (here.prepare().await.0, beside.prepare().await.0);
        beside.commit(second, 4 + 2 * round).await;
        here.commit(first, 3 + 2 * round).await;
    }
    let query = "SELECT sum(balance)::text FROM account";
    assert_eq!(here.rows(query).await, ["10"]);
    assert_eq!(here.position().await, 12);
}
