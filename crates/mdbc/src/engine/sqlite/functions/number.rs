//! Arithmetic that notices what SQLite's does not.

use bigdecimal::{BigDecimal, RoundingMode, Signed, Zero};

use super::value::{in_range, type_at};
use super::{Arguments, Entry, strict, volatile};
use crate::error::{Result, SqlError, state};
use crate::types::{Value, numeric};

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_in_range", 2, |a| {
        Ok(Value::Integer(in_range(type_at(a, 0)?, a.integer(1)?)?))
    }),
    strict("pg_divide", 4, divide),
    strict("pg_int8", 3, int8),
    strict("pg_float", 4, float),
    strict("pg_float_function", 2, float_function),
    strict("pg_round_even", 1, |a| {
        Ok(Value::Real(a.real(0)?.round_ties_even()))
    }),
    strict("pg_numeric", 3, exact),
    strict("pg_numeric_round", 3, round),
    volatile("pg_random", 0, |_| Ok(Value::Real(crate::dice::fraction()))),
];

fn overflow(what: &str) -> SqlError {
    SqlError::new(
        state::NUMERIC_VALUE_OUT_OF_RANGE,
        format!("{what} out of range"),
    )
}

fn divide(arguments: &Arguments<'_>) -> Result<Value> {
    let ty = type_at(arguments, 0)?;
    let (left, right) = (arguments.integer(2)?, arguments.integer(3)?);
    if right == 0 {
        return Err(numeric::by_zero());
    }
    let result = if arguments.text(1)? == "/" {
        left.checked_div(right)
    } else {
        Some(left.checked_rem(right).unwrap_or(0))
    };
    Ok(Value::Integer(in_range(
        ty,
        result.ok_or_else(|| overflow("bigint"))?,
    )?))
}

fn int8(arguments: &Arguments<'_>) -> Result<Value> {
    let (left, right) = (arguments.integer(1)?, arguments.integer(2)?);
    let result = match arguments.text(0)? {
        "+" => left.checked_add(right),
        "-" => left.checked_sub(right),
        _ => left.checked_mul(right),
    };
    result.map(Value::Integer).ok_or_else(|| overflow("bigint"))
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a float4 has as few digits"
)]
fn float(arguments: &Arguments<'_>) -> Result<Value> {
    let is_narrow = arguments.integer(0)? == 700;
    let (left, right) = (arguments.real(2)?, arguments.real(3)?);
    let result = match arguments.text(1)? {
        "+" => left + right,
        "-" => left - right,
        "*" => left * right,
        "/" if right == 0.0 => return Err(numeric::by_zero()),
        "/" => left / right,
        "%" => return Err(SqlError::refused("the remainder of floating point numbers")),
        _ => return power(left, right),
    };
    let result = if is_narrow {
        f64::from(result as f32)
    } else {
        result
    };
    checked(result, left.is_infinite() || right.is_infinite())
}

fn power(base: f64, exponent: f64) -> Result<Value> {
    let is_undefined = base == 0.0 && exponent < 0.0 || base < 0.0 && exponent.fract() != 0.0;
    if is_undefined {
        return Err(SqlError::new(
            state::INVALID_ARGUMENT_FOR_POWER,
            "zero raised to a negative power, or a negative number to a non-integer one, is \
             undefined",
        ));
    }
    checked(
        base.powf(exponent),
        base.is_infinite() || exponent.is_infinite(),
    )
}

fn checked(result: f64, may_be_infinite: bool) -> Result<Value> {
    if result.is_nan() {
        return Err(SqlError::refused("the value NaN"));
    }
    if result.is_infinite() && !may_be_infinite {
        return Err(SqlError::new(
            state::NUMERIC_VALUE_OUT_OF_RANGE,
            "value out of range: overflow",
        ));
    }
    Ok(Value::Real(result))
}

fn float_function(arguments: &Arguments<'_>) -> Result<Value> {
    let number = arguments.real(1)?;
    let name = arguments.text(0)?;
    let wrong = |message: &str| {
        Err(SqlError::new(
            state::INVALID_ARGUMENT_FOR_LOGARITHM,
            message,
        ))
    };
    let result = match name {
        "ceil" => number.ceil(),
        "floor" => number.floor(),
        "trunc" => number.trunc(),
        "sign" => {
            if number == 0.0 {
                0.0
            } else {
                number.signum()
            }
        }
        "sqrt" if number < 0.0 => {
            return Err(SqlError::new(
                state::INVALID_ARGUMENT_FOR_POWER,
                "cannot take square root of a negative number",
            ));
        }
        "sqrt" => number.sqrt(),
        "exp" => number.exp(),
        "ln" | "log" if number == 0.0 => return wrong("cannot take logarithm of zero"),
        "ln" | "log" if number < 0.0 => return wrong("cannot take logarithm of a negative number"),
        "ln" => number.ln(),
        "log" => number.log10(),
        "sin" => number.sin(),
        "cos" => number.cos(),
        "tan" => number.tan(),
        "atan" => number.atan(),
        "radians" => number.to_radians(),
        "degrees" => number.to_degrees(),
        other => return Err(SqlError::internal(format!("no function {other}"))),
    };
    checked(result, number.is_infinite())
}

fn exact(arguments: &Arguments<'_>) -> Result<Value> {
    let operator = arguments.text(0)?.chars().next().unwrap_or('+');
    let (left, right) = (
        numeric::parse(arguments.text(1)?)?,
        numeric::parse(arguments.text(2)?)?,
    );
    Ok(Value::Text(numeric::calculate(operator, &left, &right)?))
}

fn round(arguments: &Arguments<'_>) -> Result<Value> {
    let number = numeric::parse(arguments.text(1)?)?;
    let scale = arguments.integer(2)?.clamp(-1000, 1000);
    let shown = |number: BigDecimal| Value::Text(numeric::print(&number));
    let to = |mode: RoundingMode| {
        let rounded = number.with_scale_round(scale, mode);
        shown(if scale < 0 {
            rounded.with_scale(0)
        } else {
            rounded
        })
    };
    Ok(match arguments.text(0)? {
        "abs" => shown(number.abs()),
        "sign" if number.is_zero() => Value::Text("0".to_owned()),
        "sign" => Value::Text(if number.is_negative() { "-1" } else { "1" }.to_owned()),
        "ceil" => to(RoundingMode::Ceiling),
        "floor" => to(RoundingMode::Floor),
        "trunc" => to(RoundingMode::Down),
        _ => to(RoundingMode::HalfUp),
    })
}
