//! `pg_class`, `pg_attribute` and what belongs to them.

use super::describe;
use super::rows::{Row, count, numbers};
use super::schema::{Column, Identity, Index, Schema, Sequence, Table, View};
use super::settled::{BTREE, HEAP, collation_of};
use super::{OWNER, PUBLIC, system_table};
use crate::dialect::ddl::{GROUP, RANGES, shown_ranges};
use crate::types::Value;

/// Object ids of row types, of defaults and of rules follow from their tables'.
const ROW_TYPE: u32 = 1 << 29;
const DEFAULT: u32 = 1 << 30;

fn class(oid: u32, name: &str, kind: &'static str) -> Row {
    Row::of("pg_class")
        .set("oid", oid)
        .set("relname", name)
        .set("relnamespace", PUBLIC)
        .set("relowner", OWNER)
        .set("relkind", kind)
        .set("relpersistence", "p")
        .set("relreplident", "d")
        .set("relispopulated", true)
        .set("reltuples", Value::Real(-1.0))
}

pub(super) fn table(table: &Table, schema: &Schema) -> Vec<Row> {
    let has_index = table.primary_key.is_some() || !table.indexes.is_empty();
    let has_triggers =
        !table.foreign_keys.is_empty() || schema.children(&table.name).next().is_some();
    let mut rows = vec![
        class(table.oid, &table.name, "r")
            .set("relam", HEAP)
            .set("reltype", table.oid + ROW_TYPE)
            .set("relnatts", table.next_column - 1)
            .set("relchecks", count(table.checks.len()))
            .set("reloptions", options(table))
            .set("relhasindex", has_index)
            .set("relhastriggers", has_triggers),
        Row::of("pg_tables")
            .set("schemaname", "public")
            .set("tablename", table.name.as_str())
            .set("tableowner", Value::Null)
            .set("hasindexes", has_index),
    ];
    rows.extend(comment(table.oid, 0, table.comment.as_deref()));
    for column in &table.columns {
        rows.extend(attribute(table.oid, column));
    }
    if let Some(key) = &table.primary_key {
        let index = describe::key_index(key);
        rows.extend(index_rows(table, &index, key.index_oid, true));
    }
    for index in &table.indexes {
        rows.extend(index_rows(table, index, index.oid, false));
    }
    rows
}

/// How a table is owned, as `WITH` had it; nothing where that is as a whole.
fn options(table: &Table) -> Value {
    let ranges = shown_ranges(table).map(|ranges| format!("{RANGES}={ranges}"));
    let group = table.owned.group.as_ref();
    let group = group.map(|group| format!("{GROUP}={group}"));
    let options: Vec<String> = ranges.into_iter().chain(group).collect();
    if options.is_empty() {
        return Value::Null;
    }
    Value::Text(serde_json::Value::from(options).to_string())
}

fn comment(oid: u32, part: i16, comment: Option<&str>) -> Option<Row> {
    let class = system_table("pg_class").map_or(0, |table| table.oid);
    comment.map(|comment| {
        Row::of("pg_description")
            .set("objoid", oid)
            .set("classoid", class)
            .set("objsubid", part)
            .set("description", comment)
    })
}

fn attribute(relation: u32, column: &Column) -> Vec<Row> {
    let default = column.default.as_deref().or(column.generated.as_deref());
    let identity = match column.identity {
        Some(Identity::Always) => "a",
        Some(Identity::ByDefault) => "d",
        None => "",
    };
    let number = u32::try_from(column.number).unwrap_or_default();
    let mut rows = vec![
        Row::of("pg_attribute")
            .set("attrelid", relation)
            .set("attname", column.name.as_str())
            .set("atttypid", column.ty.oid())
            .set("attlen", column.ty.size())
            .set("attnum", column.number)
            .set("attndims", i64::from(column.ty.is_array))
            .set("attcacheoff", -1)
            .set("attstattarget", -1)
            .set("atttypmod", column.modifier)
            .set("attalign", "i")
            .set("attstorage", if column.ty.size() < 0 { "x" } else { "p" })
            .set("attnotnull", column.is_not_null)
            .set("atthasdef", default.is_some())
            .set("attidentity", identity)
            .set(
                "attgenerated",
                if column.generated.is_some() { "s" } else { "" },
            )
            .set("attislocal", true)
            .set("attcollation", collation_of(column.ty)),
    ];
    if let Some(default) = default {
        rows.push(
            Row::of("pg_attrdef")
                .set("oid", relation + DEFAULT + number)
                .set("adrelid", relation)
                .set("adnum", column.number)
                .set("adbin", default),
        );
    }
    rows.extend(comment(relation, column.number, column.comment.as_deref()));
    rows
}

fn index_rows(table: &Table, index: &Index, oid: u32, is_primary: bool) -> Vec<Row> {
    let parts = || index.parts.iter();
    let number_of = |name: &str| {
        table
            .column(name)
            .map_or(0, |column| i64::from(column.number))
    };
    let keys = parts().map(|part| part.column.as_deref().map_or(0, number_of));
    let options =
        parts().map(|part| i64::from(part.is_descending) | (i64::from(part.is_nulls_first) << 1));
    let definition = describe::index(table, index);
    let has_expressions = parts().any(|part| part.column.is_none());
    let expressions: Vec<&str> = parts()
        .filter(|part| part.column.is_none())
        .map(|part| part.expression.as_str())
        .collect();
    let mut rows = vec![
        class(oid, &index.name, "i")
            .set("relam", BTREE)
            .set("relreplident", "n")
            .set("relnatts", count(index.parts.len())),
        Row::of("pg_index")
            .set("indexrelid", oid)
            .set("indrelid", table.oid)
            .set("indnatts", count(index.parts.len()))
            .set("indnkeyatts", count(index.parts.len()))
            .set("indisunique", index.is_unique)
            .set("indisprimary", is_primary)
            .set("indimmediate", true)
            .set("indisvalid", true)
            .set("indisready", true)
            .set("indislive", true)
            .set("indkey", numbers(keys))
            .set("indcollation", numbers(parts().map(|_| 0)))
            .set("indclass", numbers(parts().map(|_| 0)))
            .set("indoption", numbers(options))
            .set("indexprs", has_expressions.then(|| expressions.join(", ")))
            .set(
                "indpred",
                index
                    .predicate
                    .as_ref()
                    .map(|predicate| format!("({predicate})")),
            ),
        Row::of("pg_indexes")
            .set("schemaname", "public")
            .set("tablename", table.name.as_str())
            .set("indexname", index.name.as_str())
            .set("tablespace", Value::Null)
            .set("indexdef", definition.as_str()),
        Row::of("mdbc_definition")
            .set("oid", oid)
            .set("part", 0)
            .set("definition", definition),
    ];
    rows.extend(index_parts(table, index, oid));
    rows
}

fn index_parts(table: &Table, index: &Index, oid: u32) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, part) in (1_i16..).zip(&index.parts) {
        rows.push(
            Row::of("mdbc_definition")
                .set("oid", oid)
                .set("part", number)
                .set("definition", part.expression.as_str()),
        );
        let column = part.column.as_deref().and_then(|name| table.column(name));
        let name = part.column.clone().unwrap_or_else(|| "expr".to_owned());
        rows.push(
            Row::of("pg_attribute")
                .set("attrelid", oid)
                .set("attname", name)
                .set("atttypid", column.map_or(25, |column| column.ty.oid()))
                .set("atttypmod", column.map_or(-1, |column| column.modifier))
                .set("attnum", number)
                .set("attislocal", true),
        );
    }
    rows
}

pub(super) fn view(view: &View) -> Vec<Row> {
    let definition = format!(" {};", view.query);
    let mut rows = vec![
        class(view.oid, &view.name, "v")
            .set("reltype", view.oid + ROW_TYPE)
            .set("relreplident", "n")
            .set("relhasrules", true)
            .set("relnatts", count(view.columns.len())),
        Row::of("pg_views")
            .set("schemaname", "public")
            .set("viewname", view.name.as_str())
            .set("viewowner", Value::Null)
            .set("definition", definition.as_str()),
        Row::of("mdbc_definition")
            .set("oid", view.oid)
            .set("part", 0)
            .set("definition", definition),
    ];
    rows.extend(comment(view.oid, 0, view.comment.as_deref()));
    for column in &view.columns {
        rows.extend(attribute(view.oid, column));
    }
    rows
}

pub(super) fn sequence(sequence: &Sequence, schema: &Schema) -> Vec<Row> {
    let mut rows = vec![
        class(sequence.oid, &sequence.name, "S")
            .set("relreplident", "n")
            .set("relnatts", 3),
        Row::of("pg_sequence")
            .set("seqrelid", sequence.oid)
            .set("seqtypid", sequence.ty.oid())
            .set("seqstart", sequence.start)
            .set("seqincrement", 1)
            .set("seqmin", 1)
            .set("seqmax", sequence.most)
            .set("seqcache", 1),
        Row::of("pg_sequences")
            .set("schemaname", "public")
            .set("sequencename", sequence.name.as_str())
            .set("data_type", sequence.ty.oid())
            .set("start_value", sequence.start)
            .set("min_value", 1)
            .set("max_value", sequence.most)
            .set("increment_by", 1)
            .set("cache_size", 1)
            .set("last_value", Value::Null),
    ];
    if let Some((table, column)) = &sequence.owner {
        let found = schema.table(table);
        let number = found
            .and_then(|table| table.column(column))
            .map_or(0, |column| column.number);
        let class = system_table("pg_class").map_or(0, |table| table.oid);
        rows.push(
            Row::of("pg_depend")
                .set("classid", class)
                .set("objid", sequence.oid)
                .set("refclassid", class)
                .set("refobjid", found.map_or(0, |table| table.oid))
                .set("refobjsubid", number)
                .set("deptype", if sequence.is_identity { "i" } else { "a" }),
        );
        rows.push(
            Row::of("mdbc_serial")
                .set("relation", table.as_str())
                .set("attribute", column.as_str())
                .set("sequence", sequence.name.as_str()),
        );
    }
    rows
}
