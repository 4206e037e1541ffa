//! New names for tables and columns.

use std::sync::Arc;

use sqlparser::ast::{Expr, Ident, VisitMut, VisitorMut};

use super::constraint::with_parent_renamed;
use super::{Editor, duplicate};
use crate::catalog::schema::{Relation, Sequence, Table};
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn rename_constraint(
        &mut self,
        table: &mut Table,
        old: &str,
        new: &str,
    ) -> Result<()> {
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
                format!(
                    "constraint \"{old}\" for table \"{}\" does not exist",
                    table.name
                ),
            ));
        };
        new.clone_into(name);
        self.rewrite(table)
    }

    pub(super) fn rename_table(&mut self, table: &mut Table, new: &str) -> Result<()> {
        if self.is_taken(new) {
            return Err(duplicate(new));
        }
        let old = table.name.clone();
        self.refuse_if_viewed(&old, "rename the table")?;
        self.drop_triggers(table);
        self.change.sql.push(format!(
            "ALTER TABLE {} RENAME TO {}",
            quote(&old),
            quote(new)
        ));
        new.clone_into(&mut table.name);
        for key in table
            .foreign_keys
            .iter_mut()
            .filter(|key| key.parent == old)
        {
            new.clone_into(&mut key.parent);
        }
        let mut reached: Vec<Relation> = Vec::new();
        for relation in self
            .schema()
            .relations()
            .filter(|relation| relation.name() != old)
        {
            let relation = self.relation(relation.name()).unwrap_or(relation);
            reached.extend(with_parent_renamed(relation, &old, new));
            if let Relation::Sequence(sequence) = relation
                && let Some((owner, column)) = &sequence.owner
                && *owner == old
            {
                let owner = Some((new.to_owned(), column.clone()));
                reached.push(Relation::Sequence(Arc::new(Sequence {
                    owner,
                    ..(**sequence).clone()
                })));
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

    pub(super) fn rename_column(&mut self, table: &mut Table, old: &str, new: &str) -> Result<()> {
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
        for relation in self
            .schema()
            .relations()
            .filter(|relation| relation.name() != name)
        {
            match self.relation(relation.name()) {
                Some(Relation::Table(child))
                    if child.foreign_keys.iter().any(|key| key.parent == name) =>
                {
                    let mut child = (**child).clone();
                    for key in child
                        .foreign_keys
                        .iter_mut()
                        .filter(|key| key.parent == name)
                    {
                        rename_in(&mut key.parent_columns, old, new);
                    }
                    reached.push(Relation::Table(Arc::new(child)));
                }
                Some(Relation::Sequence(sequence))
                    if sequence
                        .owner
                        .as_ref()
                        .is_some_and(|(owner, column)| *owner == name && column == old) =>
                {
                    let owner = Some((name.clone(), new.to_owned()));
                    reached.push(Relation::Sequence(Arc::new(Sequence {
                        owner,
                        ..(**sequence).clone()
                    })));
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
    for column in &mut table.columns {
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
    let walked = expression.visit(&mut Renamer { old, new });
    debug_assert!(walked.is_continue(), "nothing stops the walk");
    Ok(expression.to_string())
}
