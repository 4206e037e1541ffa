//! Window functions.

use sqlparser::ast::{
    Expr, Function, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::cast::Strength;
use super::scope::Scope;
use super::{Compiler, Typed, parse};
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

impl Compiler<'_> {
    pub(super) fn window_function(
        &self,
        name: &str,
        arguments: &[&Expr],
        (function, over): (&Function, &WindowType),
        scope: &Scope<'_>,
    ) -> Result<Typed> {
        if !scope.allows_aggregates.get() {
            return Err(SqlError::new(
                state::WRONG_OBJECT_TYPE,
                "window functions are not allowed here",
            ));
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.expression(argument, scope)?);
        }
        let (call, ty) = self.window_call(name, values, function)?;
        let filter = match &function.filter {
            Some(filter) => {
                let condition = self.condition(self.expression(filter, scope)?, "FILTER")?;
                format!(" FILTER (WHERE {})", condition.sql)
            }
            None => String::new(),
        };
        let window = match over {
            WindowType::NamedWindow(name) => parse::quote(&parse::fold(name)),
            WindowType::WindowSpec(spec) => format!("({})", self.window(spec, scope)?),
        };
        Ok(Typed::new(format!("{call}{filter} OVER {window}"), ty))
    }

    fn window_call(
        &self,
        name: &str,
        values: Vec<Typed>,
        function: &Function,
    ) -> Result<(String, SqlType)> {
        let int4 = SqlType::of(Base::Int4);
        let int8 = SqlType::of(Base::Int8);
        let float8 = SqlType::of(Base::Float8);
        let ty = values.first().map(|value| value.ty);
        let call = |values: &[Typed]| {
            let list: Vec<&str> = values.iter().map(|value| value.sql.as_str()).collect();
            format!("{name}({})", list.join(", "))
        };
        Ok(match (name, values.as_slice()) {
            ("row_number" | "rank" | "dense_rank", []) => (call(&[]), int8),
            ("percent_rank" | "cume_dist", []) => (call(&[]), float8),
            ("ntile", [count]) => {
                let count = self.cast(count.clone(), int4, Strength::Implicit)?;
                (call(&[count]), int4)
            }
            ("lag" | "lead", [value]) => (call(std::slice::from_ref(value)), value.ty),
            ("lag" | "lead", [value, offset, rest @ ..]) if rest.len() < 2 => {
                let mut list = vec![
                    value.clone(),
                    self.cast(offset.clone(), int4, Strength::Implicit)?,
                ];
                if let Some(default) = rest.first() {
                    list.push(self.cast(default.clone(), value.ty, Strength::Implicit)?);
                }
                (call(&list), value.ty)
            }
            ("first_value" | "last_value", [value]) => {
                (call(std::slice::from_ref(value)), value.ty)
            }
            ("nth_value", [value, number]) => {
                let number = self.cast(number.clone(), int4, Strength::Implicit)?;
                (call(&[value.clone(), number]), value.ty)
            }
            ("count", []) if function.args.to_string() == "(*)" => ("count(*)".to_owned(), int8),
            _ if super::aggregate::is_aggregate(&function.name) => {
                let (call, inner, ty, finish) = self.aggregate_call(name, values)?;
                if finish != "{}"
                    || call.starts_with("pg_json")
                    || call.starts_with("pg_std")
                    || call.starts_with("pg_var")
                {
                    return Err(SqlError::refused(format!("{name}() over a window")));
                }
                (format!("{call}({})", inner.join(", ")), ty)
            }
            _ => {
                return Err(super::function::undefined(
                    name,
                    &ty.into_iter().collect::<Vec<_>>(),
                ));
            }
        })
    }

    /// What stands in the parentheses behind `OVER`.
    pub(super) fn window(&self, spec: &WindowSpec, scope: &Scope<'_>) -> Result<String> {
        let mut parts = Vec::new();
        if let Some(name) = &spec.window_name {
            parts.push(parse::quote(&parse::fold(name)));
        }
        let mut partition = Vec::new();
        for item in &spec.partition_by {
            let value = self.expression(item, scope)?;
            super::select::check_equality(value.ty)?;
            partition.push(value.collated());
        }
        if !partition.is_empty() {
            parts.push(format!("PARTITION BY {}", partition.join(", ")));
        }
        let mut order = Vec::new();
        for item in &spec.order_by {
            order.push(Self::order_item(
                item,
                &self.expression(&item.expr, scope)?,
            )?);
        }
        if !order.is_empty() {
            parts.push(format!("ORDER BY {}", order.join(", ")));
        }
        if let Some(frame) = &spec.window_frame {
            parts.push(self.frame(frame, scope)?);
        }
        Ok(parts.join(" "))
    }

    fn frame(&self, frame: &WindowFrame, scope: &Scope<'_>) -> Result<String> {
        let units = match frame.units {
            WindowFrameUnits::Rows => "ROWS",
            WindowFrameUnits::Range => "RANGE",
            WindowFrameUnits::Groups => "GROUPS",
        };
        let bound = |bound: &WindowFrameBound| -> Result<String> {
            let amount = |amount: &Option<Box<Expr>>| -> Result<String> {
                match amount {
                    None => Ok("UNBOUNDED".to_owned()),
                    Some(_) if units == "RANGE" => Err(SqlError::refused("RANGE with an offset")),
                    Some(amount) => {
                        let amount = self.expression(amount, scope)?;
                        Ok(self
                            .cast(amount, SqlType::of(Base::Int8), Strength::Implicit)?
                            .sql)
                    }
                }
            };
            Ok(match bound {
                WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
                WindowFrameBound::Preceding(count) => format!("{} PRECEDING", amount(count)?),
                WindowFrameBound::Following(count) => format!("{} FOLLOWING", amount(count)?),
            })
        };
        let start = bound(&frame.start_bound)?;
        Ok(match &frame.end_bound {
            Some(end) => format!("{units} BETWEEN {start} AND {}", bound(end)?),
            None => format!("{units} {start}"),
        })
    }
}
