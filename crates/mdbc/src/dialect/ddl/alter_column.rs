//! `ALTER TABLE … ALTER COLUMN`.

use sqlparser::ast::{AlterColumnOperation, DataType, Expr};

use super::build::bare_scope;
use super::{Editor, eventual, owned};
use crate::catalog::schema::Table;
use crate::dialect::cast::Strength;
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::dialect::{Compiler, type_name};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn alter_column(
        &mut self,
        table: &mut Table,
        name: &str,
        operation: &AlterColumnOperation,
    ) -> Result<()> {
        let column = column_of(table, name)?.clone();
        match operation {
            AlterColumnOperation::SetNotNull => {
                eventual::refuse(table, "SET NOT NULL", eventual::ON_THE_WAY)?;
                self.check_not_null(table, name);
                edit(table, name, |column| column.is_not_null = true);
                self.rewrite(table)
            }
            AlterColumnOperation::DropNotNull => {
                if table.key().iter().any(|key| key == name) {
                    return Err(SqlError::new(
                        state::INVALID_TABLE_DEFINITION,
                        format!("column \"{name}\" is in a primary key"),
                    ));
                }
                edit(table, name, |column| column.is_not_null = false);
                self.rewrite(table)
            }
            AlterColumnOperation::SetDefault { value } => {
                self.check_default(&column, value)?;
                edit(table, name, |column| {
                    column.default = Some(value.to_string());
                });
                Ok(())
            }
            AlterColumnOperation::DropDefault => {
                edit(table, name, |column| column.default = None);
                Ok(())
            }
            AlterColumnOperation::SetDataType {
                data_type, using, ..
            } => {
                eventual::refuse(table, "another type of a column", eventual::ON_THE_WAY)?;
                self.set_type(table, name, data_type, using.as_ref())
            }
            other => Err(SqlError::refused(format!("ALTER COLUMN {other}"))),
        }
    }

    fn set_type(
        &mut self,
        table: &mut Table,
        name: &str,
        ty: &DataType,
        using: Option<&Expr>,
    ) -> Result<()> {
        let before = column_of(table, name)?.clone();
        let (ty, modifier) = type_name::resolve(ty)?;
        let is_same =
            before.ty.storage() == ty.storage() && before.ty.collation() == ty.collation();
        if !is_same {
            self.refuse_dependents(table, name)?;
        }
        owned::check_type(table, &before, ty, using.is_some())?;
        self.refuse_if_viewed(&table.name, "alter the type of a column")?;
        let compiler = self.compiler();
        let scope = bare_scope(table)?;
        let column_text = parse::expression(&quote(name))?;
        let value = compiler.expression(using.unwrap_or(&column_text), &scope)?;
        let value = compiler
            .cast(value, ty, Strength::Assignment)
            .map_err(|error| {
                SqlError::new(
                    state::DATATYPE_MISMATCH,
                    format!("column \"{name}\" cannot be cast automatically to type {ty}"),
                )
                .with_detail(error.message)
                .with_hint("You might need to specify a USING expression.")
            })?;
        let value = Compiler::fit(value, modifier, Strength::Assignment);
        edit(table, name, |column| {
            column.ty = ty;
            column.modifier = modifier;
        });
        if let Some(default) = &before.default {
            let after = column_of(table, name)?.clone();
            self.check_default(&after, &parse::expression(default)?)?;
        }
        self.drop_triggers(table);
        // Indexes are in the order of the old values.
        let indexes = table.indexes.clone();
        for index in &indexes {
            self.change
                .sql
                .push(format!("DROP INDEX {}", quote(&index.name)));
        }
        self.rewrite(table)?;
        self.change.sql.push(format!(
            "UPDATE {} SET {} = {}",
            quote(&table.name),
            quote(name),
            value.sql
        ));
        for index in &indexes {
            let sql = self.index_sql(table, index)?;
            self.change.sql.push(sql);
        }
        self.add_triggers(table);
        Ok(())
    }

    fn refuse_dependents(&self, table: &Table, name: &str) -> Result<()> {
        let is_own = |names: &[String]| names.iter().any(|own| own == name);
        let is_referred = self
            .schema()
            .children(&table.name)
            .any(|(_, key)| is_own(&key.parent_columns));
        let is_referring = table.foreign_keys.iter().any(|key| is_own(&key.columns));
        if is_own(table.key()) || is_referred || is_referring {
            return Err(SqlError::refused(
                "another kind of type for a column of a key",
            ));
        }
        Ok(())
    }
}

fn edit(table: &mut Table, name: &str, change: impl Fn(&mut crate::catalog::schema::Column)) {
    if let Some(column) = table.columns.iter_mut().find(|column| column.name == name) {
        change(column);
    }
}
