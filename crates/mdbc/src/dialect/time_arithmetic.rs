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
        match (a.base, b.base) {
            (Date, _) => self.date_arithmetic(operator, left, right),
            (_, Date) if is_count(a) && operator == "+" => {
                Ok(Typed::of(format!("({} + {})", left.sql, right.sql), Date))
            }
            (Timestamp | Timestamptz, Date | Timestamp | Timestamptz) if operator == "-" => {
                self.difference(left, right)
            }
            (Interval, Date | Timestamp | Timestamptz | Time) if operator == "+" => {
                self.time_arithmetic("+", right, left)
            }
            (_, Interval) if is_number(a) && operator == "*" => {
                self.time_arithmetic("*", right, left)
            }
            _ => self.span_arithmetic(operator, &left, &right),
        }
    }

    fn difference(&self, left: Typed, right: Typed) -> Result<Typed> {
        let (left, right) = self.unify(left, right, "-")?;
        let sql = format!("pg_between({}, {})", left.sql, right.sql);
        Ok(Typed::of(sql, Base::Interval))
    }

    fn date_arithmetic(&self, operator: &str, left: Typed, right: Typed) -> Result<Typed> {
        let (a, b) = (&left.sql, &right.sql);
        match (operator, right.ty.base) {
            ("+" | "-", _) if is_count(right.ty) => {
                Ok(Typed::of(format!("({a} {operator} {b})"), Base::Date))
            }
            ("-", Base::Date) => Ok(Typed::of(format!("({a} - {b})"), Base::Int4)),
            ("+", Base::Time) => Ok(Typed::of(
                format!("({a} * 86400000000 + {b})"),
                Base::Timestamp,
            )),
            (_, Base::Interval) | ("-", Base::Timestamp | Base::Timestamptz) => {
                let wide = match right.ty.base {
                    Base::Timestamptz => Base::Timestamptz,
                    _ => Base::Timestamp,
                };
                let left = self.cast(left, SqlType::of(wide), Strength::Implicit)?;
                self.time_arithmetic(operator, left, right)
            }
            _ => Err(no_operator(operator, left.ty, right.ty)),
        }
    }

    /// Arithmetic with spans, the span on the right but for its own.
    fn span_arithmetic(&self, operator: &str, left: &Typed, right: &Typed) -> Result<Typed> {
        let verb = if operator == "+" { "add" } else { "subtract" };
        let (a, b) = (&left.sql, &right.sql);
        let (sql, base) = match (left.ty.base, operator, right.ty.base) {
            (Base::Timestamp, "+" | "-", Base::Interval) => {
                (format!("pg_{verb}({a}, {b})"), Base::Timestamp)
            }
            (Base::Timestamptz, "+" | "-", Base::Interval) => {
                self.needs_freedom("arithmetic in the time zone of a session")?;
                (format!("pg_zoned_{verb}({a}, {b})"), Base::Timestamptz)
            }
            (Base::Time, "+" | "-", Base::Interval) => {
                (format!("pg_time_{verb}({a}, {b})"), Base::Time)
            }
            (Base::Time, "-", Base::Time) => (format!("('0 0 ' || ({a} - {b}))"), Base::Interval),
            (Base::Interval, "+" | "-", Base::Interval) => {
                (format!("pg_interval_{verb}({a}, {b})"), Base::Interval)
            }
            (Base::Interval, "*" | "/", _) if is_number(right.ty) => {
                let float = SqlType::of(Base::Float8);
                let factor = self.cast(right.clone(), float, Strength::Implicit)?.sql;
                let factor = match operator {
                    "*" => factor,
                    _ => format!("pg_float(701, '/', 1.0, {factor})"),
                };
                (format!("pg_interval_times({a}, {factor})"), Base::Interval)
            }
            _ => return Err(no_operator(operator, left.ty, right.ty)),
        };
        Ok(Typed::of(sql, base))
    }
}

fn is_count(ty: SqlType) -> bool {
    ty.class() == Class::Integer && !ty.is_array
}

fn is_number(ty: SqlType) -> bool {
    rank(ty.base).is_some() && !ty.is_array
}
