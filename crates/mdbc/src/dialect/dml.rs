//! `UPDATE`, `DELETE`, `TRUNCATE`.

use sqlparser::ast::{
    Assignment, Delete, FromTable, ObjectName, SelectItem, TableAlias, TableFactor, TableWithJoins,
    Truncate, TruncateIdentityOption, Update, UpdateTableFromKind,
};

use super::from::source_of;
use super::insert::target;
use super::projection::Hoisted;
use super::reach::How;
use super::scope::{Scope, Source};
use super::{Compiler, Output, Run, Verb, parse};
use crate::catalog::schema::{Relation, Table};
use crate::error::{Result, SqlError, state};
use crate::ranges::plan::TouchId;

impl Compiler<'_> {
    pub(super) fn update(self, update: &Update) -> Result<Run> {
        if update.or.is_some()
            || update.limit.is_some()
            || !update.order_by.is_empty()
            || update.output.is_some()
        {
            return Err(SqlError::refused(
                "UPDATE with OR, ORDER BY, LIMIT or OUTPUT",
            ));
        }
        let (name, alias) = plain_table(&update.table)?;
        let table = target(&self, name)?;
        let shown = alias.map_or_else(|| table.name.clone(), |alias| parse::fold(&alias.name));
        self.reads(&table.name);
        let mut scope = Scope::default();
        scope.add(source_of(table, &shown))?;
        let before = self.touch(&table.name, true);
        scope
            .touches
            .extend(before.map(|before| (shown.clone(), before)));
        let from = match &update.from {
            None => String::new(),
            Some(UpdateTableFromKind::AfterSet(from) | UpdateTableFromKind::BeforeSet(from)) => {
                format!(" FROM {}", self.from(from, &mut scope)?)
            }
        };
        let mut assignments = self.assignments(table, &update.assignments, &scope)?;
        if assignments.is_empty() {
            // Generated columns alone: the rows are written as they are.
            let column = table
                .columns
                .first()
                .map(|column| parse::quote(&column.name))
                .unwrap_or_default();
            assignments = format!("{column} = {column}");
        }
        let mut sql = format!(
            "UPDATE main.{} AS {} SET {assignments}{from}",
            parse::quote(&table.name),
            parse::quote(&shown)
        );
        if let Some(selection) = &update.selection {
            let value = self.expression(selection, &scope)?;
            self.narrow(selection, &scope, &|_| true);
            sql.push_str(&format!(" WHERE {}", self.condition(value, "WHERE")?.sql));
        }
        self.writes_update(table, before, &update.assignments)?;
        let outputs = self.returning(table, &shown, update.returning.as_deref(), &mut sql)?;
        Ok(self.finish(vec![sql], outputs, Verb::Update))
    }

    /// An update's rows, before and after it, and what it reaches.
    pub(super) fn writes_update(
        &self,
        table: &Table,
        before: Option<TouchId>,
        assignments: &[Assignment],
    ) -> Result<()> {
        let given = Self::assigned(assignments)?;
        let mut columns: Vec<String> = given.iter().map(|(name, _)| name.clone()).collect();
        // Where there are none, the first is written as it is.
        if columns.is_empty() {
            columns.extend(table.columns.first().map(|column| column.name.clone()));
        }
        let generated = table.columns.iter();
        let generated = generated.filter(|column| column.generated.is_some());
        columns.extend(generated.map(|column| column.name.clone()));
        let after = self.after_update(table, before, &columns);
        let given = given
            .iter()
            .map(|(name, value)| (name.as_str(), vec![Some(*value)]));
        self.note_given(table, after, &given.collect::<Vec<_>>());
        let how = How::Update {
            before,
            after,
            columns,
        };
        self.writes(table, &how);
        Ok(())
    }

    pub(super) fn delete(self, delete: &Delete) -> Result<Run> {
        let is_plain = delete.tables.is_empty()
            && delete.order_by.is_empty()
            && delete.limit.is_none()
            && delete.output.is_none();
        let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
        let ([item], true) = (from.as_slice(), is_plain) else {
            return Err(SqlError::refused(
                "DELETE with ORDER BY, LIMIT, OUTPUT or several tables",
            ));
        };
        let (name, alias) = plain_table(item)?;
        let table = target(&self, name)?;
        let shown = alias.map_or_else(|| table.name.clone(), |alias| parse::fold(&alias.name));
        self.reads(&table.name);
        let mut scope = Scope::default();
        scope.add(source_of(table, &shown))?;
        let touch = self.touch(&table.name, true);
        scope
            .touches
            .extend(touch.map(|touch| (shown.clone(), touch)));
        self.writes(table, &How::Delete(touch));
        let mut sql = format!(
            "DELETE FROM main.{} AS {}",
            parse::quote(&table.name),
            parse::quote(&shown)
        );
        let using = match &delete.using {
            Some(using) => Some(self.from(using, &mut scope)?),
            None => None,
        };
        let condition = match &delete.selection {
            Some(selection) => {
                let value = self.expression(selection, &scope)?;
                self.narrow(selection, &scope, &|_| true);
                Some(self.condition(value, "WHERE")?.sql)
            }
            None => None,
        };
        match (using, condition) {
            (None, None) => {}
            (None, Some(condition)) => sql.push_str(&format!(" WHERE {condition}")),
            (Some(using), condition) => {
                let condition = condition
                    .map(|condition| format!(" WHERE {condition}"))
                    .unwrap_or_default();
                let (outer, inner) = row_of(table, &shown);
                sql.push_str(&format!(
                    " WHERE {outer} IN (SELECT {inner} FROM main.{} AS {}, {using}{condition})",
                    parse::quote(&table.name),
                    parse::quote(&shown)
                ));
            }
        }
        let outputs = self.returning(table, &shown, delete.returning.as_deref(), &mut sql)?;
        Ok(self.finish(vec![sql], outputs, Verb::Delete))
    }

    pub(super) fn truncate(self, truncate: &Truncate) -> Result<Run> {
        let cascades = matches!(
            truncate.cascade,
            Some(sqlparser::ast::CascadeOption::Cascade)
        );
        let mut tables: Vec<&Table> = Vec::new();
        for item in &truncate.table_names {
            tables.push(target(&self, &item.name)?);
        }
        let mut at = 0;
        while let Some(table) = tables.get(at).copied() {
            at += 1;
            for (child, _) in self.schema().children(&table.name) {
                if tables.iter().any(|other| other.name == child.name) {
                    continue;
                }
                if !cascades {
                    return Err(SqlError::new(
                        state::FEATURE_NOT_SUPPORTED,
                        "cannot truncate a table referenced in a foreign key constraint",
                    )
                    .with_detail(format!(
                        "Table \"{}\" references \"{}\".",
                        child.name, table.name
                    ))
                    .with_hint(format!(
                        "Truncate table \"{}\" at the same time, or use TRUNCATE ... CASCADE.",
                        child.name
                    )));
                }
                tables.push(child);
            }
        }
        // References among the tables hold again once all are empty.
        let mut sql = vec!["PRAGMA defer_foreign_keys = ON".to_owned()];
        for table in &tables {
            let touch = self.touch(&table.name, true);
            self.writes(table, &How::Delete(touch));
            sql.push(format!("DELETE FROM main.{}", parse::quote(&table.name)));
        }
        if matches!(truncate.identity, Some(TruncateIdentityOption::Restart)) {
            self.access.borrow_mut().is_sequence = true;
            for relation in self.schema().relations() {
                if let Relation::Sequence(sequence) = relation
                    && let Some((owner, _)) = &sequence.owner
                    && tables.iter().any(|table| table.name == *owner)
                {
                    sql.push(format!(
                        "SELECT pg_setval({}, {}, 0)",
                        sequence.oid, sequence.start
                    ));
                }
            }
        }
        Ok(self.finish(sql, None, Verb::Truncate))
    }

    /// Adds `RETURNING` to a statement; its columns.
    pub(super) fn returning(
        &self,
        table: &Table,
        shown: &str,
        items: Option<&[SelectItem]>,
        sql: &mut String,
    ) -> Result<Option<Vec<Output>>> {
        let Some(items) = items else { return Ok(None) };
        // There SQLite knows the table by its own name alone.
        let mut source = source_of(table, &table.name);
        shown.clone_into(&mut source.alias);
        let mut scope = Scope::default();
        scope.add(Source {
            alias: shown.to_owned(),
            ..source
        })?;
        let items = self.items(items, &mut scope, &mut Hoisted::default())?;
        let list: Vec<String> = items
            .iter()
            .map(|item| {
                format!(
                    "{} AS {}",
                    item.value.sql,
                    parse::quote(&item.output.sql_name)
                )
            })
            .collect();
        sql.push_str(&format!(" RETURNING {}", list.join(", ")));
        let outputs = items.into_iter().map(|item| item.output).collect();
        Ok(Some(super::from::known(outputs)))
    }
}

/// The table of an `UPDATE` or a `DELETE`.
fn plain_table(item: &TableWithJoins) -> Result<(&ObjectName, Option<&TableAlias>)> {
    match &item.relation {
        TableFactor::Table {
            name,
            alias,
            args: None,
            ..
        } if item.joins.is_empty() => Ok((name, alias.as_ref())),
        _ => Err(SqlError::new(
            state::SYNTAX_ERROR,
            "the target must be one table",
        )),
    }
}

/// What tells a row of a table from all others, without and with its alias.
fn row_of(table: &Table, shown: &str) -> (String, String) {
    let quoted = parse::quote(shown);
    if table.key().is_empty() {
        return ("rowid".to_owned(), format!("{quoted}.rowid"));
    }
    let outer: Vec<String> = table.key().iter().map(|name| parse::quote(name)).collect();
    let inner: Vec<String> = outer
        .iter()
        .map(|name| format!("{quoted}.{name}"))
        .collect();
    (format!("({})", outer.join(", ")), inner.join(", "))
}
