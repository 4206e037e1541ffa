//! `ALTER TABLE … DROP COLUMN`.

use super::Editor;
use crate::catalog::schema::{Relation, Table};
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn drop_column(
        &mut self,
        table: &mut Table,
        name: &str,
        if_exists: bool,
    ) -> Result<()> {
        if table.column(name).is_none() && if_exists {
            self.change.notices.push(format!(
                "column \"{name}\" of relation \"{}\" does not exist, skipping",
                table.name
            ));
            return Ok(());
        }
        column_of(table, name)?;
        if table.key().iter().any(|key| key == name) {
            return Err(SqlError::refused("dropping a column of the primary key"));
        }
        self.refuse_if_viewed(&table.name, "drop the column")?;
        let referred = self
            .schema()
            .children(&table.name)
            .find(|(_, key)| key.parent_columns.iter().any(|own| own == name));
        if let Some((child, key)) = referred {
            return Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop column {name} because constraint {} on table {} depends on it",
                    key.name, child.name
                ),
            )
            .with_hint("Drop the constraint first."));
        }
        self.drop_triggers(table);
        self.drop_uses(table, name)?;
        // First without the constraints, which SQLite would trip over.
        self.rewrite(table)?;
        self.change.sql.push(format!(
            "ALTER TABLE {} DROP COLUMN {}",
            quote(&table.name),
            quote(name)
        ));
        table.columns.retain(|column| column.name != name);
        let owned = self.schema().relations().filter(|relation| match relation {
            Relation::Sequence(sequence) => sequence
                .owner
                .as_ref()
                .is_some_and(|(owner, column)| *owner == table.name && column == name),
            _ => false,
        });
        let owned: Vec<String> = owned.map(|relation| relation.name().to_owned()).collect();
        self.change.removed.extend(owned);
        self.add_triggers(table);
        Ok(())
    }

    /// Drops the indexes and constraints that use a column.
    fn drop_uses(&mut self, table: &mut Table, name: &str) -> Result<()> {
        let mut kept = Vec::new();
        for index in std::mem::take(&mut table.indexes) {
            let mut uses = false;
            let expressions = index.parts.iter().map(|part| &part.expression);
            for expression in expressions.chain(&index.predicate) {
                uses |= is_used(table, expression, name)?;
            }
            if uses {
                self.change
                    .sql
                    .push(format!("DROP INDEX {}", quote(&index.name)));
            } else {
                kept.push(index);
            }
        }
        table.indexes = kept;
        for check in std::mem::take(&mut table.checks) {
            if !is_used(table, &check.expression, name)? {
                table.checks.push(check);
            }
        }
        table
            .foreign_keys
            .retain(|key| !key.columns.iter().any(|own| own == name));
        Ok(())
    }
}

/// Whether an expression names a column.
fn is_used(table: &Table, expression: &str, name: &str) -> Result<bool> {
    let expression = parse::expression(expression)?;
    let names = super::constraint::columns_in(table, &expression);
    Ok(names.iter().any(|own| own == name))
}
