//! Indexes.

use std::sync::Arc;

use sqlparser::ast::{AlterIndexOperation, CreateIndex, Expr, IndexType, ObjectName, OrderBySort};

use super::{Editor, duplicate, eventual, owned};
use crate::catalog::schema::{Index, IndexPart, Relation, Table};
use crate::dialect::insert::column_of;
use crate::dialect::parse::{self, quote};
use crate::error::{Result, SqlError, state};

impl Editor<'_> {
    pub(super) fn create_index(&mut self, create: &CreateIndex) -> Result<()> {
        if !create.include.is_empty()
            || create.nulls_distinct == Some(false)
            || !create.with.is_empty()
        {
            return Err(SqlError::refused(
                "INCLUDE, NULLS NOT DISTINCT or WITH of an index",
            ));
        }
        // Hashes are for equality, which trees do too.
        if let Some(method) = &create.using
            && !matches!(method, IndexType::BTree | IndexType::Hash)
        {
            return Err(SqlError::refused(format!(
                "an index of the method {method}"
            )));
        }
        let mut table = self.table(&create.table_name)?;
        if create.unique {
            eventual::refuse(&table, "CREATE UNIQUE INDEX", eventual::BEYOND_A_ROW)?;
        }
        if create.predicate.is_some() {
            eventual::refuse(&table, "an index with a condition", eventual::ON_THE_WAY)?;
        }
        let parts = index_parts(&table, create)?;
        if parts.iter().any(|part| part.column.is_none()) {
            eventual::refuse(&table, "an index on an expression", eventual::ON_THE_WAY)?;
        }
        let name = if let Some(name) = &create.name {
            let name = Self::new_name(name)?;
            if self.is_taken(&name) {
                if create.if_not_exists {
                    self.change
                        .notices
                        .push(format!("relation \"{name}\" already exists, skipping"));
                    return Ok(());
                }
                return Err(duplicate(&name));
            }
            name
        } else {
            let names = parts
                .iter()
                .map(|part| part.column.as_deref().unwrap_or("expr"));
            let all: Vec<&str> = std::iter::once(table.name.as_str()).chain(names).collect();
            self.free_name(&all, "idx", &[])
        };
        let index = Index {
            oid: self.oid(),
            name,
            parts,
            is_unique: create.unique,
            constraint: None,
            predicate: create.predicate.as_ref().map(ToString::to_string),
        };
        owned::check_unique(&table, &index)?;
        let sql = self.index_sql(&table, &index)?;
        self.change.sql.push(sql);
        table.indexes.push(index);
        self.put(Relation::Table(Arc::new(table)));
        Ok(())
    }

    pub(super) fn alter_index(
        &mut self,
        name: &ObjectName,
        operation: &AlterIndexOperation,
    ) -> Result<()> {
        let (_, old) = parse::place(name)?;
        let AlterIndexOperation::RenameIndex { index_name } = operation;
        let new = Self::new_name(index_name)?;
        let table = self
            .schema()
            .table_of_index(&old)
            .ok_or_else(|| super::super::from::undefined_table(name))?;
        if self.is_taken(&new) {
            return Err(duplicate(&new));
        }
        let mut table = (**table).clone();
        if table
            .primary_key
            .as_ref()
            .is_some_and(|key| key.name == old)
        {
            return Err(SqlError::refused("a new name for a primary key's index"));
        }
        self.change.sql.push(format!("DROP INDEX {}", quote(&old)));
        for index in table.indexes.iter_mut().filter(|index| index.name == old) {
            index.name.clone_from(&new);
        }
        let renamed = table
            .indexes
            .iter()
            .find(|index| index.name == new)
            .cloned();
        if let Some(index) = renamed {
            let sql = self.index_sql(&table, &index)?;
            self.change.sql.push(sql);
        }
        self.put(Relation::Table(Arc::new(table)));
        Ok(())
    }

    pub(super) fn drop_index(&mut self, name: &str) -> Result<bool> {
        let Some(table) = self.schema().table_of_index(name) else {
            return Ok(false);
        };
        let mut table = match self.relation(&table.name) {
            Some(Relation::Table(table)) => (**table).clone(),
            _ => return Ok(false),
        };
        let index = table.indexes.iter().find(|index| index.name == name);
        if index.is_none_or(|index| index.constraint.is_some()) {
            return Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!(
                    "cannot drop index {name} because a constraint on table {} requires it",
                    table.name
                ),
            ));
        }
        table.indexes.retain(|index| index.name != name);
        self.change.sql.push(format!("DROP INDEX {}", quote(name)));
        self.put(Relation::Table(Arc::new(table)));
        Ok(true)
    }
}

fn index_parts(table: &Table, create: &CreateIndex) -> Result<Vec<IndexPart>> {
    let mut parts = Vec::new();
    for item in &create.columns {
        let is_descending = match &item.column.options.sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return Err(SqlError::refused("USING in an index")),
        };
        let column = match &item.column.expr {
            Expr::Identifier(name) => Some(column_of(table, &parse::fold(name))?.name.clone()),
            _ => None,
        };
        let expression = match &column {
            Some(name) => parse::quote_if_needed(name),
            None => item.column.expr.to_string(),
        };
        let is_nulls_first = item.column.options.nulls_first.unwrap_or(is_descending);
        parts.push(IndexPart {
            column,
            expression,
            is_descending,
            is_nulls_first,
        });
    }
    Ok(parts)
}
