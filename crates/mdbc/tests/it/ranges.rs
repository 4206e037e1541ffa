//! The ranges that a statement is told to touch.

mod chance;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mdbc::config::Config;
use mdbc::engine::{Access, Appended, Database, Digest, Notes, RangeAccess, Replication, Who};
use mdbc::error::SqlError;
use mdbc::proxy::{Site, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

/// Keeps what it is told.
#[derive(Clone, Default)]
struct Recorder {
    accesses: Arc<Mutex<Vec<Access>>>,
    digest: Arc<Mutex<Digest>>,
}

#[async_trait]
impl Replication for Recorder {
    async fn before(&self, _: Who, access: &Access, _: bool) -> Result<(), SqlError> {
        self.accesses.lock().unwrap().push(access.clone());
        Ok(())
    }

    async fn append(&self, _: u64, digest: &Digest) -> Result<Appended, SqlError> {
        digest.clone_into(&mut self.digest.lock().unwrap());
        Ok(Appended::alone(Notes::default()))
    }

    async fn read(&self, _: u64) -> Result<(), SqlError> {
        Ok(())
    }

    async fn refresh(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn ended(&self, _: u64, _: bool) {}

    fn age(&self) -> Option<Duration> {
        None
    }
}

/// A site, a client of it, and what it tells.
struct Told {
    client: Client,
    recorder: Recorder,
    _folder: TempDir,
}

impl Told {
    async fn start(schema: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::new(address, folder.path().join("site.db"), 1);
        let recorder = Recorder::default();
        let site = Site {
            database: Database::open(&config.options()).unwrap(),
            config,
            replication: recorder.clone(),
        };
        tokio::spawn(Box::pin(serve(listener, site, CancellationToken::new())));
        let settings = format!(
            "host=127.0.0.1 port={} user=mdbc dbname=music",
            address.port()
        );
        let (client, connection) = tokio_postgres::connect(&settings, NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute(schema).await.unwrap();
        Self {
            client,
            recorder,
            _folder: folder,
        }
    }

    /// What the last statement was told to touch.
    fn last(&self) -> Access {
        self.recorder
            .accesses
            .lock()
            .unwrap()
            .last()
            .unwrap()
            .clone()
    }

    /// The ranges of a table that a statement touches, in writing: `r` stands
    /// before those that it reads, `w` before those that it writes.
    async fn ranges(&self, statement: &str, table: &str) -> String {
        let text = format!("BEGIN; {statement}; ROLLBACK");
        self.client
            .batch_execute(&text)
            .await
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        shown(&self.last(), table)
    }
}

fn shown(access: &Access, table: &str) -> String {
    let Some(RangeAccess { reads, writes }) = access.ranges.get(table) else {
        let is_touched = access.reads.contains(table) || access.writes.contains(table);
        return if is_touched { "all" } else { "" }.to_owned();
    };
    let list = |letter: &str, numbers: &BTreeSet<u32>| {
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        if numbers.is_empty() {
            String::new()
        } else {
            format!("{letter}{}", numbers.join(","))
        }
    };
    format!("{}{}", list("r", reads), list("w", writes))
}

const SCHEMA: &str = "
    CREATE TABLE a (w int, k int, v int, PRIMARY KEY (w, k)) WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE b (k bigint, w bigint, v int, PRIMARY KEY (w, k))
        WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE c (k int PRIMARY KEY, w int, v int);
    CREATE VIEW low AS SELECT w, k, v FROM a WHERE w < 3;
    CREATE VIEW whole AS SELECT w, k, v FROM a;
    INSERT INTO a SELECT i % 11, i, i * 7 % 5 FROM generate_series(0, 21) AS s (i);
    INSERT INTO b SELECT i, i % 11, i * 3 % 5 FROM generate_series(0, 21) AS s (i);
    INSERT INTO c SELECT i, i % 11, i % 4 FROM generate_series(0, 10) AS s (i);";

/// What a statement answers, in an order of its own.
async fn answer(client: &Client, statement: &str) -> Result<Vec<String>, String> {
    match client.simple_query(statement).await {
        Ok(messages) => {
            let mut rows: Vec<String> = messages
                .iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                })
                .map(|row| {
                    format!(
                        "{:?}",
                        (0..row.len()).map(|at| row.get(at)).collect::<Vec<_>>()
                    )
                })
                .collect();
            rows.sort();
            Ok(rows)
        }
        Err(error) => Err(error.code().unwrap().code().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_values_and_parameters_tell_the_ranges() {
    let told = Told::start(SCHEMA).await;
    for (statement, ranges) in [
        ("SELECT * FROM a WHERE w = 4", "r1"),
        ("SELECT * FROM a WHERE w < 3", "r0"),
        ("SELECT * FROM a WHERE w > 2 AND 8 > w", "r1,2"),
        ("SELECT * FROM a WHERE w BETWEEN 3 AND 4", "r1"),
        ("SELECT * FROM a WHERE w IN (1, 9)", "r0,3"),
        ("SELECT * FROM a WHERE w = 1 OR w = 9 OR w IN (2)", "r0,3"),
        ("SELECT * FROM a WHERE (w, k) IN ((1, 1), (4, 2))", "r0,1"),
        ("SELECT * FROM a WHERE w = '4'::int", "r1"),
        ("SELECT * FROM a WHERE w = 4 AND w = 9", "r0"),
        ("SELECT * FROM a WHERE w = NULL", "r0"),
        ("SELECT * FROM a WHERE k = 4", "r0,1,2,3"),
        ("SELECT * FROM a WHERE w = 4 OR k = 4", "r0,1,2,3"),
        ("SELECT * FROM a WHERE w + 0 = 4", "r0,1,2,3"),
        ("SELECT * FROM a WHERE w <> 4", "r0,1,2,3"),
        ("SELECT * FROM a WHERE NOT w = 4", "r0,1,2,3"),
        ("SELECT * FROM low", "r0"),
        ("SELECT * FROM whole WHERE w = 1", "r0,1,2,3"),
        ("SELECT * FROM a JOIN b USING (w) WHERE w = 4", "r1"),
        ("SELECT * FROM b JOIN a ON a.w = b.w AND b.w = 4", "r1"),
        (
            "SELECT * FROM b LEFT JOIN a ON a.w = b.w WHERE b.w = 4",
            "r1",
        ),
        ("SELECT * FROM a LEFT JOIN b ON a.w = 4", "r0,1,2,3"),
        ("SELECT * FROM a FULL JOIN b ON a.w = 4", "r0,1,2,3"),
        (
            "SELECT * FROM c WHERE EXISTS (SELECT 1 FROM a WHERE a.w = c.w) AND c.w = 4",
            "r1",
        ),
        ("SELECT (SELECT max(v) FROM a WHERE w = 9) FROM c", "r3"),
        ("SELECT * FROM a WHERE w = 4 FOR UPDATE", "r1w1"),
        ("UPDATE a SET v = 1 WHERE w = 4", "w1"),
        ("UPDATE a SET v = 1", "w0,1,2,3"),
        ("UPDATE a SET w = 9 WHERE w = 4 AND k = 1", "w1,3"),
        ("UPDATE a SET w = w + 1 WHERE w = 4 AND k = 1", "w0,1,2,3"),
        (
            "UPDATE a SET v = c.v FROM c WHERE a.w = c.w AND c.w = 4",
            "w1",
        ),
        ("DELETE FROM a WHERE w >= 8", "w3"),
        ("DELETE FROM a USING c WHERE a.w = c.w AND c.w = 4", "w1"),
        ("INSERT INTO a VALUES (4, 100, 1)", "w1"),
        ("INSERT INTO a (k, w) VALUES (100, 4), (100, 9)", "w1,3"),
        ("INSERT INTO a VALUES (2 + 2, 100, 1)", "w0,1,2,3"),
        ("INSERT INTO a SELECT 4, 100, 1", "w0,1,2,3"),
        (
            "INSERT INTO a VALUES (4, 4, 1) ON CONFLICT (w, k) DO UPDATE SET v = 7",
            "w1",
        ),
        (
            "INSERT INTO a VALUES (4, 4, 1) ON CONFLICT (w, k) DO UPDATE SET w = 9",
            "w1,3",
        ),
        ("TRUNCATE a", "w0,1,2,3"),
        ("EXPLAIN DELETE FROM a WHERE w = 4", "all"),
        (
            "PREPARE p AS SELECT * FROM a WHERE w = $1; EXECUTE p (4); DEALLOCATE p",
            "r1",
        ),
    ] {
        assert_eq!(told.ranges(statement, "a").await, ranges, "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_tell_the_ranges_if_they_have_the_type_of_the_column() {
    let told = Told::start(SCHEMA).await;
    let client = &told.client;
    let select = "SELECT v FROM a WHERE w = $1";
    client.query(select, &[&4_i32]).await.unwrap();
    assert_eq!(shown(&told.last(), "a"), "r1");
    client.query(select, &[&None::<i32>]).await.unwrap();
    assert_eq!(shown(&told.last(), "a"), "r0");
    let cast = "SELECT v FROM a WHERE w = $1::bigint";
    client.query(cast, &[&9_i64]).await.unwrap();
    assert_eq!(shown(&told.last(), "a"), "r3");
    let other = "SELECT v FROM a WHERE w = $1::float8";
    client.query(other, &[&4_f64]).await.unwrap();
    assert_eq!(shown(&told.last(), "a"), "r0,1,2,3");
    let insert = "INSERT INTO a VALUES ($1, $2, 0), ($3, $2, 0)";
    client
        .execute(insert, &[&4_i32, &500_i32, &9_i32])
        .await
        .unwrap();
    assert_eq!(shown(&told.last(), "a"), "w1,3");
    let sink = client
        .copy_in::<_, bytes::Bytes>("COPY a (k, w) FROM STDIN")
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    let rows = bytes::Bytes::from("600\t4\n601\t1\n");
    futures_util::SinkExt::send(&mut sink, rows).await.unwrap();
    sink.finish().await.unwrap();
    assert_eq!(shown(&told.last(), "a"), "w0,1");
}

const FAMILY: &str = "
    CREATE TABLE p (w int, id int, PRIMARY KEY (w, id)) WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE q (w int, id int, p int, other int, PRIMARY KEY (w, id),
        FOREIGN KEY (w, p) REFERENCES p ON DELETE CASCADE,
        FOREIGN KEY (other, p) REFERENCES p) WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE r (w int, id int, q int, PRIMARY KEY (w, id),
        FOREIGN KEY (w, q) REFERENCES q ON DELETE CASCADE) WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE top (id int PRIMARY KEY);
    CREATE TABLE s (w int, top int REFERENCES top ON DELETE CASCADE ON UPDATE CASCADE,
        PRIMARY KEY (w)) WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE moved (w int REFERENCES top ON UPDATE CASCADE, PRIMARY KEY (w))
        WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE tree (w int, id int, up int, PRIMARY KEY (w, id),
        FOREIGN KEY (w, up) REFERENCES tree ON DELETE CASCADE)
        WITH (music_ranges = 'w: 3, 5, 8');
    CREATE TABLE lazy (w int, id int, p int, v int, PRIMARY KEY (w, id),
        FOREIGN KEY (w, p) REFERENCES p DEFERRABLE INITIALLY DEFERRED)
        WITH (music_ranges = 'w: 3, 5, 8');
    INSERT INTO p VALUES (4, 1), (9, 1);";

#[tokio::test(flavor = "multi_thread")]
async fn what_foreign_keys_reach_is_told_with_the_row_that_reaches_it() {
    let told = Told::start(FAMILY).await;
    for (statement, tables) in [
        // The columns of a key carry over what is known of them.
        ("INSERT INTO q VALUES (4, 1, 1, 9)", "p r1,3 q w1 r r1"),
        (
            "INSERT INTO q (w, id, p) VALUES (4, 1, 1)",
            "p r0,1 q w1 r r1",
        ),
        // What a row loses is looked for, and what a cascade deletes, is written.
        (
            "DELETE FROM p WHERE w = 4",
            "p w1 q r0,1,2,3w1 r w1 lazy r1",
        ),
        // An update looks at keys alone that it changes.
        ("UPDATE q SET other = 9 WHERE w = 4", "p r3 q w1"),
        ("UPDATE q SET id = 9 WHERE w = 4", "q w1 r r1"),
        // A deferred key is looked at though it is left alone.
        ("UPDATE lazy SET v = 1 WHERE w = 4", "p r1 lazy w1"),
        // Without the column of the ranges it is all.
        (
            "DELETE FROM top WHERE id = 4",
            "s w0,1,2,3 moved r1 top all",
        ),
        (
            "UPDATE top SET id = 4 WHERE id = 9",
            "s w0,1,2,3 moved w0,1,2,3 top all",
        ),
        // Rows of rows of a table: all of everything.
        ("DELETE FROM tree WHERE w = 4", "tree all"),
    ] {
        for pair in tables.split(' ').collect::<Vec<_>>().chunks(2) {
            let found = told.ranges(statement, pair[0]).await;
            assert_eq!(found, pair[1], "{statement}: {}", pair[0]);
        }
        for table in ["p", "q", "r", "s", "moved", "tree", "top", "lazy"] {
            let is_named = tables.split(' ').step_by(2).any(|name| name == table);
            let found = told.ranges(statement, table).await;
            assert_eq!(!found.is_empty(), is_named, "{statement}: {table}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_by_any_type_with_a_plain_order() {
    let told = Told::start(
        "CREATE TABLE n (name varchar(9), v int, PRIMARY KEY (name))
             WITH (music_ranges = 'name: g, n');
         CREATE TABLE d (day date PRIMARY KEY) WITH (music_ranges = '\"day\": 2024-01-01');
         CREATE TABLE u (id uuid PRIMARY KEY)
             WITH (music_ranges = 'id: 80000000-0000-0000-0000-000000000000')",
    )
    .await;
    for (statement, table, ranges) in [
        ("SELECT * FROM n WHERE name = 'gab'", "n", "r1"),
        ("SELECT * FROM n WHERE name >= 'n'", "n", "r2"),
        // What fits a length may be cut off.
        ("INSERT INTO n VALUES ('gab')", "n", "w0,1,2"),
        ("SELECT * FROM d WHERE day = '2023-12-31'", "d", "r0"),
        ("SELECT * FROM d WHERE day >= DATE '2024-01-01'", "d", "r1"),
        (
            "SELECT * FROM d WHERE day = timestamp '2024-01-01'",
            "d",
            "r0,1",
        ),
        (
            "SELECT * FROM u WHERE id = 'F0000000-0000-0000-0000-000000000000'",
            "u",
            "r1",
        ),
    ] {
        assert_eq!(told.ranges(statement, table).await, ranges, "{statement}");
    }
}

/// What cannot be, and the state that it is refused with.
const REFUSED: &[(&str, &str)] = &[
    (
        "CREATE TABLE t (k int PRIMARY KEY, v int) WITH (music_ranges = 'v: 1')",
        "22023",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_ranges = 'x: 1')",
        "42703",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_ranges = 'k')",
        "22023",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_ranges = 'k: x')",
        "22023",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_ranges = 'k: 2, 1')",
        "22023",
    ),
    (
        "CREATE TABLE t (k float PRIMARY KEY) WITH (music_ranges = 'k: 2')",
        "0A000",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music = 'eventual', music_ranges = 'k: 1')",
        "0A000",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music = 'local', music_group = 'g')",
        "0A000",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY, u int UNIQUE) WITH (music_ranges = 'k: 1')",
        "0A000",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_group = 'some', music_ranges = 'k: 1')",
        "42P16",
    ),
    (
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_group = 'mdbc_x')",
        "42939",
    ),
    ("ALTER TABLE a ADD UNIQUE (k)", "0A000"),
    ("CREATE UNIQUE INDEX ON a (k)", "0A000"),
    (
        "ALTER TABLE a ALTER COLUMN w TYPE date USING DATE '2024-01-01'",
        "0A000",
    ),
    ("ALTER TABLE a SET (music_ranges = 'w: 1')", "0A000"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_ranges_and_groups_cannot_be_is_refused_by_name() {
    let told = Told::start(SCHEMA).await;
    let many: Vec<String> = (1..=15).map(|bound| bound.to_string()).collect();
    let many = format!(
        "CREATE TABLE t (k int PRIMARY KEY) WITH (music_ranges = 'k: {}')",
        many.join(",")
    );
    told.client
        .batch_execute("CREATE TABLE g (k int PRIMARY KEY) WITH (music_group = 'some')")
        .await
        .unwrap();
    for (statement, state) in REFUSED.iter().copied().chain([(many.as_str(), "54000")]) {
        let answered = answer(&told.client, statement).await;
        assert_eq!(answered, Err(state.to_owned()), "{statement}");
    }
    for statement in [
        "ALTER TABLE a ADD UNIQUE (v, w, k)",
        "ALTER TABLE a RENAME COLUMN w TO place",
        "ALTER TABLE a RENAME TO renamed",
        "CREATE TABLE h (k int PRIMARY KEY) WITH (music_group = 'some')",
    ] {
        told.client
            .batch_execute("DROP VIEW IF EXISTS low, whole")
            .await
            .unwrap();
        told.client.batch_execute(statement).await.unwrap();
    }
    assert_eq!(
        told.ranges("SELECT * FROM renamed WHERE place = 4", "renamed")
            .await,
        "r1"
    );
    let options = answer(
        &told.client,
        "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL",
    );
    let options = options.await.unwrap().join(" ");
    for part in ["music_ranges=place: 3, 5, 8", "music_group=some"] {
        assert!(options.contains(part), "{options}");
    }
}
