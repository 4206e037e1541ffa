//! Arithmetic of dates, times and spans.

use super::cast::{Strength, no_operator, rank};
use super::operator::is_parameter;
use super::{Compiler, Typed};
use crate::error::Result;
use crate::types::{Base, Class, SqlType};

impl Compiler<'_> {
    pub(super) fn time_arithmetic(
        &self,
        operator: &str,
        left: Typed,
        right: Typed,
    ) -> Result<Typed> {
        use Base::{Date, Interval, Time, Timestamp, Timestamptz};
        let (a, b) = (left.ty, right.ty);
        // What is not known is a span beside a time, a time beside a difference.
        let guess = |other: SqlType| match (operator, other.base) {
            ("-", Timestamp | Timestamptz | Date) if a.is_unknown() => other,
            ("+" | "-", _) => SqlType::of(Interval),
            _ => SqlType::of(Base::Float8),
        };
        if a.is_unknown() {
            let left = self.cast(left, guess(b), Strength::Implicit)?;
            return self.time_arithmetic(operator, left, right);
        }
        if b.is_unknown() {
            let ty = match (operator, a.base) {
                ("-", Date | Timestamp | Timestamptz)
                    if right.literal.is_some() && is_parameter(&right) =>
                {
                    SqlType::of(Interval)
                }
                _ => guess(a),
            };
            let right = self.cast(right, ty, Strength::Implicit)?;
            return self.time_arithmetic(operator, left, right);
        }
        let is_count = |ty: SqlType| ty.class() == Class::Integer && !ty.is_array;
        let is_number = |ty: SqlType| rank(ty.base).is_some() && !ty.is_array;
        let call = |name: &str, ty: Base| {
            Ok(Typed::of(
                format!("pg_{name}({}, {})", left.sql, right.sql),
                ty,
            ))
        };
        match (a.base, operator, b.base) {
            (Date, "+" | "-", _) if is_count(b) => Ok(Typed::of(
                format!("({} {operator} {})", left.sql, right.sql),
                Date,
            )),
            (_, "+", Date) if is_count(a) => {
                Ok(Typed::of(format!("({} + {})", left.sql, right.sql), Date))
            }
            (Date, "-", Date) => Ok(Typed::of(
                format!("({} - {})", left.sql, right.sql),
                Base::Int4,
            )),
            (Date, "+", Time) => Ok(Typed::of(
                format!("({} * 86400000000 + {})", left.sql, right.sql),
                Timestamp,
            )),
            (Date, _, Interval) | (Date, "-", Timestamp | Timestamptz) => {
                let wide = if b.base == Timestamptz {
                    Timestamptz
                } else {
                    Timestamp
                };
                let left = self.cast(left, SqlType::of(wide), Strength::Implicit)?;
                self.time_arithmetic(operator, left, right)
            }
            (Timestamp | Timestamptz, "-", Date | Timestamp | Timestamptz) => {
                let (left, right) = self.unify(left, right, operator)?;
                Ok(Typed::of(
                    format!("pg_between({}, {})", left.sql, right.sql),
                    Interval,
                ))
            }
            (Timestamp, "+" | "-", Interval) => {
                call(if operator == "+" { "add" } else { "subtract" }, Timestamp)
            }
            (Timestamptz, "+" | "-", Interval) => {
                self.needs_freedom("arithmetic in the time zone of a session")?;
                call(
                    if operator == "+" {
                        "zoned_add"
                    } else {
                        "zoned_subtract"
                    },
                    Timestamptz,
                )
            }
            (Interval, "+", Date | Timestamp | Timestamptz | Time) => {
                self.time_arithmetic("+", right, left)
            }
            (Time, "+" | "-", Interval) => call(
                if operator == "+" {
                    "time_add"
                } else {
                    "time_subtract"
                },
                Time,
            ),
            (Time, "-", Time) => Ok(Typed::of(
                format!("('0 0 ' || ({} - {}))", left.sql, right.sql),
                Interval,
            )),
            (Interval, "+" | "-", Interval) => call(
                if operator == "+" {
                    "interval_add"
                } else {
                    "interval_subtract"
                },
                Interval,
            ),
            (Interval, "*" | "/", _) if is_number(b) => {
                let factor =
                    self.cast(right.clone(), SqlType::of(Base::Float8), Strength::Implicit)?;
                let factor = if operator == "*" {
                    factor.sql
                } else {
                    format!("pg_float(701, '/', 1.0, {})", factor.sql)
                };
                Ok(Typed::of(
                    format!("pg_interval_times({}, {factor})", left.sql),
                    Interval,
                ))
            }
            (_, "*", Interval) if is_number(a) => self.time_arithmetic("*", right, left),
            _ => Err(no_operator(operator, a, b)),
        }
    }
}
