//! Rows that are the same in every database: types, schemas, roles.

use super::rows::{Facts, Row, count};
use super::{CATALOG, DATABASE, INFORMATION, OWNER, PROCEDURES, PUBLIC, system_tables};
use crate::types::{Base, Class, SqlType, Value};

/// The object id of the access method of tables.
pub(super) const HEAP: u32 = 2;
/// The object id of the access method of indexes.
pub(super) const BTREE: u32 = 403;
/// The object id of the default collation.
pub(super) const COLLATION: u32 = 100;

pub(super) fn rows(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    for (oid, name) in [
        (PUBLIC, "public"),
        (CATALOG, "pg_catalog"),
        (INFORMATION, "information_schema"),
    ] {
        rows.push(
            Row::of("pg_namespace")
                .set("oid", oid)
                .set("nspname", name)
                .set("nspowner", OWNER),
        );
    }
    for (oid, name, ty) in [(HEAP, "heap", "t"), (BTREE, "btree", "i")] {
        rows.push(
            Row::of("pg_am")
                .set("oid", oid)
                .set("amname", name)
                .set("amtype", ty),
        );
    }
    for (oid, name) in [(COLLATION, "default"), (950, "C")] {
        rows.push(
            Row::of("pg_collation")
                .set("oid", oid)
                .set("collname", name)
                .set("collnamespace", CATALOG)
                .set("collprovider", "c")
                .set("collisdeterministic", true),
        );
    }
    for (name, oid) in PROCEDURES {
        rows.push(
            Row::of("pg_proc")
                .set("oid", *oid)
                .set("proname", *name)
                .set("pronamespace", CATALOG)
                .set("prokind", "f"),
        );
    }
    rows.push(
        Row::of("pg_tablespace")
            .set("oid", 1663)
            .set("spcname", "pg_default")
            .set("spcowner", OWNER),
    );
    for base in Base::ALL {
        rows.push(type_row(SqlType::of(*base)));
        if base.array_oid() != 0 {
            rows.push(type_row(SqlType::array_of(*base)));
        }
    }
    for (name, table) in system_tables().filter(|(name, _)| !name.starts_with("mdbc_")) {
        rows.push(system_class(
            name,
            table.oid,
            table.schema,
            table.columns.len(),
        ));
    }
    rows.extend(session(facts));
    rows
}

/// What the session and its configuration tell.
fn session(facts: &Facts) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.push(
        Row::of("pg_database")
            .set("oid", DATABASE)
            .set("datname", facts.database.as_str())
            .set("datdba", OWNER)
            .set("encoding", 6)
            .set("datlocprovider", "c")
            .set("datallowconn", true)
            .set("datconnlimit", -1)
            .set("datcollate", "C.UTF-8")
            .set("datctype", "C.UTF-8")
            .set("dattablespace", 1663)
            .set("daticulocale", Value::Null)
            .set("datcollversion", Value::Null),
    );
    for (number, role) in facts.roles.iter().enumerate() {
        let oid = i64::from(OWNER) + count(number);
        for (table, prefix) in [
            ("pg_roles", true),
            ("pg_authid", true),
            ("pg_user", false),
            ("pg_shadow", false),
        ] {
            let row = Row::of(table);
            rows.push(if prefix {
                row.set("oid", oid)
                    .set("rolname", role.as_str())
                    .set("rolsuper", true)
                    .set("rolinherit", true)
                    .set("rolcreaterole", false)
                    .set("rolcanlogin", true)
                    .set("rolconnlimit", -1)
                    .set("rolvaliduntil", Value::Null)
            } else {
                row.set("usename", role.as_str())
                    .set("usesysid", oid)
                    .set("usesuper", true)
            });
        }
    }
    for (name, value) in &facts.settings {
        rows.push(
            Row::of("pg_settings")
                .set("name", name.as_str())
                .set("setting", value.as_str())
                .set("context", "user")
                .set("vartype", "string"),
        );
    }
    rows
}

fn system_class(name: &str, oid: u32, schema: &str, columns: usize) -> Row {
    let (namespace, kind) = if schema == "pg_catalog" {
        (CATALOG, "r")
    } else {
        (INFORMATION, "v")
    };
    Row::of("pg_class")
        .set("oid", oid)
        .set("relname", name)
        .set("relnamespace", namespace)
        .set("relowner", OWNER)
        .set("relkind", kind)
        .set("relpersistence", "p")
        .set("relreplident", "n")
        .set("relispopulated", true)
        .set("relnatts", count(columns))
}

/// The letter of a type's category.
fn category(ty: SqlType) -> &'static str {
    match (ty.class(), ty.base) {
        (Class::Vector, _) => "A",
        (Class::Bool, _) => "B",
        (_, Base::Xid | Base::Bytea | Base::AclItem) | (Class::Uuid | Class::Json, _) => "U",
        (Class::Integer | Class::Float | Class::Numeric | Class::Registered, _) => "N",
        (_, Base::Char | Base::PgNodeTree) => "Z",
        (Class::Text, _) => "S",
        (Class::Time, _) => "D",
        (Class::Interval, _) => "T",
        (Class::Unknown, _) => "X",
        _ => "P",
    }
}

fn type_row(ty: SqlType) -> Row {
    let element = ty.element().map_or(0, SqlType::oid);
    let name = if ty.is_array {
        format!("_{}", ty.base.name())
    } else {
        ty.base.name().to_owned()
    };
    let is_preferred = matches!(
        ty.base,
        Base::Bool
            | Base::Text
            | Base::Oid
            | Base::Float8
            | Base::Timestamptz
            | Base::Interval
            | Base::Void
    );
    let input = match ty.base {
        _ if ty.is_array => 750,
        Base::Bool => 1242,
        Base::Int4 => 42,
        Base::Text => 46,
        _ => 0,
    };
    let is_pseudo = matches!(ty.class(), Class::Pseudo | Class::Unknown);
    Row::of("pg_type")
        .set("oid", ty.oid())
        .set("typname", name)
        .set("typnamespace", CATALOG)
        .set("typowner", OWNER)
        .set("typlen", ty.size())
        .set("typbyval", ty.size() > 0 && ty.size() <= 8)
        .set("typtype", if is_pseudo { "p" } else { "b" })
        .set("typcategory", category(ty))
        .set("typispreferred", is_preferred && !ty.is_array)
        .set("typisdefined", true)
        .set("typdelim", ",")
        .set("typelem", element)
        .set(
            "typarray",
            if ty.is_array { 0 } else { ty.base.array_oid() },
        )
        .set("typinput", input)
        .set("typtypmod", -1)
        .set("typcollation", collation_of(ty))
}

/// The collation of values of a type; 0 for none.
pub(super) fn collation_of(ty: SqlType) -> u32 {
    match ty.base {
        Base::Name => 950,
        Base::Text | Base::Varchar | Base::Bpchar => COLLATION,
        _ => 0,
    }
}
