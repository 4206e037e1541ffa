//! The text format: what literals, parameters and rows of psql look like.

use super::{Base, Class, Look, SqlType, Value, array, datetime, interval, json, numeric};
use crate::error::{Result, SqlError, state};

fn invalid(ty: SqlType, text: &str) -> SqlError {
    SqlError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {ty}: \"{text}\""),
    )
}

fn out_of_range(ty: SqlType, text: &str) -> SqlError {
    SqlError::new(
        state::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("value \"{text}\" is out of range for type {ty}"),
    )
}

/// The numbers that an integer type holds.
pub(crate) fn range(base: Base) -> (i64, i64) {
    match base {
        Base::Int2 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        Base::Int4 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Base::Oid | Base::Xid => (0, i64::from(u32::MAX)),
        _ => (i64::MIN, i64::MAX),
    }
}

/// Reads a value.
pub(crate) fn parse(ty: SqlType, text: &str, look: &Look) -> Result<Value> {
    if text.contains('\0') {
        return Err(SqlError::new(
            state::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\": 0x00",
        ));
    }
    if let (true, Some(element)) = (ty.is_array, ty.element()) {
        return array::parse(element, text, look);
    }
    Ok(match ty.base {
        Base::Bool => Value::Integer(i64::from(
            parse_bool(text).ok_or_else(|| invalid(ty, text))?,
        )),
        Base::Int2 | Base::Int4 | Base::Int8 | Base::Oid | Base::Xid => parse_integer(ty, text)?,
        Base::Float4 | Base::Float8 => Value::Real(parse_float(ty, text)?),
        Base::Numeric => Value::Text(numeric::print(&numeric::parse(text)?)),
        Base::Bytea => Value::Blob(parse_bytes(text)?),
        Base::Date => Value::Integer(datetime::parse_date(text)?),
        Base::Time => Value::Integer(datetime::parse_time(text)?),
        Base::Timestamp => Value::Integer(datetime::parse_timestamp(text, None)?),
        Base::Timestamptz => Value::Integer(datetime::parse_timestamp(text, Some(&look.zone))?),
        Base::Interval => Value::Text(interval::Interval::parse(text)?.store()),
        Base::Uuid => Value::Text(parse_uuid(text).ok_or_else(|| invalid(ty, text))?),
        Base::Json => {
            json::check(text)?;
            Value::Text(text.to_owned())
        }
        Base::Jsonb => Value::Text(json::normalize(text)?),
        Base::Int2Vector | Base::OidVector => {
            let braced = format!("{{{}}}", text.trim().replace(' ', ","));
            array::parse(ty.element().unwrap_or(ty), &braced, look)?
        }
        Base::Bpchar => Value::Text(text.trim_end_matches(' ').to_owned()),
        Base::Record | Base::Void => {
            return Err(SqlError::refused(format!("a value of type {ty}")));
        }
        Base::Regproc | Base::Regclass | Base::Regtype | Base::Regnamespace | Base::Regrole => {
            parse_integer(SqlType::of(Base::Oid), text)?
        }
        _ => Value::Text(text.to_owned()),
    })
}

/// Reads a truth value in any of PostgreSQL's spellings.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    let lower = text.trim().to_ascii_lowercase();
    let abbreviates = |word: &str, least: usize| lower.len() >= least && word.starts_with(&lower);
    if abbreviates("true", 1) || abbreviates("yes", 1) || lower == "on" || lower == "1" {
        return Some(true);
    }
    let is_false =
        abbreviates("false", 1) || abbreviates("no", 1) || abbreviates("off", 2) || lower == "0";
    is_false.then_some(false)
}

fn parse_integer(ty: SqlType, text: &str) -> Result<Value> {
    let trimmed = text.trim();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(invalid(ty, text));
    }
    let number: i64 = trimmed.parse().map_err(|_| out_of_range(ty, text))?;
    let (least, most) = range(ty.base);
    if number < least || number > most {
        return Err(out_of_range(ty, text));
    }
    Ok(Value::Integer(number))
}

#[allow(clippy::cast_possible_truncation, reason = "a real has as few digits")]
fn parse_float(ty: SqlType, text: &str) -> Result<f64> {
    let trimmed = text.trim();
    let number: f64 = trimmed.parse().map_err(|_| invalid(ty, text))?;
    if number.is_nan() {
        return Err(SqlError::refused("the value NaN"));
    }
    let is_named = trimmed.to_ascii_lowercase().contains("inf");
    let number = if ty.base == Base::Float4 {
        f64::from(number as f32)
    } else {
        number
    };
    if number.is_infinite() && !is_named {
        return Err(out_of_range(ty, text));
    }
    Ok(number)
}

fn parse_bytes(text: &str) -> Result<Vec<u8>> {
    let bad = || {
        SqlError::new(
            state::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type bytea",
        )
    };
    if let Some(hex) = text.strip_prefix("\\x") {
        let digits: Option<Vec<u32>> = hex.chars().map(|c| c.to_digit(16)).collect();
        let digits = digits
            .filter(|digits| digits.len() % 2 == 0)
            .ok_or_else(bad)?;
        let bytes = digits.chunks(2).filter_map(|pair| match pair {
            [high, low] => u8::try_from(high * 16 + low).ok(),
            _ => None,
        });
        return Ok(bytes.collect());
    }
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let first = rest.next().ok_or_else(bad)?;
        if first == b'\\' {
            bytes.push(first);
            continue;
        }
        let octal = [Some(first), rest.next(), rest.next()];
        let mut number = 0_u32;
        for digit in octal {
            let digit = digit
                .filter(|digit| (b'0'..=b'7').contains(digit))
                .ok_or_else(bad)?;
            number = number * 8 + u32::from(digit - b'0');
        }
        bytes.push(u8::try_from(number).map_err(|_| bad())?);
    }
    Ok(bytes)
}

fn parse_uuid(text: &str) -> Option<String> {
    let trimmed = text.trim();
    let inner = trimmed
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or(trimmed);
    let digits: String = inner.chars().filter(|c| *c != '-').collect();
    let is_uuid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_uuid.then(|| dashed(&digits.to_ascii_lowercase()))?
}

/// 32 digits with dashes where a UUID has them.
pub(crate) fn dashed(digits: &str) -> Option<String> {
    let parts = [
        digits.get(..8)?,
        digits.get(8..12)?,
        digits.get(12..16)?,
        digits.get(16..20)?,
        digits.get(20..)?,
    ];
    Some(parts.join("-"))
}

/// Shows a value that is not null.
pub(crate) fn print(ty: SqlType, value: &Value, look: &Look) -> Result<String> {
    Ok(match (ty.class(), value) {
        (Class::Vector, Value::Text(stored)) => array::print(ty, stored, look)?,
        (Class::Bool, Value::Integer(truth)) => if *truth == 0 { "f" } else { "t" }.to_owned(),
        (Class::Time, Value::Integer(micros)) => match ty.base {
            Base::Date => datetime::print_date(*micros),
            Base::Time => datetime::print_time(*micros),
            Base::Timestamp => datetime::print_timestamp(*micros, None)?,
            _ => datetime::print_timestamp(*micros, Some(&look.zone))?,
        },
        (Class::Interval, Value::Text(stored)) => interval::Interval::load(stored)?.print(),
        (Class::Float, Value::Real(number)) => print_float(ty.base, *number),
        (Class::Bytes, Value::Blob(bytes)) => print_bytes(bytes),
        (Class::Integer | Class::Registered, Value::Integer(number)) => number.to_string(),
        (
            Class::Text | Class::Numeric | Class::Uuid | Class::Json | Class::Unknown,
            Value::Text(text),
        ) => text.clone(),
        // A constraint on the column, or the translation, failed to hold.
        (_, value) => return Err(misfit(ty, value)),
    })
}

/// The error of a stored value that is none of its type.
pub(crate) fn misfit(ty: SqlType, value: &Value) -> SqlError {
    let class = match value {
        Value::Null => "null",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Text(_) => "text",
        Value::Blob(_) => "blob",
    };
    SqlError::internal(format!("a value of type {ty} is stored as {class}"))
}

pub(crate) fn print_bytes(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 2);
    text.push_str("\\x");
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}

/// The shortest text that reads as the same number, as PostgreSQL writes it.
#[allow(
    clippy::cast_possible_truncation,
    reason = "a float4 has as few digits"
)]
pub(crate) fn print_float(base: Base, number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .to_owned();
    }
    let (scientific, plain, digits) = if base == Base::Float4 {
        let short = number as f32;
        (format!("{short:e}"), format!("{short}"), 6)
    } else {
        (format!("{number:e}"), format!("{number}"), 15)
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if exponent >= -4 && exponent < digits {
        return plain;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(base: Base, text: &str) -> String {
        let ty = SqlType::of(base);
        let value = parse(ty, text, &Look::default()).unwrap();
        print(ty, &value, &Look::default()).unwrap()
    }

    fn refused(base: Base, text: &str) -> &'static str {
        let error = parse(SqlType::of(base), text, &Look::default()).unwrap_err();
        Box::leak(error.state.code().to_owned().into_boxed_str())
    }

    #[test]
    fn values_are_shown_as_postgresql_shows_them() {
        for (base, text, shown) in [
            (Base::Bool, "TRUE", "t"),
            (Base::Bool, "off", "f"),
            (Base::Int4, " -42 ", "-42"),
            (Base::Float8, "1e20", "1e+20"),
            (Base::Float8, "0.1", "0.1"),
            (Base::Float8, "100000000000000", "100000000000000"),
            (Base::Float8, "1e15", "1e+15"),
            (Base::Float4, "0.1", "0.1"),
            (Base::Float8, "-inf", "-Infinity"),
            (Base::Float8, "1e-5", "1e-05"),
            (Base::Bytea, "\\xDEADbeef", "\\xdeadbeef"),
            (Base::Bytea, "a\\\\b\\001", "\\x615c6201"),
            (
                Base::Uuid,
                "{A0EEBC99-9C0B4EF8-BB6D6BB9BD380A11}",
                "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            ),
            (Base::Json, "{ \"a\" : 1 }", "{ \"a\" : 1 }"),
            (Base::Jsonb, "{ \"a\" : 1 }", "{\"a\": 1}"),
            (Base::Time, "12:34", "12:34:00"),
        ] {
            assert_eq!(round(base, text), shown, "{base:?}");
        }
    }

    #[test]
    fn what_does_not_fit_has_the_state_of_postgresql() {
        for (base, text, state) in [
            (Base::Int2, "40000", "22003"),
            (Base::Int4, "abc", "22P02"),
            (Base::Int4, "", "22P02"),
            (Base::Int8, "9223372036854775808", "22003"),
            (Base::Bool, "maybe", "22P02"),
            (Base::Float8, "1e400", "22003"),
            (Base::Float8, "NaN", "0A000"),
            (Base::Uuid, "123", "22P02"),
            (Base::Bytea, "\\xabc", "22P02"),
            (Base::Text, "a\0b", "22021"),
            (Base::Date, "2023-02-30", "22008"),
            (Base::Date, "soon", "22007"),
        ] {
            assert_eq!(refused(base, text), state, "{base:?} {text}");
        }
    }
}
