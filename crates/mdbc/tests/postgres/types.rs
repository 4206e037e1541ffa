//! Values of all types come out at another site as they went in, whatever is done
//! to their rows.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::cluster::Cluster;
use crate::site::Site;

/// Types, with values that are hard to write as text.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "0"]),
    ("bigint", &["9223372036854775807", "-1"]),
    ("real", &["0.1", "'NaN'", "'-Infinity'", "1e-40"]),
    (
        "double precision",
        &["0.1", "1e308", "4.9e-324", "'NaN'", "-0.0"],
    ),
    (
        "numeric",
        &["0.10", "'NaN'", "1e100", "-123456789.123456789"],
    ),
    ("numeric(8,2)", &["1.5", "-999999.99"]),
    ("money", &["'12.34'", "'-0.01'"]),
    (
        "text",
        &[
            "''",
            "'a\"b,c(d)'",
            "E'line\\n\\ttab\\\\'",
            "'ä𝄞'",
            "' '",
            "'NULL'",
        ],
    ),
    ("varchar(5)", &["'abc'", "''"]),
    ("char(5)", &["'a'", "'ab   '"]),
    ("bytea", &["'\\x00ff5c'", "''"]),
    ("date", &["'infinity'", "'0044-03-15 BC'", "'2026-02-28'"]),
    ("time", &["'24:00'", "'00:00:00.000001'"]),
    ("timetz", &["'12:34:56.789+05:30'"]),
    (
        "timestamp",
        &[
            "'infinity'",
            "'4713-01-01 BC'",
            "'2026-11-27 12:00:00.123456'",
        ],
    ),
    (
        "timestamptz",
        &["'-infinity'", "'2026-03-29 02:30:00.5 Europe/Berlin'"],
    ),
    ("interval", &["'1 year -2 days 03:00:00.5'", "'-1 month'"]),
    ("uuid", &["'00000000-0000-0000-0000-0000000000ff'"]),
    ("json", &["'{\"b\": 1, \"a\" :[1, null]}'", "'null'"]),
    ("jsonb", &["'{\"b\": 1.50, \"a\": \"\\u00e4\"}'", "'[]'"]),
    ("xml", &["'<a b=\"c\">d</a>'", "'text'"]),
    ("inet", &["'10.0.0.1/8'", "'::1'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("bit(3)", &["B'101'"]),
    ("varbit", &["B''", "B'1010'"]),
    ("point", &["'(0.1,-2)'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("int4range", &["'[1,10)'", "'empty'", "'(,5]'"]),
    ("tstzmultirange", &["'{[2026-01-01,2026-02-01)}'"]),
    ("tsvector", &["'a:1A b''c:2'"]),
    ("int[]", &["'{}'", "'{{1,2},{3,NULL}}'", "'[0:1]={1,2}'"]),
    ("text[]", &["'{a,\"b,c\",NULL,\"NULL\",\"\\\"\"}'"]),
    ("regclass", &["'pg_class'", "'public.everything'"]),
    ("mood", &["'so so'", "'good'"]),
    ("pair", &["'(1,\"a \"\"b\"\"\")'", "'(,)'"]),
    ("positive", &["1"]),
];

/// A statement of a transaction.
#[derive(Debug, Clone)]
enum Step {
    Insert { key: u8, values: Vec<u8> },
    Update { key: u8, column: u8, value: u8 },
    Move { key: u8, to: u8 },
    Delete { key: u8 },
    Undo { key: u8 },
    Truncate,
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..6_u8;
    prop_oneof![
        4 => (key.clone(), proptest::collection::vec(any::<u8>(), TYPES.len()))
            .prop_map(|(key, values)| Step::Insert { key, values }),
        4 => (key.clone(), any::<u8>(), any::<u8>())
            .prop_map(|(key, column, value)| Step::Update { key, column, value }),
        2 => (key.clone(), key.clone()).prop_map(|(key, to)| Step::Move { key, to }),
        2 => key.clone().prop_map(|key| Step::Delete { key }),
        1 => key.prop_map(|key| Step::Undo { key }),
        1 => Just(Step::Truncate),
    ]
}

/// The value of a type that a number chooses.
fn value(at: usize, choice: u8) -> String {
    let (ty, values) = TYPES[at % TYPES.len()];
    match values.get(usize::from(choice) % (values.len() + 1)) {
        Some(value) => format!("({value})::{ty}"),
        None => "NULL".to_owned(),
    }
}

impl Step {
    fn text(&self) -> String {
        match self {
            Self::Insert { key, values } => {
                let values = values.iter().enumerate();
                let values: Vec<String> = values.map(|(at, choice)| value(at, *choice)).collect();
                format!(
                    "INSERT INTO everything VALUES ({key}, {}) ON CONFLICT DO NOTHING",
                    values.join(", ")
                )
            }
            Self::Update {
                key,
                column,
                value: choice,
            } => {
                let column = usize::from(*column) % TYPES.len();
                let value = value(column, *choice);
                format!("UPDATE everything SET c{column} = {value} WHERE id <= {key}")
            }
            Self::Move { key, to } => format!(
                "UPDATE everything SET id = {to} WHERE id = {key} AND NOT EXISTS \
                 (SELECT FROM everything WHERE id = {to})"
            ),
            Self::Delete { key } => format!("DELETE FROM everything WHERE id = {key}"),
            Self::Undo { key } => format!(
                "SAVEPOINT s; DELETE FROM everything WHERE id > {key}; ROLLBACK TO s; RELEASE s"
            ),
            Self::Truncate => "TRUNCATE everything".to_owned(),
        }
    }
}

async fn make(here: &Site, there: &Site) {
    let columns = TYPES.iter().enumerate();
    let columns: Vec<String> = columns.map(|(at, (ty, _))| format!("c{at} {ty}")).collect();
    let table = format!(
        "CREATE TABLE everything (id int PRIMARY KEY, {})",
        columns.join(", ")
    );
    here.run("BEGIN").await;
    for text in [
        "CREATE TYPE mood AS ENUM ('good', 'so so')",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
        &table,
    ] {
        here.ddl(text, None).await;
    }
    let digest = here.end(1).await;
    there.apply(&digest, 1).await;
    // Settings of a session have no part in what is captured.
    here.run(
        "SET datestyle = 'German'; SET intervalstyle = 'iso_8601'; SET timezone = 'Asia/Tokyo'; \
         SET extra_float_digits = -5; SET bytea_output = 'escape'",
    )
    .await;
}

#[test]
fn every_value_is_the_same_at_another_site() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cluster = runtime.block_on(async { Cluster::start() });
    let (here, there) = runtime.block_on(async {
        let (here, there) = (Site::new(&cluster, 1).await, Site::new(&cluster, 2).await);
        make(&here, &there).await;
        (here, there)
    });
    let mut runner = TestRunner::new(Config {
        cases: 64,
        failure_persistence: None,
        ..Config::default()
    });
    let position = std::cell::Cell::new(2);
    let steps = proptest::collection::vec(step(), 1..8);
    let ran = runner.run(&steps, |steps| {
        runtime.block_on(async {
            here.run("BEGIN").await;
            for step in &steps {
                here.run(&step.text()).await;
            }
            let digest = here.end(position.get()).await;
            if !digest.is_empty() {
                there.apply(&digest, position.get()).await;
                position.set(position.get() + 1);
            }
            let query = "SET timezone = 'UTC'; SET datestyle = 'ISO'; \
                         SET intervalstyle = 'postgres'; \
                         SET extra_float_digits = 1; SET bytea_output = 'hex'";
            let beside = here.another().await;
            beside.run(query).await;
            let left = beside.all("everything").await;
            drop(beside);
            let right = there.another().await;
            right.run(query).await;
            prop_assert_eq!(left, right.all("everything").await);
            Ok(())
        })
    });
    ran.unwrap();
    drop((here, there));
    drop(cluster);
}
