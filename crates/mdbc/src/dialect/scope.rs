//! What names mean at a place in a query.

use std::cell::{Cell, RefCell};

use super::{Output, Typed};
use crate::error::{Result, SqlError, state};
use crate::ranges::plan::TouchId;
use crate::types::SqlType;

/// Something in a `FROM`.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// What the query calls it.
    pub(super) alias: String,
    pub(super) columns: Vec<SourceColumn>,
    /// The object id of a table.
    pub(super) oid: Option<u32>,
    /// The columns of a table's primary key.
    pub(super) key: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct SourceColumn {
    pub(super) name: String,
    pub(super) ty: SqlType,
    pub(super) modifier: i32,
    pub(super) sql: String,
    pub(super) origin: Option<(u32, i16)>,
    /// Whether it stands behind a column that `USING` has merged.
    pub(super) is_merged: bool,
}

impl SourceColumn {
    pub(super) fn typed(&self) -> Typed {
        Typed {
            modifier: self.modifier,
            origin: self.origin,
            ..Typed::new(self.sql.clone(), self.ty)
        }
    }

    pub(super) fn of_output(alias: &str, output: &Output) -> Self {
        Self {
            name: output.name.clone(),
            ty: output.ty,
            modifier: output.modifier,
            sql: format!(
                "{}.{}",
                super::parse::quote(alias),
                super::parse::quote(&output.sql_name)
            ),
            origin: output.origin,
            is_merged: false,
        }
    }
}

/// A common table expression, or a table by that name.
#[derive(Debug, Clone)]
pub(super) struct CommonTable {
    pub(super) name: String,
    /// What SQLite calls it.
    pub(super) sql_name: String,
    pub(super) columns: Vec<Output>,
}

/// A column that was used outside an aggregate.
#[derive(Debug, Clone)]
struct Bare {
    sql: String,
    name: String,
    source: String,
}

/// The names of one query, within those of the queries around it.
#[derive(Default)]
pub(super) struct Scope<'p> {
    pub(super) parent: Option<&'p Scope<'p>>,
    pub(super) common: Vec<CommonTable>,
    pub(super) sources: Vec<Source>,
    /// Columns that `USING` has merged.
    pub(super) merged: Vec<SourceColumn>,
    /// Expressions of the `GROUP BY`, as SQL.
    pub(super) grouped: RefCell<Vec<String>>,
    has_aggregate: Cell<bool>,
    /// Whether an aggregate may stand here.
    pub(super) allows_aggregates: Cell<bool>,
    aggregate_depth: Cell<usize>,
    bare: RefCell<Vec<Bare>>,
    /// The rows of tables that sources are, by the sources' names.
    pub(super) touches: Vec<(String, TouchId)>,
}

impl<'p> Scope<'p> {
    pub(super) fn within(parent: Option<&'p Scope<'p>>) -> Self {
        Self {
            parent,
            ..Self::default()
        }
    }

    pub(super) fn common_table(&self, name: &str) -> Option<&CommonTable> {
        let own = self.common.iter().rev().find(|table| table.name == name);
        own.or_else(|| self.parent?.common_table(name))
    }

    pub(super) fn add(&mut self, source: Source) -> Result<()> {
        if self.sources.iter().any(|other| other.alias == source.alias) {
            return Err(SqlError::new(
                state::DUPLICATE_ALIAS,
                format!("table name \"{}\" specified more than once", source.alias),
            ));
        }
        self.sources.push(source);
        Ok(())
    }

    /// The source of that name, here or around.
    pub(super) fn source(&self, alias: &str) -> Option<&Source> {
        let own = self.sources.iter().find(|source| source.alias == alias);
        own.or_else(|| self.parent?.source(alias))
    }

    /// The column that a name alone means.
    pub(super) fn column(&self, name: &str) -> Result<Option<Typed>> {
        if let Some(merged) = self.merged.iter().find(|column| column.name == name) {
            self.note(merged, "");
            return Ok(Some(merged.typed()));
        }
        let mut found = None;
        for source in &self.sources {
            let named = |column: &&SourceColumn| column.name == name && !column.is_merged;
            for column in source.columns.iter().filter(named) {
                if found.replace((source, column)).is_some() {
                    return Err(ambiguous(name));
                }
            }
        }
        match (found, self.parent) {
            (Some((source, column)), _) => {
                self.note(column, &source.alias);
                Ok(Some(column.typed()))
            }
            (None, Some(parent)) => parent.column(name),
            (None, None) => Ok(None),
        }
    }

    /// The column that a source's name and its own mean.
    pub(super) fn qualified(&self, alias: &str, name: &str) -> Result<Typed> {
        let Some(source) = self.sources.iter().find(|source| source.alias == alias) else {
            return match self.parent {
                Some(parent) => parent.qualified(alias, name),
                None => Err(SqlError::new(
                    state::UNDEFINED_TABLE,
                    format!("missing FROM-clause entry for table \"{alias}\""),
                )),
            };
        };
        let mut columns = source.columns.iter().filter(|column| column.name == name);
        match (columns.next(), columns.next()) {
            (Some(column), None) => {
                self.note(column, &source.alias);
                Ok(column.typed())
            }
            (Some(_), Some(_)) => Err(ambiguous(name)),
            (None, _) if name == "tableoid" && source.oid.is_some() => Ok(Typed::of(
                source.oid.unwrap_or_default().to_string(),
                crate::types::Base::Oid,
            )),
            (None, _) => Err(SqlError::new(
                state::UNDEFINED_COLUMN,
                format!("column {alias}.{name} does not exist"),
            )),
        }
    }

    fn note(&self, column: &SourceColumn, source: &str) {
        if self.aggregate_depth.get() == 0 {
            self.bare.borrow_mut().push(Bare {
                sql: column.sql.clone(),
                name: column.name.clone(),
                source: source.to_owned(),
            });
        }
    }

    /// Where the list of bare columns ends now.
    pub(super) fn mark(&self) -> usize {
        self.bare.borrow().len()
    }

    /// Forgets bare columns that belong to a grouped expression.
    pub(super) fn settle(&self, mark: usize, sql: &str) {
        if self.grouped.borrow().iter().any(|grouped| grouped == sql) {
            self.bare.borrow_mut().truncate(mark);
        }
    }

    /// Forgets all bare columns: those of a `WHERE` are no matter.
    pub(super) fn forget(&self) {
        self.bare.borrow_mut().clear();
    }

    pub(super) fn enter_aggregate(&self, name: &str) -> Result<()> {
        if self.aggregate_depth.get() > 0 {
            return Err(SqlError::new(
                state::GROUPING_ERROR,
                "aggregate function calls cannot be nested",
            ));
        }
        if !self.allows_aggregates.get() {
            return Err(SqlError::new(
                state::GROUPING_ERROR,
                format!("aggregate function {name} is not allowed here"),
            ));
        }
        self.has_aggregate.set(true);
        self.aggregate_depth.set(1);
        Ok(())
    }

    pub(super) fn leave_aggregate(&self) {
        self.aggregate_depth.set(0);
    }

    pub(super) fn has_aggregate(&self) -> bool {
        self.has_aggregate.get()
    }

    /// Checks that each bare column has one value a group.
    pub(super) fn check_grouping(&self) -> Result<()> {
        let grouped = self.grouped.borrow();
        for bare in self.bare.borrow().iter() {
            let is_grouped = grouped.contains(&bare.sql) || self.is_determined(bare, &grouped);
            if !is_grouped {
                let dot = if bare.source.is_empty() { "" } else { "." };
                return Err(SqlError::new(
                    state::GROUPING_ERROR,
                    format!(
                        "column \"{}{dot}{}\" must appear in the GROUP BY clause or be used in an \
                         aggregate function",
                        bare.source, bare.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Whether the primary key of the column's table is grouped by.
    fn is_determined(&self, bare: &Bare, grouped: &[String]) -> bool {
        let source = self
            .sources
            .iter()
            .find(|source| source.alias == bare.source);
        source.is_some_and(|source| {
            let is_grouped = |name: &String| {
                let column = source.columns.iter().find(|column| column.name == *name);
                column.is_some_and(|column| grouped.contains(&column.sql))
            };
            !source.key.is_empty() && source.key.iter().all(is_grouped)
        })
    }
}

fn ambiguous(name: &str) -> SqlError {
    SqlError::new(
        state::AMBIGUOUS_COLUMN,
        format!("column reference \"{name}\" is ambiguous"),
    )
}
