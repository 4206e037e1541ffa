//! Functions on dates and times.

use super::value::type_at;
use super::{Arguments, Entry, strict, time_format, volatile};
use crate::clock;
use crate::error::{Result, SqlError, state};
use crate::types::datetime::{self, DAY, SECOND};
use crate::types::interval::Interval;
use crate::types::{Base, Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    volatile("pg_now", 0, |a| {
        Ok(Value::Integer(a.context.lock().session.now))
    }),
    volatile("pg_clock", 1, read_clock),
    strict("pg_add", 2, |a| shift(a, false)),
    strict("pg_subtract", 2, |a| shift(a, true)),
    strict("pg_zoned_add", 2, |a| zoned_shift(a, false)),
    strict("pg_zoned_subtract", 2, |a| zoned_shift(a, true)),
    strict("pg_time_add", 2, |a| time_shift(a, false)),
    strict("pg_time_subtract", 2, |a| time_shift(a, true)),
    strict("pg_between", 2, |a| {
        Ok(Value::Text(
            datetime::between(a.integer(0)?, a.integer(1)?)?.store(),
        ))
    }),
    strict("pg_interval_add", 2, |a| {
        Ok(Value::Text(span(a, 0)?.add(span(a, 1)?)?.store()))
    }),
    strict("pg_interval_subtract", 2, |a| {
        Ok(Value::Text(span(a, 0)?.add(span(a, 1)?.negate()?)?.store()))
    }),
    strict("pg_interval_negate", 1, |a| {
        Ok(Value::Text(span(a, 0)?.negate()?.store()))
    }),
    strict("pg_interval_times", 2, |a| {
        Ok(Value::Text(span(a, 0)?.times(a.real(1)?)?.store()))
    }),
    strict("pg_justify", 1, justify),
    strict("pg_date_part", 3, date_part),
    strict("pg_date_trunc", 2, date_trunc),
    strict("pg_at_zone", 3, at_zone),
    strict("pg_make_date", 3, make_date),
    strict("pg_to_timestamp", 1, to_timestamp),
    strict("pg_age", 2, age),
    strict("pg_to_char", 2, time_format::to_char),
    strict("pg_to_date", 2, time_format::to_date),
    strict("pg_series", 3, series),
];

/// Elements of a series.
const SERIES_MAX: usize = 1_000_000;

fn span(arguments: &Arguments<'_>, index: usize) -> Result<Interval> {
    Interval::load(arguments.text(index)?)
}

fn read_clock(arguments: &Arguments<'_>) -> Result<Value> {
    let inner = arguments.context.lock();
    Ok(Value::Integer(match arguments.text(0)? {
        "statement" => inner.session.statement,
        "start" => inner.started,
        _ => datetime::of_unix(clock::unix_micros()),
    }))
}

fn shift(arguments: &Arguments<'_>, is_back: bool) -> Result<Value> {
    let span = span(arguments, 1)?;
    let span = if is_back { span.negate()? } else { span };
    Ok(Value::Integer(datetime::add(arguments.integer(0)?, span)?))
}

/// Days are those of the session's zone, hours those of the world.
fn zoned_shift(arguments: &Arguments<'_>, is_back: bool) -> Result<Value> {
    let span = span(arguments, 1)?;
    let span = if is_back { span.negate()? } else { span };
    let zone = arguments.context.lock().session.look.zone.clone();
    let (local, _) = datetime::to_local(arguments.integer(0)?, &zone)?;
    let days = Interval { micros: 0, ..span };
    let moved = datetime::to_utc(datetime::add(local, days)?, &zone)?;
    let hours = Interval {
        micros: span.micros,
        ..Interval::default()
    };
    Ok(Value::Integer(datetime::add(moved, hours)?))
}

fn time_shift(arguments: &Arguments<'_>, is_back: bool) -> Result<Value> {
    let micros = span(arguments, 1)?.micros % DAY;
    let micros = if is_back { -micros } else { micros };
    Ok(Value::Integer(
        (arguments.integer(0)? + micros).rem_euclid(DAY),
    ))
}

fn justify(arguments: &Arguments<'_>) -> Result<Value> {
    let span = span(arguments, 0)?;
    let months = Interval {
        months: span.days / 30,
        ..Interval::default()
    };
    let rest = Interval {
        days: span.days % 30,
        ..span
    };
    Ok(Value::Text(rest.add(months)?.store()))
}

fn unknown_unit(unit: &str) -> SqlError {
    SqlError::new(
        state::INVALID_PARAMETER_VALUE,
        format!("unit \"{unit}\" not recognized"),
    )
}

#[allow(clippy::cast_precision_loss, reason = "the parts of a date are small")]
fn date_part(arguments: &Arguments<'_>) -> Result<Value> {
    let unit = arguments.text(0)?.to_lowercase();
    let ty = type_at(arguments, 1)?;
    if ty.base == Base::Interval {
        return interval_part(&unit, span(arguments, 2)?);
    }
    let stored = arguments.integer(2)?;
    let (local, offset) = match ty.base {
        Base::Date => (stored.saturating_mul(DAY), 0),
        Base::Timestamptz => {
            let zone = arguments.context.lock().session.look.zone.clone();
            datetime::to_local(stored, &zone)?
        }
        _ => (stored, 0),
    };
    if datetime::is_infinite(local) {
        return Ok(Value::Real(if local > 0 {
            f64::INFINITY
        } else {
            f64::NEG_INFINITY
        }));
    }
    let (days, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
    let (year, month, day) = datetime::date_of(days);
    let first = datetime::days_of(year, 1, 1).unwrap_or_default();
    // 2000-01-01 was a Saturday.
    let weekday = (days + 6).rem_euclid(7);
    let seconds = time % (60 * SECOND);
    let number = match unit.as_str() {
        "year" | "years" => year as f64,
        "month" | "months" => month as f64,
        "day" | "days" => day as f64,
        "hour" | "hours" => (time / (3600 * SECOND)) as f64,
        "minute" | "minutes" => (time / (60 * SECOND) % 60) as f64,
        "second" | "seconds" => seconds as f64 / 1e6,
        "milliseconds" | "millisecond" => seconds as f64 / 1e3,
        "microseconds" | "microsecond" => seconds as f64,
        "quarter" => ((month - 1) / 3 + 1) as f64,
        "dow" => weekday as f64,
        "isodow" => (if weekday == 0 { 7 } else { weekday }) as f64,
        "doy" => (days - first + 1) as f64,
        "week" => iso_week(days).1 as f64,
        "isoyear" => iso_week(days).0 as f64,
        "decade" => year.div_euclid(10) as f64,
        "century" => ((year + 99) / 100) as f64,
        "millennium" => ((year + 999) / 1000) as f64,
        "epoch" if ty.base == Base::Time => time as f64 / 1e6,
        "epoch" => datetime::unix_seconds(if ty.base == Base::Timestamptz {
            stored
        } else {
            local
        }),
        "timezone" => f64::from(offset),
        "timezone_hour" => f64::from(offset / 3600),
        "timezone_minute" => f64::from(offset / 60 % 60),
        other => return Err(unknown_unit(other)),
    };
    Ok(Value::Real(number))
}

/// Year and week by ISO 8601: weeks begin on Monday, the first has a Thursday.
fn iso_week(days: i64) -> (i64, i64) {
    let weekday = (days + 5).rem_euclid(7);
    let thursday = days - weekday + 3;
    let (year, ..) = datetime::date_of(thursday);
    let first = datetime::days_of(year, 1, 1).unwrap_or_default();
    (year, (thursday - first) / 7 + 1)
}

#[allow(clippy::cast_precision_loss, reason = "the parts of a span are small")]
fn interval_part(unit: &str, span: Interval) -> Result<Value> {
    let minute = 60 * SECOND;
    let seconds = span.micros % minute;
    Ok(Value::Real(match unit {
        "year" | "years" => f64::from(span.months / 12),
        "month" | "months" => f64::from(span.months % 12),
        "day" | "days" => f64::from(span.days),
        "hour" | "hours" => (span.micros / (60 * minute)) as f64,
        "minute" | "minutes" => (span.micros / minute % 60) as f64,
        "second" | "seconds" => seconds as f64 / 1e6,
        "milliseconds" => seconds as f64 / 1e3,
        "microseconds" => seconds as f64,
        "epoch" => span.epoch(),
        other => return Err(unknown_unit(other)),
    }))
}

fn date_trunc(arguments: &Arguments<'_>) -> Result<Value> {
    let unit = arguments.text(0)?.to_lowercase();
    let local = arguments.integer(1)?;
    if datetime::is_infinite(local) {
        return Ok(Value::Integer(local));
    }
    let days = local.div_euclid(DAY);
    let (year, month, _) = datetime::date_of(days);
    let start = |year: i64, month: i64| datetime::days_of(year, month, 1).unwrap_or_default() * DAY;
    let down = |unit: i64| local.div_euclid(unit) * unit;
    Ok(Value::Integer(match unit.as_str() {
        "microseconds" | "microsecond" => local,
        "milliseconds" | "millisecond" => down(1000),
        "second" | "seconds" => down(SECOND),
        "minute" | "minutes" => down(60 * SECOND),
        "hour" | "hours" => down(3600 * SECOND),
        "day" | "days" => days * DAY,
        "week" | "weeks" => (days - (days + 5).rem_euclid(7)) * DAY,
        "month" | "months" => start(year, month),
        "quarter" => start(year, (month - 1) / 3 * 3 + 1),
        "year" | "years" => start(year, 1),
        "decade" => start(year.div_euclid(10) * 10, 1),
        "century" => start((year - 1).div_euclid(100) * 100 + 1, 1),
        other => return Err(unknown_unit(other)),
    }))
}

fn at_zone(arguments: &Arguments<'_>) -> Result<Value> {
    let name = arguments.text(0)?;
    let zone = datetime::zone_named(name).ok_or_else(|| {
        SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            format!("time zone \"{name}\" not recognized"),
        )
    })?;
    let time = arguments.integer(2)?;
    Ok(Value::Integer(
        if type_at(arguments, 1)?.base == Base::Timestamptz {
            datetime::to_local(time, &zone)?.0
        } else {
            datetime::to_utc(time, &zone)?
        },
    ))
}

fn make_date(arguments: &Arguments<'_>) -> Result<Value> {
    let (year, month, day) = (
        arguments.integer(0)?,
        arguments.integer(1)?,
        arguments.integer(2)?,
    );
    let days = datetime::days_of(year, month, day).ok_or_else(|| {
        SqlError::new(
            state::DATETIME_FIELD_OVERFLOW,
            "date field value out of range",
        )
    })?;
    Ok(Value::Integer(days))
}

#[allow(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn to_timestamp(arguments: &Arguments<'_>) -> Result<Value> {
    let micros = (arguments.real(0)? * 1e6).round();
    if micros.abs() > 9e18 {
        return Err(SqlError::new(
            state::DATETIME_FIELD_OVERFLOW,
            "timestamp out of range",
        ));
    }
    Ok(Value::Integer(datetime::of_unix(micros as i64)))
}

/// Years, months, days and a rest between two times.
fn age(arguments: &Arguments<'_>) -> Result<Value> {
    let (later, earlier) = (arguments.integer(0)?, arguments.integer(1)?);
    let (high, low) = (later.max(earlier), later.min(earlier));
    let (high_year, high_month, high_day) = datetime::date_of(high.div_euclid(DAY));
    let (low_year, low_month, low_day) = datetime::date_of(low.div_euclid(DAY));
    let mut months = (high_year - low_year) * 12 + high_month - low_month;
    let mut days = high_day - low_day;
    let mut micros = high.rem_euclid(DAY) - low.rem_euclid(DAY);
    if micros < 0 {
        micros += DAY;
        days -= 1;
    }
    if days < 0 {
        days += datetime::month_days(low_year, low_month);
        months -= 1;
    }
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let span = Interval {
        months: small(months),
        days: small(days),
        micros,
    };
    let span = if later < earlier {
        span.negate()?
    } else {
        span
    };
    Ok(Value::Text(span.store()))
}

/// The elements of `generate_series`.
fn series(arguments: &Arguments<'_>) -> Result<Value> {
    let (mut at, end) = (arguments.integer(0)?, arguments.integer(1)?);
    let span = match arguments.get(2) {
        Value::Text(stored) => Some(Interval::load(stored)?),
        _ => None,
    };
    let step = if span.is_some() {
        0
    } else {
        arguments.integer(2)?
    };
    let is_down = match span {
        Some(span) => datetime::add(at, span)? < at,
        None => step < 0,
    };
    let is_zero = span.map_or(step == 0, |span| span == Interval::default());
    if is_zero {
        return Err(SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            "step size cannot equal zero",
        ));
    }
    let mut elements = Vec::new();
    while if is_down { at >= end } else { at <= end } {
        if elements.len() >= SERIES_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("generate_series gives at most {SERIES_MAX} rows"),
            ));
        }
        elements.push(at);
        let next = match span {
            Some(span) => Some(datetime::add(at, span)?),
            None => at.checked_add(step),
        };
        let Some(next) = next else { break };
        at = next;
    }
    Ok(Value::Text(serde_json::Value::from(elements).to_string()))
}
