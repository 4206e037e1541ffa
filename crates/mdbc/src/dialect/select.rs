//! `SELECT`.

use sqlparser::ast::{
    AccessExpr, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments,
    GroupByExpr, NamedWindowExpr, OrderByExpr, Select, SelectFlavor, SelectItem,
    SelectItemQualifiedWildcardKind, SetExpr,
};

use super::query::{Rows, direction, output_number};
use super::row_functions::is_set_returning;
use super::scope::{Scope, SourceColumn};
use super::{Compiler, Output, Typed, parse};
use crate::error::{Result, SqlError, state};

/// An output column and what it is computed by.
pub(super) struct Item {
    pub(super) output: Output,
    pub(super) value: Typed,
}

impl Compiler<'_> {
    pub(super) fn select(
        &self,
        select: &Select,
        order: &[OrderByExpr],
        around: &Scope<'_>,
    ) -> Result<Rows> {
        check_select(select)?;
        let mut scope = Scope::within(Some(around));
        let mut from = self.from(&select.from, &mut scope)?;
        let condition = match &select.selection {
            Some(selection) => {
                let value = self.expression(selection, &scope)?;
                Some(self.condition(value, "WHERE")?.sql)
            }
            None => None,
        };
        scope.forget();
        let windows = self.named_windows(select, &mut scope)?;
        let grouping = self.group_by(select, &scope)?;
        scope.allows_aggregates.set(true);
        let mut hoisted = Hoisted::default();
        let items = self.items(&select.projection, &mut scope, &mut hoisted)?;
        if let Some(rows) = hoisted.from(&self.alias("rows")) {
            from = if from.is_empty() {
                rows
            } else {
                format!("{from}, {rows}")
            };
        }
        let having = match &select.having {
            Some(having) => {
                let value = self.expression(having, &scope)?;
                Some(self.condition(value, "HAVING")?.sql)
            }
            None => None,
        };
        let is_distinct = is_distinct(select)?;
        let order = self.select_order(order, &items, is_distinct, &scope)?;
        if scope.has_aggregate() || !grouping.is_empty() || having.is_some() {
            scope.check_grouping()?;
            if !hoisted.of.is_empty() {
                return Err(SqlError::refused(
                    "a function that returns rows beside an aggregate",
                ));
            }
        }
        let parts = Parts {
            from,
            condition,
            grouping,
            having,
            windows,
            order,
            is_distinct,
            has_aggregate: scope.has_aggregate(),
        };
        let sql = parts.sql(&items);
        let columns = items.into_iter().map(|item| item.output).collect();
        Ok(Rows { sql, columns })
    }

    fn named_windows(&self, select: &Select, scope: &mut Scope<'_>) -> Result<Vec<String>> {
        let mut windows = Vec::new();
        scope.allows_aggregates.set(true);
        for definition in &select.named_window {
            let NamedWindowExpr::WindowSpec(spec) = &definition.1 else {
                return Err(SqlError::refused("a window that is another's name"));
            };
            let name = parse::quote(&parse::fold(&definition.0));
            windows.push(format!("{name} AS ({})", self.window(spec, scope)?));
        }
        scope.allows_aggregates.set(false);
        Ok(windows)
    }

    /// The expressions of a `GROUP BY`, which the scope then knows.
    fn group_by(&self, select: &Select, scope: &Scope<'_>) -> Result<Vec<String>> {
        let GroupByExpr::Expressions(list, modifiers) = &select.group_by else {
            return Err(SqlError::refused("GROUP BY ALL"));
        };
        if !modifiers.is_empty() {
            return Err(SqlError::refused("WITH ROLLUP and the like"));
        }
        let mut grouping = Vec::new();
        for expression in list {
            let expression = Self::grouped_expression(expression, select, scope)?;
            let typed = self.expression(expression, scope)?;
            scope.grouped.borrow_mut().push(typed.sql.clone());
            // A constant would be the number of a column.
            let is_number = typed.literal.is_some();
            grouping.push(if is_number {
                format!("({} || '')", typed.sql)
            } else {
                typed.collated()
            });
        }
        scope.forget();
        Ok(grouping)
    }

    /// What a number or an alias in a `GROUP BY` stands for.
    fn grouped_expression<'a>(
        expression: &'a Expr,
        select: &'a Select,
        scope: &Scope<'_>,
    ) -> Result<&'a Expr> {
        match expression {
            Expr::Value(value) => {
                let number = value.value.to_string().parse::<usize>().ok();
                let item = number.and_then(|number| select.projection.get(number.checked_sub(1)?));
                match item {
                    Some(
                        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. },
                    ) => Ok(expr),
                    _ => Err(SqlError::new(
                        state::INVALID_COLUMN_REFERENCE,
                        format!("GROUP BY position {value} is not in select list"),
                    )),
                }
            }
            Expr::Identifier(name) => {
                let name = parse::fold(name);
                if scope.column(&name)?.is_some() {
                    return Ok(expression);
                }
                let aliased = select.projection.iter().find_map(|item| match item {
                    SelectItem::ExprWithAlias { expr, alias } if parse::fold(alias) == name => {
                        Some(expr)
                    }
                    _ => None,
                });
                Ok(aliased.unwrap_or(expression))
            }
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                Err(SqlError::refused("GROUPING SETS, CUBE and ROLLUP"))
            }
            other => Ok(other),
        }
    }

    fn select_order(
        &self,
        order: &[OrderByExpr],
        items: &[Item],
        is_distinct: bool,
        scope: &Scope<'_>,
    ) -> Result<String> {
        let outputs: Vec<Output> = items.iter().map(|item| item.output.clone()).collect();
        let mut list = Vec::new();
        for item in order {
            if let Some(number) = output_number(&item.expr, &outputs)? {
                let collation = outputs
                    .get(number - 1)
                    .and_then(|output| output.ty.collation());
                let collation = collation
                    .map(|name| format!(" COLLATE {name}"))
                    .unwrap_or_default();
                list.push(format!("{number}{collation}{}", direction(item)?));
                continue;
            }
            let value = self.expression(&item.expr, scope)?;
            if is_distinct && !items.iter().any(|item| item.value.sql == value.sql) {
                return Err(SqlError::new(
                    state::INVALID_COLUMN_REFERENCE,
                    "for SELECT DISTINCT, ORDER BY expressions must appear in select list",
                ));
            }
            if value.literal.is_none() {
                list.push(Self::order_item(item, &value)?);
            }
        }
        Ok(list.join(", "))
    }

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

    fn item(
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
    fn hoist(
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

    /// `FOR UPDATE` and the like: the tables are taken as if they were written.
    pub(super) fn lock_rows(&self, body: &SetExpr, around: &Scope<'_>) -> Result<()> {
        let SetExpr::Select(select) = body else {
            return Err(SqlError::new(
                state::FEATURE_NOT_SUPPORTED,
                "FOR UPDATE is not allowed with UNION/INTERSECT/EXCEPT",
            ));
        };
        let mut scope = Scope::within(Some(around));
        self.from(&select.from, &mut scope)?;
        for oid in scope.sources.iter().filter_map(|source| source.oid) {
            let table = self.schema().tables().find(|table| table.oid == oid);
            if let Some(table) = table {
                self.access.borrow_mut().writes.insert(table.name.clone());
            }
        }
        Ok(())
    }
}

/// Functions of the list that became part of the `FROM`: what the rows are
/// read from, and the names they have.
#[derive(Default)]
pub(super) struct Hoisted {
    of: Vec<(String, String)>,
}

impl Hoisted {
    /// All of them side by side, as long as the longest.
    fn from(&self, alias: &str) -> Option<String> {
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

/// What a `SELECT` consists of, as SQL.
struct Parts {
    from: String,
    condition: Option<String>,
    grouping: Vec<String>,
    having: Option<String>,
    windows: Vec<String>,
    order: String,
    is_distinct: bool,
    has_aggregate: bool,
}

impl Parts {
    fn sql(self, items: &[Item]) -> String {
        let list: Vec<String> = items
            .iter()
            .map(|item| {
                let value = if self.is_distinct {
                    item.value.collated()
                } else {
                    item.value.sql.clone()
                };
                format!("{value} AS {}", parse::quote(&item.output.sql_name))
            })
            .collect();
        let list = if list.is_empty() {
            "NULL".to_owned()
        } else {
            list.join(", ")
        };
        let distinct = if self.is_distinct { "DISTINCT " } else { "" };
        let mut sql = format!("SELECT {distinct}{list}");
        if !self.from.is_empty() {
            sql.push_str(&format!(" FROM {}", self.from));
        }
        if let Some(condition) = self.condition {
            sql.push_str(&format!(" WHERE {condition}"));
        }
        if !self.grouping.is_empty() {
            sql.push_str(&format!(" GROUP BY {}", self.grouping.join(", ")));
        } else if self.having.is_some() && !self.has_aggregate {
            sql.push_str(" GROUP BY NULL");
        }
        if let Some(having) = self.having {
            sql.push_str(&format!(" HAVING {having}"));
        }
        if !self.windows.is_empty() {
            sql.push_str(&format!(" WINDOW {}", self.windows.join(", ")));
        }
        if !self.order.is_empty() {
            sql.push_str(&format!(" ORDER BY {}", self.order));
        }
        sql
    }
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
        Expr::Substring { .. } => Some("substring".to_owned()),
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

fn is_distinct(select: &Select) -> Result<bool> {
    match &select.distinct {
        None | Some(Distinct::All) => Ok(false),
        Some(Distinct::Distinct) => Ok(true),
        Some(Distinct::On(_)) => Err(SqlError::refused("DISTINCT ON")),
    }
}

fn check_select(select: &Select) -> Result<()> {
    let refused = [
        (select.into.is_some(), "SELECT INTO"),
        (select.top.is_some(), "TOP"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "SELECT AS"),
        (select.exclude.is_some(), "EXCLUDE"),
        (select.select_modifiers.is_some(), "a modifier of SELECT"),
        (
            select.flavor != SelectFlavor::Standard,
            "FROM before SELECT",
        ),
    ];
    match refused.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(SqlError::refused(what)),
        None => Ok(()),
    }
}
