//! What a site copies of its database, and what another makes of it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::stream;
use mdbc::engine::TableKind;
use mdbc::engine::postgres::{Copy, Origin};
use mdbc::error::{Result, SqlError};

use crate::cluster::Cluster;
use crate::site::{Site, at};

/// A copy, piece by piece.
struct Copied {
    origin: Origin,
    positions: BTreeMap<String, u64>,
    pieces: Vec<Bytes>,
}

impl Copied {
    async fn of(site: &Site) -> Self {
        Self::read(site.postgres.copy().await.unwrap()).await
    }

    async fn read(mut copy: Copy) -> Self {
        let mut pieces = Vec::new();
        while let Some(piece) = copy.next().await.unwrap() {
            pieces.push(piece);
        }
        Self {
            origin: copy.origin(),
            positions: copy.positions().clone(),
            pieces,
        }
    }

    /// Puts so many of them in the place of what a site has; then they fail, where there
    /// are more.
    async fn put(&self, site: &Site, count: usize) -> Result<()> {
        let some = self.pieces.iter().take(count).cloned().map(Ok);
        let gone = || {
            Err(SqlError::new(
                mdbc::error::state::SERIALIZATION_FAILURE,
                "the donor is gone",
            ))
        };
        let end = (count < self.pieces.len()).then(gone);
        let stream = stream::iter(some.chain(end));
        let said = BTreeMap::new();
        site.postgres.restore(self.origin, stream, &said).await
    }

    async fn put_all(&self, site: &Site) -> Result<()> {
        self.put(site, self.pieces.len()).await
    }
}

/// A site whose database is opened anew.
async fn again(site: Site, cluster: &Cluster, number: u16) -> Site {
    drop(site);
    Site::open(&cluster.url(&format!("site_{number}")), number).await
}

/// All that must be equal at two sites.
async fn state(site: &Site) -> Vec<Vec<String>> {
    // What is noted is written first.
    site.position().await;
    let mut state = vec![
        site.rows("SELECT mdbc_internal.fingerprint()").await,
        site.rows("SELECT statement::text FROM mdbc_internal.statements ORDER BY version")
            .await,
        site.rows("SELECT row(p.*)::text FROM mdbc_internal.positions AS p ORDER BY partition")
            .await,
        site.rows("SELECT number::text FROM mdbc_internal.sequences ORDER BY number")
            .await,
    ];
    let tables = "SELECT relation::regclass::text AS name FROM mdbc_internal.tables \
         WHERE kind = 'strong' ORDER BY name";
    for table in site.rows(tables).await {
        state.push(site.all(&table).await);
    }
    state
}

/// Changes of a schema that has all that there may be.
const SCHEMA: &[&str] = &[
    "CREATE SCHEMA \"App\"",
    "CREATE TYPE \"App\".mood AS ENUM ('good', 'bad')",
    "CREATE TYPE pair AS (a int, \"m M\" \"App\".mood)",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TABLE \"T a\" (id serial PRIMARY KEY, gone text, moods \"App\".mood[], p pair, \
     n positive, c regclass, own int GENERATED ALWAYS AS IDENTITY, \
     up text GENERATED ALWAYS AS (upper(gone)) STORED)",
    "ALTER TYPE \"App\".mood ADD VALUE 'so so' BEFORE 'bad'",
    "CREATE TABLE b (id int PRIMARY KEY, m \"App\".mood UNIQUE DEFAULT 'so so', \
     a int REFERENCES \"T a\" DEFERRABLE INITIALLY DEFERRED, b int REFERENCES b)",
    "ALTER TABLE \"T a\" DROP COLUMN gone CASCADE",
    "ALTER TABLE \"T a\" ADD COLUMN \"last one\" text DEFAULT 'x' CHECK (\"last one\" <> '')",
    "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'",
    "CREATE INDEX ON b (twice(id)) WHERE m > 'good'",
    "CREATE VIEW v AS SELECT b.id, twice(b.id) AS twice FROM b WHERE m = 'so so'",
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN RAISE ''not here''; END'",
    "CREATE TRIGGER refuse BEFORE DELETE ON b FOR EACH ROW EXECUTE FUNCTION refuse()",
    "ALTER TABLE b ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE b FORCE ROW LEVEL SECURITY",
    "COMMENT ON TABLE b IS 'it''s'",
    "CREATE SEQUENCE down INCREMENT BY -2",
];

const ROWS: &str = "INSERT INTO \"T a\" (moods, p, n, c) VALUES \
    ('{so so,good,NULL}', '(1,\"so so\")', 7, '\"App\".\"secret\"'), \
    (NULL, NULL, NULL, NULL), ('{}', '(,)', 1, 'pg_class'); \
    INSERT INTO \"T a\" (\"last one\") VALUES (E'a\\tb\\\\N\\n\\r\"'), (NULL); \
    INSERT INTO b VALUES (2, 'good', 1, 1), (1, DEFAULT, 5, NULL)";

/// A site with that schema and rows; the next position.
async fn rich(cluster: &Cluster) -> (Site, u64) {
    let site = Site::new(cluster, 1).await;
    let mut position = 0;
    for text in SCHEMA {
        position += 1;
        site.change(text, position).await;
    }
    site.run("BEGIN").await;
    let local = "CREATE TABLE \"App\".secret (m \"App\".mood)";
    site.ddl(local, Some(TableKind::Local)).await;
    site.end(position + 1).await;
    site.run("INSERT INTO \"App\".secret VALUES ('good')").await;
    site.write(ROWS, position + 2).await;
    (site, position + 3)
}

#[tokio::test]
async fn a_new_site_gets_all_that_another_has_but_for_what_is_its_own() {
    let cluster = Cluster::start();
    let (here, position) = rich(&cluster).await;
    let there = Site::new(&cluster, 2).await;
    let copy = Copied::of(&here).await;
    assert_eq!(copy.positions["all/all"], position - 1);
    copy.put_all(&there).await.unwrap();
    let there = again(there, &cluster, 2).await;
    assert_eq!(state(&there).await, state(&here).await);
    assert!(there.all("\"App\".secret").await.is_empty());
    assert_eq!(there.rows("SELECT twice::text FROM v").await, ["2"]);
    let meta = "SELECT value FROM mdbc_internal.meta WHERE name = 'site'";
    assert_eq!(there.rows(meta).await, ["2"]);
    // Both go on.
    let more = "INSERT INTO \"T a\" (n) VALUES (5); UPDATE b SET m = 'bad' WHERE id = 1; \
         UPDATE b SET m = 'so so' WHERE id = 2";
    let digest = there.write(more, position).await;
    here.apply(&digest, position).await;
    let digest = here
        .change("ALTER TYPE \"App\".mood ADD VALUE 'last'", position + 1)
        .await;
    there.apply(&digest, position + 1).await;
    let digest = here
        .write("UPDATE b SET m = 'last' WHERE id = 2", position + 2)
        .await;
    there.apply(&digest, position + 2).await;
    assert_eq!(state(&there).await, state(&here).await);
    let labels = "SELECT e::text FROM unnest(enum_range(NULL::\"App\".mood)) AS e";
    assert_eq!(there.rows(labels).await, ["good", "so so", "bad", "last"]);
    let ids = there
        .rows("SELECT id::text FROM \"T a\" AS t ORDER BY t.id")
        .await;
    assert_eq!(ids, ["1", "2", "5", "9", "13", "17"]);
    assert_eq!(there.rows("SELECT nextval('down')::text").await, ["-3"]);
}

#[tokio::test]
async fn a_site_that_was_away_keeps_what_is_its_own() {
    let cluster = Cluster::start();
    let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    here.run("BEGIN").await;
    here.ddl("CREATE TYPE mood AS ENUM ('good', 'bad')", None)
        .await;
    here.ddl("CREATE TABLE a (id serial PRIMARY KEY, m mood)", None)
        .await;
    here.ddl("CREATE INDEX ON a (m)", None).await;
    here.ddl(
        "CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a)",
        None,
    )
    .await;
    here.ddl(
        "CREATE TABLE own (a int REFERENCES a, m mood)",
        Some(TableKind::Local),
    )
    .await;
    let digest = here.end(1).await;
    there.apply(&digest, 1).await;
    let digest = there
        .write("INSERT INTO a (m) VALUES ('good'), ('bad')", 2)
        .await;
    here.apply(&digest, 2).await;
    there.run("INSERT INTO own VALUES (2, 'bad')").await;
    // A value that no row has.
    there.run("SELECT nextval('a_id_seq')").await;
    here.write("INSERT INTO c VALUES (1, 2)", 3).await;
    here.change("ALTER TYPE mood ADD VALUE 'so so' AFTER 'good'", 4)
        .await;
    here.change("ALTER TABLE own ADD n int DEFAULT 5", 5).await;
    here.write("UPDATE a SET m = 'so so' WHERE id = 2", 6).await;

    let copy = Copied::of(&here).await;
    // A label that it may not have yet is in no index, if it does not come to that.
    let failed = copy.put(&there, copy.pieces.len() - 1).await;
    assert_eq!(failed.unwrap_err().state.code(), "40001");
    assert_eq!(there.all("a").await, ["(2,good)", "(6,bad)"]);
    copy.put_all(&there).await.unwrap();
    let there = again(there, &cluster, 2).await;
    assert_eq!(state(&there).await, state(&here).await);
    assert_eq!(there.all("own").await, ["(2,bad,5)"]);
    let ordered = "SELECT id::text FROM a ORDER BY m, id";
    assert_eq!(there.rows(ordered).await, here.rows(ordered).await);
    let next = "SELECT nextval('a_id_seq')::text";
    assert_eq!(there.rows(next).await, ["14"], "as it was");
}

#[tokio::test]
async fn an_entry_is_applied_once_whether_it_was_in_the_copy_or_not() {
    let cluster = Cluster::start();
    let here = Site::new(&cluster, 1).await;
    let there = Site::new(&cluster, 2).await;
    let table = "CREATE TABLE account (id int PRIMARY KEY, balance int)";
    here.change(table, 1).await;
    here.write("INSERT INTO account VALUES (0, 0)", 2).await;
    // Prepared, committed after it, and committed before its positions are written.
    let (beside, third) = (here.another().await, here.another().await);
    let insert = |id| format!("BEGIN; INSERT INTO account VALUES ({id}, 1)");
    here.run(&insert(1)).await;
    beside.run(&insert(2)).await;
    third.run(&insert(3)).await;
    let (first, one) = here.prepare().await;
    let (second, two) = beside.prepare().await;
    let (last, three) = third.prepare().await;
    beside.commit(second, 4).await;
    third
        .run(&format!("COMMIT PREPARED '{}'", last.gid()))
        .await;
    let copy = here.postgres.copy().await.unwrap();
    assert_eq!(copy.positions()["all/all"], 2);
    // What is done while it is read is not in it.
    here.commit(first, 3).await;
    third.postgres.note_own(last, at(5)).await;
    let four = here.write("UPDATE account SET balance = 2", 6).await;
    assert_eq!(here.position().await, 6);
    let copy = Copied::read(copy).await;
    copy.put_all(&there).await.unwrap();
    let there = again(there, &cluster, 2).await;
    assert_eq!(there.position().await, 2);
    assert_eq!(there.all("account").await, ["(0,0)", "(2,1)", "(3,1)"]);
    let entries = [(&one, 3), (&two, 4), (&three, 5), (&four, 6)];
    let (done, end) = there.apply_all(&entries).await;
    assert_eq!((done, end), (4, Ok(())));
    assert_eq!(there.all("account").await, here.all("account").await);
    assert_eq!(there.position().await, 6);
    let own = "SELECT id::text FROM mdbc_internal.own";
    assert!(there.rows(own).await.is_empty());
}

#[tokio::test]
async fn a_copy_that_ends_anywhere_leaves_the_old_database() {
    let cluster = Cluster::start();
    let (here, old) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
    let digest = here
        .change("CREATE TABLE a (id int PRIMARY KEY, n int)", 1)
        .await;
    old.apply(&digest, 1).await;
    let digest = here.write("INSERT INTO a VALUES (1, 1)", 2).await;
    old.apply(&digest, 2).await;
    let later = [
        "ALTER TABLE a DROP n",
        "CREATE TABLE b (id serial PRIMARY KEY)",
        "CREATE VIEW v AS SELECT a.id FROM a JOIN b USING (id)",
    ];
    for (text, position) in later.into_iter().zip(3..) {
        here.change(text, position).await;
    }
    here.write("INSERT INTO a VALUES (2); INSERT INTO b DEFAULT VALUES", 6)
        .await;
    let before = state(&old).await;
    let copy = Copied::of(&here).await;
    for end in 0..copy.pieces.len() {
        let error = copy.put(&old, end).await.unwrap_err();
        assert_eq!(error.state.code(), "40001", "{end}: {error}");
        assert_eq!(state(&old).await, before, "{end}");
    }
    // As if the process had ended after any number of steps.
    for polls in (0..).step_by(5) {
        let is_done = {
            let mut put = pin!(copy.put_all(&old));
            let mut left = polls;
            std::future::poll_fn(|context| {
                let is_done = put.as_mut().poll(context).is_ready();
                if left == 0 || is_done {
                    return Poll::Ready(is_done);
                }
                left -= 1;
                Poll::Pending
            })
            .await
        };
        if is_done {
            break;
        }
        // What is under way comes to its end, one way or the other.
        let busy = "SELECT state FROM pg_stat_activity WHERE datname = current_database() \
             AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'";
        while !old.rows(busy).await.is_empty() {}
        let now = state(&old).await;
        if now != before {
            assert_eq!(now, state(&here).await, "{polls}");
            break;
        }
    }
    copy.put_all(&old).await.unwrap();
    assert_eq!(state(&old).await, state(&here).await);
    let other = Site::new(&cluster, 3).await;
    other
        .change("CREATE TABLE old (id int PRIMARY KEY)", 1)
        .await;
    let error = copy.put_all(&other).await.unwrap_err();
    assert!(error.message.contains("of another history"), "{error}");
}

#[tokio::test]
async fn a_copy_that_is_not_whole_or_not_of_this_database_is_refused() {
    let cluster = Cluster::start();
    let here = Site::new(&cluster, 1).await;
    let there = Site::new(&cluster, 2).await;
    here.change("CREATE TABLE t (id int PRIMARY KEY, n int)", 1)
        .await;
    here.write("INSERT INTO t VALUES (1, 1)", 2).await;
    // The change of the schema, positions, ids, the table and its row.
    let copy = Copied::of(&here).await;
    let count = copy.pieces.len();
    assert_eq!(count, 6);
    let refused = async |change: fn(&mut Copied), why: &str| {
        let mut copy = Copied {
            pieces: copy.pieces.clone(),
            positions: BTreeMap::new(),
            origin: copy.origin,
        };
        change(&mut copy);
        let error = copy.put_all(&there).await.unwrap_err();
        assert!(error.message.contains(why), "{error}, not {why}");
    };
    refused(|copy| copy.origin.sites_max = 7, "sites_max = 7").await;
    refused(|copy| copy.origin.server = 90_600, "PostgreSQL 9").await;
    refused(|copy| copy.origin.changes = 2, "1 of 2 changes").await;
    refused(|copy| copy.pieces.truncate(4), "lacks the rows of public.t").await;
    refused(|copy| drop(copy.pieces.remove(1)), "a table was to come").await;
    refused(
        |copy| copy.pieces.push(copy.pieces[4].clone()),
        "no strong table",
    )
    .await;
    refused(|copy| copy.pieces.push(Bytes::from("x")), "no copy").await;
    refused(
        |copy| copy.pieces[5] = Bytes::from("rA\tB\n"),
        "rows of public.t do not fit",
    )
    .await;
    let wrong = |copy: &mut Copied| {
        let text = String::from_utf8(copy.pieces[4].to_vec()).unwrap();
        copy.pieces[4] = text.replace("\\\"n\\\"", "\\\"o\\\"").into();
    };
    refused(wrong, "columns of public.t are others").await;
    // A site that has more than the donor had.
    here.change("CREATE TABLE u (id int PRIMARY KEY)", 3).await;
    let late = Copied::of(&here).await;
    late.put_all(&there).await.unwrap();
    let error = copy.put_all(&there).await.unwrap_err();
    assert!(error.message.contains("too old"), "{error}");
}

#[tokio::test]
async fn sequences_go_on_beyond_what_was_said_and_what_rows_have() {
    let cluster = Cluster::start();
    let here = Site::new(&cluster, 1).await;
    let tables = [
        "CREATE TABLE a (id serial PRIMARY KEY, n smallint GENERATED ALWAYS AS IDENTITY)",
        "CREATE TABLE b (id bigserial PRIMARY KEY)",
        "CREATE SEQUENCE down INCREMENT BY -1 MINVALUE -300",
        "CREATE SEQUENCE alone",
    ];
    for (text, position) in tables.into_iter().zip(1..) {
        here.change(text, position).await;
    }
    // Of site 2, whose disk was lost.
    here.write(
        "INSERT INTO a OVERRIDING SYSTEM VALUE VALUES (2 + 4 * 10, 2 + 4 * 20), (3 + 4 * 100, 1)",
        5,
    )
    .await;
    let copy = Copied::of(&here).await;
    let there = Site::new(&cluster, 2).await;
    let stream = || stream::iter(copy.pieces.iter().cloned().map(Ok::<_, SqlError>));
    let numbers = "SELECT number::text FROM mdbc_internal.sequences ORDER BY number";
    assert_eq!(here.rows(numbers).await, ["1", "2", "3", "4", "5"]);
    let said = BTreeMap::from([(3, 5), (4, 70), (9, 1)]);
    there
        .postgres
        .restore(copy.origin, stream(), &said)
        .await
        .unwrap();
    let there = again(there, &cluster, 2).await;
    let next = async |sequence: &str| {
        let query = format!("SELECT nextval('{sequence}')::text");
        there.rows(&query).await[0].parse::<i64>().unwrap()
    };
    // 11 and 21 values were given, 5 and 70 were said; a hundredth of the others is left
    // out, at most 100,000 values; nobody has heard of the last.
    assert_eq!(next("a_id_seq").await, 2 + 4 * (11 + 100_000));
    assert_eq!(next("a_n_seq").await, 2 + 4 * (21 + (8192 - 21) / 100));
    assert_eq!(next("b_id_seq").await, 2 + 4 * (5 + 100_000));
    assert_eq!(next("down").await, -2 - 4 * 70);
    assert_eq!(next("alone").await, 2);
    let given = "SELECT given::text FROM mdbc_internal.given() ORDER BY number";
    assert_eq!(
        there.rows(given).await,
        ["100012", "103", "100006", "71", "1"]
    );
}

#[tokio::test]
async fn a_change_of_the_schema_does_not_wait_for_a_copy() {
    let cluster = Cluster::start();
    let here = Site::new(&cluster, 1).await;
    here.change("CREATE TABLE t (id int PRIMARY KEY, pad text)", 1)
        .await;
    let fill = "INSERT INTO t SELECT n, repeat('x', 10000) FROM generate_series(1, 400) AS n";
    here.write(fill, 2).await;
    let mut copy = here.postgres.copy().await.unwrap();
    let observer = cluster.connect("site_1").await;
    let is_done = Cell::new(false);
    let truncate = async {
        here.run("BEGIN; TRUNCATE t").await;
        is_done.set(true);
    };
    let is_done = &is_done;
    let end = async move {
        let waiting = "SELECT FROM pg_locks WHERE NOT granted";
        while !is_done.get() && observer.query(waiting, &[]).await.unwrap().is_empty() {}
        loop {
            match copy.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("nobody was to wait for it"),
                // With it, its locks are given up.
                Err(error) => break error,
            }
        }
    };
    let ((), error) = tokio::join!(truncate, end);
    assert_eq!(error.state.code(), "40001");
    here.end(3).await;
    let copy = Copied::of(&here).await;
    assert_eq!(copy.positions["all/all"], 3);
    assert_eq!(copy.pieces.len(), 5, "no rows but of positions");
}
