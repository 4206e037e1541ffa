//! `INSERT`.

use sqlparser::ast::{
    Assignment, ConflictTarget, Expr, Ident, Insert, InsertOverriding, OnConflict,
    OnConflictAction, OnInsert, Query, SetExpr, TableObject, Values,
};

use super::from::source_of;
use super::reach::{Given, How, given_rows};
use super::scope::{Scope, Source};
use super::{Compiler, Run, Typed, Verb, parse};
use crate::catalog::schema::{Column, Identity, Relation, Table};
use crate::error::{Result, SqlError, state};

/// Whether an expression is the word `DEFAULT`.
pub(super) fn is_default(expression: &Expr) -> bool {
    matches!(expression, Expr::Identifier(name)
        if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

/// The table that a statement changes.
pub(super) fn target<'s>(
    compiler: &Compiler<'s>,
    name: &sqlparser::ast::ObjectName,
) -> Result<&'s Table> {
    let (place, last) = parse::place(name)?;
    let is_own = matches!(place, parse::Place::Anywhere | parse::Place::Public);
    match compiler.schema().get(&last).filter(|_| is_own) {
        Some(Relation::Table(table)) => Ok(table),
        Some(other) => Err(SqlError::new(
            state::WRONG_OBJECT_TYPE,
            format!("cannot change {} \"{last}\"", other.noun()),
        )),
        None if crate::catalog::find(place, &last).is_some() => {
            Err(SqlError::refused("a change of the system catalogue"))
        }
        None => Err(super::from::undefined_table(name)),
    }
}

impl Compiler<'_> {
    pub(super) fn insert(self, insert: &Insert) -> Result<Run> {
        check(insert)?;
        let TableObject::TableName(name) = &insert.table else {
            return Err(SqlError::refused("INSERT into a function"));
        };
        let table = target(&self, name)?;
        let alias = insert
            .table_alias
            .as_ref()
            .map(|alias| parse::fold(&alias.alias));
        let shown = alias.clone().unwrap_or_else(|| table.name.clone());
        self.reads(&table.name);
        let columns = Self::insert_columns(insert, table)?;
        let touch = self.touch(&table.name, true);
        self.writes(table, &How::Insert(touch));
        let overriding = insert.overriding;
        let source = match insert.source.as_deref() {
            None => {
                let given = table.columns.iter();
                let given: Vec<Given<'_>> = given
                    .map(|column| (column.name.as_str(), vec![None]))
                    .collect();
                self.note_given(table, touch, &given);
                self.default_row(table)?
            }
            Some(query) => match plain_values(query) {
                Some(values) => {
                    self.note_given(table, touch, &given_rows(table, &columns, values));
                    self.insert_values(table, &columns, values, overriding)?
                }
                None => self.insert_query(table, &columns, query, overriding)?,
            },
        };
        let stored: Vec<String> = stored(table)
            .map(|column| parse::quote(&column.name))
            .collect();
        let mut sql = format!(
            "INSERT INTO main.{} AS {} ({}) {source}",
            parse::quote(&table.name),
            parse::quote(&shown),
            stored.join(", ")
        );
        if let Some(on) = &insert.on {
            let OnInsert::OnConflict(conflict) = on else {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "syntax error at \"ON DUPLICATE KEY\"",
                ));
            };
            sql.push_str(&self.on_conflict(table, &shown, conflict)?);
            if let OnConflictAction::DoUpdate(update) = &conflict.action {
                self.writes_instead(table, touch, &update.assignments)?;
            }
        }
        let outputs = self.returning(table, &shown, insert.returning.as_deref(), &mut sql)?;
        Ok(self.finish(vec![sql], outputs, Verb::Insert))
    }

    /// The columns that an `INSERT` has values for.
    fn insert_columns<'t>(insert: &Insert, table: &'t Table) -> Result<Vec<&'t Column>> {
        if insert.columns.is_empty() {
            return Ok(table.columns.iter().collect());
        }
        let mut columns: Vec<&Column> = Vec::new();
        for name in &insert.columns {
            let (_, name) = parse::place(name)?;
            let column = column_of(table, &name)?;
            if columns.iter().any(|other| other.name == name) {
                return Err(SqlError::new(
                    state::DUPLICATE_COLUMN,
                    format!("column \"{name}\" specified more than once"),
                ));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    fn default_row(&self, table: &Table) -> Result<String> {
        let values: Result<Vec<String>> = stored(table)
            .map(|column| self.default_of(table, column))
            .collect();
        Ok(format!("VALUES ({})", values?.join(", ")))
    }

    /// The value of a column that a statement does not give.
    pub(super) fn default_of(&self, table: &Table, column: &Column) -> Result<String> {
        if column.identity.is_some() {
            let sequence = self
                .schema()
                .relations()
                .find_map(|relation| match relation {
                    Relation::Sequence(sequence) => {
                        let owner = sequence.owner.as_ref();
                        owner
                            .filter(|(own, name)| *own == table.name && *name == column.name)
                            .map(|_| sequence)
                    }
                    _ => None,
                });
            let sequence = sequence
                .ok_or_else(|| SqlError::internal("an identity column without a sequence"))?;
            self.access.borrow_mut().is_sequence = true;
            let value = Typed::of(
                format!("pg_nextval({})", sequence.oid),
                crate::types::Base::Int8,
            );
            return Ok(self
                .assign(value, column.ty, column.modifier, &column.name)?
                .sql);
        }
        let Some(default) = &column.default else {
            return Ok("NULL".to_owned());
        };
        let value = self.expression(&parse::expression(default)?, &Scope::default())?;
        Ok(self
            .assign(value, column.ty, column.modifier, &column.name)?
            .sql)
    }

    fn insert_values(
        &self,
        table: &Table,
        columns: &[&Column],
        values: &Values,
        overriding: Option<InsertOverriding>,
    ) -> Result<String> {
        let scope = Scope::default();
        let mut rows = Vec::new();
        for row in &values.rows {
            let row = &row.content;
            if row.len() > columns.len() {
                return Err(too_many("more expressions than target columns"));
            }
            let mut listed = Vec::new();
            for column in stored(table) {
                let at = columns
                    .iter()
                    .position(|other| other.number == column.number);
                let given = at
                    .and_then(|at| row.get(at))
                    .filter(|value| !is_default(value));
                listed.push(match given {
                    Some(value)
                        if overriding != Some(InsertOverriding::User)
                            || column.identity.is_none() =>
                    {
                        check_identity(column, overriding)?;
                        let value = self.expression(value, &scope)?;
                        self.assign(value, column.ty, column.modifier, &column.name)?
                            .sql
                    }
                    _ => self.default_of(table, column)?,
                });
            }
            check_generated(columns, |at| {
                row.get(at).is_some_and(|value| !is_default(value))
            })?;
            rows.push(format!("({})", listed.join(", ")));
        }
        let is_short = values
            .rows
            .iter()
            .any(|row| row.content.len() < columns.len());
        if is_short && columns.len() != table.columns.len() {
            return Err(too_many("more target columns than expressions"));
        }
        Ok(format!("VALUES {}", rows.join(", ")))
    }

    fn insert_query(
        &self,
        table: &Table,
        columns: &[&Column],
        query: &Query,
        overriding: Option<InsertOverriding>,
    ) -> Result<String> {
        let rows = self.query(query, None)?;
        if rows.columns.len() > columns.len() {
            return Err(too_many("more expressions than target columns"));
        }
        let given = |column: &Column| {
            columns
                .iter()
                .take(rows.columns.len())
                .position(|other| other.number == column.number)
        };
        check_generated(columns, |at| at < rows.columns.len())?;
        let alias = parse::quote(&self.alias("insert"));
        let mut listed = Vec::new();
        for column in stored(table) {
            let output = given(column).and_then(|at| rows.columns.get(at));
            listed.push(match output {
                Some(output) => {
                    check_identity(column, overriding)?;
                    let value = Typed::new(
                        format!("{alias}.{}", parse::quote(&output.sql_name)),
                        output.ty,
                    );
                    self.assign(value, column.ty, column.modifier, &column.name)?
                        .sql
                }
                None => self.default_of(table, column)?,
            });
        }
        // Without a condition SQLite takes ON CONFLICT for that of a join.
        Ok(format!(
            "SELECT {} FROM ({}) AS {alias} WHERE 1",
            listed.join(", "),
            rows.sql
        ))
    }

    fn on_conflict(&self, table: &Table, shown: &str, conflict: &OnConflict) -> Result<String> {
        let target = match &conflict.conflict_target {
            None => String::new(),
            Some(ConflictTarget::Columns { columns, predicate }) => {
                let mut scope = Scope::default();
                scope.add(source_of(table, shown))?;
                let names: Result<Vec<String>> = columns
                    .iter()
                    .map(|name: &Ident| {
                        Ok(parse::quote(&column_of(table, &parse::fold(name))?.name))
                    })
                    .collect();
                let predicate = match predicate {
                    Some(predicate) => {
                        let value = self.expression(predicate, &scope)?;
                        let condition = self.condition(value, "WHERE")?.sql;
                        // The index has no alias.
                        let qualifier = format!("{}.", parse::quote(shown));
                        format!(" WHERE {}", condition.replace(&qualifier, ""))
                    }
                    None => String::new(),
                };
                format!(" ({}){predicate}", names?.join(", "))
            }
            Some(ConflictTarget::OnConstraint(name)) => {
                let (_, name) = parse::place(name)?;
                format!(" ({})", constraint_columns(table, &name)?)
            }
        };
        let update = match &conflict.action {
            OnConflictAction::DoNothing => return Ok(format!(" ON CONFLICT{target} DO NOTHING")),
            OnConflictAction::DoUpdate(update) => update,
        };
        if target.is_empty() {
            return Err(SqlError::new(
                state::SYNTAX_ERROR,
                "ON CONFLICT DO UPDATE requires inference specification or constraint name",
            ));
        }
        let mut scope = Scope::default();
        scope.add(source_of(table, shown))?;
        let excluded = Source {
            oid: None,
            ..source_of(table, "excluded")
        };
        scope.add(excluded)?;
        // An unqualified name means the row that is there.
        for column in scope
            .sources
            .iter_mut()
            .skip(1)
            .flat_map(|source| &mut source.columns)
        {
            column.is_merged = true;
        }
        let assignments = self.assignments(table, &update.assignments, &scope)?;
        let condition = match &update.selection {
            Some(selection) => {
                let value = self.expression(selection, &scope)?;
                format!(" WHERE {}", self.condition(value, "WHERE")?.sql)
            }
            None => String::new(),
        };
        Ok(format!(
            " ON CONFLICT{target} DO UPDATE SET {assignments}{condition}"
        ))
    }

    /// The columns behind `SET`, and what they become.
    pub(super) fn assigned(assignments: &[Assignment]) -> Result<Vec<(String, &Expr)>> {
        use sqlparser::ast::AssignmentTarget;
        let mut pairs: Vec<(String, &Expr)> = Vec::new();
        for assignment in assignments {
            match (&assignment.target, &assignment.value) {
                (AssignmentTarget::ColumnName(name), value) => {
                    pairs.push((parse::place(name)?.1, value));
                }
                (AssignmentTarget::Tuple(names), Expr::Tuple(values))
                    if names.len() == values.len() =>
                {
                    for (name, value) in names.iter().zip(values) {
                        pairs.push((parse::place(name)?.1, value));
                    }
                }
                _ => return Err(SqlError::refused("SET (…) = a subquery")),
            }
        }
        Ok(pairs)
    }

    /// What stands behind `SET`.
    pub(super) fn assignments(
        &self,
        table: &Table,
        assignments: &[Assignment],
        scope: &Scope<'_>,
    ) -> Result<String> {
        let pairs = Self::assigned(assignments)?;
        let mut list: Vec<String> = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for (name, value) in pairs {
            let column = column_of(table, &name)?;
            if seen.contains(&name) {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    format!("multiple assignments to same column \"{name}\""),
                ));
            }
            let value = if is_default(value) {
                self.default_of(table, column)?
            } else if column.generated.is_some() || column.identity == Some(Identity::Always) {
                return Err(SqlError::new(
                    state::GENERATED_ALWAYS,
                    format!("column \"{name}\" can only be updated to DEFAULT"),
                ));
            } else {
                let value = self.expression(value, scope)?;
                self.assign(value, column.ty, column.modifier, &name)?.sql
            };
            if column.generated.is_none() {
                list.push(format!("{} = {value}", parse::quote(&name)));
            }
            seen.push(name);
        }
        Ok(list.join(", "))
    }
}

/// The columns that a statement gives values to.
pub(crate) fn stored(table: &Table) -> impl Iterator<Item = &Column> {
    table
        .columns
        .iter()
        .filter(|column| column.generated.is_none())
}

fn check(insert: &Insert) -> Result<()> {
    let refused = [
        (insert.or.is_some(), "INSERT OR"),
        (insert.ignore, "INSERT IGNORE"),
        (insert.overwrite, "INSERT OVERWRITE"),
        (insert.by_name, "BY NAME"),
        (!insert.assignments.is_empty(), "INSERT … SET"),
        (insert.partitioned.is_some(), "PARTITION"),
        (insert.replace_into, "REPLACE"),
        (insert.insert_alias.is_some(), "an alias of the values"),
        (insert.output.is_some(), "OUTPUT"),
    ];
    match refused.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(SqlError::refused(what)),
        None => Ok(()),
    }
}

/// The rows of a query that is nothing but `VALUES`.
fn plain_values(query: &Query) -> Option<&Values> {
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none();
    match &*query.body {
        SetExpr::Values(values) if is_plain => Some(values),
        _ => None,
    }
}

/// The column of that name.
pub(super) fn column_of<'t>(table: &'t Table, name: &str) -> Result<&'t Column> {
    table.column(name).ok_or_else(|| {
        SqlError::new(
            state::UNDEFINED_COLUMN,
            format!(
                "column \"{name}\" of relation \"{}\" does not exist",
                table.name
            ),
        )
    })
}

fn check_identity(column: &Column, overriding: Option<InsertOverriding>) -> Result<()> {
    if column.identity == Some(Identity::Always) && overriding != Some(InsertOverriding::System) {
        return Err(SqlError::new(
            state::GENERATED_ALWAYS,
            format!(
                "cannot insert a non-DEFAULT value into column \"{}\"",
                column.name
            ),
        )
        .with_detail(format!(
            "Column \"{}\" is an identity column defined as GENERATED ALWAYS.",
            column.name
        ))
        .with_hint("Use OVERRIDING SYSTEM VALUE to override."));
    }
    Ok(())
}

fn check_generated(columns: &[&Column], is_given: impl Fn(usize) -> bool) -> Result<()> {
    let mut generated = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.generated.is_some());
    match generated.find(|(at, _)| is_given(*at)) {
        Some((_, column)) => Err(SqlError::new(
            state::GENERATED_ALWAYS,
            format!(
                "cannot insert a non-DEFAULT value into column \"{}\"",
                column.name
            ),
        )),
        None => Ok(()),
    }
}

fn constraint_columns(table: &Table, name: &str) -> Result<String> {
    let key = table.primary_key.as_ref().filter(|key| key.name == name);
    let key = key.map(|key| key.columns.iter().map(String::as_str).collect());
    let index = table
        .indexes
        .iter()
        .find(|index| index.name == name && index.is_unique);
    let columns: Vec<&str> = key.or_else(|| index?.columns()).ok_or_else(|| {
        SqlError::new(
            state::UNDEFINED_OBJECT,
            format!(
                "constraint \"{name}\" for table \"{}\" does not exist",
                table.name
            ),
        )
    })?;
    let quoted: Vec<String> = columns.into_iter().map(parse::quote).collect();
    Ok(quoted.join(", "))
}

fn too_many(what: &str) -> SqlError {
    SqlError::new(state::SYNTAX_ERROR, format!("INSERT has {what}"))
}
