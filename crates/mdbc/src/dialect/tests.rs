//! What statements become, and what is refused.

use super::aggregate::AGGREGATES;
use super::signatures::SIGNATURES;
use super::{Environment, Plan, compile};
use crate::catalog::schema::{Schema, TableKind};
use crate::error::Result;
use crate::types::{Base, Look, SqlType};

fn understood(text: &str, parameters: &[Option<SqlType>]) -> Result<Plan> {
    let environment = Environment {
        schema: &Schema::default(),
        default_kind: TableKind::Strong,
        parameters,
        look: &Look::default(),
        user: "ali",
        database: "music",
    };
    compile(text, &environment)
}

/// The state that a statement is refused with.
fn state(text: &str) -> String {
    let error = understood(text, &[]).unwrap_err();
    error.state.code().to_owned()
}

fn parameters(text: &str) -> Vec<Base> {
    match understood(text, &[]) {
        Ok(Plan::Run(run)) => run.parameters.iter().map(|ty| ty.base).collect(),
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn parameters_have_the_types_of_what_is_beside_them() {
    for (text, types) in [
        ("select $1 + 1", vec![Base::Int4]),
        ("select $1 || 'x', $2::date", vec![Base::Text, Base::Date]),
        (
            "select 1 where 1.5 > $1 and $2",
            vec![Base::Numeric, Base::Bool],
        ),
        ("select coalesce($1, now())", vec![Base::Timestamptz]),
        ("select 1 limit $1", vec![Base::Int8]),
        ("select now() - $1", vec![Base::Interval]),
        ("select $1", vec![Base::Text]),
        ("select 1 where 1 = any($1)", vec![Base::Int4]),
    ] {
        assert_eq!(parameters(text), types, "{text}");
    }
}

#[test]
fn what_is_not_there_is_named_by_its_state() {
    for (text, code) in [
        ("select a", "42703"),
        ("select * from t", "42P01"),
        ("select nothing(1)", "42883"),
        ("select 1 + true", "42883"),
        ("select case when 1 then 2 end", "42804"),
        ("select 'x'::nothing", "42704"),
        ("select * from other.t", "3F000"),
        ("select count(*) where count(*) > 1", "42803"),
        ("select sum(count(*)) from (values (1)) v (a)", "42803"),
        (
            "select a from (values (1)) v (a), (values (2)) w (a)",
            "42702",
        ),
        ("select 1 from (values (1)) v, (values (2)) v", "42712"),
        ("select 1 order by 2", "42P10"),
        ("select 1 union select 1, 2", "42601"),
        ("select (select 1, 2)", "42601"),
        ("select $0", "42P02"),
        ("insert into pg_class values (1)", "0A000"),
    ] {
        assert_eq!(state(text), code, "{text}");
    }
}

#[test]
fn what_mdbc_does_not_have_is_refused() {
    for text in [
        "select distinct on (a) a from (values (1)) v (a)",
        "select * from (values (1)) v (a), lateral (select a) w",
        "select a from (values (1)) v (a) group by grouping sets ((a), ())",
        "select percentile_cont(0.5) within group (order by a) from (values (1)) v (a)",
        "with x as (insert into t values (1) returning 1) select * from x",
        "merge into t using s on true when matched then delete",
        "create type mood as enum ('sad', 'ok')",
        "create function f() returns int as 'select 1' language sql",
        "create trigger x before insert on t execute function f()",
        "create role r",
        "grant select on t to public",
        "listen c",
        "lock table t",
        "copy (select 1) to '/tmp/x'",
        "explain analyze select 1",
        "declare c scroll cursor for select 1",
        "select array[[1,2],[3,4]]",
        "select (1, 2) < (3, 4)",
        "select 1 from (values (1)) v (a) tablesample system (1)",
        "vacuum full t; select 1 qualify true",
    ] {
        let refused = super::parse::split(text).map(|statements| {
            statements
                .iter()
                .find_map(|text| understood(text, &[]).err())
        });
        let error = refused
            .unwrap_or_else(Some)
            .unwrap_or_else(|| panic!("{text} is not refused"));
        assert!(
            matches!(error.state.code(), "0A000" | "42601" | "42P01"),
            "{text}: {error}"
        );
    }
}

#[test]
fn the_manual_lists_every_function() {
    let manual = include_str!("../../../../docs/sql.md");
    let names = SIGNATURES.iter().map(|signature| signature.name);
    let is_system = |name: &&str| {
        name.starts_with("pg_") || name.starts_with("has_") || name.contains("description")
    };
    let system = ["format_type", "inet_server_port", "txid_current"];
    for name in names
        .chain(AGGREGATES.iter().copied())
        .filter(|name| !is_system(name))
    {
        let plain = name
            .replace("jsonb_", "json_")
            .replace("_samp", "")
            .replace("_pop", "");
        let plain = plain
            .replace("var", "variance")
            .replace("varianceiance", "variance");
        let is_listed = manual.contains(name) || manual.contains(&plain);
        assert!(
            is_listed || system.contains(&name),
            "{name} is not in docs/sql.md"
        );
    }
}
