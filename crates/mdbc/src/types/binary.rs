//! The binary format: what drivers prefer.

use bytes::{Buf, BufMut, BytesMut};

use super::interval::Interval;
use super::{Base, Class, Look, SqlType, Value, array, numeric, text};
use crate::error::{Result, SqlError, state};

fn invalid(ty: SqlType) -> SqlError {
    SqlError::new(
        state::INVALID_BINARY_REPRESENTATION,
        format!("invalid binary value of type {ty}"),
    )
}

/// Reads a value.
pub(crate) fn decode(ty: SqlType, mut bytes: &[u8], look: &Look) -> Result<Value> {
    let bad = || invalid(ty);
    if let (Class::Vector, Some(element)) = (ty.class(), ty.element()) {
        return array::decode(element, bytes, look);
    }
    let expected = usize::try_from(ty.size()).ok();
    let is_fixed = !matches!(ty.class(), Class::Text | Class::Unknown);
    if is_fixed && expected.is_some_and(|expected| expected != bytes.len()) {
        return Err(bad());
    }
    Ok(match ty.base {
        Base::Bool => Value::Integer(i64::from(bytes.try_get_u8().map_err(|_| bad())? != 0)),
        Base::Int2 => Value::Integer(i64::from(bytes.try_get_i16().map_err(|_| bad())?)),
        Base::Int4 | Base::Date => {
            Value::Integer(i64::from(bytes.try_get_i32().map_err(|_| bad())?))
        }
        Base::Int8 | Base::Time | Base::Timestamp | Base::Timestamptz => {
            Value::Integer(bytes.try_get_i64().map_err(|_| bad())?)
        }
        Base::Float4 => float(f64::from(bytes.try_get_f32().map_err(|_| bad())?))?,
        Base::Float8 => float(bytes.try_get_f64().map_err(|_| bad())?)?,
        Base::Numeric => Value::Text(numeric::print(&numeric::decode(bytes)?)),
        Base::Bytea => Value::Blob(bytes.to_vec()),
        Base::Interval => {
            let micros = bytes.try_get_i64().map_err(|_| bad())?;
            let days = bytes.try_get_i32().map_err(|_| bad())?;
            let months = bytes.try_get_i32().map_err(|_| bad())?;
            let interval = Interval {
                months,
                days,
                micros,
            };
            Value::Text(interval.store())
        }
        Base::Uuid => {
            let hex = text::print_bytes(bytes);
            let dashed = hex.get(2..).and_then(text::dashed);
            Value::Text(dashed.ok_or_else(bad)?)
        }
        Base::Jsonb => {
            let rest = bytes.strip_prefix(&[1]).ok_or_else(bad)?;
            return text::parse(ty, utf8(rest)?, look);
        }
        _ if ty.class() == Class::Registered || ty.class() == Class::Integer => {
            Value::Integer(i64::from(bytes.try_get_u32().map_err(|_| bad())?))
        }
        _ => return text::parse(ty, utf8(bytes)?, look),
    })
}

fn float(number: f64) -> Result<Value> {
    if number.is_nan() {
        return Err(SqlError::refused("the value NaN"));
    }
    Ok(Value::Real(number))
}

/// Bytes as text.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| {
        SqlError::new(
            state::CHARACTER_NOT_IN_REPERTOIRE,
            "invalid byte sequence for encoding \"UTF8\"",
        )
    })
}

/// Writes a value that is not null.
pub(crate) fn encode(ty: SqlType, value: &Value, look: &Look, buffer: &mut BytesMut) -> Result<()> {
    match (ty.class(), value) {
        (Class::Vector, Value::Text(stored)) => array::encode(ty, stored, look, buffer)?,
        (Class::Numeric, Value::Text(stored)) => numeric::encode(stored, buffer)?,
        (Class::Interval, Value::Text(stored)) => {
            let interval = Interval::load(stored)?;
            buffer.put_i64(interval.micros);
            buffer.put_i32(interval.days);
            buffer.put_i32(interval.months);
        }
        (Class::Uuid, Value::Text(stored)) => {
            let digits: String = stored.chars().filter(|c| *c != '-').collect();
            let number = u128::from_str_radix(&digits, 16).map_err(|_| invalid(ty))?;
            buffer.put_u128(number);
        }
        (Class::Json, Value::Text(stored)) => {
            if ty.base == Base::Jsonb {
                buffer.put_u8(1);
            }
            buffer.put_slice(stored.as_bytes());
        }
        (Class::Text | Class::Unknown, Value::Text(stored)) => {
            buffer.put_slice(stored.as_bytes());
        }
        (Class::Bytes, Value::Blob(bytes)) => buffer.put_slice(bytes),
        (Class::Float, Value::Real(number)) => put_float(ty.base, *number, buffer),
        (
            Class::Bool | Class::Integer | Class::Time | Class::Registered,
            Value::Integer(number),
        ) => put_integer(ty, *number, buffer)?,
        (_, value) => return Err(text::misfit(ty, value)),
    }
    Ok(())
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a float4 has as few digits"
)]
fn put_float(base: Base, number: f64, buffer: &mut BytesMut) {
    if base == Base::Float4 {
        buffer.put_f32(number as f32);
    } else {
        buffer.put_f64(number);
    }
}

fn put_integer(ty: SqlType, number: i64, buffer: &mut BytesMut) -> Result<()> {
    let bad = |_| invalid(ty);
    match ty.size() {
        1 => buffer.put_u8(u8::try_from(number).map_err(bad)?),
        2 => buffer.put_i16(i16::try_from(number).map_err(bad)?),
        4 if ty.class() == Class::Registered || matches!(ty.base, Base::Oid | Base::Xid) => {
            buffer.put_u32(u32::try_from(number).map_err(bad)?);
        }
        4 => buffer.put_i32(i32::try_from(number).map_err(bad)?),
        _ => buffer.put_i64(number),
    }
    Ok(())
}

/// Writes a value with its length before it, as rows and arrays hold it.
pub(crate) fn encode_sized(
    ty: SqlType,
    value: &Value,
    look: &Look,
    buffer: &mut BytesMut,
) -> Result<()> {
    if *value == Value::Null {
        buffer.put_i32(-1);
        return Ok(());
    }
    let mut held = BytesMut::new();
    encode(ty, value, look, &mut held)?;
    let too_long = |_| SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, "a value is too long");
    buffer.put_i32(i32::try_from(held.len()).map_err(too_long)?);
    buffer.put_slice(&held);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_both_ways() {
        let look = Look::default();
        for (base, shown) in [
            (Base::Bool, "t"),
            (Base::Int2, "-5"),
            (Base::Int4, "2147483647"),
            (Base::Int8, "-9223372036854775808"),
            (Base::Float4, "1.5"),
            (Base::Float8, "0.1"),
            (Base::Numeric, "-12.3400"),
            (Base::Text, "häßlich"),
            (Base::Bytea, "\\x00ff"),
            (Base::Date, "2024-02-29"),
            (Base::Time, "23:59:59.000001"),
            (Base::Timestamp, "2024-02-29 12:00:00"),
            (Base::Timestamptz, "2024-02-29 12:00:00+00"),
            (Base::Interval, "1 mon 2 days 00:00:03"),
            (Base::Uuid, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (Base::Jsonb, "{\"a\": 1}"),
            (Base::Oid, "4000000000"),
        ] {
            let ty = SqlType::of(base);
            let value = text::parse(ty, shown, &look).unwrap();
            let mut buffer = BytesMut::new();
            encode(ty, &value, &look, &mut buffer).unwrap();
            assert_eq!(decode(ty, &buffer, &look).unwrap(), value, "{shown}");
        }
    }

    #[test]
    fn bytes_of_a_wrong_length_are_refused() {
        let look = Look::default();
        for &base in Base::ALL
            .iter()
            .filter(|base| base.size() > 1 && base.size() < 64)
        {
            assert!(decode(SqlType::of(base), &[1], &look).is_err() || base == Base::AclItem);
        }
    }
}
