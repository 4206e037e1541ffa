//! What stands in a `FROM`: tables, views, queries, functions, joins.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, ObjectName, TableAlias, TableFactor, TableWithJoins,
};

use super::parse::Place;
use super::row_functions::{RowFunction, is_set_returning};
use super::scope::{Scope, Source, SourceColumn};
use super::{Compiler, Output, VIEW_DEPTH_MAX, parse};
use crate::catalog;
use crate::catalog::schema::{Relation, Table, View};
use crate::error::{Result, SqlError, state};
use crate::status;
use crate::types::{Base, SqlType};

impl Compiler<'_> {
    /// Understands a `FROM` and adds what it names to the scope.
    pub(super) fn from(&self, items: &[TableWithJoins], scope: &mut Scope<'_>) -> Result<String> {
        let mut parts = Vec::new();
        for item in items {
            parts.push(self.joined(item, scope)?);
        }
        Ok(parts.join(", "))
    }

    pub(super) fn factor(&self, factor: &TableFactor, scope: &mut Scope<'_>) -> Result<String> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_ordinality: false,
                sample: None,
                version: None,
                ..
            } => self.table_factor(name, alias.as_ref(), scope),
            TableFactor::Table {
                name,
                alias,
                args: Some(args),
                with_ordinality,
                sample: None,
                ..
            } => self.function_factor(name, &args.args, (alias.as_ref(), *with_ordinality), scope),
            TableFactor::Function {
                name,
                args,
                alias,
                with_ordinality,
                ..
            } => self.function_factor(name, args, (alias.as_ref(), *with_ordinality), scope),
            TableFactor::UNNEST {
                alias,
                array_exprs,
                with_offset: false,
                with_ordinality,
                ..
            } => {
                let name = ObjectName::from(vec![sqlparser::ast::Ident::new("unnest")]);
                let arguments: Vec<FunctionArg> = array_exprs
                    .iter()
                    .map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument.clone())))
                    .collect();
                self.function_factor(&name, &arguments, (alias.as_ref(), *with_ordinality), scope)
            }
            TableFactor::Derived {
                lateral: false,
                subquery,
                alias,
                sample: None,
            } => {
                let inner = self.query(subquery, Some(scope_of_common(scope)).as_ref())?;
                let columns = known(inner.columns);
                self.derived(&inner.sql, &columns, alias.as_ref(), scope)
            }
            TableFactor::Derived { lateral: true, .. } => Err(SqlError::refused("LATERAL")),
            TableFactor::NestedJoin {
                table_with_joins,
                alias: None,
            } => Ok(format!("({})", self.joined(table_with_joins, scope)?)),
            other => Err(SqlError::refused(format!("{other} in FROM"))),
        }
    }

    fn table_factor(
        &self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let (place, last) = parse::place(name)?;
        if place == Place::Anywhere
            && let Some(common) = scope.common_table(&last).cloned()
        {
            let shown = alias.map_or_else(|| last.clone(), |alias| parse::fold(&alias.name));
            let columns = common
                .columns
                .iter()
                .map(|column| SourceColumn::of_output(&shown, column));
            let source = Source {
                alias: shown.clone(),
                columns: columns.collect(),
                oid: None,
                key: Vec::new(),
            };
            scope.add(rename(source, alias)?)?;
            return Ok(format!(
                "{} AS {}",
                parse::quote(&common.sql_name),
                parse::quote(&shown)
            ));
        }
        let shown = alias.map_or_else(|| last.clone(), |alias| parse::fold(&alias.name));
        if matches!(place, Place::Anywhere | Place::Public) {
            match self.schema().get(&last) {
                Some(Relation::Table(table)) => return self.own_table(table, &shown, alias, scope),
                Some(Relation::View(view)) => return self.view(view, alias, &shown, scope),
                Some(Relation::Sequence(sequence)) => {
                    return self.sequence_row(&sequence.name, sequence.oid, &shown, scope);
                }
                None => {}
            }
        }
        if let Some(system) = catalog::find(place, &last) {
            if !matches!(system.schema, catalog::LOCAL | catalog::STATUS) {
                self.uses_catalog.set(true);
            }
            let quoted = parse::quote(&shown);
            let columns = system.columns.iter().map(|(name, ty)| SourceColumn {
                name: (*name).clone(),
                ty: *ty,
                modifier: -1,
                sql: format!("{quoted}.{}", parse::quote(name)),
                origin: None,
                is_merged: false,
            });
            let source = Source {
                alias: shown.clone(),
                columns: columns.collect(),
                oid: Some(system.oid),
                key: Vec::new(),
            };
            scope.add(rename(source, alias)?)?;
            if system.schema == catalog::STATUS {
                let columns = system.columns.iter().map(|(name, _)| name.clone());
                return Ok(format!("{} AS {quoted}", status::query(&last, columns)));
            }
            return Ok(format!(
                "{}.{} AS {quoted}",
                system.schema,
                parse::quote(&last)
            ));
        }
        Err(undefined_table(name))
    }

    pub(super) fn own_table(
        &self,
        table: &Table,
        shown: &str,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        self.needs_freedom("another table")?;
        self.reads(&table.name);
        scope.add(rename(source_of(table, shown), alias)?)?;
        if let Some(touch) = self.touch(&table.name, false) {
            scope.touches.push((shown.to_owned(), touch));
        }
        Ok(format!(
            "main.{} AS {}",
            parse::quote(&table.name),
            parse::quote(shown)
        ))
    }

    fn view(
        &self,
        view: &View,
        alias: Option<&TableAlias>,
        shown: &str,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        if self.view_depth.get() >= VIEW_DEPTH_MAX {
            return Err(SqlError::new(
                state::STATEMENT_TOO_COMPLEX,
                format!("views are nested more than {VIEW_DEPTH_MAX} deep"),
            ));
        }
        self.view_depth.set(self.view_depth.get() + 1);
        let inner = self.view_query(&view.query);
        self.view_depth.set(self.view_depth.get() - 1);
        let inner = inner?;
        let columns: Vec<Output> = inner
            .columns
            .iter()
            .zip(&view.columns)
            .map(|(output, column)| Output {
                name: column.name.clone(),
                origin: Some((view.oid, column.number)),
                ty: column.ty,
                modifier: column.modifier,
                ..output.clone()
            })
            .collect();
        let quoted = parse::quote(shown);
        let own = columns
            .iter()
            .map(|column| SourceColumn::of_output(shown, column));
        let source = Source {
            alias: shown.to_owned(),
            columns: own.collect(),
            oid: Some(view.oid),
            key: Vec::new(),
        };
        scope.add(rename(source, alias)?)?;
        Ok(format!("({}) AS {quoted}", inner.sql))
    }

    fn sequence_row(
        &self,
        name: &str,
        oid: u32,
        shown: &str,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let quoted = parse::quote(shown);
        let int8 = SqlType::of(Base::Int8);
        let column = |column: &str, ty, sql: &str| SourceColumn {
            name: column.to_owned(),
            ty,
            modifier: -1,
            sql: format!("{quoted}.{sql}"),
            origin: None,
            is_merged: false,
        };
        let columns = vec![
            column("last_value", int8, "last_value"),
            column("log_cnt", int8, "log_cnt"),
            column("is_called", SqlType::of(Base::Bool), "is_called"),
        ];
        scope.add(Source {
            alias: shown.to_owned(),
            columns,
            oid: Some(oid),
            key: Vec::new(),
        })?;
        self.reads(name);
        Ok(format!(
            "(SELECT pg_sequence_value({oid}) AS last_value, 0 AS log_cnt, 1 AS is_called) \
             AS {quoted}"
        ))
    }

    fn derived(
        &self,
        sql: &str,
        columns: &[Output],
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let shown = alias.map_or_else(|| self.alias("query"), |alias| parse::fold(&alias.name));
        let own = columns
            .iter()
            .map(|column| SourceColumn::of_output(&shown, column));
        let source = Source {
            alias: shown.clone(),
            columns: own.collect(),
            oid: None,
            key: Vec::new(),
        };
        scope.add(rename(source, alias)?)?;
        Ok(format!("({sql}) AS {}", parse::quote(&shown)))
    }

    fn function_factor(
        &self,
        name: &ObjectName,
        arguments: &[FunctionArg],
        (alias, with_ordinality): (Option<&TableAlias>, bool),
        scope: &mut Scope<'_>,
    ) -> Result<String> {
        let (_, function) = parse::place(name)?;
        let expressions: Result<Vec<&Expr>> = arguments
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => Ok(expression),
                other => Err(SqlError::refused(format!("the argument {other}"))),
            })
            .collect();
        let mut values = Vec::new();
        for expression in expressions? {
            values.push(self.expression(expression, scope)?);
        }
        let shown = alias.map_or_else(|| function.clone(), |alias| parse::fold(&alias.name));
        let quoted = parse::quote(&shown);
        let mut rows = if is_set_returning(&function) || function == "pg_partition_ancestors" {
            self.row_function(&function, &values)?
        } else {
            // A function of one value is a table of one row.
            let value = self.call(&function, values)?;
            RowFunction {
                sql: format!("(SELECT {} AS value)", value.sql),
                columns: vec![(function.clone(), value.ty, "{alias}.value".to_owned())],
            }
        };
        if let ([column], true) = (rows.columns.as_mut_slice(), alias.is_some()) {
            // The one column has the name of the alias.
            column.0.clone_from(&shown);
        }
        if with_ordinality {
            rows.columns.push((
                "ordinality".to_owned(),
                SqlType::of(Base::Int8),
                "({alias}.key + 1)".to_owned(),
            ));
        }
        let columns = rows
            .columns
            .into_iter()
            .map(|(name, ty, sql)| SourceColumn {
                name,
                ty,
                modifier: -1,
                sql: sql.replace("{alias}", &quoted),
                origin: None,
                is_merged: false,
            });
        let source = Source {
            alias: shown.clone(),
            columns: columns.collect(),
            oid: None,
            key: Vec::new(),
        };
        scope.add(rename(source, alias)?)?;
        Ok(format!("{} AS {quoted}", rows.sql))
    }
}

/// A table under the name that a query gives it.
pub(super) fn source_of(table: &Table, shown: &str) -> Source {
    let quoted = parse::quote(shown);
    let columns = table.columns.iter().map(|column| SourceColumn {
        name: column.name.clone(),
        ty: column.ty,
        modifier: column.modifier,
        sql: format!("{quoted}.{}", parse::quote(&column.name)),
        origin: Some((table.oid, column.number)),
        is_merged: false,
    });
    Source {
        alias: shown.to_owned(),
        columns: columns.collect(),
        oid: Some(table.oid),
        key: table.key().to_vec(),
    }
}

/// A derived table sees the common tables, not its siblings.
fn scope_of_common<'p>(scope: &'p Scope<'p>) -> Scope<'p> {
    let mut around = Scope::within(scope.parent);
    around.common.clone_from(&scope.common);
    around
}

/// Columns whose types are known: what is not is text.
pub(super) fn known(columns: Vec<Output>) -> Vec<Output> {
    let text = SqlType::of(Base::Text);
    let settle = |column: Output| Output {
        ty: if column.ty.is_unknown() {
            text
        } else {
            column.ty
        },
        ..column
    };
    columns.into_iter().map(settle).collect()
}

/// The names of columns that an alias gives.
fn rename(mut source: Source, alias: Option<&TableAlias>) -> Result<Source> {
    let Some(alias) = alias else {
        return Ok(source);
    };
    if alias.columns.len() > source.columns.len() {
        return Err(SqlError::new(
            state::INVALID_COLUMN_REFERENCE,
            format!(
                "table \"{}\" has {} columns available but {} columns specified",
                source.alias,
                source.columns.len(),
                alias.columns.len()
            ),
        ));
    }
    for (column, new) in source.columns.iter_mut().zip(&alias.columns) {
        if new.data_type.is_some() {
            return Err(SqlError::refused("a column definition list"));
        }
        column.name = parse::fold(&new.name);
    }
    Ok(source)
}

/// The error of a table that is not.
pub(super) fn undefined_table(name: &ObjectName) -> SqlError {
    let shown = parse::parts(name)
        .map(|parts| parts.join("."))
        .unwrap_or_default();
    SqlError::new(
        state::UNDEFINED_TABLE,
        format!("relation \"{shown}\" does not exist"),
    )
}
