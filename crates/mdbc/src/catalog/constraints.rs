//! `pg_constraint`.

use super::rows::{Row, numbers};
use super::schema::{ForeignKey, Schema, Table};
use super::{PUBLIC, describe};
use crate::types::Value;

fn row(table: &Table, oid: u32, name: &str, kind: &'static str) -> Row {
    Row::of("pg_constraint")
        .set("oid", oid)
        .set("conname", name)
        .set("connamespace", PUBLIC)
        .set("contype", kind)
        .set("convalidated", true)
        .set("conrelid", table.oid)
        .set("conislocal", true)
        .set("confupdtype", " ")
        .set("confdeltype", " ")
        .set("confmatchtype", " ")
}

fn definition(oid: u32, definition: String) -> Row {
    Row::of("mdbc_definition")
        .set("oid", oid)
        .set("part", 0)
        .set("definition", definition)
}

pub(super) fn table(table: &Table, schema: &Schema) -> Vec<Row> {
    let mut rows = keys(table);
    for check in &table.checks {
        let names = describe::names_in(table, &check.expression);
        rows.push(
            row(table, check.oid, &check.name, "c")
                .set("conkey", column_numbers(table, &names))
                .set("conbin", check.expression.as_str()),
        );
        rows.push(definition(
            check.oid,
            format!("CHECK ({})", check.expression),
        ));
    }
    for key in &table.foreign_keys {
        rows.push(foreign_key(table, key, schema));
        rows.push(definition(key.oid, describe::foreign_key(key)));
    }
    rows
}

/// Primary and unique keys.
fn keys(table: &Table) -> Vec<Row> {
    let mut rows = Vec::new();
    if let Some(key) = &table.primary_key {
        rows.push(
            row(table, key.oid, &key.name, "p")
                .set("conkey", column_numbers(table, &key.columns))
                .set("conindid", key.index_oid),
        );
        let columns = describe::names(&key.columns);
        rows.push(definition(key.oid, format!("PRIMARY KEY ({columns})")));
    }
    for index in &table.indexes {
        let (Some(oid), Some(names)) = (index.constraint, index.columns()) else {
            continue;
        };
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        rows.push(
            row(table, oid, &index.name, "u")
                .set("conkey", column_numbers(table, &names))
                .set("conindid", index.oid),
        );
        rows.push(definition(
            oid,
            format!("UNIQUE ({})", describe::names(&names)),
        ));
    }
    rows
}

fn foreign_key(table: &Table, key: &ForeignKey, schema: &Schema) -> Row {
    let parent = schema.table(&key.parent);
    let columns = parent.map_or(Value::Null, |parent| {
        column_numbers(parent, &key.parent_columns)
    });
    row(table, key.oid, &key.name, "f")
        .set("conkey", column_numbers(table, &key.columns))
        .set("confrelid", parent.map_or(0, |parent| parent.oid))
        .set("confkey", columns)
        .set(
            "conindid",
            parent.map_or(0, |parent| describe::index_of(parent, &key.parent_columns)),
        )
        .set("confupdtype", key.on_update.letter())
        .set("confdeltype", key.on_delete.letter())
        .set("confmatchtype", "s")
        .set("condeferrable", key.is_deferrable)
        .set("condeferred", key.is_deferred)
}

fn column_numbers(table: &Table, names: &[String]) -> Value {
    let number = |name: &String| table.column(name).map(|column| i64::from(column.number));
    numbers(names.iter().filter_map(number))
}
