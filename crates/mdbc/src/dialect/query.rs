//! Queries: what may stand in parentheses wherever rows are wanted.

use sqlparser::ast::{
    Cte, Expr, LimitClause, OrderBy, OrderByExpr, OrderByKind, OrderBySort, Query, SetExpr,
    SetOperator, SetQuantifier, Statement, Values,
};

use super::cast::Strength;
use super::from::known;
use super::scope::{CommonTable, Scope};
use super::{Compiler, Output, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

/// What a query has become.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) sql: String,
    /// Types may still be unknown.
    pub(super) columns: Vec<Output>,
}

impl Compiler<'_> {
    pub(super) fn view_query(&self, text: &str) -> Result<Rows> {
        match parse::parse(text)? {
            Statement::Query(query) => self.query(&query, None),
            _ => Err(SqlError::internal("a view is no query")),
        }
    }

    pub(super) fn query(&self, query: &Query, parent: Option<&Scope<'_>>) -> Result<Rows> {
        check_query(query)?;
        let mut around = Scope::within(parent);
        let mut prefix = String::new();
        if let Some(with) = &query.with {
            let mut tables = Vec::new();
            for cte in &with.cte_tables {
                tables.push(self.common_table(cte, with.recursive, &mut around)?);
            }
            let recursive = if with.recursive { "RECURSIVE " } else { "" };
            prefix = format!("WITH {recursive}{} ", tables.join(", "));
        }
        let order = order_of(query.order_by.as_ref())?;
        if !query.locks.is_empty() {
            self.lock_rows(&query.body, &around)?;
        }
        let (mut sql, columns) = match &*query.body {
            SetExpr::Select(select) => {
                let rows = self.select(select, order, &around)?;
                (rows.sql, rows.columns)
            }
            body => {
                let rows = self.body(body, &around)?;
                let order = Self::order_by_output(order, &rows.columns)?;
                let sql = if order.is_empty() {
                    rows.sql
                } else {
                    format!("SELECT * FROM ({}) ORDER BY {order}", rows.sql)
                };
                (sql, rows.columns)
            }
        };
        if let Some(limit) = self.limit(query, &around)? {
            // A compound or a list of values takes no limit as it stands.
            if !matches!(&*query.body, SetExpr::Select(_)) && order.is_empty() {
                sql = format!("SELECT * FROM ({sql})");
            }
            sql.push_str(&limit);
        }
        Ok(Rows {
            sql: prefix + &sql,
            columns,
        })
    }

    fn common_table(
        &self,
        cte: &Cte,
        is_recursive: bool,
        around: &mut Scope<'_>,
    ) -> Result<String> {
        let name = parse::fold(&cte.alias.name);
        let sql_name = self.alias("with");
        let rename = |columns: Vec<Output>| -> Result<Vec<Output>> {
            if cte.alias.columns.len() > columns.len() {
                return Err(SqlError::new(
                    state::INVALID_COLUMN_REFERENCE,
                    format!("WITH query \"{name}\" has too few columns"),
                ));
            }
            let mut columns = known(columns);
            for (column, new) in columns.iter_mut().zip(&cte.alias.columns) {
                column.name = parse::fold(&new.name);
            }
            Ok(columns)
        };
        let refers_to_itself = is_recursive && parse_mentions(&cte.query, &name);
        let (sql, columns) = if refers_to_itself {
            self.recursive_query(&cte.query, &name, &sql_name, (&rename, around))?
        } else {
            let rows = self.query(&cte.query, Some(around))?;
            (rows.sql, rename(rows.columns)?)
        };
        let listed: Vec<String> = columns
            .iter()
            .map(|column| parse::quote(&column.sql_name))
            .collect();
        let sql = format!(
            "{}({}) AS ({sql})",
            parse::quote(&sql_name),
            listed.join(", ")
        );
        around.common.push(CommonTable {
            name,
            sql_name,
            columns,
        });
        Ok(sql)
    }

    #[allow(
        clippy::type_complexity,
        reason = "the renaming is a closure of the caller"
    )]
    fn recursive_query(
        &self,
        query: &Query,
        name: &str,
        sql_name: &str,
        (rename, around): (&dyn Fn(Vec<Output>) -> Result<Vec<Output>>, &Scope<'_>),
    ) -> Result<(String, Vec<Output>)> {
        let SetExpr::SetOperation {
            left,
            op: SetOperator::Union,
            set_quantifier,
            right,
        } = &*query.body
        else {
            return Err(SqlError::refused("a recursive query that is no UNION"));
        };
        if query.order_by.is_some() || query.limit_clause.is_some() || query.with.is_some() {
            return Err(SqlError::refused(
                "ORDER BY, LIMIT or WITH in a recursive query",
            ));
        }
        let start = self.body(left, around)?;
        let columns = rename(start.columns)?;
        let mut inner = Scope::within(Some(around));
        let own = CommonTable {
            name: name.to_owned(),
            sql_name: sql_name.to_owned(),
            columns: columns.clone(),
        };
        inner.common.push(own);
        let step = match &**right {
            SetExpr::Select(select) => self.select(select, &[], &inner)?,
            _ => return Err(SqlError::refused("a recursive term that is no SELECT")),
        };
        let is_same = columns.len() == step.columns.len()
            && columns.iter().zip(&step.columns).all(|(left, right)| {
                left.ty == right.ty
                    || right.ty.is_unknown()
                    || left.ty.storage() == right.ty.storage()
            });
        if !is_same {
            return Err(SqlError::new(
                state::DATATYPE_MISMATCH,
                format!(
                    "recursive query \"{name}\": the columns of both terms have different types"
                ),
            ));
        }
        let all = if *set_quantifier == SetQuantifier::All {
            " ALL"
        } else {
            ""
        };
        Ok((format!("{} UNION{all} {}", start.sql, step.sql), columns))
    }

    fn body(&self, body: &SetExpr, around: &Scope<'_>) -> Result<Rows> {
        match body {
            SetExpr::Select(select) => self.select(select, &[], around),
            SetExpr::Query(query) => self.query(query, Some(around)),
            SetExpr::Values(values) => self.values(values, around),
            SetExpr::SetOperation {
                left,
                op,
                set_quantifier,
                right,
            } => {
                let word = match (op, set_quantifier) {
                    (SetOperator::Union, SetQuantifier::All) => "UNION ALL",
                    (SetOperator::Union, SetQuantifier::None | SetQuantifier::Distinct) => "UNION",
                    (SetOperator::Except, SetQuantifier::None | SetQuantifier::Distinct) => {
                        "EXCEPT"
                    }
                    (SetOperator::Intersect, SetQuantifier::None | SetQuantifier::Distinct) => {
                        "INTERSECT"
                    }
                    (op, quantifier) => {
                        return Err(SqlError::refused(format!("{op} {quantifier}")));
                    }
                };
                let (left, right) = (self.body(left, around)?, self.body(right, around)?);
                self.combine(&left, word, &right)
            }
            _ => Err(SqlError::refused(
                "a statement that changes data within a query",
            )),
        }
    }

    fn combine(&self, left: &Rows, word: &str, right: &Rows) -> Result<Rows> {
        if left.columns.len() != right.columns.len() {
            let operator = word.split(' ').next().unwrap_or(word);
            return Err(SqlError::new(
                state::SYNTAX_ERROR,
                format!("each {operator} query must have the same number of columns"),
            ));
        }
        let mut columns = Vec::new();
        for (a, b) in left.columns.iter().zip(&right.columns) {
            let ty = Self::common_type(a.ty, b.ty).ok_or_else(|| {
                SqlError::new(
                    state::DATATYPE_MISMATCH,
                    format!("UNION types {} and {} cannot be matched", a.ty, b.ty),
                )
            })?;
            if word != "UNION ALL" {
                super::select::check_equality(ty)?;
            }
            let modifier = if a.modifier == b.modifier {
                a.modifier
            } else {
                -1
            };
            columns.push(Output {
                ty,
                modifier,
                origin: None,
                ..a.clone()
            });
        }
        let side = |rows: &Rows| -> Result<String> {
            let mut items = Vec::new();
            for (own, wanted) in rows.columns.iter().zip(&columns) {
                let value = Typed::new(parse::quote(&own.sql_name), own.ty);
                let value = self.cast(value, wanted.ty, Strength::Implicit)?;
                items.push(format!(
                    "{} AS {}",
                    value.collated(),
                    parse::quote(&wanted.sql_name)
                ));
            }
            Ok(format!("SELECT {} FROM ({})", items.join(", "), rows.sql))
        };
        let sql = format!("{} {word} {}", side(left)?, side(right)?);
        Ok(Rows { sql, columns })
    }

    fn values(&self, values: &Values, around: &Scope<'_>) -> Result<Rows> {
        let width = values.rows.first().map_or(0, |row| row.content.len());
        let mut columns: Vec<Vec<Typed>> = vec![Vec::new(); width];
        for row in &values.rows {
            if row.content.len() != width {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "VALUES lists must all be the same length",
                ));
            }
            for (column, value) in columns.iter_mut().zip(&row.content) {
                column.push(self.expression(value, around)?);
            }
        }
        let mut rows: Vec<Vec<String>> = vec![Vec::new(); values.rows.len()];
        let mut outputs = Vec::new();
        for (number, column) in columns.into_iter().enumerate() {
            let is_unknown = column.iter().all(|value| value.ty.is_unknown());
            let column = if is_unknown {
                column
            } else {
                self.unify_all(column, "VALUES")?
            };
            let name = format!("column{}", number + 1);
            let ty = column
                .first()
                .map_or(SqlType::of(Base::Text), |value| value.ty);
            outputs.push(Output {
                sql_name: name.clone(),
                name,
                ty,
                modifier: -1,
                origin: None,
            });
            for (row, value) in rows.iter_mut().zip(column) {
                row.push(value.sql);
            }
        }
        let rows: Vec<String> = rows
            .iter()
            .map(|row| format!("({})", row.join(", ")))
            .collect();
        Ok(Rows {
            sql: format!("VALUES {}", rows.join(", ")),
            columns: outputs,
        })
    }

    fn limit(&self, query: &Query, around: &Scope<'_>) -> Result<Option<String>> {
        let int8 = SqlType::of(Base::Int8);
        let count = |expression: &Expr| -> Result<String> {
            let value = self.expression(expression, around)?;
            Ok(self.cast(value, int8, Strength::Assignment)?.sql)
        };
        let (mut limit, mut offset) = (None, None);
        if let Some(clause) = &query.limit_clause {
            let LimitClause::LimitOffset {
                limit: own,
                offset: skipped,
                limit_by,
            } = clause
            else {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "LIMIT #,# syntax is not supported",
                ));
            };
            if !limit_by.is_empty() {
                return Err(SqlError::refused("LIMIT BY"));
            }
            limit = own.as_ref().map(&count).transpose()?;
            offset = skipped
                .as_ref()
                .map(|offset| count(&offset.value))
                .transpose()?;
        }
        if let Some(fetch) = &query.fetch {
            if fetch.with_ties || fetch.percent {
                return Err(SqlError::refused("FETCH WITH TIES or PERCENT"));
            }
            limit = Some(fetch.quantity.as_ref().map_or(Ok("1".to_owned()), &count)?);
        }
        if limit.is_none() && offset.is_none() {
            return Ok(None);
        }
        // SQLite takes a negative number for none, PostgreSQL null.
        let limit = limit.map_or("-1".to_owned(), |limit| {
            format!("coalesce(pg_limit({limit}), -1)")
        });
        let offset = offset.map(|offset| format!(" OFFSET coalesce(pg_limit({offset}), 0)"));
        Ok(Some(format!(
            " LIMIT {limit}{}",
            offset.unwrap_or_default()
        )))
    }

    /// One item of an `ORDER BY`.
    pub(super) fn order_item(item: &OrderByExpr, value: &Typed) -> Result<String> {
        check_order(value.ty)?;
        Ok(format!("{}{}", value.collated(), direction(item)?))
    }

    fn order_by_output(order: &[OrderByExpr], columns: &[Output]) -> Result<String> {
        let mut items = Vec::new();
        for item in order {
            let Some(number) = output_number(&item.expr, columns)? else {
                return Err(SqlError::refused(
                    "ORDER BY an expression behind UNION, EXCEPT or VALUES",
                ));
            };
            let column = columns
                .get(number - 1)
                .map(|column| Typed::new(parse::quote(&column.sql_name), column.ty));
            if let Some(column) = column {
                items.push(Self::order_item(item, &column)?);
            }
        }
        Ok(items.join(", "))
    }
}

/// Refuses an order that is not PostgreSQL's.
pub(super) fn check_order(ty: SqlType) -> Result<()> {
    if ty.is_sorted() {
        Ok(())
    } else {
        Err(SqlError::refused(format!("an order of {ty}")))
    }
}

/// What is behind an item of an `ORDER BY`: nulls are last, unless it descends.
pub(super) fn direction(item: &OrderByExpr) -> Result<String> {
    if item.with_fill.is_some() {
        return Err(SqlError::refused("WITH FILL"));
    }
    let is_descending = match &item.options.sort {
        None | Some(OrderBySort::Asc) => false,
        Some(OrderBySort::Desc) => true,
        Some(OrderBySort::Using(_)) => return Err(SqlError::refused("ORDER BY USING")),
    };
    let nulls_first = item.options.nulls_first.unwrap_or(is_descending);
    let direction = if is_descending { " DESC" } else { "" };
    let nulls = if nulls_first {
        " NULLS FIRST"
    } else {
        " NULLS LAST"
    };
    Ok(format!("{direction}{nulls}"))
}

/// The number, from 1, of the output column that an item of an `ORDER BY` is.
pub(super) fn output_number(expression: &Expr, columns: &[Output]) -> Result<Option<usize>> {
    match expression {
        Expr::Value(value) => {
            let sqlparser::ast::Value::Number(digits, _) = &value.value else {
                return Err(SqlError::new(
                    state::SYNTAX_ERROR,
                    "non-integer constant in ORDER BY",
                ));
            };
            let number = digits
                .parse()
                .ok()
                .filter(|number| (1..=columns.len()).contains(number));
            number.map(Some).ok_or_else(|| {
                SqlError::new(
                    state::INVALID_COLUMN_REFERENCE,
                    format!("ORDER BY position {digits} is not in select list"),
                )
            })
        }
        Expr::Identifier(name) => {
            let name = parse::fold(name);
            let mut found = columns
                .iter()
                .enumerate()
                .filter(|(_, column)| column.name == name);
            Ok(found.next().map(|(index, _)| index + 1))
        }
        _ => Ok(None),
    }
}

fn order_of(order_by: Option<&OrderBy>) -> Result<&[OrderByExpr]> {
    match order_by.map(|order| (&order.kind, &order.interpolate)) {
        None => Ok(&[]),
        Some((OrderByKind::Expressions(list), None)) => Ok(list),
        Some(_) => Err(SqlError::refused("ORDER BY ALL")),
    }
}

fn check_query(query: &Query) -> Result<()> {
    let has_more = query.for_clause.is_some()
        || query.settings.is_some()
        || query.format_clause.is_some()
        || !query.pipe_operators.is_empty();
    if has_more {
        return Err(SqlError::refused("a clause of this query"));
    }
    Ok(())
}

/// Whether a query reads from something of that name.
fn parse_mentions(query: &Query, name: &str) -> bool {
    use std::ops::ControlFlow;
    let found = sqlparser::ast::visit_relations(query, |relation| match parse::place(relation) {
        Ok((parse::Place::Anywhere, own)) if own == name => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
