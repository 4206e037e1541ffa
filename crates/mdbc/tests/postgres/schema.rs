//! Changes of the schema: in order with the data, and what is refused.

use mdbc::engine::postgres::{Name, TableOptions, Touch};
use mdbc::engine::{Postgres, TableKind};

use crate::cluster::Cluster;
use crate::site::{Site, options};

fn name(relation: &str) -> Name {
    Name {
        schema: "public".to_owned(),
        relation: relation.to_owned(),
    }
}

#[tokio::test]
async fn a_schema_changes_in_order_with_the_data() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    here.run("SET search_path = app, public; BEGIN").await;
    here.ddl("CREATE SCHEMA app", None).await;
    here.ddl("CREATE TYPE mood AS ENUM ('good', 'bad')", None)
        .await;
    here.ddl(
        "CREATE TABLE \"T a\" (id int PRIMARY KEY, gone text, \"M\" mood)",
        None,
    )
    .await;
    here.run("INSERT INTO \"T a\" VALUES (1, 'x', 'bad')").await;
    here.ddl("ALTER TABLE \"T a\" DROP COLUMN gone", None).await;
    here.run("INSERT INTO \"T a\" VALUES (2, 'good')").await;
    // Another value at each site, unless its rows are told.
    here.ddl(
        "ALTER TABLE \"T a\" ADD u uuid DEFAULT gen_random_uuid()",
        None,
    )
    .await;
    here.ddl("ALTER TABLE \"T a\" ADD at timestamptz DEFAULT now()", None)
        .await;
    here.ddl(
        "ALTER TABLE \"T a\" ADD twice int GENERATED ALWAYS AS (id * 2) STORED",
        None,
    )
    .await;
    here.run("UPDATE \"T a\" SET id = 7 WHERE id = 2").await;
    let digest = here.end(1).await;
    there.apply(&digest, 1).await;
    let rows = there.all("app.\"T a\"").await;
    assert_eq!(rows, here.all("app.\"T a\"").await);
    assert_eq!(rows.len(), 2);
    assert!(
        rows[1].starts_with("(7,good,") && rows[1].ends_with(",14)"),
        "{rows:?}"
    );
    let digest = there.write("DELETE FROM app.\"T a\" WHERE id = 1", 2).await;
    here.apply(&digest, 2).await;
    assert_eq!(here.all("\"T a\"").await.len(), 1);
}

#[tokio::test]
async fn a_table_is_in_its_group_at_every_site() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    let create = "CREATE TABLE t (id int PRIMARY KEY)";
    let in_group = |kind| TableOptions {
        kind,
        group: Some("it's g".to_owned()),
    };
    let make = async |options: &TableOptions| {
        here.run("BEGIN").await;
        here.run(here.postgres.before_ddl()).await;
        here.run(create).await;
        here.postgres.after_ddl(create, options)
    };
    let local = make(&in_group(Some(TableKind::Local))).await;
    assert_eq!(here.state(&local).await, "0A000");
    here.run("ROLLBACK").await;
    let strong = make(&in_group(None)).await;
    here.run(&strong).await;
    let digest = here.end(1).await;
    here.postgres.reload().await.unwrap();
    there.apply(&digest, 1).await;
    for site in [&here, &there] {
        let model = site.postgres.model();
        let group = model.table(&name("t")).unwrap().group.clone();
        assert_eq!(group.as_deref(), Some("it's g"));
    }
}

#[tokio::test]
async fn sequences_of_two_sites_do_not_collide() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    let tables =
        "CREATE TABLE a (id serial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY (START 100))";
    there.apply(&here.change(tables, 1).await, 1).await;
    let digest = here
        .write(
            "INSERT INTO a DEFAULT VALUES; INSERT INTO a DEFAULT VALUES",
            2,
        )
        .await;
    there.apply(&digest, 2).await;
    let digest = there
        .write(
            "INSERT INTO a DEFAULT VALUES; INSERT INTO a DEFAULT VALUES",
            3,
        )
        .await;
    here.apply(&digest, 3).await;
    let rows = ["(1,100)", "(2,101)", "(5,104)", "(6,105)"];
    assert_eq!(here.all("a").await, rows);
    assert_eq!(there.all("a").await, rows);
    // After setval, the next value is one of the own site again.
    there
        .run("SELECT setval('a_id_seq', 8); SELECT mdbc_internal.seat_sequences()")
        .await;
    assert_eq!(there.rows("SELECT nextval('a_id_seq')::text").await, ["10"]);
    here.run("SELECT setval('a_id_seq', 9, false); SELECT mdbc_internal.seat_sequences()")
        .await;
    assert_eq!(here.rows("SELECT nextval('a_id_seq')::text").await, ["9"]);
}

#[tokio::test]
async fn what_cannot_be_the_same_everywhere_is_refused_by_name() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    let refused = [
        (
            "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
            "partitioned",
        ),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", "unlogged"),
        ("CREATE MATERIALIZED VIEW v AS SELECT 1", "materialized"),
        (
            "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE t () INHERITS (p)",
            "inherited",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); \
             CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
            "a rule",
        ),
        ("CREATE SEQUENCE s CYCLE", "cycles"),
    ];
    for (text, what) in refused {
        site.run("BEGIN").await;
        site.run(site.postgres.before_ddl()).await;
        site.run(text).await;
        let after = site.postgres.after_ddl(text, &TableOptions::default());
        let error = site.client.batch_execute(&after).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "0A000", "{text}");
        assert!(error.message().contains(what), "{error}");
        site.run("ROLLBACK").await;
    }
    site.run("BEGIN").await;
    site.ddl("CREATE TABLE t (a int)", None).await;
    let seal = site.postgres.seal(mdbc::engine::postgres::Id::draw());
    assert_eq!(site.state(&seal).await, "0A000", "it has no primary key");
    site.run("ROLLBACK; BEGIN").await;
    site.ddl("CREATE TABLE t (a int)", Some(TableKind::Local))
        .await;
    site.end(1).await;
    site.run("BEGIN; INSERT INTO t VALUES (1)").await;
    assert!(
        site.seal(mdbc::engine::postgres::Id::draw())
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn a_schema_that_is_changed_behind_its_back_is_found() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.change("CREATE TABLE t (id int PRIMARY KEY)", 1).await;
    assert_eq!(site.state("CREATE TABLE u (a int)").await, "0A000");
    assert_eq!(
        site.state("DO $$ BEGIN CREATE TABLE u (a int); END $$")
            .await,
        "0A000"
    );
    let other = cluster.connect("site_1").await;
    let error = other
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(error.code().unwrap().code(), "42501");
    other
        .batch_execute("SET mdbc.ddl = 'on'; ALTER TABLE t ADD b int")
        .await
        .unwrap();
    drop(site);
    let error = Postgres::open(options(&cluster.url("site_1"), 1))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("changed by another program"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_statement_brings_along_is_told() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.run("BEGIN").await;
    for text in [
        "CREATE TABLE a (id int PRIMARY KEY)",
        "CREATE TABLE b (id int PRIMARY KEY REFERENCES a ON DELETE CASCADE)",
        "CREATE TABLE c (id int PRIMARY KEY REFERENCES b)",
        "CREATE TABLE d (id int PRIMARY KEY)",
        "CREATE VIEW v AS SELECT a.id FROM a JOIN d USING (id)",
        "CREATE VIEW w AS SELECT * FROM v",
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT max(id) FROM d'",
        "CREATE FUNCTION lower(int) RETURNS int LANGUAGE sql AS 'SELECT max(id) FROM d'",
    ] {
        site.ddl(text, None).await;
    }
    site.end(1).await;
    let model = site.postgres.model();
    let touch = |reads: &[&str], inserts: &[&str], writes: &[&str]| {
        let names = |list: &[&str]| list.iter().map(|text| name(text)).collect();
        let access = model
            .closure(&Touch {
                reads: names(reads),
                inserts: names(inserts),
                writes: names(writes),
                is_opaque: false,
            })
            .unwrap();
        let join = |set: std::collections::BTreeSet<String>| {
            let short: Vec<String> = set.iter().map(|name| name.replace("public.", "")).collect();
            short.join("")
        };
        (join(access.reads), join(access.writes))
    };
    let pair = |reads: &str, writes: &str| (reads.to_owned(), writes.to_owned());
    assert_eq!(touch(&["w"], &[], &[]), pair("ad", ""));
    assert_eq!(touch(&[], &["b"], &[]), pair("a", "b"));
    assert_eq!(touch(&[], &["a"], &[]), pair("", "a"));
    assert_eq!(touch(&[], &[], &["a"]), pair("ac", "ab"));
    assert_eq!(touch(&[], &[], &["c"]), pair("b", "c"));
    assert!(model.is_safe_function("upper") && model.is_safe_function("nextval"));
    for function in ["f", "lower", "query_to_xml", "lo_import", "nowhere"] {
        assert!(!model.is_safe_function(function), "{function}");
    }
    assert_eq!(model.everything().writes.len(), 4);
    assert!(
        model
            .closure(&Touch {
                reads: [name("x")].into(),
                ..Touch::default()
            })
            .is_err()
    );
}

#[tokio::test]
async fn tables_that_run_what_a_user_wrote_are_everything() {
    let cluster = Cluster::start();
    let site = Site::new(&cluster, 1).await;
    site.run("BEGIN").await;
    for text in [
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE a (id int PRIMARY KEY DEFAULT f())",
        "CREATE TABLE b (id int PRIMARY KEY)",
        "CREATE VIEW v AS SELECT f()",
        "CREATE TABLE c (id int PRIMARY KEY)",
        "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER t BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION t()",
    ] {
        site.ddl(text, None).await;
    }
    site.end(1).await;
    let model = site.postgres.model();
    let writes = |touch: Touch| model.closure(&touch).unwrap().writes.len();
    let insert = |text: &str| Touch {
        inserts: [name(text)].into(),
        ..Touch::default()
    };
    assert_eq!(
        [
            writes(insert("a")),
            writes(insert("b")),
            writes(insert("c"))
        ],
        [3, 1, 3]
    );
    assert_eq!(
        writes(Touch {
            reads: [name("v")].into(),
            ..Touch::default()
        }),
        3
    );
}
