//! From one type to another.

use super::{Arguments, Entry, strict};
use crate::error::{Result, SqlError, state};
use crate::types::interval::Interval;
use crate::types::{Base, Class, Look, SqlType, Value, datetime, json, numeric, text};

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_cast", 3, cast),
    strict("pg_fit", 4, fit),
    super::lenient("pg_format_type", 2, format_type),
    strict("pg_encode", 2, encode),
    strict("pg_decode", 2, decode),
    strict("pg_limit", 1, limit),
];

/// The type that an argument names by its object id.
pub(super) fn type_at(arguments: &Arguments<'_>, index: usize) -> Result<SqlType> {
    let oid = u32::try_from(arguments.integer(index)?).unwrap_or_default();
    SqlType::by_oid(oid).ok_or_else(|| SqlError::internal(format!("no type {oid}")))
}

fn cast(arguments: &Arguments<'_>) -> Result<Value> {
    let (from, to) = (type_at(arguments, 0)?, type_at(arguments, 1)?);
    let look = arguments.context.lock().session.look.clone();
    convert(from, to, arguments.get(2), &look)
}

/// A stored value as another type stores it.
fn convert(from: SqlType, to: SqlType, value: &Value, look: &Look) -> Result<Value> {
    use Class::{Float, Integer, Numeric, Text, Unknown};
    if let Value::Integer(time) = value
        && from.class() == Class::Time
        && to.class() == Class::Time
    {
        return Ok(Value::Integer(convert_time(
            from.base, to.base, *time, look,
        )?));
    }
    Ok(match (from.class(), to.class(), value) {
        (Float, Integer, Value::Real(number)) => {
            Value::Integer(whole(to, number.round_ties_even())?)
        }
        (Numeric, Integer, Value::Text(stored)) => {
            let rounded = numeric::round(&numeric::parse(stored)?, 0);
            return text::parse(to, &numeric::print(&rounded), look).map_err(|_| out_of_range(to));
        }
        (Integer, Integer, Value::Integer(number)) => Value::Integer(in_range(to, *number)?),
        (Float, Numeric, Value::Real(number)) => {
            if number.is_infinite() {
                return Err(SqlError::refused("the numeric value NaN or Infinity"));
            }
            // As many digits as a float is sure of.
            let digits = if from.base == Base::Float4 { 5 } else { 14 };
            let number = numeric::parse(&format!("{number:.digits$e}"))?.normalized();
            Value::Text(numeric::print(&number))
        }
        (_, Float, value) if to.base == Base::Float4 => Value::Real(narrow(value)?),
        (Class::Interval, Class::Time, Value::Text(stored)) => {
            Value::Integer(Interval::load(stored)?.micros.rem_euclid(datetime::DAY))
        }
        (Class::Time, Class::Interval, Value::Integer(micros)) => {
            let interval = Interval {
                micros: *micros,
                ..Interval::default()
            };
            Value::Text(interval.store())
        }
        (Class::Json, Class::Json, Value::Text(document)) => {
            Value::Text(json::normalize(document)?)
        }
        (Class::Json, Class::Bool | Integer | Float | Numeric, Value::Text(document)) => {
            let is_scalar = !document.starts_with(['{', '[', '"']) && document != "null";
            if !is_scalar {
                return Err(SqlError::new(
                    state::INVALID_PARAMETER_VALUE,
                    format!("cannot cast jsonb {document} to type {to}"),
                ));
            }
            let number = SqlType::of(Base::Numeric);
            if to.class() == Class::Bool {
                return text::parse(to, document, look);
            }
            return convert(number, to, &text::parse(number, document, look)?, look);
        }
        (Numeric, Numeric, value) => value.clone(),
        (Numeric, Float, Value::Text(stored)) | (Text | Unknown, _, Value::Text(stored)) => {
            return text::parse(to, stored, look);
        }
        (_, Text, value) => Value::Text(text::print(from, value, look)?),
        (_, _, value) => return Err(text::misfit(from, value)),
    })
}

#[allow(clippy::cast_possible_truncation, reason = "a real has as few digits")]
#[allow(clippy::cast_precision_loss, reason = "a real has as few digits")]
fn narrow(value: &Value) -> Result<f64> {
    let wide = match value {
        Value::Real(number) => *number,
        Value::Integer(number) => *number as f64,
        Value::Text(stored) => stored
            .parse()
            .map_err(|_| out_of_range(SqlType::of(Base::Float4)))?,
        other => return Err(text::misfit(SqlType::of(Base::Float4), other)),
    };
    let narrow = wide as f32;
    if narrow.is_infinite() && wide.is_finite() {
        return Err(out_of_range(SqlType::of(Base::Float4)));
    }
    Ok(f64::from(narrow))
}

fn out_of_range(ty: SqlType) -> SqlError {
    SqlError::new(
        state::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{ty} out of range"),
    )
}

/// A number within the range of a type.
pub(super) fn in_range(ty: SqlType, number: i64) -> Result<i64> {
    let (least, most) = text::range(ty.base);
    if number < least || number > most {
        return Err(out_of_range(ty));
    }
    Ok(number)
}

#[allow(clippy::cast_possible_truncation, reason = "checked to be in range")]
fn whole(ty: SqlType, number: f64) -> Result<i64> {
    if !(-9.223_372_036_854_775e18..=9.223_372_036_854_775e18).contains(&number) {
        return Err(out_of_range(ty));
    }
    in_range(ty, number as i64)
}

fn convert_time(from: Base, to: Base, time: i64, look: &Look) -> Result<i64> {
    let is_infinite_date =
        from == Base::Date && (time == i64::from(i32::MAX) || time == i64::from(i32::MIN));
    if is_infinite_date {
        return Ok(if time > 0 {
            datetime::INFINITY
        } else {
            datetime::MINUS_INFINITY
        });
    }
    if datetime::is_infinite(time) && to == Base::Date {
        return Ok(i64::from(if time > 0 { i32::MAX } else { i32::MIN }));
    }
    let too_far = || {
        SqlError::new(
            state::DATETIME_FIELD_OVERFLOW,
            "date out of range for timestamp",
        )
    };
    // First the clock on the wall, then what is asked for.
    let local = match from {
        Base::Date => time.checked_mul(datetime::DAY).ok_or_else(too_far)?,
        Base::Timestamptz => datetime::to_local(time, &look.zone)?.0,
        _ => time,
    };
    Ok(match to {
        Base::Date => local.div_euclid(datetime::DAY),
        Base::Time => local.rem_euclid(datetime::DAY),
        Base::Timestamptz => datetime::to_utc(local, &look.zone)?,
        _ => local,
    })
}

/// A value that fits a type's modifier.
fn fit(arguments: &Arguments<'_>) -> Result<Value> {
    let ty = type_at(arguments, 0)?;
    let modifier = arguments.integer(1)?;
    let is_explicit = arguments.is_true(2);
    let value = arguments.get(3);
    match (ty.base, value) {
        (Base::Varchar | Base::Bpchar, Value::Text(text)) => {
            let most = usize::try_from(modifier - 4).unwrap_or_default();
            let Some((end, _)) = text.char_indices().nth(most) else {
                return Ok(value.clone());
            };
            let (kept, rest) = text.split_at_checked(end).unwrap_or((text, ""));
            if !is_explicit && rest.contains(|c: char| c != ' ') {
                return Err(SqlError::new(
                    state::STRING_DATA_RIGHT_TRUNCATION,
                    format!(
                        "value too long for type {}",
                        ty.display(i32::try_from(modifier).unwrap_or(-1))
                    ),
                ));
            }
            Ok(Value::Text(kept.to_owned()))
        }
        (Base::Numeric, Value::Text(text)) => {
            let packed = u32::try_from(modifier - 4).unwrap_or_default();
            let number = numeric::fit(&numeric::parse(text)?, packed >> 16, packed & 0x7ff)?;
            Ok(Value::Text(numeric::print(&number)))
        }
        (Base::Timestamp | Base::Timestamptz | Base::Time, Value::Integer(micros)) => {
            let digits = u32::try_from(6 - modifier.clamp(0, 6)).unwrap_or_default();
            let unit = 10_i64.pow(digits);
            if datetime::is_infinite(*micros) {
                return Ok(value.clone());
            }
            let rounded = micros.saturating_add(unit / 2).div_euclid(unit) * unit;
            Ok(Value::Integer(rounded))
        }
        _ => Ok(value.clone()),
    }
}

fn format_type(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) {
        return Ok(Value::Null);
    }
    let modifier = if arguments.is_null(1) {
        -1
    } else {
        arguments.integer(1)?
    };
    let oid = u32::try_from(arguments.integer(0)?).unwrap_or_default();
    Ok(Value::Text(match SqlType::by_oid(oid) {
        Some(ty) => ty.display(i32::try_from(modifier).unwrap_or(-1)),
        None if oid == 0 => "-".to_owned(),
        None => "???".to_owned(),
    }))
}

fn encode(arguments: &Arguments<'_>) -> Result<Value> {
    use base64::Engine as _;
    let Value::Blob(bytes) = arguments.get(0) else {
        return Err(text::misfit(SqlType::of(Base::Bytea), arguments.get(0)));
    };
    Ok(Value::Text(match arguments.text(1)? {
        "hex" => text::print_bytes(bytes)
            .trim_start_matches("\\x")
            .to_owned(),
        "base64" => base64::engine::general_purpose::STANDARD.encode(bytes),
        other => return Err(unknown_encoding(other)),
    }))
}

fn unknown_encoding(name: &str) -> SqlError {
    SqlError::new(
        state::INVALID_PARAMETER_VALUE,
        format!("unrecognized encoding: \"{name}\""),
    )
}

fn decode(arguments: &Arguments<'_>) -> Result<Value> {
    use base64::Engine as _;
    let (encoded, format) = (arguments.text(0)?, arguments.text(1)?);
    let bytes = match format {
        "hex" => {
            return text::parse(
                SqlType::of(Base::Bytea),
                &format!("\\x{encoded}"),
                &Look::default(),
            );
        }
        "base64" => base64::engine::general_purpose::STANDARD.decode(encoded.replace('\n', "")),
        "escape" => return text::parse(SqlType::of(Base::Bytea), encoded, &Look::default()),
        other => return Err(unknown_encoding(other)),
    };
    let bytes = bytes.map_err(|error| {
        SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            format!("invalid base64: {error}"),
        )
    })?;
    Ok(Value::Blob(bytes))
}

/// A limit or an offset, which is not negative.
fn limit(arguments: &Arguments<'_>) -> Result<Value> {
    let number = arguments.integer(0)?;
    if number < 0 {
        return Err(SqlError::new(
            state::INVALID_ROW_COUNT,
            "LIMIT or OFFSET must not be negative",
        ));
    }
    Ok(Value::Integer(number))
}
