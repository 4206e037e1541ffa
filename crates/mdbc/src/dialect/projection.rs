//! The list of a `SELECT` or a `RETURNING`.

use sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr,
};

use super::row_functions::is_set_returning;
use super::scope::{Scope, SourceColumn};
use super::{Compiler, Output, Typed, parse};
use crate::error::{Result, SqlError, state};

impl Compiler<'_> {
    /// The output columns of a list.
    pub(super) fn items(
        &self,
        projection: &[SelectItem],
        scope: &mut Scope<'_>,
        hoisted: &mut Hoisted,
    ) -> Result<Vec<Item>> {
        let mut items = Vec::new();
        for item in projection {
            match item {
                SelectItem::UnnamedExpr(expression) => {
                    let value = self.item(expression, scope, hoisted)?;
                    push(&mut items, name_of(expression), value);
                }
                SelectItem::ExprWithAlias { expr, alias } => {
                    let value = self.item(expr, scope, hoisted)?;
                    push(&mut items, parse::fold(alias), value);
                }
                SelectItem::Wildcard(_) => {
                    if scope.sources.is_empty() {
                        return Err(SqlError::new(
                            state::SYNTAX_ERROR,
                            "SELECT * with no tables specified is not valid",
                        ));
                    }
                    for column in all_columns(scope) {
                        let value = scope.column(&column.name).ok().flatten();
                        // Names that are not unique are taken one by one.
                        let value = value.filter(|value| value.sql == column.sql);
                        let value = value.unwrap_or_else(|| column.typed());
                        push(&mut items, column.name.clone(), self.shown(value));
                    }
                }
                SelectItem::QualifiedWildcard(
                    SelectItemQualifiedWildcardKind::ObjectName(name),
                    _,
                ) => {
                    let (_, alias) = parse::place(name)?;
                    let Some(source) = scope.source(&alias) else {
                        return Err(SqlError::new(
                            state::UNDEFINED_TABLE,
                            format!("missing FROM-clause entry for table \"{alias}\""),
                        ));
                    };
                    for column in source.columns.clone() {
                        let value = scope
                            .qualified(&alias, &column.name)
                            .unwrap_or_else(|_| column.typed());
                        push(&mut items, column.name.clone(), self.shown(value));
                    }
                }
                other => return Err(SqlError::refused(format!("the output {other}"))),
            }
        }
        Ok(items)
    }

    pub(super) fn item(
        &self,
        expression: &Expr,
        scope: &mut Scope<'_>,
        hoisted: &mut Hoisted,
    ) -> Result<Typed> {
        if let Some((function, field)) = row_function_of(expression) {
            return self.hoist(function, field, scope, hoisted);
        }
        Ok(self.shown(self.expression(expression, scope)?))
    }

    /// A function that returns rows, in the list: its rows are joined.
    pub(super) fn hoist(
        &self,
        function: &Function,
        field: Option<String>,
        scope: &Scope<'_>,
        hoisted: &mut Hoisted,
    ) -> Result<Typed> {
        let (_, name) = parse::place(&function.name)?;
        let mut values = Vec::new();
        if let FunctionArguments::List(list) = &function.args {
            for argument in &list.args {
                let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                    return Err(SqlError::refused(format!("the argument {argument}")));
                };
                values.push(self.expression(argument, scope)?);
            }
        }
        let rows = self.row_function(&name, &values)?;
        let known = hoisted.of.iter().find(|(sql, _)| *sql == rows.sql);
        let alias = if let Some((_, alias)) = known {
            alias.clone()
        } else {
            let alias = parse::quote(&self.alias("rows"));
            hoisted.of.push((rows.sql.clone(), alias.clone()));
            alias
        };
        if field.is_none() && name == "_pg_expandarray" {
            let row = format!("json_array({alias}.value, {alias}.key + 1)");
            return Ok(Typed::of(row, crate::types::Base::Record));
        }
        let wanted = field.unwrap_or_default();
        let column = rows
            .columns
            .iter()
            .find(|(name, ..)| wanted.is_empty() || *name == wanted);
        let Some((_, ty, sql)) = column.filter(|_| !wanted.is_empty() || rows.columns.len() == 1)
        else {
            return Err(SqlError::refused(format!(
                "the rows of {name}() as a value"
            )));
        };
        Ok(Typed::new(sql.replace("{alias}", &alias), *ty))
    }
}

/// An output column and what it is computed by.
pub(super) struct Item {
    pub(super) output: Output,
    pub(super) value: Typed,
}

/// Functions of the list that became part of the `FROM`: what the rows are
/// read from, and the names they have.
#[derive(Default)]
pub(super) struct Hoisted {
    pub(super) of: Vec<(String, String)>,
}

/// All columns that `*` stands for.
fn all_columns(scope: &Scope<'_>) -> Vec<SourceColumn> {
    let own = scope.sources.iter().flat_map(|source| &source.columns);
    let rest = own.filter(|column| !column.is_merged);
    scope.merged.iter().chain(rest).cloned().collect()
}

fn push(items: &mut Vec<Item>, name: String, value: Typed) {
    let taken = |candidate: &str| {
        items
            .iter()
            .any(|item: &Item| item.output.sql_name.eq_ignore_ascii_case(candidate))
    };
    let mut sql_name = name.clone();
    let mut number = 1;
    while taken(&sql_name) {
        number += 1;
        sql_name = format!("{name} {number}");
    }
    let output = Output {
        name,
        sql_name,
        ty: value.ty,
        modifier: value.modifier,
        origin: value.origin,
    };
    items.push(Item { output, value });
}

/// The function, and the field of its rows, that an output consists of.
fn row_function_of(expression: &Expr) -> Option<(&Function, Option<String>)> {
    match expression {
        Expr::Nested(inner) => row_function_of(inner),
        Expr::Function(function) => {
            let (_, name) = parse::place(&function.name).ok()?;
            is_set_returning(&name).then_some((function, None))
        }
        Expr::CompoundFieldAccess { root, access_chain } => {
            let (function, None) = row_function_of(root)? else {
                return None;
            };
            match access_chain.as_slice() {
                [AccessExpr::Dot(Expr::Identifier(field))] => {
                    Some((function, Some(parse::fold(field))))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Whether an expression has a name that a cast leaves.
fn is_named(expression: &Expr) -> bool {
    match expression {
        Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => is_named(inner),
        Expr::Identifier(_)
        | Expr::CompoundIdentifier(_)
        | Expr::Function(_)
        | Expr::CompoundFieldAccess { .. }
        | Expr::Array(_)
        | Expr::Extract { .. }
        | Expr::Substring { .. }
        | Expr::Trim { .. }
        | Expr::Position { .. } => true,
        Expr::Subquery(_) => name_of(expression) != "?column?",
        _ => false,
    }
}

/// The name that PostgreSQL gives an output without one.
pub(super) fn name_of(expression: &Expr) -> String {
    let named = match expression {
        Expr::Identifier(name) => Some(parse::fold(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(parse::fold),
        Expr::Function(function) => parse::place(&function.name).ok().map(|(_, name)| name),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => Some(name_of(inner)),
        Expr::Cast {
            expr, data_type, ..
        } if !is_named(expr) => super::resolve_type(data_type)
            .ok()
            .map(|(ty, _)| ty.base.name().to_owned()),
        Expr::Cast { expr, .. } => Some(name_of(expr)),
        Expr::TypedString(typed) => super::resolve_type(&typed.data_type)
            .ok()
            .map(|(ty, _)| ty.base.name().to_owned()),
        Expr::Case { else_result, .. } => match else_result.as_deref().map(name_of) {
            Some(name) if name != "?column?" => Some(name),
            _ => Some("case".to_owned()),
        },
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Substring { shorthand, .. } => {
            Some(if *shorthand { "substr" } else { "substring" }.to_owned())
        }
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Overlay { .. } => Some("overlay".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Value(value) if matches!(value.value, sqlparser::ast::Value::Boolean(_)) => {
            Some("bool".to_owned())
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(field))) => Some(parse::fold(field)),
            _ => Some(name_of(root)),
        },
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first() {
                Some(SelectItem::ExprWithAlias { alias, .. }) => Some(parse::fold(alias)),
                Some(SelectItem::UnnamedExpr(inner)) => Some(name_of(inner)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    named.unwrap_or_else(|| "?column?".to_owned())
}

impl Hoisted {
    /// All of them side by side, as long as the longest.
    pub(super) fn from(&self, alias: &str) -> Option<String> {
        match self.of.as_slice() {
            [] => None,
            [(sql, alias)] => Some(format!("{sql} AS {alias}")),
            several => {
                let alias = parse::quote(alias);
                let array = |sql: &str| -> String {
                    let inner = sql
                        .strip_prefix("json_each(")
                        .and_then(|rest| rest.strip_suffix(')'));
                    inner.unwrap_or(sql).to_owned()
                };
                let arrays: Vec<String> = several.iter().map(|(sql, _)| array(sql)).collect();
                let mut from = format!("json_each(pg_longest({})) AS {alias}", arrays.join(", "));
                for (sql, own) in several {
                    from.push_str(&format!(
                        " LEFT JOIN {sql} AS {own} ON {own}.key = {alias}.key"
                    ));
                }
                Some(from)
            }
        }
    }
}
