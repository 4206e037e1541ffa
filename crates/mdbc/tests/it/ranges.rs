//! The ranges that a statement is told to touch are enough: it does the same
//! where nothing but their rows is there.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mdbc::config::Config;
use mdbc::engine::{Access, Database, Digest, Notes, RangeAccess, Replication, Who};
use mdbc::error::SqlError;
use mdbc::proxy::{Site, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use crate::dice::Dice;

/// Where the ranges begin of all tables that have some.
const BOUNDS: [i64; 3] = [3, 5, 8];
/// How many statements are tried.
const STATEMENTS: u64 = 500;

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

    async fn commit(&self, _: u64, digest: &Digest) -> Result<Notes, SqlError> {
        digest.clone_into(&mut self.digest.lock().unwrap());
        Ok(Notes::default())
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

/// The number of the range that a value is in.
fn number(value: i64) -> u32 {
    u32::try_from(BOUNDS.iter().filter(|bound| **bound <= value).count()).unwrap()
}

/// Makes statements by chance.
struct Maker {
    dice: Dice,
    aliases: u64,
}

impl Maker {
    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = self.dice.below(u64::try_from(all.len()).unwrap());
        all[usize::try_from(at).unwrap()]
    }

    fn value(&mut self) -> String {
        let number = self.dice.below(12);
        match self.dice.below(9) {
            0 => format!("'{number}'"),
            1 => format!("{number}::bigint"),
            2 => "NULL".to_owned(),
            3 => format!("({number} + 0)"),
            4 => format!("{number}.0"),
            _ => number.to_string(),
        }
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A condition on columns of one of these, or on columns of two of them.
    fn predicate(&mut self, aliases: &[String], depth: u64) -> String {
        let at = |maker: &mut Self| {
            let at = maker.dice.below(u64::try_from(aliases.len()).unwrap());
            aliases[usize::try_from(at).unwrap()].clone()
        };
        let (one, other) = (at(self), at(self));
        let column = self.one_of(&["w", "w", "w", "k", "v"]);
        let operator = self.one_of(&["=", "=", "<", "<=", ">", ">=", "<>"]);
        let (x, y) = (self.value(), self.value());
        match self.dice.below(if depth == 0 { 9 } else { 13 }) {
            0..=2 => format!("{one}.{column} {operator} {x}"),
            3 => format!("{x} {operator} {one}.{column}"),
            4 => format!("{one}.{column} IN ({x}, {y})"),
            5 => format!("{one}.{column} BETWEEN {x} AND {y}"),
            6 => format!("({one}.w, {one}.k) = ({x}, {y})"),
            7 => format!("{one}.{column} {operator} {other}.w"),
            8 => format!("{one}.w = {other}.w"),
            9 => {
                let (left, right) = (
                    self.predicate(aliases, depth - 1),
                    self.predicate(aliases, depth - 1),
                );
                let word = self.one_of(&["OR", "AND"]);
                format!("({left} {word} {right})")
            }
            10 => format!("NOT ({})", self.predicate(aliases, depth - 1)),
            11 => {
                let not = self.one_of(&["", "NOT "]);
                format!("{not}EXISTS ({})", self.select(&[one], depth - 1))
            }
            _ => format!(
                "{one}.k IN (SELECT k FROM ({}) AS q)",
                self.select(&[one.clone()], depth - 1)
            ),
        }
    }

    fn condition(&mut self, aliases: &[String], depth: u64) -> String {
        let mut all = self.predicate(aliases, depth);
        for _ in 0..self.dice.below(3) {
            all = format!("{all} AND {}", self.predicate(aliases, depth));
        }
        all
    }

    fn table(&mut self) -> &'static str {
        self.one_of(&["a", "a", "b", "b", "c", "low", "whole"])
    }

    /// A query of columns w, k and v, within one whose tables are `around`.
    fn select(&mut self, around: &[String], depth: u64) -> String {
        let first = self.alias();
        let mut own = vec![first.clone()];
        let mut from = format!("{} AS {first}", self.table());
        for _ in 0..self.dice.below(3) {
            let (table, alias) = (self.table(), self.alias());
            let join = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ",", "USING"]);
            if join == "," && own.len() == 1 {
                from = format!("{from}, {table} AS {alias}");
                own.push(alias);
                continue;
            }
            let left = own.clone();
            own.push(alias.clone());
            let word = self.one_of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]);
            from = if join == "USING" && left.len() == 1 {
                format!("{from} {word} {table} AS {alias} USING (w)")
            } else {
                let join = if matches!(join, "," | "USING") {
                    "JOIN"
                } else {
                    join
                };
                let mut both = vec![left[left.len() - 1].clone()];
                both.push(alias.clone());
                format!(
                    "{from} {join} {table} AS {alias} ON {}",
                    self.condition(&both, 0)
                )
            };
        }
        let all: Vec<String> = own.iter().chain(around).cloned().collect();
        let mut condition = self.condition(&all, depth);
        // A name without its table's, where there is one of it.
        if own.len() == 1 && self.dice.one_in(2) {
            condition = condition.replace(&format!("{first}."), "");
        }
        let last = &own[own.len() - 1];
        format!("SELECT {first}.w, {first}.k, {last}.v FROM {from} WHERE {condition}")
    }

    fn statement(&mut self) -> String {
        let target = self.one_of(&["a", "b"]);
        let (x, y) = (self.value(), self.value());
        let me = vec![target.to_owned()];
        match self.dice.below(12) {
            0 => {
                let condition = self.condition(&me, 1);
                format!("UPDATE {target} SET v = v + 1 WHERE {condition} RETURNING w, k, v")
            }
            1 => {
                let condition = self.condition(&me, 1);
                let k = 1000 + self.dice.below(100);
                format!(
                    "UPDATE {target} SET w = {x}, k = k + {k} WHERE {condition} RETURNING w, k, v"
                )
            }
            2 => format!(
                "DELETE FROM {target} WHERE {} RETURNING w, k, v",
                self.condition(&me, 1)
            ),
            3 => {
                let all = vec![target.to_owned(), "q".to_owned()];
                let condition = self.condition(&all, 1);
                let other = self.table();
                format!(
                    "UPDATE {target} SET v = q.v FROM {other} AS q WHERE {target}.k = q.k AND \
                     {condition} RETURNING {target}.w, {target}.k, 0"
                )
            }
            4 => {
                let all = vec![target.to_owned(), "q".to_owned()];
                let condition = self.condition(&all, 1);
                let other = self.table();
                format!(
                    "DELETE FROM {target} USING {other} AS q WHERE {condition} \
                     RETURNING {target}.w, {target}.k, {target}.v"
                )
            }
            5 => format!(
                "INSERT INTO {target} (w, k, v) VALUES ({x}, 1, 2), ({y}, 70, 3) \
                 ON CONFLICT DO NOTHING RETURNING w, k, v"
            ),
            6 => format!(
                "INSERT INTO {target} (v, k, w) VALUES (1, 2, {x}) ON CONFLICT (w, k) DO UPDATE \
                 SET v = {target}.v + 1 RETURNING w, k, v"
            ),
            7 => format!("INSERT INTO {target} (w, k, v) VALUES ({x}, 2, 2) RETURNING w, k, v"),
            8 => {
                let (left, right) = (self.select(&[], 1), self.select(&[], 1));
                format!("{left} UNION ALL {right}")
            }
            9 => {
                let (inner, outer) = (self.select(&[], 1), self.condition(&["q".to_owned()], 0));
                format!("WITH q AS ({inner}) SELECT * FROM q WHERE {outer}")
            }
            _ => self.select(&[], 2),
        }
    }
}

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

/// Leaves only the rows in ranges that were told.
fn leave(access: &Access) -> String {
    let mut text = String::new();
    for table in ["a", "b"] {
        let Some(RangeAccess { reads, writes }) = access.ranges.get(table) else {
            let is_touched = access.reads.contains(table) || access.writes.contains(table);
            if !is_touched {
                text.push_str(&format!("DELETE FROM {table};"));
            }
            continue;
        };
        for number in (0..4).filter(|number| !reads.contains(number) && !writes.contains(number)) {
            let at = usize::try_from(number).unwrap();
            let low = at.checked_sub(1).map_or(i64::MIN, |at| BOUNDS[at]);
            let high = BOUNDS.get(at).copied().unwrap_or(i64::MAX);
            text.push_str(&format!(
                "DELETE FROM {table} WHERE w >= {low} AND w < {high};"
            ));
        }
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_does_the_same_where_only_the_rows_are_that_it_was_told_to_touch() {
    let told = Told::start(SCHEMA).await;
    let (mut worked, mut narrowed) = (0, 0);
    for seed in 0..STATEMENTS {
        let mut maker = Maker {
            dice: Dice(seed),
            aliases: 0,
        };
        let statement = maker.statement();
        told.client.batch_execute("BEGIN").await.unwrap();
        let whole = answer(&told.client, &statement).await;
        let access = told.last();
        told.client.batch_execute("ROLLBACK").await.unwrap();
        if let Err(state) = &whole {
            let fine = ["23505", "23502", "42883", "42702", "42804", "42601"];
            assert!(
                fine.contains(&state.as_str()),
                "{seed}: {state}: {statement}"
            );
            if state.starts_with("42") {
                continue;
            }
        }
        let text = format!("BEGIN; {}", leave(&access));
        told.client.batch_execute(&text).await.unwrap();
        let part = answer(&told.client, &statement).await;
        told.client.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(whole, part, "{seed}: {statement}\n{access:?}");
        worked += u64::from(whole.is_ok_and(|rows| !rows.is_empty()));
        let is_narrow = |ranges: &RangeAccess| (&ranges.reads | &ranges.writes).len() < 4;
        narrowed += u64::from(access.ranges.values().any(is_narrow));
    }
    println!("{worked} had rows, {narrowed} were told less than all");
    assert!(
        worked > STATEMENTS / 4 && narrowed > STATEMENTS / 3,
        "it proves something"
    );
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
    for (statement, state) in [
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
        (&many, "54000"),
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
    ] {
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
