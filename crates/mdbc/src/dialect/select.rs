//! `SELECT`.

use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, NamedWindowExpr, OrderByExpr, Select, SelectFlavor, SelectItem,
    SetExpr,
};

use super::projection::{Hoisted, Item};
use super::query::{Rows, check_order, direction, output_number};
use super::scope::Scope;
use super::{Compiler, Output, parse};
use crate::error::{Result, SqlError, state};
use crate::types::SqlType;

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
                self.narrow(selection, &scope, &|_| true);
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
        if is_distinct {
            items
                .iter()
                .try_for_each(|item| check_equality(item.value.ty))?;
        }
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
            check_equality(typed.ty)?;
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
                if let Some(output) = outputs.get(number - 1) {
                    check_order(output.ty)?;
                }
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
        if let Some(selection) = &select.selection {
            self.narrow(selection, &scope, &|_| true);
        }
        for (_, touch) in &scope.touches {
            self.ranges.borrow_mut().lock(*touch);
        }
        for oid in scope.sources.iter().filter_map(|source| source.oid) {
            let table = self.schema().tables().find(|table| table.oid == oid);
            if let Some(table) = table {
                self.access.borrow_mut().writes.insert(table.name.clone());
            }
        }
        Ok(())
    }
}

/// Refuses to tell apart what SQLite would tell apart otherwise.
pub(super) fn check_equality(ty: SqlType) -> Result<()> {
    if ty.is_compared() {
        Ok(())
    } else {
        Err(SqlError::refused(format!(
            "DISTINCT, GROUP BY or UNION of {ty}"
        )))
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
