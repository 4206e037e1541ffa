//! Definitions as PostgreSQL writes them.

use super::schema::{Action, ForeignKey, Index, IndexPart, PrimaryKey, Table};
use crate::dialect::parse;

/// Names in a list, quoted where they need it.
pub(super) fn names(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .map(|name| parse::quote_if_needed(name))
        .collect();
    names.join(", ")
}

/// The index of a primary key.
pub(super) fn key_index(key: &PrimaryKey) -> Index {
    let parts = key.columns.iter().map(|column| IndexPart {
        column: Some(column.clone()),
        expression: parse::quote_if_needed(column),
        is_descending: false,
        is_nulls_first: false,
    });
    Index {
        oid: key.index_oid,
        name: key.name.clone(),
        parts: parts.collect(),
        is_unique: true,
        constraint: Some(key.oid),
        predicate: None,
    }
}

pub(super) fn index(table: &Table, index: &Index) -> String {
    let parts: Vec<String> = index.parts.iter().map(part).collect();
    let unique = if index.is_unique { "UNIQUE " } else { "" };
    let predicate = index.predicate.as_ref();
    let predicate = predicate
        .map(|predicate| format!(" WHERE ({predicate})"))
        .unwrap_or_default();
    format!(
        "CREATE {unique}INDEX {} ON public.{} USING btree ({}){predicate}",
        parse::quote_if_needed(&index.name),
        parse::quote_if_needed(&table.name),
        parts.join(", ")
    )
}

fn part(part: &IndexPart) -> String {
    let is_call = part.expression.ends_with(')') && !part.expression.starts_with('(');
    let text = if part.column.is_some() || is_call {
        part.expression.clone()
    } else {
        format!("({})", part.expression)
    };
    let direction = if part.is_descending { " DESC" } else { "" };
    let nulls = match (part.is_descending, part.is_nulls_first) {
        (true, false) => " NULLS LAST",
        (false, true) => " NULLS FIRST",
        _ => "",
    };
    format!("{text}{direction}{nulls}")
}

pub(super) fn foreign_key(key: &ForeignKey) -> String {
    let mut text = format!(
        "FOREIGN KEY ({}) REFERENCES {}({})",
        names(&key.columns),
        parse::quote_if_needed(&key.parent),
        names(&key.parent_columns)
    );
    for (event, action) in [("UPDATE", key.on_update), ("DELETE", key.on_delete)] {
        if action != Action::Nothing {
            text.push_str(&format!(" ON {event} {}", action.sql()));
        }
    }
    if key.is_deferrable {
        text.push_str(" DEFERRABLE");
    }
    if key.is_deferred {
        text.push_str(" INITIALLY DEFERRED");
    }
    text
}

/// The columns of a table that an expression names.
pub(super) fn names_in(table: &Table, text: &str) -> Vec<String> {
    let expression = parse::expression(text);
    expression.map_or_else(
        |_| Vec::new(),
        |expression| crate::dialect::ddl::columns_in(table, &expression),
    )
}

/// The object id of the index by which rows of a parent are found.
pub(super) fn index_of(parent: &Table, columns: &[String]) -> u32 {
    if parent.key() == columns {
        return parent.primary_key.as_ref().map_or(0, |key| key.index_oid);
    }
    let is_same =
        |index: &&Index| index.is_unique && index.columns().is_some_and(|own| own == columns);
    parent
        .indexes
        .iter()
        .find(is_same)
        .map_or(0, |index| index.oid)
}
