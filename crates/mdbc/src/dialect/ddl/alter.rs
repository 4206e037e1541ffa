//! `ALTER TABLE`.

use std::sync::Arc;

use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, Ident, RenameTableNameKind, TableConstraint,
};

use super::{Editor, eventual};
use crate::catalog::schema::{Relation, Table, TableKind};
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn alter_table(&mut self, alter: &AlterTable) -> Result<()> {
        let (_, name) = parse::place(&alter.name)?;
        if self.relation(&name).is_none() && alter.if_exists {
            self.change
                .notices
                .push(format!("relation \"{name}\" does not exist, skipping"));
            return Ok(());
        }
        let mut current = alter.name.clone();
        for operation in &alter.operations {
            let mut table = self.table(&current)?;
            self.alter(&mut table, operation)?;
            current = vec![Ident::with_quote('"', table.name.clone())].into();
            self.put(Relation::Table(Arc::new(table)));
        }
        Ok(())
    }

    fn alter(&mut self, table: &mut Table, operation: &AlterTableOperation) -> Result<()> {
        match operation {
            AlterTableOperation::AddColumn {
                if_not_exists,
                column_def,
                column_position: None,
                ..
            } => self.alter_add_column(table, column_def, *if_not_exists),
            AlterTableOperation::DropColumn {
                column_names,
                if_exists,
                ..
            } => {
                for name in column_names {
                    self.drop_column(table, &parse::fold(name), *if_exists)?;
                }
                Ok(())
            }
            AlterTableOperation::RenameColumn {
                old_column_name,
                new_column_name,
            } => self.rename_column(
                table,
                &parse::fold(old_column_name),
                &parse::fold(new_column_name),
            ),
            AlterTableOperation::RenameTable { table_name } => {
                let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                let name = Self::new_name(name)?;
                self.rename_table(table, &name)
            }
            AlterTableOperation::AddConstraint {
                constraint,
                not_valid: false,
            } => self.alter_add_constraint(table, constraint),
            AlterTableOperation::DropConstraint {
                if_exists, name, ..
            } => self.drop_constraint(table, &parse::fold(name), *if_exists),
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(table, &parse::fold(old_name), &parse::fold(new_name))
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                self.alter_column(table, &parse::fold(column_name), op)
            }
            // There is one owner; what is checked is checked at once.
            AlterTableOperation::OwnerTo { .. }
            | AlterTableOperation::ValidateConstraint { .. } => Ok(()),
            other => Err(SqlError::refused(format!("ALTER TABLE {other}"))),
        }
    }

    fn alter_add_column(
        &mut self,
        table: &mut Table,
        definition: &ColumnDef,
        if_not_exists: bool,
    ) -> Result<()> {
        let name = parse::fold(&definition.name);
        if if_not_exists && table.column(&name).is_some() {
            self.change.notices.push(format!(
                "column \"{name}\" of relation \"{}\" already exists, skipping",
                table.name
            ));
            return Ok(());
        }
        let before = table.clone();
        let constraints = self.add_column(table, definition)?;
        let column = column_of(table, &name)?.clone();
        eventual::check_column(table, &column)?;
        if column.generated.is_some() {
            return Err(SqlError::refused("ADD COLUMN of a generated column"));
        }
        let collation = column
            .ty
            .collation()
            .map(|name| format!(" COLLATE {name}"))
            .unwrap_or_default();
        self.drop_triggers(&before);
        self.change.sql.push(format!(
            "ALTER TABLE {} ADD COLUMN {} {}{collation}",
            quote(&table.name),
            quote(&name),
            column.ty.storage()
        ));
        self.fill(table, &column)?;
        if column.is_not_null {
            self.check_not_null(table, &name);
        }
        for constraint in &constraints {
            if matches!(constraint, TableConstraint::PrimaryKey(_)) {
                return Err(SqlError::refused("ADD COLUMN with a primary key"));
            }
            self.alter_add_constraint(table, constraint)?;
        }
        self.rewrite(table)?;
        self.add_triggers(table);
        Ok(())
    }

    /// Gives rows that are there the default of a new column. It must be the
    /// same at all sites.
    fn fill(&mut self, table: &Table, column: &crate::catalog::schema::Column) -> Result<()> {
        let is_drawn = column.identity.is_some();
        let Some(default) = column.default.as_ref().filter(|_| !is_drawn) else {
            if is_drawn {
                self.refuse_rows(table, "a column whose values are drawn from a sequence");
            }
            return Ok(());
        };
        let compiler = self.compiler();
        let value = compiler
            .expression(
                &parse::expression(default)?,
                &crate::dialect::scope::Scope::default(),
            )
            .and_then(|value| compiler.assign(value, column.ty, column.modifier, &column.name));
        let Ok(value) = value else {
            let what = "a column whose default is not the same at all sites";
            eventual::refuse(table, &format!("adding {what}"), eventual::ON_THE_WAY)?;
            self.refuse_rows(table, what);
            return Ok(());
        };
        let (name, own) = (quote(&table.name), quote(&column.name));
        self.change
            .sql
            .push(format!("UPDATE {name} SET {own} = {}", value.sql));
        if table.kind == TableKind::Eventual {
            // For rows that come yet, written without the column.
            let (oid, number, value) = (table.oid, column.number, value.sql);
            self.change.sql.push(format!(
                "INSERT INTO mdbc_missing VALUES ({oid}, {number}, {value})"
            ));
        }
        Ok(())
    }

    fn refuse_rows(&mut self, table: &Table, what: &str) {
        let error = SqlError::refused(format!("adding {what} to a table that has rows"));
        self.check_rows(&table.name, "0", &error);
    }

    pub(super) fn check_not_null(&mut self, table: &Table, column: &str) {
        let error = SqlError::new(
            state::NOT_NULL_VIOLATION,
            format!(
                "column \"{column}\" of relation \"{}\" contains null values",
                table.name
            ),
        );
        self.check_rows(
            &table.name,
            &format!("{} IS NOT NULL", quote(column)),
            &error,
        );
    }

    fn alter_add_constraint(
        &mut self,
        table: &mut Table,
        constraint: &TableConstraint,
    ) -> Result<()> {
        if matches!(constraint, TableConstraint::PrimaryKey(_)) && table.primary_key.is_none() {
            return Err(SqlError::refused(
                "ADD PRIMARY KEY to a table that has none",
            ));
        }
        if matches!(constraint, TableConstraint::Check(_)) {
            eventual::refuse(table, "a new CHECK", eventual::ON_THE_WAY)?;
        }
        self.add_constraint(table, constraint)?;
        match constraint {
            TableConstraint::Unique(_) => {
                if let Some(index) = table.indexes.last().cloned() {
                    let sql = self.index_sql(table, &index)?;
                    self.change.sql.push(sql);
                }
            }
            TableConstraint::Check(_) => {
                if let Some(check) = table.checks.last().cloned() {
                    let condition = self.condition_sql(table, &check.expression)?;
                    let error = SqlError::new(
                        state::CHECK_VIOLATION,
                        format!(
                            "check constraint \"{}\" of relation \"{}\" is violated by some row",
                            check.name, table.name
                        ),
                    );
                    self.check_rows(&table.name, &format!("coalesce({condition}, 1)"), &error);
                }
                self.rewrite(table)?;
            }
            _ => {
                if let Some(key) = table.foreign_keys.last().cloned() {
                    self.check_foreign_rows(table, &key);
                }
                self.rewrite(table)?;
            }
        }
        Ok(())
    }

    fn drop_constraint(&mut self, table: &mut Table, name: &str, if_exists: bool) -> Result<()> {
        if table
            .primary_key
            .as_ref()
            .is_some_and(|key| key.name == name)
        {
            return Err(SqlError::refused("dropping a primary key"));
        }
        let count = |table: &Table| table.checks.len() + table.foreign_keys.len();
        let before = count(table);
        table.checks.retain(|check| check.name != name);
        table.foreign_keys.retain(|key| key.name != name);
        if count(table) != before {
            return self.rewrite(table);
        }
        let is_index = |index: &crate::catalog::schema::Index| {
            index.name == name && index.constraint.is_some()
        };
        if let Some(index) = table.indexes.iter().find(|index| is_index(index)).cloned() {
            let columns: Vec<String> = index
                .columns()
                .unwrap_or_default()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let used = self
                .schema()
                .children(&table.name)
                .find(|(_, key)| key.parent_columns == columns);
            if let Some((child, key)) = used.filter(|_| columns != table.key()) {
                return Err(SqlError::new(
                    state::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!(
                        "cannot drop constraint {name} because constraint {} on table {} \
                         depends on it",
                        key.name, child.name
                    ),
                ));
            }
            table.indexes.retain(|index| !is_index(index));
            self.change.sql.push(format!("DROP INDEX {}", quote(name)));
            return Ok(());
        }
        if if_exists {
            self.change.notices.push(format!(
                "constraint \"{name}\" of relation \"{}\" does not exist, skipping",
                table.name
            ));
            return Ok(());
        }
        Err(SqlError::new(
            state::UNDEFINED_OBJECT,
            format!(
                "constraint \"{name}\" of relation \"{}\" does not exist",
                table.name
            ),
        ))
    }
}
