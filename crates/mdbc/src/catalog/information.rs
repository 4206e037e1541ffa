//! `information_schema`.

use super::rows::{Facts, Row, count};
use super::schema::{Action, Column, ForeignKey, Identity, Relation, Schema, Table};
use super::settled::collation_of;
use crate::types::{Base, Class};

pub(super) fn rows(schema: &Schema, facts: &Facts) -> Vec<Row> {
    let database = facts.database.as_str();
    let mut rows =
        vec![Row::informing("information_schema_catalog_name").set("catalog_name", database)];
    for name in ["public", "pg_catalog", "information_schema"] {
        rows.push(
            Row::informing("schemata")
                .set("catalog_name", database)
                .set("schema_name", name)
                .set("schema_owner", facts.roles.first().map(String::as_str)),
        );
    }
    for relation in schema.relations() {
        rows.extend(relation_rows(relation, schema, database));
    }
    rows
}

fn relation_rows(relation: &Relation, schema: &Schema, database: &str) -> Vec<Row> {
    let table = |kind: &str, writable: bool| {
        Row::informing("tables")
            .set("table_catalog", database)
            .set("table_schema", "public")
            .set("table_name", relation.name())
            .set("table_type", kind)
            .set("is_insertable_into", yes(writable))
            .set("is_typed", "NO")
    };
    match relation {
        Relation::Table(own) => {
            let mut rows = vec![table("BASE TABLE", true)];
            rows.extend(
                own.columns
                    .iter()
                    .map(|own| column(relation.name(), own, database)),
            );
            rows.extend(constraints(own, schema, database));
            rows
        }
        Relation::View(view) => {
            let mut rows = vec![table("VIEW", false)];
            rows.extend(
                view.columns
                    .iter()
                    .map(|own| column(relation.name(), own, database)),
            );
            rows.push(
                Row::informing("views")
                    .set("table_catalog", database)
                    .set("table_schema", "public")
                    .set("table_name", relation.name())
                    .set("view_definition", format!(" {};", view.query))
                    .set("check_option", "NONE")
                    .set("is_updatable", "NO")
                    .set("is_insertable_into", "NO"),
            );
            rows
        }
        Relation::Sequence(sequence) => vec![
            Row::informing("sequences")
                .set("sequence_catalog", database)
                .set("sequence_schema", "public")
                .set("sequence_name", relation.name())
                .set("data_type", sequence.ty.base.display())
                .set("start_value", sequence.start.to_string())
                .set("minimum_value", "1")
                .set("maximum_value", sequence.most.to_string())
                .set("increment", "1")
                .set("cycle_option", "NO"),
        ],
    }
}

fn yes(truth: bool) -> &'static str {
    if truth { "YES" } else { "NO" }
}

fn column(table: &str, column: &Column, database: &str) -> Row {
    let base = column.ty.base;
    let packed = column.modifier - 4;
    let is_text = matches!(base, Base::Varchar | Base::Bpchar) && column.modifier > 4;
    let (precision, radix, scale) = match base {
        Base::Int2 => (Some(16), Some(2), Some(0)),
        Base::Int4 => (Some(32), Some(2), Some(0)),
        Base::Int8 => (Some(64), Some(2), Some(0)),
        Base::Float4 => (Some(24), Some(2), None),
        Base::Float8 => (Some(53), Some(2), None),
        Base::Numeric if column.modifier >= 4 => {
            (Some(packed >> 16), Some(10), Some(packed & 0x7ff))
        }
        Base::Numeric => (None, Some(10), None),
        _ => (None, None, None),
    };
    let is_time = column.ty.class() == Class::Time && base != Base::Date;
    let data_type = if column.ty.is_array {
        "ARRAY"
    } else {
        base.display()
    };
    let udt = if column.ty.is_array {
        format!("_{}", base.name())
    } else {
        base.name().to_owned()
    };
    let identity = column.identity.map(|identity| match identity {
        Identity::Always => "ALWAYS",
        Identity::ByDefault => "BY DEFAULT",
    });
    Row::informing("columns")
        .set("table_catalog", database)
        .set("table_schema", "public")
        .set("table_name", table)
        .set("column_name", column.name.as_str())
        .set("ordinal_position", column.number)
        .set("column_default", column.default.as_deref())
        .set("is_nullable", yes(!column.is_not_null))
        .set("data_type", data_type)
        .set("character_maximum_length", is_text.then_some(packed))
        .set(
            "character_octet_length",
            (collation_of(column.ty) != 0).then_some(1_073_741_824),
        )
        .set("numeric_precision", precision)
        .set("numeric_precision_radix", radix)
        .set("numeric_scale", scale)
        .set("datetime_precision", is_time.then_some(6))
        .set("udt_catalog", database)
        .set("udt_schema", "pg_catalog")
        .set("udt_name", udt)
        .set("dtd_identifier", column.number.to_string())
        .set("is_identity", yes(identity.is_some()))
        .set("identity_generation", identity)
        .set(
            "is_generated",
            if column.generated.is_some() {
                "ALWAYS"
            } else {
                "NEVER"
            },
        )
        .set("generation_expression", column.generated.as_deref())
        .set("is_updatable", "YES")
}

fn constraints(table: &Table, schema: &Schema, database: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let constraint = |name: &str, kind: &str, is_deferrable: bool, is_deferred: bool| {
        Row::informing("table_constraints")
            .set("constraint_catalog", database)
            .set("constraint_schema", "public")
            .set("constraint_name", name)
            .set("table_catalog", database)
            .set("table_schema", "public")
            .set("table_name", table.name.as_str())
            .set("constraint_type", kind)
            .set("is_deferrable", yes(is_deferrable))
            .set("initially_deferred", yes(is_deferred))
            .set("enforced", "YES")
    };
    let mut keys: Vec<(&str, Vec<&str>)> = Vec::new();
    if let Some(key) = &table.primary_key {
        rows.push(constraint(&key.name, "PRIMARY KEY", false, false));
        keys.push((&key.name, key.columns.iter().map(String::as_str).collect()));
    }
    for index in table
        .indexes
        .iter()
        .filter(|index| index.constraint.is_some())
    {
        rows.push(constraint(&index.name, "UNIQUE", false, false));
        keys.push((&index.name, index.columns().unwrap_or_default()));
    }
    for (name, columns) in &keys {
        for (number, column) in columns.iter().enumerate() {
            rows.push(key_column(
                &table.name,
                name,
                (column, count(number + 1)),
                database,
            ));
            rows.push(used_column(&table.name, name, column, database));
        }
    }
    for check in &table.checks {
        rows.push(constraint(&check.name, "CHECK", false, false));
        rows.push(
            Row::informing("check_constraints")
                .set("constraint_catalog", database)
                .set("constraint_schema", "public")
                .set("constraint_name", check.name.as_str())
                .set("check_clause", format!("(({}))", check.expression)),
        );
    }
    for key in &table.foreign_keys {
        rows.push(constraint(
            &key.name,
            "FOREIGN KEY",
            key.is_deferrable,
            key.is_deferred,
        ));
        rows.extend(foreign_key(table, key, schema, database));
    }
    rows
}

fn foreign_key(table: &Table, key: &ForeignKey, schema: &Schema, database: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (number, column) in key.columns.iter().enumerate() {
        let at = count(number + 1);
        rows.push(
            key_column(&table.name, &key.name, (column, at), database)
                .set("position_in_unique_constraint", at),
        );
    }
    for column in &key.parent_columns {
        rows.push(used_column(&key.parent, &key.name, column, database));
    }
    rows.push(
        Row::informing("referential_constraints")
            .set("constraint_catalog", database)
            .set("constraint_schema", "public")
            .set("constraint_name", key.name.as_str())
            .set("unique_constraint_catalog", database)
            .set("unique_constraint_schema", "public")
            .set(
                "unique_constraint_name",
                unique_name(schema, &key.parent, &key.parent_columns),
            )
            .set("match_option", "NONE")
            .set("update_rule", rule(key.on_update))
            .set("delete_rule", rule(key.on_delete)),
    );
    rows
}

fn rule(action: Action) -> &'static str {
    action.sql()
}

fn unique_name(schema: &Schema, parent: &str, columns: &[String]) -> Option<String> {
    let parent = schema.table(parent)?;
    if parent.key() == columns {
        return parent.primary_key.as_ref().map(|key| key.name.clone());
    }
    let index = parent
        .indexes
        .iter()
        .find(|index| index.columns().is_some_and(|own| own == columns));
    index.map(|index| index.name.clone())
}

fn key_column(table: &str, constraint: &str, (column, number): (&str, i64), database: &str) -> Row {
    Row::informing("key_column_usage")
        .set("constraint_catalog", database)
        .set("constraint_schema", "public")
        .set("constraint_name", constraint)
        .set("table_catalog", database)
        .set("table_schema", "public")
        .set("table_name", table)
        .set("column_name", column)
        .set("ordinal_position", number)
}

fn used_column(table: &str, constraint: &str, column: &str, database: &str) -> Row {
    Row::informing("constraint_column_usage")
        .set("table_catalog", database)
        .set("table_schema", "public")
        .set("table_name", table)
        .set("column_name", column)
        .set("constraint_catalog", database)
        .set("constraint_schema", "public")
        .set("constraint_name", constraint)
}
