//! Aggregates.

use sqlparser::ast::{Expr, ObjectName};

use super::cast::Strength;
use super::function::{Arguments, json_base, undefined};
use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, Class, SqlType};

/// Functions over the rows of a group.
pub(super) const AGGREGATES: &[&str] = &[
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "every",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "max",
    "min",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
];

const TEXT: SqlType = SqlType::of(Base::Text);

impl Compiler<'_> {
    pub(super) fn aggregate(
        &self,
        name: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        self.needs_freedom("an aggregate")?;
        scope.enter_aggregate(name)?;
        let compiled = self.aggregate_parts(name, arguments, filter, scope);
        scope.leave_aggregate();
        compiled
    }

    pub(super) fn aggregate_parts(
        &self,
        name: &str,
        arguments: &Arguments<'_>,
        filter: Option<&Expr>,
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        let condition = match filter {
            Some(filter) => Some(
                self.condition(self.expression(filter, scope)?, "FILTER")?
                    .sql,
            ),
            None => None,
        };
        let filter = condition
            .as_ref()
            .map(|condition| format!(" FILTER (WHERE {condition})"));
        let filter = filter.unwrap_or_default();
        let mut order = Vec::new();
        for item in arguments.order_by {
            order.push(Self::order_item(
                item,
                &self.expression(&item.expr, scope)?,
            )?);
        }
        let order = if order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {}", order.join(", "))
        };
        let mut values = Vec::new();
        for argument in &arguments.expressions {
            values.push(self.expression(argument, scope)?);
        }
        if arguments.is_star && !arguments.expressions.is_empty() {
            return Err(SqlError::new(state::SYNTAX_ERROR, "syntax error at \",\""));
        }
        if arguments.is_distinct
            && let Some(value) = values.first()
        {
            super::select::check_equality(value.ty)?;
        }
        if arguments.is_star && name == "count" {
            return Ok(Typed::of(format!("count(*){filter}"), Base::Int8));
        }
        if let ("string_agg", true, [value, separator]) =
            (name, arguments.is_distinct, values.as_slice())
        {
            return self.distinct_texts((value, separator), &order, condition.as_deref());
        }
        let distinct = if arguments.is_distinct {
            "DISTINCT "
        } else {
            ""
        };
        let (call, inner, ty, finish) = self.aggregate_call(name, values)?;
        if !distinct.is_empty() && inner.len() > 1 {
            return Err(SqlError::refused(format!(
                "{name}(DISTINCT …) of more than one argument"
            )));
        }
        let sql = format!("{call}({distinct}{}{order}){filter}", inner.join(", "));
        Ok(Typed::new(finish.replace("{}", &sql), ty))
    }

    /// `string_agg(DISTINCT …)`: SQLite has `DISTINCT` for one argument alone.
    fn distinct_texts(
        &self,
        (value, separator): (&Typed, &Typed),
        order: &str,
        condition: Option<&str>,
    ) -> Result<Typed> {
        if separator.literal.is_none() {
            return Err(SqlError::refused(
                "string_agg(DISTINCT …) with a separator that varies",
            ));
        }
        let value = self.cast(value.clone(), TEXT, Strength::Implicit)?.sql;
        let separator = self.cast(separator.clone(), TEXT, Strength::Implicit)?.sql;
        let and = condition
            .map(|condition| format!(" AND {condition}"))
            .unwrap_or_default();
        let array = format!(
            "json_group_array(DISTINCT {value}{order}) FILTER (WHERE {value} IS NOT NULL{and})"
        );
        let oid = SqlType::array_of(Base::Text).oid();
        let sql = format!("pg_array_to_string({oid}, nullif({array}, '[]'), {separator}, NULL)");
        Ok(Typed::new(sql, TEXT))
    }

    /// What an aggregate is in SQLite: its name, its arguments, the type of
    /// its result, and what is done to it.
    pub(super) fn aggregate_call(
        &self,
        name: &str,
        mut values: Vec<Typed>,
    ) -> Result<(String, Vec<String>, SqlType, &'static str)> {
        let types: Vec<SqlType> = values.iter().map(|value| value.ty).collect();
        for value in &mut values {
            if value.ty.is_unknown() {
                *value = self.cast(value.clone(), TEXT, Strength::Implicit)?;
            }
        }
        let error = || undefined(name, &types);
        let first = values.first().ok_or_else(error)?.clone();
        let one =
            |call: &str, value: String, ty: SqlType| Ok((call.to_owned(), vec![value], ty, "{}"));
        let two =
            |call: &str, values: [String; 2], ty| Ok((call.to_owned(), values.to_vec(), ty, "{}"));
        match (name, values.len()) {
            ("count", 1) => one("count", first.collated(), SqlType::of(Base::Int8)),
            ("sum" | "avg", 1) => {
                let (call, base) = number_aggregate(name, first.ty).ok_or_else(error)?;
                one(&call, first.sql, SqlType::of(base))
            }
            ("stddev" | "stddev_samp" | "stddev_pop" | "variance" | "var_samp" | "var_pop", 1) => {
                let value = self.cast(first, SqlType::of(Base::Float8), Strength::Implicit)?;
                one(spread_aggregate(name), value.sql, value.ty)
            }
            ("min" | "max", 1)
                if first.ty.is_sorted()
                    && !matches!(first.ty.class(), Class::Bool | Class::Uuid) =>
            {
                one(name, first.collated(), first.ty)
            }
            ("bool_and" | "every" | "bool_or", 1) => {
                let call = if name == "bool_or" { "max" } else { "min" };
                one(
                    call,
                    self.condition(first, name)?.sql,
                    SqlType::of(Base::Bool),
                )
            }
            ("string_agg", 2) if first.ty.class() == Class::Text => {
                let separator = values.get(1).ok_or_else(error)?.clone();
                let separator = self.cast(separator, TEXT, Strength::Implicit)?;
                two("string_agg", [first.sql, separator.sql], TEXT)
            }
            ("array_agg", 1) if !first.ty.is_array && first.ty.base != Base::Bytea => {
                let ty = SqlType::array_of(first.ty.base);
                Ok((
                    "json_group_array".to_owned(),
                    vec![first.sql],
                    ty,
                    "nullif({}, '[]')",
                ))
            }
            ("json_agg" | "jsonb_agg", 1) => {
                let base = json_base(name);
                one("pg_json_agg", self.document(&first)?, SqlType::of(base))
            }
            ("json_object_agg" | "jsonb_object_agg", 2) => {
                let base = json_base(name);
                let key = self.cast(first, TEXT, Strength::Explicit)?;
                let value = self.document(values.get(1).ok_or_else(error)?)?;
                two("pg_json_object_agg", [key.sql, value], SqlType::of(base))
            }
            _ => Err(error()),
        }
    }
}

/// The function for a measure of how values are spread.
fn spread_aggregate(name: &str) -> &'static str {
    match name {
        "stddev_pop" => "pg_stddev_pop",
        "var_samp" | "variance" => "pg_var_samp",
        "var_pop" => "pg_var_pop",
        _ => "pg_stddev_samp",
    }
}

/// Whether a name is that of an aggregate.
pub(super) fn is_aggregate(name: &ObjectName) -> bool {
    parse::place(name).is_ok_and(|(_, name)| AGGREGATES.contains(&name.as_str()))
}

/// What adds numbers of a type, and the type of what it answers.
fn number_aggregate(name: &str, ty: SqlType) -> Option<(String, Base)> {
    Some(match (ty.class(), ty.base) {
        (Class::Integer, Base::Int2 | Base::Int4) if name == "sum" => {
            ("sum".to_owned(), Base::Int8)
        }
        (Class::Integer, _) => (format!("pg_{name}_int8"), Base::Numeric),
        (Class::Float, Base::Float4) if name == "sum" => ("pg_sum_float".to_owned(), Base::Float4),
        (Class::Float, _) => (format!("pg_{name}_float"), Base::Float8),
        (Class::Numeric, _) => (format!("pg_{name}_numeric"), Base::Numeric),
        (Class::Interval, _) => (format!("pg_{name}_interval"), Base::Interval),
        _ => return None,
    })
}
