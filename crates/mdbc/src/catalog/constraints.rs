//! `pg_constraint`.

use super::rows::{Row, numbers};
use super::schema::{Schema, Table};
use super::{PUBLIC, describe};
use crate::types::Value;

pub(super) fn table(table: &Table, schema: &Schema) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |row: Row, oid: u32, definition: String| {
        rows.push(row);
        rows.push(
            Row::of("mdbc_definition")
                .set("oid", oid)
                .set("part", 0)
                .set("definition", definition),
        );
    };
    let row = |oid: u32, name: &str, kind: &'static str, columns: Value| {
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
            .set("conkey", columns)
    };
    if let Some(key) = &table.primary_key {
        let columns = column_numbers(table, &key.columns);
        let definition = format!("PRIMARY KEY ({})", describe::names(&key.columns));
        add(
            row(key.oid, &key.name, "p", columns).set("conindid", key.index_oid),
            key.oid,
            definition,
        );
    }
    for index in &table.indexes {
        let (Some(oid), Some(names)) = (index.constraint, index.columns()) else {
            continue;
        };
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let columns = column_numbers(table, &names);
        let definition = format!("UNIQUE ({})", describe::names(&names));
        add(
            row(oid, &index.name, "u", columns).set("conindid", index.oid),
            oid,
            definition,
        );
    }
    for check in &table.checks {
        let names = describe::names_in(table, &check.expression);
        let columns = column_numbers(table, &names);
        let definition = format!("CHECK ({})", check.expression);
        add(
            row(check.oid, &check.name, "c", columns).set("conbin", check.expression.as_str()),
            check.oid,
            definition,
        );
    }
    for key in &table.foreign_keys {
        let parent = schema.table(&key.parent);
        let parent_columns = parent.map_or(Value::Null, |parent| {
            column_numbers(parent, &key.parent_columns)
        });
        let own = column_numbers(table, &key.columns);
        let index = parent.map_or(0, |parent| describe::index_of(parent, &key.parent_columns));
        add(
            row(key.oid, &key.name, "f", own)
                .set("confrelid", parent.map_or(0, |parent| parent.oid))
                .set("confkey", parent_columns)
                .set("conindid", index)
                .set("confupdtype", key.on_update.letter())
                .set("confdeltype", key.on_delete.letter())
                .set("confmatchtype", "s")
                .set("condeferrable", key.is_deferrable)
                .set("condeferred", key.is_deferred),
            key.oid,
            describe::foreign_key(key),
        );
    }
    rows
}

fn column_numbers(table: &Table, names: &[String]) -> Value {
    let number = |name: &String| table.column(name).map(|column| i64::from(column.number));
    numbers(names.iter().filter_map(number))
}
