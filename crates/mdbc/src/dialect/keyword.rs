//! Expressions that are written with words.

use sqlparser::ast::{Expr, TrimWhereField};

use super::cast::Strength;
use super::expression::number;
use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError};
use crate::types::{Base, SqlType};

const BOOL: SqlType = SqlType::of(Base::Bool);
const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    /// Expressions that are written with words.
    pub(super) fn keyword(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        match expression {
            Expr::IsNull(inner) => self.is_null(inner, "IS NULL", scope),
            Expr::IsNotNull(inner) => self.is_null(inner, "IS NOT NULL", scope),
            Expr::IsTrue(inner) => self.is_truth(inner, "IS TRUE", scope),
            Expr::IsNotTrue(inner) => self.is_truth(inner, "IS NOT TRUE", scope),
            Expr::IsFalse(inner) => self.is_truth(inner, "IS FALSE", scope),
            Expr::IsNotFalse(inner) => self.is_truth(inner, "IS NOT FALSE", scope),
            Expr::IsUnknown(inner) => self.is_truth(inner, "IS NULL", scope),
            Expr::IsNotUnknown(inner) => self.is_truth(inner, "IS NOT NULL", scope),
            Expr::IsDistinctFrom(left, right) => self.distinct(left, right, "IS NOT", scope),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(left, right, "IS", scope),
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, (low, high), *negated, scope),
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => {
                self.pattern(expression, scope)
            }
            Expr::AnyOp {
                left,
                compare_op,
                right,
                ..
            } => self.any(left, compare_op, right, scope),
            Expr::AllOp {
                left,
                compare_op,
                right,
            } => self.all(left, compare_op, right, scope),
            Expr::AtTimeZone {
                timestamp,
                time_zone,
            } => self.at_time_zone(timestamp, time_zone, scope),
            Expr::Extract { field, expr, .. } => self.extract(&field.to_string(), expr, scope),
            other => self.function_keyword(other, scope),
        }
    }

    /// Functions whose arguments are told apart by words.
    fn function_keyword(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        match expression {
            Expr::Ceil { expr, .. } => self.named("ceil", &[expr], scope),
            Expr::Floor { expr, .. } => self.named("floor", &[expr], scope),
            Expr::Position { expr, r#in } => self.named("strpos", &[r#in, expr], scope),
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => self.substring(
                expr,
                substring_from.as_deref(),
                substring_for.as_deref(),
                scope,
            ),
            Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "btrim",
                };
                let listed = trim_characters.iter().flatten();
                let arguments: Vec<&Expr> = std::iter::once(&**expr)
                    .chain(trim_what.as_deref())
                    .chain(listed)
                    .collect();
                self.named(name, &arguments, scope)
            }
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut arguments: Vec<&Expr> = vec![expr, overlay_what, overlay_from];
                arguments.extend(overlay_for.as_deref());
                self.named("overlay", &arguments, scope)
            }
            other => Err(SqlError::refused(format!("the expression {other}"))),
        }
    }

    fn pattern(&self, expression: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        let (function, is_negated, value, pattern, escape) = match expression {
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => ("pg_like", *negated, expr, pattern, escape_char),
            Expr::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => ("pg_ilike", *negated, expr, pattern, escape_char),
            Expr::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => ("pg_similar", *negated, expr, pattern, escape_char),
            other => return Err(SqlError::refused(format!("the expression {other}"))),
        };
        self.like(
            function,
            is_negated,
            (value, pattern, escape.as_deref()),
            scope,
        )
    }

    fn extract(&self, field: &str, value: &Expr, scope: &Scope<'_>) -> Result<Typed> {
        let field = field.to_lowercase();
        let value = self.expression(value, scope)?;
        // EXTRACT answers exact numbers, date_part floating point ones.
        let scale = match (field.as_str(), value.ty.base) {
            (_, Base::Date) => None,
            ("second" | "seconds" | "epoch", _) => Some(6),
            ("milliseconds" | "millisecond", _) => Some(3),
            _ => None,
        };
        let field = Typed::of(parse::literal(&field), Base::Text);
        let part = self.call("date_part", vec![field, value])?;
        let exact = self.call("pg_extract_numeric", vec![part])?;
        Ok(match scale {
            Some(scale) => Typed::of(
                format!("pg_numeric_round('round', {}, {scale})", exact.sql),
                Base::Numeric,
            ),
            None => exact,
        })
    }

    /// A call of a function by its name.
    pub(super) fn named(
        &self,
        name: &str,
        arguments: &[&Expr],
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let arguments: Result<Vec<Typed>> = arguments
            .iter()
            .map(|argument| self.expression(argument, scope))
            .collect();
        self.call(name, arguments?)
    }

    pub(super) fn is_null(&self, inner: &Expr, test: &str, scope: &Scope<'_>) -> Result<Typed> {
        if matches!(inner, Expr::Tuple(_)) {
            return Err(SqlError::refused("IS NULL of a row"));
        }
        let value = self.expression(inner, scope)?;
        Ok(Typed::new(format!("({} {test})", value.sql), BOOL))
    }

    pub(super) fn is_truth(&self, inner: &Expr, test: &str, scope: &Scope<'_>) -> Result<Typed> {
        let value = self.condition(self.expression(inner, scope)?, test)?;
        Ok(Typed::new(format!("({} {test})", value.sql), BOOL))
    }

    pub(super) fn distinct(
        &self,
        left: &Expr,
        right: &Expr,
        test: &str,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let left = self.expression(left, scope)?;
        let right = self.expression(right, scope)?;
        let (left, right) = self.unify(left, right, "IS DISTINCT FROM")?;
        Ok(Typed::new(
            format!("({} {test} {})", left.collated(), right.sql),
            BOOL,
        ))
    }

    pub(super) fn between(
        &self,
        value: &Expr,
        (low, high): (&Expr, &Expr),
        is_negated: bool,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let value = self.expression(value, scope)?;
        let low = self.compare(">=", value.clone(), self.expression(low, scope)?)?;
        let high = self.compare("<=", value, self.expression(high, scope)?)?;
        let not = if is_negated { "NOT " } else { "" };
        Ok(Typed::new(
            format!("({not}({} AND {}))", low.sql, high.sql),
            BOOL,
        ))
    }

    pub(super) fn like(
        &self,
        function: &str,
        is_negated: bool,
        (value, pattern, escape): (&Expr, &Expr, Option<&Expr>),
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let value = self.text(value, scope)?;
        let pattern = self.text(pattern, scope)?;
        let escape = match escape {
            Some(escape) => self.text(escape, scope)?,
            None => "'\\'".to_owned(),
        };
        let not = if is_negated { "NOT " } else { "" };
        Ok(Typed::new(
            format!("({not}{function}({value}, {pattern}, {escape}))"),
            BOOL,
        ))
    }

    pub(super) fn text(&self, expression: &Expr, scope: &Scope<'_>) -> Result<String> {
        let value = self.expression(expression, scope)?;
        let ty = value.ty;
        let as_text = self.cast(value, TEXT, Strength::Implicit);
        Ok(as_text
            .map_err(|_| super::cast::no_operator("~~", ty, TEXT))?
            .sql)
    }

    pub(super) fn at_time_zone(
        &self,
        timestamp: &Expr,
        zone: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let value = self.expression(timestamp, scope)?;
        let zone = self.expression(zone, scope)?;
        self.call("timezone", vec![zone, value])
    }

    pub(super) fn substring(
        &self,
        value: &Expr,
        from: Option<&Expr>,
        count: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let mut arguments = vec![self.expression(value, scope)?];
        match from {
            Some(from) => arguments.push(self.expression(from, scope)?),
            None => arguments.push(number("1")?),
        }
        if let Some(count) = count {
            arguments.push(self.expression(count, scope)?);
        }
        self.call("substring", arguments)
    }
}
