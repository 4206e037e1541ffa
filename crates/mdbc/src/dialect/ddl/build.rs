//! The tables of SQLite that the tables of the catalogue are kept in.

use super::Editor;
use crate::catalog::schema::{ForeignKey, Index, Table, TableKind};
use crate::dialect::from::source_of;
use crate::dialect::insert::stored;
use crate::dialect::parse::{self, literal, quote};
use crate::dialect::scope::Scope;
use crate::error::{Result, SqlError};
use crate::types::{Base, SqlType};

/// A table as a check or an index sees it: columns without its name.
pub(super) fn bare_scope(table: &Table) -> Result<Scope<'static>> {
    let mut scope = Scope::default();
    let mut source = source_of(table, &table.name);
    for column in &mut source.columns {
        column.sql = quote(&column.name);
    }
    scope.add(source)?;
    Ok(scope)
}

impl Editor<'_> {
    /// The statement that makes a table.
    pub(super) fn table_sql(&self, table: &Table) -> Result<String> {
        let scope = bare_scope(table)?;
        let mut parts = Vec::new();
        for column in &table.columns {
            let mut part = format!("{} {}", quote(&column.name), column.ty.storage());
            if let Some(collation) = column.ty.collation() {
                part.push_str(&format!(" COLLATE {collation}"));
            }
            if let Some(generated) = &column.generated {
                let compiler = self.compiler();
                let value = compiler.expression(&parse::expression(generated)?, &scope)?;
                let value = compiler.assign(value, column.ty, column.modifier, &column.name)?;
                part.push_str(&format!(" GENERATED ALWAYS AS ({}) STORED", value.sql));
            }
            if column.is_not_null {
                part.push_str(" NOT NULL");
            }
            parts.push(part);
        }
        if let Some(key) = &table.primary_key {
            parts.push(format!(
                "CONSTRAINT {} PRIMARY KEY ({})",
                quote(&key.name),
                list(&key.columns)
            ));
        }
        for check in &table.checks {
            parts.push(format!(
                "CONSTRAINT {} CHECK ({})",
                quote(&check.name),
                self.condition_sql(table, &check.expression)?
            ));
        }
        parts.extend(table.foreign_keys.iter().map(foreign_key));
        let options = if table.key().is_empty() {
            "STRICT"
        } else {
            "STRICT, WITHOUT ROWID"
        };
        Ok(format!(
            "CREATE TABLE {} ({}) {options}",
            quote(&table.name),
            parts.join(", ")
        ))
    }

    /// A condition on a row, as SQLite has it.
    pub(super) fn condition_sql(&self, table: &Table, text: &str) -> Result<String> {
        let compiler = self.compiler();
        let scope = bare_scope(table)?;
        let value = compiler.expression(&parse::expression(text)?, &scope)?;
        Ok(compiler.condition(value, "CHECK")?.sql)
    }

    /// The statement that makes an index.
    pub(super) fn index_sql(&self, table: &Table, index: &Index) -> Result<String> {
        let scope = bare_scope(table)?;
        let mut parts = Vec::new();
        for part in &index.parts {
            let compiler = self.compiler();
            let mut value = compiler.expression(&parse::expression(&part.expression)?, &scope)?;
            if value.ty.is_unknown() {
                value = compiler.cast(
                    value,
                    SqlType::of(Base::Text),
                    crate::dialect::cast::Strength::Implicit,
                )?;
            }
            if !value.ty.is_compared() || !value.ty.is_sorted() && index.is_unique {
                return Err(SqlError::refused(format!("an index of {}", value.ty)));
            }
            let direction = if part.is_descending { " DESC" } else { "" };
            let sql = if part.column.is_some() {
                value.sql.clone()
            } else {
                format!("({})", value.sql)
            };
            let collation = value
                .ty
                .collation()
                .map(|name| format!(" COLLATE {name}"))
                .unwrap_or_default();
            parts.push(format!("{sql}{collation}{direction}"));
        }
        let unique = if index.is_unique { "UNIQUE " } else { "" };
        let predicate = match &index.predicate {
            Some(predicate) => format!(" WHERE {}", self.condition_sql(table, predicate)?),
            None => String::new(),
        };
        Ok(format!(
            "CREATE {unique}INDEX {} ON {} ({}){predicate}",
            quote(&index.name),
            quote(&table.name),
            parts.join(", ")
        ))
    }

    /// Replaces the text of a table's statement: for what the rows that are
    /// stored do not depend on.
    pub(super) fn rewrite(&mut self, table: &Table) -> Result<()> {
        let sql = self.table_sql(table)?;
        self.change.sql.extend([
            "PRAGMA writable_schema = ON".to_owned(),
            format!(
                "UPDATE sqlite_schema SET sql = {} WHERE type = 'table' AND name = {}",
                literal(&sql),
                literal(&table.name)
            ),
            "PRAGMA writable_schema = RESET".to_owned(),
        ]);
        Ok(())
    }

    /// Refuses the change when a row breaks `condition`.
    pub(super) fn check_rows(&mut self, table: &str, condition: &str, error: &SqlError) {
        self.change.sql.push(format!(
            "SELECT mdbc_refuse({}, {}) FROM {} WHERE NOT ({condition}) LIMIT 1",
            literal(error.state.code()),
            literal(&error.message),
            quote(table)
        ));
    }

    /// Makes the triggers that capture changes of a table's rows. They call a
    /// function that mdbc alone has: nobody else changes the rows unnoticed.
    pub(super) fn add_triggers(&mut self, table: &Table) {
        if table.kind == TableKind::Local {
            return;
        }
        let row = |which: &str| -> String {
            let values: Vec<String> = stored(table)
                .map(|column| format!("{which}.{}", quote(&column.name)))
                .collect();
            values.join(", ")
        };
        let (oid, name) = (table.oid, quote(&table.name));
        let (old, new) = (row("OLD"), row("NEW"));
        for (letter, event, values) in [
            ("i", "INSERT", new.clone()),
            ("u", "UPDATE", format!("{old}, {new}")),
            ("d", "DELETE", old.clone()),
        ] {
            self.change.sql.push(format!(
                "CREATE TRIGGER mdbc_{letter}_{oid} AFTER {event} ON {name} BEGIN SELECT \
                 mdbc_capture({oid}, '{letter}', {values}); END"
            ));
        }
    }

    pub(super) fn drop_triggers(&mut self, table: &Table) {
        if table.kind == TableKind::Local {
            return;
        }
        for letter in ["i", "u", "d"] {
            self.change
                .sql
                .push(format!("DROP TRIGGER mdbc_{letter}_{}", table.oid));
        }
    }
}

/// Names in a list.
pub(super) fn list(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    quoted.join(", ")
}

fn foreign_key(key: &ForeignKey) -> String {
    let deferral = match (key.is_deferrable, key.is_deferred) {
        (true, true) => " DEFERRABLE INITIALLY DEFERRED",
        // SQLite checks at the statement's end, as PostgreSQL does.
        _ => "",
    };
    format!(
        "CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}) ON DELETE {} ON UPDATE {}{deferral}",
        quote(&key.name),
        list(&key.columns),
        quote(&key.parent),
        list(&key.parent_columns),
        key.on_delete.sql(),
        key.on_update.sql()
    )
}
