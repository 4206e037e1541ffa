//! One site: what clients send is done, in both protocols.

use crate::site::TestSite;

#[tokio::test(flavor = "multi_thread")]
async fn psql_works_as_with_postgresql_itself() {
    let site = TestSite::start().await;
    let said = site
        .psql(
            "CREATE TABLE account (name text PRIMARY KEY, balance int CHECK (balance >= 0)) \
                WITH (music = 'strong');
            INSERT INTO account VALUES ('alice', 100), ('bob', 50) RETURNING balance;
            BEGIN;
            UPDATE account SET balance = balance - 30 WHERE name = 'alice';
            SAVEPOINT s;
            UPDATE account SET balance = balance - 300 WHERE name = 'alice';
            ROLLBACK TO s;
            UPDATE account SET balance = balance + 30 WHERE name = 'bob';
            COMMIT;
            SELECT * FROM account ORDER BY name;
            BEGIN;
            DELETE FROM account;
            ROLLBACK;
            SELECT count(*) FROM account; SELECT 1 / 0; SELECT 2;
            SHOW transaction_isolation;
            \\d account
            \\copy account from stdin
carol\t7
\\.
            \\copy (select * from account order by name) to stdout
            DO $$begin update account set balance = 8 where name = 'carol'; end$$;
            SELECT balance FROM account WHERE name = 'carol';
            VACUUM account;
            COMMIT;
            SET music.read = 'local';
            SHOW music.read;
            SHOW music.age;
            SELECT $1;
            LISTEN x;",
        )
        .await;
    let expected = "100\n50\nalice|70\nbob|80\n2\n2\nserializable\n";
    assert!(said.starts_with(expected), "{said}");
    for part in [
        "name|text||not null|\n",
        "alice\t70\nbob\t80\ncarol\t7\n8\nlocal\n0.0 s old at most\n",
        "ERROR:  new row for relation \"account\" violates check constraint",
        "ERROR:  division by zero",
        "WARNING:  there is no transaction in progress",
        "ERROR:  there is no parameter $1",
        "ERROR:  LISTEN is not supported by mdbc",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_extended_protocol_passes() {
    let site = TestSite::start().await;
    let mut client = site.client().await;
    client
        .batch_execute("CREATE TABLE t (k int PRIMARY KEY, v text, b bytea)")
        .await
        .unwrap();
    let insert = client
        .prepare("INSERT INTO t VALUES ($1, $2, $3)")
        .await
        .unwrap();
    for k in 0..3_i32 {
        let bytes: &[u8] = &[0, 255];
        let rows = client.execute(&insert, &[&k, &"x", &bytes]).await.unwrap();
        assert_eq!(rows, 1);
    }
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("UPDATE t SET v = $1 WHERE k = $2", &[&"y", &1_i32])
        .await
        .unwrap();
    let portal = transaction
        .bind("SELECT k FROM t ORDER BY k", &[])
        .await
        .unwrap();
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 2);
    assert_eq!(transaction.query_portal(&portal, 2).await.unwrap().len(), 1);
    transaction.commit().await.unwrap();
    let row = client
        .query_one("SELECT v, b FROM t WHERE k = $1", &[&1_i32])
        .await
        .unwrap();
    assert_eq!(row.get::<_, &str>(0), "y");
    assert_eq!(row.get::<_, &[u8]>(1), &[0, 255]);
    let failed = client
        .execute(&insert, &[&1_i32, &"x", &(&[][..] as &[u8])])
        .await;
    let state = failed.unwrap_err().code().unwrap().code().to_owned();
    assert_eq!(state, "23505");
    client.query_one("SELECT 1", &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_since_others_were_faster_is_tried_again() {
    let site = TestSite::start().await;
    let setup = site.client().await;
    setup
        .batch_execute("CREATE TABLE c (k int PRIMARY KEY, n int); INSERT INTO c VALUES (1, 0)")
        .await
        .unwrap();
    let observer = site.cluster.connect("music").await;
    let update = "UPDATE c SET n = n + 1 WHERE k = 1";
    for is_simple in [true, false] {
        let client = site.client().await;
        setup.batch_execute("BEGIN").await.unwrap();
        setup.batch_execute(update).await.unwrap();
        let late = async {
            if is_simple {
                client.batch_execute(update).await.unwrap();
            } else {
                client.execute(update, &[]).await.unwrap();
            }
        };
        let commit = async {
            // It has begun, and waits for the row.
            let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            while observer
                .query_one(waiting, &[])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 0
            {}
            setup.batch_execute("COMMIT").await.unwrap();
        };
        tokio::join!(late, commit);
    }
    let row = setup.query_one("SELECT n FROM c", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_canceled() {
    let site = TestSite::start().await;
    let client = site.client().await;
    let token = client.cancel_token();
    let sleep = client.batch_execute("SELECT pg_sleep(600)");
    let cancel = async {
        let observer = site.cluster.connect("music").await;
        let running = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' \
             AND query LIKE '%pg_sleep(600)' AND pid <> pg_backend_pid()";
        while observer
            .query_one(running, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
        {}
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    };
    let (slept, ()) = tokio::join!(sleep, cancel);
    assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
    client.batch_execute("SELECT 1").await.unwrap();
}
