//! Statements and what they answer, as PostgreSQL answers them.

use crate::site::TestSite;

/// Each case: statements, and what psql prints without alignment.
const CASES: &[(&str, &str)] = &[
    (
        "select 10/4, 10/4.0, -7%3, 2^10, 7::float8/2",
        "2|2.5000000000000000|-1|1024|3.5",
    ),
    (
        "select 0.1 + 0.2 = 0.3, 1.10 * 2, round(2.5), round(-2.567, 2)",
        "t|2.20|3|-2.57",
    ),
    ("select 2147483647 + 1", "ERROR:  integer out of range"),
    (
        "select 9223372036854775807 + 1",
        "ERROR:  bigint out of range",
    ),
    (
        "select null = null, null is null, 1 is distinct from null, true and null",
        "|t|t|",
    ),
    (
        "select 'a' || 1 || true, 'abc' like 'A%', 'abc' ilike 'A%', 'abc' ~ '^a.c$'",
        "a1true|f|t|t",
    ),
    (
        "select date '2024-01-31' + interval '1 month', date '2024-03-01' - date '2024-02-01'",
        "2024-02-29 00:00:00|29",
    ),
    (
        "select extract(dow from date '2024-01-07'), date_trunc('month', timestamp \
         '2024-02-29 10:00')",
        "0|2024-02-01 00:00:00",
    ),
    (
        "select '{1,2,null}'::int[], array[1,2] || 3, 2 = any(array[1,2]), 1 <> \
         all('{2,3}'::int[])",
        "{1,2,NULL}|{1,2,3}|t|t",
    ),
    (
        "select 1 = any(array[2, null]), 1 in (1, null), 2 not in (1, null)",
        "|t|",
    ),
    (
        "select '{\"b\":1,\"a\":1.10}'::jsonb, '{\"a\":[1,2]}'::jsonb -> 'a' ->> 1",
        "{\"a\": 1.10, \"b\": 1}|2",
    ),
    ("select 'x' as a union select 'y' order by a desc", "y\nx"),
    (
        "select n, sum(n) over (order by n) from generate_series(1,3) as s (n)",
        "1|1\n2|3\n3|6",
    ),
    (
        "with recursive r (n) as (select 1 union all select n * 2 from r where n < 10) \
         select * from r",
        "1\n2\n4\n8\n16",
    ),
    (
        "select string_agg(x, ',' order by x desc), array_agg(x), count(*) from (values \
         ('a'), ('b')) v (x)",
        "b,a|{a,b}|2",
    ),
    (
        "select (select n from generate_series(1,2) s (n))",
        "ERROR:  more than one row returned by a subquery used as an expression",
    ),
    (
        "select a, count(*) from (values (1,2)) v (a, b)",
        "ERROR:  column \"v.a\" must appear in the GROUP BY clause or be used in an \
         aggregate function",
    ),
    (
        "select v.nothing from (values (1)) v (a)",
        "ERROR:  column v.nothing does not exist",
    ),
    (
        "select 1 + 'x'",
        "ERROR:  invalid input syntax for type integer: \"x\"",
    ),
    (
        "select 1 + true",
        "ERROR:  operator does not exist: integer + boolean",
    ),
    (
        "select distinct on (1) 1",
        "ERROR:  DISTINCT ON is not supported by mdbc",
    ),
    (
        "create materialized view v as select 1",
        "ERROR:  a view that is materialized, temporary or has options is not supported by mdbc",
    ),
    (
        "create extension hstore",
        "ERROR:  CREATE EXTENSION is not supported by mdbc",
    ),
    (
        "create table k (a int)",
        "ERROR:  table \"k\" has no primary key, and strong tables need one",
    ),
    (
        "create table mdbc_x (a int primary key)",
        "ERROR:  unacceptable name \"mdbc_x\"",
    ),
    (
        "create table k (a int primary key) with (music = 'weak')",
        "ERROR:  invalid value for option \"music\": \"weak\"",
    ),
    (
        "select 'NaN'::float8",
        "ERROR:  the value NaN is not supported by mdbc",
    ),
    ("select * from (select 1 as a, 2 as a) s", "1|2"),
    (
        "select timestamptz '2024-07-01 12:00+00' at time zone 'Europe/Berlin'",
        "2024-07-01 14:00:00",
    ),
    (
        "set timezone = 'Asia/Kolkata'; select timestamptz '2024-07-01 12:00+00'",
        "SET\n2024-07-01 17:30:00+05:30",
    ),
    (
        "select to_char(timestamp '2024-02-03 04:05:06', 'YYYY-MM-DD HH24:MI:SS FMMonth')",
        "2024-02-03 04:05:06 February",
    ),
];

#[tokio::test]
async fn answers_are_those_of_postgresql() {
    let site = TestSite::start().await;
    for (statement, expected) in CASES {
        let output = site
            .psql_with(&["-At"], &[], &format!("{statement};"))
            .await;
        let hints = |line: &&str| {
            !line.starts_with("HINT") && !line.starts_with("DETAIL") && !line.starts_with("LINE")
        };
        let lines: Vec<&str> = output.lines().filter(hints).collect();
        assert_eq!(lines.join("\n"), *expected, "{statement}");
    }
}
