//! Aggregates that SQLite does not have, or has for floats alone.

use bigdecimal::{BigDecimal, Zero};
use rusqlite::Connection;
use rusqlite::functions::{Aggregate, Context, FunctionFlags, WindowAggregate};

use super::super::error::through;
use super::value_of;
use crate::error::{Result, SqlError, state};
use crate::types::interval::Interval;
use crate::types::{Value, json, numeric};

/// Bytes of a document that an aggregate makes.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Which numbers are added.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exact,
    Float,
    Interval,
}

/// A sum, and of how many.
struct Sum {
    count: i64,
    exact: BigDecimal,
    float: f64,
    interval: Interval,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            count: 0,
            exact: BigDecimal::zero(),
            float: 0.0,
            interval: Interval::default(),
        }
    }
}

#[derive(Clone, Copy)]
struct Adder {
    kind: Kind,
    is_average: bool,
}

impl Adder {
    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn add(self, called: &Context<'_>, sum: &mut Sum, sign: i64) -> Result<()> {
        let value = value_of(called.get_raw(0))?;
        let part = match (self.kind, &value) {
            (_, Value::Null) => return Ok(()),
            (Kind::Exact, Value::Integer(number)) => BigDecimal::from(*number),
            (Kind::Exact, Value::Text(stored)) => numeric::parse(stored)?,
            (Kind::Float, Value::Real(number)) => {
                sum.float += number * sign as f64;
                BigDecimal::zero()
            }
            (Kind::Interval, Value::Text(stored)) => {
                let span = Interval::load(stored)?;
                sum.interval = sum
                    .interval
                    .add(if sign < 0 { span.negate()? } else { span })?;
                BigDecimal::zero()
            }
            _ => return Err(SqlError::internal("an aggregate of an unexpected value")),
        };
        sum.exact += part * BigDecimal::from(sign);
        sum.count += sign;
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
    fn result(self, sum: &Sum) -> Result<Value> {
        if sum.count == 0 {
            return Ok(Value::Null);
        }
        Ok(match (self.kind, self.is_average) {
            (Kind::Exact, false) => Value::Text(numeric::print(&sum.exact)),
            (Kind::Exact, true) => Value::Text(numeric::calculate(
                '/',
                &sum.exact,
                &BigDecimal::from(sum.count),
            )?),
            (Kind::Float, is_average) => {
                let total = if is_average {
                    sum.float / sum.count as f64
                } else {
                    sum.float
                };
                if total.is_nan() {
                    return Err(SqlError::refused("the value NaN"));
                }
                Value::Real(total)
            }
            (Kind::Interval, false) => Value::Text(sum.interval.store()),
            (Kind::Interval, true) => {
                Value::Text(sum.interval.times(1.0 / sum.count as f64)?.store())
            }
        })
    }
}

impl Aggregate<Sum, Value> for Adder {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Sum> {
        Ok(Sum::default())
    }

    fn step(&self, called: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        self.add(called, sum, 1).map_err(|error| through(&error))
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Sum>) -> rusqlite::Result<Value> {
        self.result(&sum.unwrap_or_default())
            .map_err(|error| through(&error))
    }
}

impl WindowAggregate<Sum, Value> for Adder {
    fn value(&self, sum: Option<&mut Sum>) -> rusqlite::Result<Value> {
        let none = Sum::default();
        self.result(sum.map_or(&none, |sum| sum))
            .map_err(|error| through(&error))
    }

    fn inverse(&self, called: &mut Context<'_>, sum: &mut Sum) -> rusqlite::Result<()> {
        self.add(called, sum, -1).map_err(|error| through(&error))
    }
}

/// Count, mean and sum of squares, as Welford has them.
#[derive(Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

struct Deviation {
    is_sample: bool,
    is_root: bool,
}

impl Aggregate<Moments, Value> for Deviation {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Moments> {
        Ok(Moments::default())
    }

    fn step(&self, called: &mut Context<'_>, moments: &mut Moments) -> rusqlite::Result<()> {
        if let Some(number) = called.get::<Option<f64>>(0)? {
            moments.count += 1.0;
            let distance = number - moments.mean;
            moments.mean += distance / moments.count;
            moments.squares += distance * (number - moments.mean);
        }
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, moments: Option<Moments>) -> rusqlite::Result<Value> {
        let moments = moments.unwrap_or_default();
        let divisor = if self.is_sample {
            moments.count - 1.0
        } else {
            moments.count
        };
        if divisor < 1.0 {
            return Ok(Value::Null);
        }
        let variance = moments.squares / divisor;
        Ok(Value::Real(if self.is_root {
            variance.sqrt()
        } else {
            variance
        }))
    }
}

/// Documents gathered into one.
struct Documents {
    is_object: bool,
}

impl Aggregate<Vec<String>, Value> for Documents {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn step(&self, called: &mut Context<'_>, parts: &mut Vec<String>) -> rusqlite::Result<()> {
        let document = |index: usize| -> rusqlite::Result<String> {
            Ok(called
                .get::<Option<String>>(index)?
                .unwrap_or_else(|| "null".to_owned()))
        };
        let size: usize = parts.iter().map(String::len).sum();
        if parts.len().is_multiple_of(1024) && size > DOCUMENT_BYTES_MAX {
            let error = SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, "a document becomes too long");
            return Err(through(&error));
        }
        parts.push(if self.is_object {
            format!(
                "{} : {}",
                json::quote(&called.get::<String>(0)?),
                document(1)?
            )
        } else {
            document(0)?
        });
        Ok(())
    }

    fn finalize(&self, _: &mut Context<'_>, parts: Option<Vec<String>>) -> rusqlite::Result<Value> {
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            return Ok(Value::Null);
        };
        let inner = parts.join(", ");
        Ok(Value::Text(if self.is_object {
            format!("{{ {inner} }}")
        } else {
            format!("[{inner}]")
        }))
    }
}

/// The only row of a subquery that must have one at most.
struct Single;

impl Aggregate<Option<Value>, Value> for Single {
    fn init(&self, _: &mut Context<'_>) -> rusqlite::Result<Option<Value>> {
        Ok(None)
    }

    fn step(&self, called: &mut Context<'_>, found: &mut Option<Value>) -> rusqlite::Result<()> {
        let value = value_of(called.get_raw(0)).map_err(|error| through(&error))?;
        if found.replace(value).is_some() {
            let message = "more than one row returned by a subquery used as an expression";
            return Err(through(&SqlError::new(
                state::CARDINALITY_VIOLATION,
                message,
            )));
        }
        Ok(())
    }

    fn finalize(
        &self,
        _: &mut Context<'_>,
        found: Option<Option<Value>>,
    ) -> rusqlite::Result<Value> {
        Ok(found.flatten().unwrap_or(Value::Null))
    }
}

pub(super) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for (name, kind, is_average) in [
        ("pg_sum_int8", Kind::Exact, false),
        ("pg_sum_numeric", Kind::Exact, false),
        ("pg_sum_float", Kind::Float, false),
        ("pg_sum_interval", Kind::Interval, false),
        ("pg_avg_int8", Kind::Exact, true),
        ("pg_avg_numeric", Kind::Exact, true),
        ("pg_avg_float", Kind::Float, true),
        ("pg_avg_interval", Kind::Interval, true),
    ] {
        connection.create_window_function(name, 1, flags, Adder { kind, is_average })?;
    }
    for (name, is_sample, is_root) in [
        ("pg_stddev_samp", true, true),
        ("pg_stddev_pop", false, true),
        ("pg_var_samp", true, false),
        ("pg_var_pop", false, false),
    ] {
        connection.create_aggregate_function(name, 1, flags, Deviation { is_sample, is_root })?;
    }
    connection.create_aggregate_function(
        "pg_json_agg",
        1,
        flags,
        Documents { is_object: false },
    )?;
    connection.create_aggregate_function(
        "pg_json_object_agg",
        2,
        flags,
        Documents { is_object: true },
    )?;
    connection.create_aggregate_function("pg_single", 1, flags, Single)
}
