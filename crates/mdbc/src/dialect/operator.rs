//! Operators.

use sqlparser::ast::{BinaryOperator, Expr};

use super::cast::{Strength, no_operator, rank};
use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, Class, SqlType};

const BOOL: SqlType = SqlType::of(Base::Bool);
const TEXT: SqlType = SqlType::of(Base::Text);

/// The operator as text, whichever way it is written.
pub(super) fn spelling(operator: &BinaryOperator) -> Result<String> {
    Ok(match operator {
        BinaryOperator::PGCustomBinaryOperator(parts) => match parts.as_slice() {
            [operator] => operator.clone(),
            [schema, operator] if schema.eq_ignore_ascii_case("pg_catalog") => operator.clone(),
            _ => {
                return Err(SqlError::refused(format!(
                    "the operator {}",
                    parts.join(".")
                )));
            }
        },
        BinaryOperator::NotEq => "<>".to_owned(),
        other => other.to_string(),
    })
}

impl Compiler<'_> {
    pub(super) fn binary(
        &self,
        left: &Expr,
        operator: &BinaryOperator,
        right: &Expr,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        if let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (left, right) {
            return match operator {
                BinaryOperator::Eq => {
                    Ok(Typed::new(self.row_equality(lefts, rights, scope)?, BOOL))
                }
                BinaryOperator::NotEq => {
                    let equal = self.row_equality(lefts, rights, scope)?;
                    Ok(Typed::new(format!("(NOT {equal})"), BOOL))
                }
                _ => Err(SqlError::refused("an order of rows")),
            };
        }
        let left = self.expression(left, scope)?;
        let right = self.expression(right, scope)?;
        if let BinaryOperator::And | BinaryOperator::Or = operator {
            let word = operator.to_string();
            let left = self.condition(left, &word)?;
            let right = self.condition(right, &word)?;
            return Ok(Typed::new(
                format!("({} {word} {})", left.sql, right.sql),
                BOOL,
            ));
        }
        self.operate(&spelling(operator)?, left, right)
    }

    /// `left operator right`.
    pub(super) fn operate(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        match operator {
            "=" | "<>" | "!=" | "<" | "<=" | ">" | ">=" => self.compare(operator, left, right),
            "+" | "-" | "*" | "/" | "%" => self.arithmetic(operator, left, right),
            "||" => self.concatenate(left, right),
            "~" | "~*" | "!~" | "!~*" => self.matches(operator, left, right),
            "~~" | "!~~" | "~~*" | "!~~*" => self.like_operator(operator, left, right),
            "->" | "->>" | "#>" | "#>>" => self.arrow(operator, left, right),
            "&" | "|" | "#" | "<<" | ">>" => self.bits(operator, left, right),
            "@>" => self.contains(left, right),
            "<@" => self.contains(right, left),
            "&&" => self.overlaps(left, right),
            "?" => {
                let key = self.cast(right, TEXT, Strength::Implicit)?;
                self.jsonb_test("pg_json_has", left, key)
            }
            "^" => self.call("power", vec![left, right]),
            "^@" => self.call("starts_with", vec![left, right]),
            other => Err(SqlError::refused(format!("the operator {other}"))),
        }
    }

    /// A comparison that is true, false or null.
    pub(super) fn compare(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.unify(left, right, operator)?;
        if left.ty == SqlType::of(Base::Json) {
            return Err(no_operator(operator, left.ty, right.ty));
        }
        let is_equality = matches!(operator, "=" | "<>" | "!=");
        if !left.ty.is_compared() || !is_equality && !left.ty.is_sorted() {
            return Err(SqlError::refused(format!(
                "a comparison of {} by {operator}",
                left.ty
            )));
        }
        Ok(Typed::new(
            format!("({} {operator} {})", left.collated(), right.sql),
            BOOL,
        ))
    }

    fn arithmetic(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let is_time = |ty: SqlType| matches!(ty.class(), Class::Time | Class::Interval);
        if is_time(left.ty) || is_time(right.ty) {
            return self.time_arithmetic(operator, left, right);
        }
        if left.ty.class() == Class::Json && operator == "-" {
            return self.call("jsonb_delete", vec![left, right]);
        }
        let both_unknown = left.ty.is_unknown() && right.ty.is_unknown();
        let (left_type, right_type) = (left.ty, right.ty);
        let common = Self::common_type(left.ty, right.ty)
            .filter(|ty| !both_unknown && !ty.is_array && rank(ty.base).is_some());
        let Some(common) = common else {
            if both_unknown && left.literal.is_some() {
                // Two parameters, or constants, of which nothing is known.
                let float = SqlType::of(Base::Int4);
                let left = self.cast(left, float, Strength::Implicit)?;
                let right = self.cast(right, float, Strength::Implicit)?;
                return self.arithmetic(operator, left, right);
            }
            return Err(no_operator(operator, left_type, right_type));
        };
        let left = self.cast(left, common, Strength::Implicit)?.sql;
        let right = self.cast(right, common, Strength::Implicit)?.sql;
        let quoted = parse::literal(operator);
        let sql = match (common.class(), operator) {
            (Class::Integer, "/" | "%") => {
                format!("pg_divide({}, {quoted}, {left}, {right})", common.oid())
            }
            (Class::Integer, _) if common.base != Base::Int8 => {
                format!("pg_in_range({}, {left} {operator} {right})", common.oid())
            }
            (Class::Integer, _) => format!("pg_int8({quoted}, {left}, {right})"),
            (Class::Float, _) => {
                format!("pg_float({}, {quoted}, {left}, {right})", common.oid())
            }
            _ => format!("pg_numeric({quoted}, {left}, {right})"),
        };
        Ok(Typed::new(sql, common))
    }

    pub(super) fn negate(&self, value: Typed) -> Result<Typed> {
        let ty = value.ty;
        match ty.class() {
            Class::Integer => {
                let zero = super::expression::number("0")?;
                let zero = self.cast(zero, ty, Strength::Explicit)?;
                self.arithmetic("-", zero, value)
            }
            Class::Float => Ok(Typed::new(format!("(-{})", value.sql), ty)),
            Class::Numeric => Ok(Typed::new(
                format!("pg_numeric('*', '-1', {})", value.sql),
                ty,
            )),
            Class::Interval => Ok(Typed::new(format!("pg_interval_negate({})", value.sql), ty)),
            Class::Unknown => {
                let value = self.cast(value, SqlType::of(Base::Float8), Strength::Implicit)?;
                self.negate(value)
            }
            _ => Err(SqlError::new(
                state::UNDEFINED_FUNCTION,
                format!("operator does not exist: - {ty}"),
            )),
        }
    }

    fn concatenate(&self, left: Typed, right: Typed) -> Result<Typed> {
        let is_array = |typed: &Typed| typed.ty.is_array;
        let class = |typed: &Typed| typed.ty.class();
        if is_array(&left) || is_array(&right) {
            return self.concatenate_arrays(left, right);
        }
        if class(&left) == Class::Json || class(&right) == Class::Json {
            let jsonb = SqlType::of(Base::Jsonb);
            let left = self.cast(left, jsonb, Strength::Implicit)?;
            let right = self.cast(right, jsonb, Strength::Implicit)?;
            return Ok(Typed::new(
                format!("pg_json_concat({}, {})", left.sql, right.sql),
                jsonb,
            ));
        }
        if class(&left) == Class::Bytes || class(&right) == Class::Bytes {
            let bytea = SqlType::of(Base::Bytea);
            let left = self.cast(left, bytea, Strength::Implicit)?;
            let right = self.cast(right, bytea, Strength::Implicit)?;
            return Ok(Typed::new(
                format!("CAST({} || {} AS BLOB)", left.sql, right.sql),
                bytea,
            ));
        }
        let is_text = |typed: &Typed| matches!(typed.ty.class(), Class::Text | Class::Unknown);
        if !is_text(&left) && !is_text(&right) {
            return Err(no_operator("||", left.ty, right.ty));
        }
        let left = self.cast(left, TEXT, Strength::Explicit)?;
        let right = self.cast(right, TEXT, Strength::Explicit)?;
        Ok(Typed::new(format!("({} || {})", left.sql, right.sql), TEXT))
    }

    fn concatenate_arrays(&self, left: Typed, right: Typed) -> Result<Typed> {
        let array = if left.ty.is_array { left.ty } else { right.ty };
        let element = array.element().unwrap_or(TEXT);
        let one = |value: Typed| -> Result<String> {
            if value.ty.is_array || value.ty.is_unknown() && !is_parameter(&value) {
                return Ok(self.cast(value, array, Strength::Implicit)?.sql);
            }
            let value = self.cast(value, element, Strength::Implicit)?;
            Ok(super::expression::json_array(&[value.sql]))
        };
        Ok(Typed::new(
            format!("pg_array_concat({}, {})", one(left)?, one(right)?),
            array,
        ))
    }

    fn matches(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let (a, b) = (left.ty, right.ty);
        let error = |_| no_operator(operator, a, b);
        let left = self.cast(left, TEXT, Strength::Implicit).map_err(error)?;
        let right = self.cast(right, TEXT, Strength::Implicit).map_err(error)?;
        let not = if operator.starts_with('!') {
            "NOT "
        } else {
            ""
        };
        let is_blind = u8::from(operator.ends_with('*'));
        Ok(Typed::new(
            format!("({not}pg_matches({}, {}, {is_blind}))", left.sql, right.sql),
            BOOL,
        ))
    }

    fn like_operator(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let left = self.cast(left, TEXT, Strength::Implicit)?;
        let right = self.cast(right, TEXT, Strength::Implicit)?;
        let not = if operator.starts_with('!') {
            "NOT "
        } else {
            ""
        };
        let function = if operator.ends_with('*') {
            "pg_ilike"
        } else {
            "pg_like"
        };
        Ok(Typed::new(
            format!("({not}{function}({}, {}, '\\'))", left.sql, right.sql),
            BOOL,
        ))
    }

    /// What is within a document.
    pub(super) fn arrow(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let ty = if left.ty.is_unknown() {
            SqlType::of(Base::Jsonb)
        } else {
            left.ty
        };
        if ty.class() != Class::Json {
            return Err(no_operator(operator, left.ty, right.ty));
        }
        let left = self.cast(left, ty, Strength::Implicit)?;
        let path = match (operator, right.ty.class()) {
            ("->" | "->>", Class::Integer) => right,
            ("->" | "->>", _) => self.cast(right, TEXT, Strength::Implicit)?,
            _ => self.cast(right, SqlType::array_of(Base::Text), Strength::Implicit)?,
        };
        let result = if operator.ends_with(">>") { TEXT } else { ty };
        Ok(Typed::new(
            format!(
                "pg_json_get({}, {}, {})",
                parse::literal(operator),
                left.sql,
                path.sql
            ),
            result,
        ))
    }

    fn bits(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.unify(left, right, operator)?;
        if left.ty.class() != Class::Integer {
            return Err(no_operator(operator, left.ty, right.ty));
        }
        let (a, b) = (&left.sql, &right.sql);
        let sql = if operator == "#" {
            format!("(({a} | {b}) - ({a} & {b}))")
        } else {
            format!("pg_in_range({}, {a} {operator} {b})", left.ty.oid())
        };
        Ok(Typed::new(sql, left.ty))
    }

    fn contains(&self, left: Typed, right: Typed) -> Result<Typed> {
        if left.ty.is_array || right.ty.is_array {
            let (left, right) = self.unify(left, right, "@>")?;
            return Ok(Typed::new(
                format!("pg_array_contains({}, {})", left.sql, right.sql),
                BOOL,
            ));
        }
        self.jsonb_test("pg_json_contains", left, right)
    }

    fn jsonb_test(&self, function: &str, left: Typed, right: Typed) -> Result<Typed> {
        let jsonb = SqlType::of(Base::Jsonb);
        if left.ty != jsonb && !left.ty.is_unknown() {
            return Err(no_operator("@>", left.ty, right.ty));
        }
        let left = self.cast(left, jsonb, Strength::Implicit)?;
        let right = if right.ty == TEXT {
            right
        } else {
            self.cast(right, jsonb, Strength::Implicit)?
        };
        Ok(Typed::new(
            format!("{function}({}, {})", left.sql, right.sql),
            BOOL,
        ))
    }

    fn overlaps(&self, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.unify(left, right, "&&")?;
        if !left.ty.is_array {
            return Err(no_operator("&&", left.ty, right.ty));
        }
        Ok(Typed::new(
            format!("pg_array_overlaps({}, {})", left.sql, right.sql),
            BOOL,
        ))
    }
}

/// Whether it is a parameter of which nothing is known.
pub(super) fn is_parameter(typed: &Typed) -> bool {
    matches!(typed.literal, Some(super::Literal::Parameter(_)))
}
