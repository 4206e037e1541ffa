//! `ALTER TABLE`.

use std::sync::Arc;

use sqlparser::ast::{
    AlterTable, AlterTableOperation, ColumnDef, DropBehavior, Expr, Ident, RenameTableNameKind,
    TableConstraint, VisitMut, VisitorMut,
};

use super::constraint::with_parent_renamed;
use super::{Editor, duplicate, eventual};
use crate::catalog::schema::{Relation, Sequence, Table, TableKind};
use crate::dialect::Compiler;
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn alter_table(&mut self, alter: &AlterTable) -> Result<()> {
        let (_, name) = parse::place(&alter.name)?;
        if self.relation(&name).is_none() && alter.if_exists {
            self.change.notices.push(format!("relation \"{name}\" does not exist, skipping"));
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
            AlterTableOperation::AddColumn { if_not_exists, column_def, column_position: None, .. } => {
                self.alter_add_column(table, column_def, *if_not_exists)
            }
            AlterTableOperation::DropColumn { column_names, if_exists, drop_behavior, .. } => {
                let cascades = *drop_behavior == Some(DropBehavior::Cascade);
                for name in column_names {
                    self.drop_column(table, &parse::fold(name), *if_exists, cascades)?;
                }
                Ok(())
            }
            AlterTableOperation::RenameColumn { old_column_name, new_column_name } => {
                self.rename_column(table, &parse::fold(old_column_name), &parse::fold(new_column_name))
            }
            AlterTableOperation::RenameTable { table_name } => {
                let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                let name = self.new_name(name)?;
                self.rename_table(table, &name)
            }
            AlterTableOperation::AddConstraint { constraint, not_valid: false } => {
                self.alter_add_constraint(table, constraint)
            }
            AlterTableOperation::DropConstraint { if_exists, name, .. } => {
                self.drop_constraint(table, &parse::fold(name), *if_exists)
            }
            AlterTableOperation::RenameConstraint { old_name, new_name } => {
                self.rename_constraint(table, &parse::fold(old_name), &parse::fold(new_name))
            }
            AlterTableOperation::AlterColumn { column_name, op } => {
                self.alter_column(table, &parse::fold(column_name), op)
            }
            // There is one owner; what is checked is checked at once.
            AlterTableOperation::OwnerTo { .. } | AlterTableOperation::ValidateConstraint { .. } => Ok(()),
            other => Err(SqlError::refused(format!("ALTER TABLE {other}"))),
        }
    }

    fn alter_add_column(&mut self, table: &mut Table, definition: &ColumnDef, if_not_exists: bool) -> Result<()> {
        let name = parse::fold(&definition.name);
        if if_not_exists && table.column(&name).is_some() {
            self.change.notices.push(format!("column \"{name}\" of relation \"{}\" already exists, skipping", table.name));
            return Ok(());
        }
        let before = table.clone();
        let constraints = self.add_column(table, definition)?;
        let column = column_of(table, &name)?.clone();
        eventual::check_column(table, &column)?;
        if column.generated.is_some() {
            return Err(SqlError::refused("ADD COLUMN of a generated column"));
        }
        let collation = column.ty.collation().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
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
            .expression(&parse::expression(default)?, &crate::dialect::scope::Scope::default())
            .and_then(|value| compiler.assign(value, column.ty, column.modifier, &column.name));
        match value {
            Ok(value) => {
                let (name, own) = (quote(&table.name), quote(&column.name));
                self.change.sql.push(format!("UPDATE {name} SET {own} = {}", value.sql));
                if table.kind == TableKind::Eventual {
                    // For rows that come yet, written without the column.
                    let (oid, number, value) = (table.oid, column.number, value.sql);
                    self.change.sql.push(format!("INSERT INTO mdbc_missing VALUES ({oid}, {number}, {value})"));
                }
            }
            Err(_) => {
                let what = "a column whose default is not the same at all sites";
                eventual::refuse(table, &format!("adding {what}"), eventual::ON_THE_WAY)?;
                self.refuse_rows(table, what);
            }
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
            format!("column \"{column}\" of relation \"{}\" contains null values", table.name),
        );
        self.check_rows(&table.name, &format!("{} IS NOT NULL", quote(column)), &error);
    }

    fn alter_add_constraint(&mut self, table: &mut Table, constraint: &TableConstraint) -> Result<()> {
        if matches!(constraint, TableConstraint::PrimaryKey(_)) && table.primary_key.is_none() {
            return Err(SqlError::refused("ADD PRIMARY KEY to a table that has none"));
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
                        format!("check constraint \"{}\" of relation \"{}\" is violated by some row", check.name, table.name),
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
        if table.primary_key.as_ref().is_some_and(|key| key.name == name) {
            return Err(SqlError::refused("dropping a primary key"));
        }
        let count = |table: &Table| table.checks.len() + table.foreign_keys.len();
        let before = count(table);
        table.checks.retain(|check| check.name != name);
        table.foreign_keys.retain(|key| key.name != name);
        if count(table) != before {
            return self.rewrite(table);
        }
        let is_index = |index: &crate::catalog::schema::Index| index.name == name && index.constraint.is_some();
        if let Some(index) = table.indexes.iter().find(|index| is_index(index)).cloned() {
            let columns: Vec<String> = index.columns().unwrap_or_default().into_iter().map(str::to_owned).collect();
            let used = self.schema().children(&table.name).find(|(_, key)| key.parent_columns == columns);
            if let Some((child, key)) = used.filter(|_| columns != table.key()) {
                return Err(SqlError::new(
                    state::DEPENDENT_OBJECTS_STILL_EXIST,
                    format!("cannot drop constraint {name} because constraint {} on table {} depends on it", key.name, child.name),
                ));
            }
            table.indexes.retain(|index| !is_index(index));
            self.change.sql.push(format!("DROP INDEX {}", quote(name)));
            return Ok(());
        }
        if if_exists {
            self.change.notices.push(format!("constraint \"{name}\" of relation \"{}\" does not exist, skipping", table.name));
            return Ok(());
        }
        Err(SqlError::new(
            state::UNDEFINED_OBJECT,
            format!("constraint \"{name}\" of relation \"{}\" does not exist", table.name),
        ))
    }

    fn rename_constraint(&mut self, table: &mut Table, old: &str, new: &str) -> Result<()> {
        if table.constraint_names().any(|name| name == new) || self.is_taken(new) {
            return Err(duplicate(new));
        }
        if let Some(index) = table.indexes.iter_mut().find(|index| index.name == old) {
            new.clone_into(&mut index.name);
            let index = index.clone();
            self.change.sql.push(format!("DROP INDEX {}", quote(old)));
            let sql = self.index_sql(table, &index)?;
            self.change.sql.push(sql);
            return Ok(());
        }
        let key = table.primary_key.iter_mut().map(|key| &mut key.name);
        let checks = table.checks.iter_mut().map(|check| &mut check.name);
        let foreign = table.foreign_keys.iter_mut().map(|key| &mut key.name);
        let Some(name) = key.chain(checks).chain(foreign).find(|name| *name == old) else {
            return Err(SqlError::new(
                state::UNDEFINED_OBJECT,
                format!("constraint \"{old}\" for table \"{}\" does not exist", table.name),
            ));
        };
        new.clone_into(name);
        self.rewrite(table)
    }

    fn rename_table(&mut self, table: &mut Table, new: &str) -> Result<()> {
        if self.is_taken(new) {
            return Err(duplicate(new));
        }
        let old = table.name.clone();
        self.refuse_if_viewed(&old, "rename the table")?;
        self.drop_triggers(table);
        self.change.sql.push(format!("ALTER TABLE {} RENAME TO {}", quote(&old), quote(new)));
        new.clone_into(&mut table.name);
        for key in table.foreign_keys.iter_mut().filter(|key| key.parent == old) {
            new.clone_into(&mut key.parent);
        }
        let mut reached: Vec<Relation> = Vec::new();
        for relation in self.schema().relations().filter(|relation| relation.name() != old) {
            let relation = self.relation(relation.name()).unwrap_or(relation);
            reached.extend(with_parent_renamed(relation, &old, new));
            if let Relation::Sequence(sequence) = relation
                && let Some((owner, column)) = &sequence.owner
                && *owner == old
            {
                let owner = Some((new.to_owned(), column.clone()));
                reached.push(Relation::Sequence(Arc::new(Sequence { owner, ..(**sequence).clone() })));
            }
        }
        for relation in reached {
            self.put(relation);
        }
        self.change.put.retain(|relation| relation.name() != old);
        self.change.removed.push(old);
        self.rewrite(table)?;
        self.add_triggers(table);
        Ok(())
    }

    fn rename_column(&mut self, table: &mut Table, old: &str, new: &str) -> Result<()> {
        column_of(table, old)?;
        super::create::check_column_name(table, new)?;
        self.refuse_if_viewed(&table.name, "rename the column")?;
        self.drop_triggers(table);
        self.change.sql.push(format!(
            "ALTER TABLE {} RENAME COLUMN {} TO {}",
            quote(&table.name),
            quote(old),
            quote(new)
        ));
        rename_in_table(table, old, new)?;
        let name = table.name.clone();
        let mut reached: Vec<Relation> = Vec::new();
        for relation in self.schema().relations().filter(|relation| relation.name() != name) {
            match self.relation(relation.name()) {
                Some(Relation::Table(child)) if child.foreign_keys.iter().any(|key| key.parent == name) => {
                    let mut child = (**child).clone();
                    for key in child.foreign_keys.iter_mut().filter(|key| key.parent == name) {
                        rename_in(&mut key.parent_columns, old, new);
                    }
                    reached.push(Relation::Table(Arc::new(child)));
                }
                Some(Relation::Sequence(sequence)) if sequence.owner.as_ref().is_some_and(|(owner, column)| *owner == name && column == old) => {
                    let owner = Some((name.clone(), new.to_owned()));
                    reached.push(Relation::Sequence(Arc::new(Sequence { owner, ..(**sequence).clone() })));
                }
                _ => {}
            }
        }
        for relation in reached {
            self.put(relation);
        }
        self.rewrite(table)?;
        self.add_triggers(table);
        Ok(())
    }

    fn drop_column(&mut self, table: &mut Table, name: &str, if_exists: bool, cascades: bool) -> Result<()> {
        if table.column(name).is_none() && if_exists {
            self.change.notices.push(format!("column \"{name}\" of relation \"{}\" does not exist, skipping", table.name));
            return Ok(());
        }
        column_of(table, name)?;
        if table.key().iter().any(|key| key == name) {
            return Err(SqlError::refused("dropping a column of the primary key"));
        }
        self.refuse_if_viewed(&table.name, "drop the column")?;
        let referred = self.schema().children(&table.name).find(|(_, key)| key.parent_columns.iter().any(|own| own == name));
        if let Some((child, key)) = referred {
            let _ = cascades;
            return Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot drop column {name} because constraint {} on table {} depends on it", key.name, child.name),
            )
            .with_hint("Drop the constraint first."));
        }
        self.drop_triggers(table);
        let mut kept = Vec::new();
        for index in std::mem::take(&mut table.indexes) {
            let mut uses = false;
            for part in &index.parts {
                let expression = parse::expression(&part.expression)?;
                uses |= super::constraint::columns_in(table, &expression).iter().any(|own| own == name);
            }
            if let Some(predicate) = &index.predicate {
                let predicate = parse::expression(predicate)?;
                uses |= super::constraint::columns_in(table, &predicate).iter().any(|own| own == name);
            }
            if uses {
                self.change.sql.push(format!("DROP INDEX {}", quote(&index.name)));
            } else {
                kept.push(index);
            }
        }
        table.indexes = kept;
        let checks = std::mem::take(&mut table.checks);
        for check in checks {
            let expression = parse::expression(&check.expression)?;
            if !super::constraint::columns_in(table, &expression).iter().any(|own| own == name) {
                table.checks.push(check);
            }
        }
        table.foreign_keys.retain(|key| !key.columns.iter().any(|own| own == name));
        // First without the constraints, which SQLite would trip over.
        self.rewrite(table)?;
        self.change.sql.push(format!("ALTER TABLE {} DROP COLUMN {}", quote(&table.name), quote(name)));
        table.columns.retain(|column| column.name != name);
        let owned = self.schema().relations().filter(|relation| match relation {
            Relation::Sequence(sequence) => {
                sequence.owner.as_ref().is_some_and(|(owner, column)| *owner == table.name && column == name)
            }
            _ => false,
        });
        let owned: Vec<String> = owned.map(|relation| relation.name().to_owned()).collect();
        self.change.removed.extend(owned);
        self.add_triggers(table);
        Ok(())
    }
}

fn rename_in(names: &mut [String], old: &str, new: &str) {
    for name in names.iter_mut().filter(|name| *name == old) {
        new.clone_into(name);
    }
}

fn rename_in_table(table: &mut Table, old: &str, new: &str) -> Result<()> {
    for column in table.columns.iter_mut().filter(|column| column.name == old) {
        new.clone_into(&mut column.name);
    }
    if let Some(key) = &mut table.primary_key {
        rename_in(&mut key.columns, old, new);
    }
    for key in &mut table.foreign_keys {
        rename_in(&mut key.columns, old, new);
        if key.parent == table.name {
            rename_in(&mut key.parent_columns, old, new);
        }
    }
    for check in &mut table.checks {
        check.expression = renamed(&check.expression, old, new)?;
    }
    for column in table.columns.iter_mut() {
        if let Some(generated) = &column.generated {
            column.generated = Some(renamed(generated, old, new)?);
        }
    }
    for index in &mut table.indexes {
        for part in &mut index.parts {
            if part.column.as_deref() == Some(old) {
                part.column = Some(new.to_owned());
            }
            part.expression = renamed(&part.expression, old, new)?;
        }
        if let Some(predicate) = &index.predicate {
            index.predicate = Some(renamed(predicate, old, new)?);
        }
    }
    Ok(())
}

/// An expression with a column's new name.
fn renamed(text: &str, old: &str, new: &str) -> Result<String> {
    struct Renamer<'a> {
        old: &'a str,
        new: &'a str,
    }
    impl VisitorMut for Renamer<'_> {
        type Break = ();

        fn post_visit_expr(&mut self, expression: &mut Expr) -> std::ops::ControlFlow<()> {
            let last = match expression {
                Expr::Identifier(name) => Some(name),
                Expr::CompoundIdentifier(parts) => parts.last_mut(),
                _ => None,
            };
            if let Some(name) = last.filter(|name| parse::fold(name) == self.old) {
                *name = Ident::with_quote('"', self.new);
            }
            std::ops::ControlFlow::Continue(())
        }
    }
    let mut expression = parse::expression(text)?;
    let _: std::ops::ControlFlow<()> = expression.visit(&mut Renamer { old, new });
    Ok(expression.to_string())
}

/// Whether a default can be computed now.
pub(super) fn check_expression(compiler: &Compiler<'_>, value: &Expr) -> Result<()> {
    compiler.expression(value, &crate::dialect::scope::Scope::default()).map(|_| ())
}
