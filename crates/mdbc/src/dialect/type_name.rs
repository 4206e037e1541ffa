//! Names of types in statements.

use sqlparser::ast::{ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo};
use sqlparser::ast::{TimezoneInfo, TypeModifier};

use super::parse;
use crate::error::{Result, SqlError, state};
use crate::types::{Base, SqlType};

/// The longest text that a type may ask for.
const LENGTH_MAX: u64 = 10_485_760;

/// The type, and its modifier, that a statement names.
pub(crate) fn resolve(ty: &DataType) -> Result<(SqlType, i32)> {
    let plain = |base| Ok((SqlType::of(base), -1));
    match ty {
        DataType::Bool | DataType::Boolean => plain(Base::Bool),
        DataType::SmallInt(None) | DataType::Int2(None) => plain(Base::Int2),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => plain(Base::Int4),
        DataType::BigInt(None) | DataType::Int8(None) => plain(Base::Int8),
        DataType::Real | DataType::Float4 => plain(Base::Float4),
        DataType::Double(ExactNumberInfo::None)
        | DataType::DoublePrecision
        | DataType::Float8
        | DataType::Float(ExactNumberInfo::None) => plain(Base::Float8),
        DataType::Float(ExactNumberInfo::Precision(precision)) => match precision {
            1..=24 => plain(Base::Float4),
            25..=53 => plain(Base::Float8),
            _ => Err(invalid(
                "precision for type float must be at least 1 and less than 54",
            )),
        },
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => numeric(info),
        DataType::Text => plain(Base::Text),
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length) => text(Base::Varchar, length.as_ref(), -1),
        DataType::Char(length) | DataType::Character(length) => {
            text(Base::Bpchar, length.as_ref(), 5)
        }
        DataType::Bytea => plain(Base::Bytea),
        DataType::Date => plain(Base::Date),
        DataType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            time(Base::Time, *precision)
        }
        DataType::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            time(Base::Timestamp, *precision)
        }
        DataType::Timestamp(precision, _) => time(Base::Timestamptz, *precision),
        DataType::Interval {
            fields: None,
            precision: None,
        } => plain(Base::Interval),
        DataType::Uuid => plain(Base::Uuid),
        DataType::JSON => plain(Base::Json),
        DataType::JSONB => plain(Base::Jsonb),
        DataType::Regclass => plain(Base::Regclass),
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, None)
            | ArrayElemTypeDef::Qualified(element, None),
        ) => {
            let (element, modifier) = resolve(element)?;
            if element.is_array {
                return Err(SqlError::refused("an array of more than one dimension"));
            }
            if element.base == Base::Bytea {
                return Err(SqlError::refused("an array of bytea"));
            }
            Ok((SqlType::array_of(element.base), modifier))
        }
        DataType::Custom(name, modifiers) => custom(ty, name, modifiers),
        other => Err(SqlError::refused(format!("the type {other}"))),
    }
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(state::INVALID_PARAMETER_VALUE, message)
}

fn numeric(info: &ExactNumberInfo) -> Result<(SqlType, i32)> {
    let (precision, scale) = match info {
        ExactNumberInfo::None => return Ok((SqlType::of(Base::Numeric), -1)),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    if !(1..=1000).contains(&precision) {
        return Err(invalid(&format!(
            "NUMERIC precision {precision} must be between 1 and 1000"
        )));
    }
    let fits = u64::try_from(scale).is_ok_and(|scale| scale <= precision);
    if !fits {
        return Err(SqlError::refused(format!(
            "a numeric scale of {scale}, which is not between 0 and the precision,"
        )));
    }
    let packed = i32::try_from(precision << 16 | u64::try_from(scale).unwrap_or_default());
    Ok((SqlType::of(Base::Numeric), packed.unwrap_or_default() + 4))
}

fn text(base: Base, length: Option<&CharacterLength>, default: i32) -> Result<(SqlType, i32)> {
    let modifier = match length {
        None => default,
        Some(CharacterLength::IntegerLength { length, unit: None }) => match length {
            0 => {
                return Err(invalid(&format!(
                    "length for type {} must be at least 1",
                    base.name()
                )));
            }
            1..=LENGTH_MAX => i32::try_from(*length).unwrap_or_default() + 4,
            _ => {
                return Err(invalid(&format!(
                    "length for type {} cannot exceed {LENGTH_MAX}",
                    base.name()
                )));
            }
        },
        Some(other) => return Err(SqlError::refused(format!("the length {other}"))),
    };
    Ok((SqlType::of(base), modifier))
}

fn time(base: Base, precision: Option<u64>) -> Result<(SqlType, i32)> {
    let modifier = match precision {
        None => -1,
        Some(precision @ 0..=6) => i32::try_from(precision).unwrap_or(-1),
        Some(other) => {
            return Err(invalid(&format!(
                "precision {other} must be between 0 and 6"
            )));
        }
    };
    Ok((SqlType::of(base), modifier))
}

fn custom(
    ty: &DataType,
    name: &sqlparser::ast::ObjectName,
    modifiers: &[TypeModifier],
) -> Result<(SqlType, i32)> {
    let (_, last) = parse::place(name)?;
    let is_quoted = name
        .0
        .last()
        .and_then(|part| part.as_ident())
        .is_some_and(|ident| ident.quote_style.is_some());
    // Without quotes, "char" is another type.
    let found = match last.as_str() {
        "char" if is_quoted => Some(SqlType::of(Base::Char)),
        "bpchar" => Some(SqlType::of(Base::Bpchar)),
        other => SqlType::by_name(other),
    };
    let Some(found) = found else {
        return Err(SqlError::new(
            state::UNDEFINED_OBJECT,
            format!("type \"{last}\" does not exist"),
        ));
    };
    let numbers: Option<Vec<u64>> = modifiers
        .iter()
        .map(|modifier| match modifier {
            TypeModifier::Number(digits, _) => digits.parse().ok(),
            _ => None,
        })
        .collect();
    match (found.base, numbers.as_deref()) {
        (_, Some([])) => Ok((found, -1)),
        (Base::Numeric, Some([precision])) => numeric(&ExactNumberInfo::Precision(*precision)),
        (Base::Numeric, Some([precision, scale])) => numeric(&ExactNumberInfo::PrecisionAndScale(
            *precision,
            i64::try_from(*scale).unwrap_or(i64::MAX),
        )),
        (Base::Varchar | Base::Bpchar, Some([length])) => {
            let length = CharacterLength::IntegerLength {
                length: *length,
                unit: None,
            };
            text(found.base, Some(&length), -1)
        }
        (Base::Time | Base::Timestamp | Base::Timestamptz, Some([precision])) => {
            time(found.base, Some(*precision))
        }
        _ => Err(SqlError::refused(format!("the type {ty}"))),
    }
}
