//! Changes of the schema: what becomes of the catalogue, and what SQLite has
//! to do. A change depends on nothing but its text and the schema before it,
//! so that every site that runs the same texts in the same order has the same
//! schema, to the object ids.

mod alter;
mod alter_column;
mod build;
mod constraint;
mod create;
mod drop;
mod drop_column;
mod eventual;
mod index;
mod owned;
mod rename;

pub(crate) use constraint::columns_in;
pub(crate) use owned::{GROUP, RANGES, shown as shown_ranges};

use sqlparser::ast::{ObjectType, Statement};

use super::{Compiler, Environment, Plan, parse};
use crate::catalog::schema::{Relation, Schema, Table};
use crate::error::{Result, SqlError, state};

/// Columns that a table may have: a trigger hands twice as many to a function.
pub(crate) const COLUMNS_MAX: usize = 400;
/// The longest name, in bytes, as in PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// What a change of the schema does.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What SQLite runs, in this order.
    pub(crate) sql: Vec<String>,
    /// Relations that are new or other than before.
    pub(crate) put: Vec<Relation>,
    /// Names of relations that are gone, before those in `put` come.
    pub(crate) removed: Vec<String>,
    /// What the client is told beside the result.
    pub(crate) notices: Vec<String>,
}

/// Understands a statement as a change of the schema, by its kind alone.
pub(super) fn plan(statement: &Statement, text: &str) -> Result<Plan> {
    let tag = match statement {
        Statement::CreateTable(_) => "CREATE TABLE",
        Statement::CreateIndex(_) => "CREATE INDEX",
        Statement::CreateView(_) => "CREATE VIEW",
        Statement::CreateSequence { .. } => "CREATE SEQUENCE",
        Statement::AlterTable(_) => "ALTER TABLE",
        Statement::AlterIndex { .. } => "ALTER INDEX",
        Statement::Comment { .. } => "COMMENT",
        Statement::Drop { object_type, .. } => match object_type {
            ObjectType::Table => "DROP TABLE",
            ObjectType::View => "DROP VIEW",
            ObjectType::Index => "DROP INDEX",
            ObjectType::Sequence => "DROP SEQUENCE",
            other => return Err(SqlError::refused(format!("DROP {other}"))),
        },
        Statement::CreateSchema {
            schema_name,
            if_not_exists: true,
            ..
        } if schema_name.to_string() == "public" => {
            return Ok(Plan::Nothing("CREATE SCHEMA"));
        }
        Statement::Lock(_) => return Err(SqlError::refused("LOCK TABLE")),
        other => return Err(SqlError::refused(kind_of(other))),
    };
    Ok(Plan::Ddl {
        text: text.to_owned(),
        tag: tag.to_owned(),
    })
}

/// The words that a statement begins with, for a message.
fn kind_of(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    words.join(" ").to_uppercase()
}

/// Understands a change of the schema; `next_oid` is the first object id that
/// is free.
pub(crate) fn change(
    text: &str,
    environment: &Environment<'_>,
    next_oid: u32,
) -> Result<(Change, u32)> {
    let statement = parse::parse(text)?;
    let mut editor = Editor {
        environment,
        next_oid,
        change: Change::default(),
    };
    editor.run(&statement)?;
    Ok((editor.change, editor.next_oid))
}

/// A change of the schema in the making.
struct Editor<'e> {
    environment: &'e Environment<'e>,
    next_oid: u32,
    change: Change,
}

impl<'e> Editor<'e> {
    fn run(&mut self, statement: &Statement) -> Result<()> {
        match statement {
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateIndex(create) => self.create_index(create),
            Statement::CreateView(create) => self.create_view(create),
            Statement::CreateSequence {
                temporary: false,
                if_not_exists,
                name,
                sequence_options,
            } => self.create_sequence(name, *if_not_exists, sequence_options),
            Statement::AlterTable(alter) => self.alter_table(alter),
            Statement::AlterIndex { name, operation } => self.alter_index(name, operation),
            Statement::Comment {
                object_type,
                object_name,
                comment,
                ..
            } => self.comment(*object_type, object_name, comment.as_deref()),
            Statement::Drop {
                object_type,
                if_exists,
                names,
                cascade,
                ..
            } => {
                for name in names {
                    self.drop(*object_type, name, *if_exists, *cascade)?;
                }
                Ok(())
            }
            other => Err(SqlError::refused(kind_of(other))),
        }
    }

    fn schema(&self) -> &'e Schema {
        self.environment.schema
    }

    fn oid(&mut self) -> u32 {
        let oid = self.next_oid;
        self.next_oid = self.next_oid.saturating_add(1);
        oid
    }

    fn compiler(&self) -> Compiler<'e> {
        Compiler::immutable(self.environment)
    }

    /// A relation as this change has left it.
    fn relation(&self, name: &str) -> Option<&Relation> {
        let put = self
            .change
            .put
            .iter()
            .rev()
            .find(|relation| relation.name() == name);
        let is_removed = self.change.removed.iter().any(|removed| removed == name);
        put.or_else(|| self.schema().get(name).filter(|_| !is_removed))
    }

    fn is_taken(&self, name: &str) -> bool {
        let put = self
            .change
            .put
            .iter()
            .filter_map(|relation| match relation {
                Relation::Table(table) => Some(table),
                _ => None,
            });
        let is_constraint = put
            .flat_map(|table| table.constraint_names())
            .any(|own| own == name);
        let is_index = self.schema().table_of_index(name).is_some();
        self.relation(name).is_some() || is_constraint || is_index
    }

    /// The name of a new relation.
    fn new_name(name: &sqlparser::ast::ObjectName) -> Result<String> {
        let (place, last) = parse::place(name)?;
        if !matches!(place, parse::Place::Anywhere | parse::Place::Public) {
            return Err(SqlError::refused("a change of the system catalogue"));
        }
        check_name(&last)?;
        Ok(last)
    }

    /// The table of that name, to be changed.
    fn table(&self, name: &sqlparser::ast::ObjectName) -> Result<Table> {
        let (place, last) = parse::place(name)?;
        if !matches!(place, parse::Place::Anywhere | parse::Place::Public) {
            return Err(SqlError::refused("a change of the system catalogue"));
        }
        match self.relation(&last) {
            Some(Relation::Table(table)) => Ok((**table).clone()),
            Some(_) => Err(SqlError::new(
                state::WRONG_OBJECT_TYPE,
                format!("\"{last}\" is not a table"),
            )),
            None => Err(super::from::undefined_table(name)),
        }
    }

    /// A name made of parts that nothing has.
    fn free_name(&self, parts: &[&str], suffix: &str, taken: &[String]) -> String {
        let stem = parts.join("_");
        for number in 0_u32.. {
            let tail = if number == 0 {
                format!("_{suffix}")
            } else {
                format!("_{suffix}{number}")
            };
            let mut end = NAME_BYTES_MAX.saturating_sub(tail.len()).min(stem.len());
            while !stem.is_char_boundary(end) {
                end -= 1;
            }
            let name = format!("{}{tail}", stem.get(..end).unwrap_or_default());
            if !self.is_taken(&name) && !taken.contains(&name) {
                return name;
            }
        }
        stem
    }

    fn put(&mut self, relation: Relation) {
        self.change
            .put
            .retain(|other| other.name() != relation.name());
        self.change.put.push(relation);
    }

    /// The views whose queries read a table.
    fn views_of(&self, table: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for relation in self.schema().relations() {
            if let Relation::View(view) = relation {
                let compiler = Compiler::new(self.environment);
                compiler.view_query(&view.query)?;
                let direct = mentions(&view.query, table)?;
                if direct || compiler.access.borrow().reads.contains(table) {
                    found.push(view.name.clone());
                }
            }
        }
        Ok(found)
    }

    fn refuse_if_viewed(&self, table: &str, what: &str) -> Result<()> {
        match self.views_of(table)?.first() {
            Some(view) => Err(SqlError::new(
                state::DEPENDENT_OBJECTS_STILL_EXIST,
                format!("cannot {what} because view {view} depends on table {table}"),
            )
            .with_hint("Drop the view first, and create it again afterwards.")),
            None => Ok(()),
        }
    }
}

/// Whether a query reads directly from a relation of that name.
fn mentions(query: &str, name: &str) -> Result<bool> {
    let statement = parse::parse(query)?;
    let found =
        sqlparser::ast::visit_relations(&statement, |relation| match parse::place(relation) {
            Ok((_, own)) if own == name => std::ops::ControlFlow::Break(()),
            _ => std::ops::ControlFlow::Continue(()),
        });
    Ok(found.is_break())
}

/// Refuses names that are mdbc's, SQLite's or too long.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("mdbc_") || lower.starts_with("sqlite_") || lower.starts_with("pg_") {
        return Err(SqlError::new(
            state::RESERVED_NAME,
            format!("unacceptable name \"{name}\""),
        )
        .with_detail("The prefixes \"mdbc_\", \"sqlite_\" and \"pg_\" are reserved."));
    }
    if name.len() > NAME_BYTES_MAX || name.is_empty() || name.contains('\0') {
        return Err(SqlError::new(
            state::INVALID_NAME,
            format!("the name \"{name}\" is not of 1 to {NAME_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

fn duplicate(name: &str) -> SqlError {
    SqlError::new(
        state::DUPLICATE_TABLE,
        format!("relation \"{name}\" already exists"),
    )
}
