//! Expressions.

use sqlparser::ast::{
    AccessExpr, Array, CaseWhen, DataType, Expr, Interval, Query, Subscript, UnaryOperator,
    Value as Constant,
};

use super::cast::{Strength, constant};
use super::scope::Scope;
use super::{Compiler, Literal, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::interval::Interval as Span;
use crate::types::{Base, Class, SqlType};

const BOOL: SqlType = SqlType::of(Base::Bool);
const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    /// Understands an expression.
    pub(super) fn expression(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        let mark = scope.mark();
        let typed = self.bare_expression(expression, scope)?;
        scope.settle(mark, &typed.sql);
        Ok(typed)
    }

    fn bare_expression(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        match expression {
            Expr::Identifier(name) => {
                self.name(&parse::fold(name), name.quote_style.is_some(), scope)
            }
            Expr::CompoundIdentifier(parts) => {
                let parts: Vec<String> = parts.iter().map(parse::fold).collect();
                compound(&parts, scope)
            }
            Expr::Value(value) => self.constant(&value.value),
            Expr::Nested(inner) => self.expression(inner, scope),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right, scope),
            Expr::UnaryOp { op, expr } => self.unary(*op, expr, scope),
            Expr::Cast {
                kind: _,
                expr,
                data_type,
                format: None,
            } => self.explicit_cast(expr, data_type, scope),
            Expr::TypedString(typed) => {
                let (ty, modifier) = super::resolve_type(&typed.data_type)?;
                let value = self.constant(&typed.value.value)?;
                let value = self.cast(value, ty, Strength::Explicit)?;
                Ok(Self::fit(value, modifier, Strength::Explicit))
            }
            Expr::Function(function) => self.function(function, scope),
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(
                operand.as_deref(),
                conditions,
                else_result.as_deref(),
                scope,
            ),
            Expr::Exists { subquery, negated } => self.exists(subquery, *negated, scope),
            Expr::Subquery(query) => self.scalar(query, scope),
            Expr::In {
                expr,
                target,
                negated,
                global: false,
            } => self.membership(expr, target, *negated, scope),
            Expr::Interval(interval) => Self::interval(interval),
            Expr::Array(array) => self.array(array, scope),
            Expr::CompoundFieldAccess { root, access_chain } => {
                self.access(root, access_chain, scope)
            }
            Expr::Collate { expr, collation } => self.collate(expr, collation, scope),
            Expr::Tuple(_) => Err(SqlError::refused("a row value here")),
            _ => self.keyword(expression, scope),
        }
    }

    fn name(&self, name: &str, is_quoted: bool, scope: &Scope<'_>) -> Result<Typed> {
        if let Some(column) = scope.column(name)? {
            return Ok(column);
        }
        if !is_quoted && let Some(value) = self.bare_function(name)? {
            return Ok(value);
        }
        if let Some(source) = scope.source(name) {
            // A function in FROM is named as its column is.
            if let [column] = source.columns.as_slice() {
                return scope.qualified(name, &column.name.clone());
            }
            return Err(SqlError::refused(format!(
                "the whole row {name} as a value"
            )));
        }
        Err(SqlError::new(
            state::UNDEFINED_COLUMN,
            format!("column \"{name}\" does not exist"),
        ))
    }

    /// A value that is written out.
    pub(super) fn constant(&self, value: &Constant) -> Result<Typed> {
        Ok(match value {
            Constant::Number(digits, _) => number(digits)?,
            Constant::SingleQuotedString(text)
            | Constant::EscapedStringLiteral(text)
            | Constant::UnicodeStringLiteral(text)
            | Constant::NationalStringLiteral(text) => string(text)?,
            Constant::DollarQuotedString(dollar) => string(&dollar.value)?,
            Constant::HexStringLiteral(_) => return Err(SqlError::refused("a bit string")),
            Constant::Boolean(truth) => Typed::of(u8::from(*truth).to_string(), Base::Bool),
            Constant::Null => Typed::literal("NULL".to_owned(), Base::Unknown, Literal::Null),
            Constant::Placeholder(name) => self.parameter(name)?,
            other => return Err(SqlError::refused(format!("the constant {other}"))),
        })
    }

    fn parameter(&self, name: &str) -> Result<Typed> {
        let number: usize = name
            .strip_prefix('$')
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| {
                SqlError::new(state::SYNTAX_ERROR, format!("syntax error at \"{name}\""))
            })?;
        let index = number
            .checked_sub(1)
            .ok_or_else(|| SqlError::new(state::UNDEFINED_PARAMETER, "there is no parameter $0"))?;
        let ty = self.parameter_type(index)?;
        let typed = Typed::literal(
            format!("?{number}"),
            Base::Unknown,
            Literal::Parameter(index),
        );
        Ok(Typed {
            ty: ty.unwrap_or(SqlType::of(Base::Unknown)),
            ..typed
        })
    }

    fn unary(&self, operator: UnaryOperator, operand: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        if operator == UnaryOperator::Minus
            && let Expr::Value(value) = operand
            && let Constant::Number(digits, _) = &value.value
        {
            return number(&format!("-{digits}"));
        }
        let value = self.expression(operand, scope)?;
        match operator {
            UnaryOperator::Not => {
                let value = self.condition(value, "NOT")?;
                Ok(Typed::new(format!("(NOT {})", value.sql), BOOL))
            }
            UnaryOperator::Plus => Ok(value),
            UnaryOperator::Minus => self.negate(value),
            UnaryOperator::BitwiseNot => {
                let value = self.cast(value.clone(), value.ty, Strength::Implicit)?;
                if value.ty.class() != Class::Integer {
                    return Err(SqlError::new(
                        state::UNDEFINED_FUNCTION,
                        format!("operator does not exist: ~ {}", value.ty),
                    ));
                }
                Ok(Typed::new(format!("(~{})", value.sql), value.ty))
            }
            UnaryOperator::PGAbs => self.call("abs", vec![value]),
            UnaryOperator::PGSquareRoot => self.call("sqrt", vec![value]),
            other => Err(SqlError::refused(format!("the operator {other}"))),
        }
    }

    fn explicit_cast(&self, value: &Expr, ty: &DataType, scope: &Scope<'_>) -> Result<Typed> {
        let (ty, modifier) = super::resolve_type(ty)?;
        // The elements of an array that is written out are cast one by one.
        if let (Expr::Array(array), Some(element), true) = (value, ty.element(), ty.is_array) {
            let elements: Result<Vec<String>> = array
                .elem
                .iter()
                .map(|item| {
                    let item = self.expression(item, scope)?;
                    Ok(self.cast(item, element, Strength::Explicit)?.sql)
                })
                .collect();
            return Ok(Typed::new(json_array(&elements?), ty));
        }
        let value = self.expression(value, scope)?;
        let value = self.cast(value, ty, Strength::Explicit)?;
        Ok(Self::fit(value, modifier, Strength::Explicit))
    }

    fn case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for branch in conditions {
            let test = match operand {
                Some(operand) => {
                    let left = self.expression(operand, scope)?;
                    let right = self.expression(&branch.condition, scope)?;
                    self.compare("=", left, right)?
                }
                None => self.condition(self.expression(&branch.condition, scope)?, "CASE/WHEN")?,
            };
            tests.push(test.sql);
            results.push(self.expression(&branch.result, scope)?);
        }
        if let Some(otherwise) = otherwise {
            results.push(self.expression(otherwise, scope)?);
        }
        let results = self.unify_all(results, "CASE")?;
        let ty = results.first().map_or(TEXT, |result| result.ty);
        let mut sql = "CASE".to_owned();
        let mut results = results.into_iter();
        for (test, result) in tests.iter().zip(results.by_ref()) {
            sql.push_str(&format!(" WHEN {test} THEN {}", result.sql));
        }
        if let Some(result) = results.next() {
            sql.push_str(&format!(" ELSE {}", result.sql));
        }
        Ok(Typed::new(format!("({sql} END)"), ty))
    }

    fn exists(&self, query: &Query, is_negated: bool, scope: &Scope<'_>) -> Result<Typed> {
        let inner = self.query(query, Some(scope))?;
        let not = if is_negated { "NOT " } else { "" };
        Ok(Typed::new(format!("({not}EXISTS ({}))", inner.sql), BOOL))
    }

    fn scalar(&self, query: &Query, scope: &Scope<'_>) -> Result<Typed> {
        let (sql, column) = self.single_column(query, scope)?;
        // SQLite would take the first of several rows.
        let sql = if is_single_row(query) {
            format!("({sql})")
        } else {
            let name = parse::quote(&column.sql_name);
            format!("(SELECT pg_single(c) FROM (SELECT {name} AS c FROM ({sql}) LIMIT 2))")
        };
        Ok(Typed {
            modifier: column.modifier,
            ..Typed::new(sql, column.ty)
        })
    }

    /// A subquery of one column.
    pub(super) fn single_column(
        &self,
        query: &Query,
        scope: &Scope<'_>,
    ) -> Result<(String, super::Output)> {
        let inner = self.query(query, Some(scope))?;
        match <[super::Output; 1]>::try_from(inner.columns) {
            Ok([column]) => Ok((inner.sql, column)),
            Err(_) => Err(SqlError::new(
                state::SYNTAX_ERROR,
                "subquery must return only one column",
            )),
        }
    }

    fn interval(interval: &Interval) -> Result<Typed> {
        let Expr::Value(value) = &*interval.value else {
            return Err(SqlError::refused("an interval that is no constant"));
        };
        let Some(text) = value.value.clone().into_string() else {
            return Err(SqlError::refused("an interval that is no string"));
        };
        if interval.last_field.is_some() || interval.leading_precision.is_some() {
            return Err(SqlError::refused("the precision of an interval"));
        }
        let unit = interval.leading_field.as_ref().map(ToString::to_string);
        let span = Span::parse_with(&text, unit.map(|unit| unit.to_lowercase()).as_deref())?;
        Ok(Typed::of(parse::literal(&span.store()), Base::Interval))
    }

    fn array(&self, array: &Array, scope: &Scope<'_>) -> Result<Typed> {
        let mut elements = Vec::new();
        for element in &array.elem {
            if matches!(element, Expr::Array(_)) {
                return Err(SqlError::refused("an array of more than one dimension"));
            }
            elements.push(self.expression(element, scope)?);
        }
        if elements.is_empty() {
            return Ok(Typed::literal(
                "'[]'".to_owned(),
                Base::Unknown,
                Literal::Text("{}".to_owned()),
            ));
        }
        let elements = self.unify_all(elements, "ARRAY")?;
        let ty = elements.first().map_or(TEXT, |element| element.ty);
        if ty.is_array || ty.base == Base::Bytea {
            return Err(SqlError::refused(format!("an array of {ty}")));
        }
        let elements: Vec<String> = elements.into_iter().map(|element| element.sql).collect();
        Ok(Typed::new(
            json_array(&elements),
            SqlType::array_of(ty.base),
        ))
    }

    fn access(&self, root: &Expr, chain: &[AccessExpr], scope: &Scope<'_>) -> Result<Typed> {
        // The parser takes `a.b[1]` for a chain that begins at `a`.
        if let ([AccessExpr::Dot(Expr::Identifier(column)), rest @ ..], Expr::Identifier(source)) =
            (chain, root)
        {
            let root = Expr::CompoundIdentifier(vec![source.clone(), column.clone()]);
            return self.access(&root, rest, scope);
        }
        let mut value = self.expression(root, scope)?;
        for step in chain {
            if let (AccessExpr::Dot(Expr::Identifier(field)), Base::Record) = (step, value.ty.base)
            {
                value = expanded_field(&value, &parse::fold(field))?;
                continue;
            }
            let AccessExpr::Subscript(Subscript::Index { index }) = step else {
                return Err(SqlError::refused(format!("the access {step}")));
            };
            let index = self.expression(index, scope)?;
            value = self.subscript(value, index)?;
        }
        Ok(value)
    }

    fn subscript(&self, value: Typed, index: Typed) -> Result<Typed> {
        let Some(element) = value.ty.element() else {
            if value.ty == SqlType::of(Base::Jsonb) {
                return self.arrow("->", value, index);
            }
            return Err(SqlError::new(
                state::DATATYPE_MISMATCH,
                format!(
                    "cannot subscript type {} because it is not an array",
                    value.ty
                ),
            ));
        };
        let index = self.cast(index, SqlType::of(Base::Int4), Strength::Assignment)?;
        // Vectors count from zero, arrays from one.
        let base = u8::from(value.ty.is_array);
        Ok(Typed::new(
            format!("pg_subscript({}, {} - {base})", value.sql, index.sql),
            element,
        ))
    }

    fn collate(
        &self,
        value: &Expr,
        collation: &sqlparser::ast::ObjectName,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let (_, name) = parse::place(collation)?;
        if !matches!(
            name.as_str(),
            "default" | "C" | "POSIX" | "C.UTF-8" | "ucs_basic"
        ) {
            return Err(SqlError::refused(format!("the collation \"{name}\"")));
        }
        self.expression(value, scope)
    }
}

fn compound(parts: &[String], scope: &Scope<'_>) -> Result<Typed> {
    match parts {
        [source, column] => scope.qualified(source, column),
        [schema, source, column]
            if matches!(
                schema.as_str(),
                "public" | "pg_catalog" | "information_schema"
            ) =>
        {
            scope.qualified(source, column)
        }
        _ => Err(SqlError::new(
            state::UNDEFINED_COLUMN,
            format!("column {} does not exist", parts.join(".")),
        )),
    }
}

fn string(text: &str) -> Result<Typed> {
    if text.contains('\0') {
        return Err(SqlError::new(
            state::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    Ok(Typed::literal(
        parse::literal(text),
        Base::Unknown,
        Literal::Text(text.to_owned()),
    ))
}

/// A number of the smallest type that holds it.
pub(super) fn number(digits: &str) -> Result<Typed> {
    let digits = digits.replace('_', "");
    let base = match digits.parse::<i64>() {
        Ok(number) if i32::try_from(number).is_ok() => Base::Int4,
        Ok(_) => Base::Int8,
        Err(_) => Base::Numeric,
    };
    let value =
        crate::types::text::parse(SqlType::of(base), &digits, &crate::types::Look::default())?;
    Ok(Typed::literal(
        constant(&value),
        base,
        Literal::Number(digits),
    ))
}

/// Elements as a stored array.
pub(super) fn json_array(elements: &[String]) -> String {
    format!("json_array({})", elements.join(", "))
}

/// A field of the one kind of row that is a value: an array's element and its
/// number, as `_pg_expandarray` has them.
fn expanded_field(value: &Typed, field: &str) -> Result<Typed> {
    let (at, base) = match field {
        "x" => (0, Base::Int2),
        "n" => (1, Base::Int4),
        _ => {
            return Err(SqlError::new(
                state::UNDEFINED_COLUMN,
                format!("column \"{field}\" not found in data type record"),
            ));
        }
    };
    Ok(Typed::of(
        format!("json_extract({}, '$[{at}]')", value.sql),
        base,
    ))
}

/// Whether a query has one row at most, whatever the tables hold.
fn is_single_row(query: &Query) -> bool {
    use sqlparser::ast::{GroupByExpr, LimitClause, SelectItem, SetExpr};
    let is_limited = match &query.limit_clause {
        Some(LimitClause::LimitOffset {
            limit: Some(Expr::Value(limit)),
            ..
        }) => {
            matches!(&limit.value, Constant::Number(digits, _) if digits == "1")
        }
        _ => false,
    };
    let SetExpr::Select(select) = &*query.body else {
        return is_limited;
    };
    let is_ungrouped =
        matches!(&select.group_by, GroupByExpr::Expressions(list, _) if list.is_empty());
    let is_aggregate = select.projection.iter().any(|item| match item {
        SelectItem::UnnamedExpr(Expr::Function(function))
        | SelectItem::ExprWithAlias {
            expr: Expr::Function(function),
            ..
        } => function.over.is_none() && super::aggregate::is_aggregate(&function.name),
        _ => false,
    });
    is_limited || (is_ungrouped && (is_aggregate || select.from.is_empty()))
}
