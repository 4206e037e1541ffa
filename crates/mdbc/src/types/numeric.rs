//! `numeric`: exact decimal numbers, stored as their text.

use std::cmp::Ordering;
use std::str::FromStr;

use bigdecimal::num_bigint::{BigInt, Sign};
use bigdecimal::{BigDecimal, Zero};
use bytes::{Buf, BufMut, BytesMut};

use crate::error::{Result, SqlError, state};

/// Digits before and after the point that PostgreSQL has room for.
const DIGITS_MAX: i64 = 131_072;
/// Digits after the point that PostgreSQL has room for.
const SCALE_MAX: i64 = 16_383;
/// Digits that a quotient has at least, as in PostgreSQL.
const QUOTIENT_DIGITS: i64 = 16;

fn invalid(text: &str) -> SqlError {
    SqlError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type numeric: \"{text}\""),
    )
}

fn overflow() -> SqlError {
    SqlError::new(
        state::NUMERIC_VALUE_OUT_OF_RANGE,
        "value overflows numeric format",
    )
}

/// Reads a number.
pub(crate) fn parse(text: &str) -> Result<BigDecimal> {
    let trimmed = text.trim();
    let plain = trimmed.strip_prefix('+').unwrap_or(trimmed);
    let is_number = plain.bytes().any(|byte| byte.is_ascii_digit())
        && plain
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !is_number {
        if trimmed.eq_ignore_ascii_case("nan") || trimmed.to_lowercase().contains("inf") {
            return Err(SqlError::refused("the numeric value NaN or Infinity"));
        }
        return Err(invalid(text));
    }
    if let Some((_, exponent)) = plain.split_once(['e', 'E']) {
        let exponent: i64 = exponent.parse().map_err(|_| invalid(text))?;
        if exponent.abs() > DIGITS_MAX {
            return Err(overflow());
        }
    }
    let number = BigDecimal::from_str(plain).map_err(|_| invalid(text))?;
    checked(number)
}

/// A number that is not too long, with no negative scale.
fn checked(number: BigDecimal) -> Result<BigDecimal> {
    let scale = number.fractional_digit_count();
    let digits = i64::try_from(number.digits()).unwrap_or(i64::MAX);
    if digits.saturating_sub(scale) > DIGITS_MAX || scale > SCALE_MAX {
        return Err(overflow());
    }
    Ok(if scale < 0 {
        number.with_scale(0)
    } else {
        number
    })
}

/// A number as PostgreSQL writes it, which is how it is stored.
pub(crate) fn print(number: &BigDecimal) -> String {
    number.to_plain_string()
}

/// A number rounded half away from zero to `scale` digits.
pub(crate) fn round(number: &BigDecimal, scale: i64) -> BigDecimal {
    number.with_scale_round(scale, bigdecimal::RoundingMode::HalfUp)
}

/// A number that fits `numeric(precision, scale)`.
pub(crate) fn fit(number: &BigDecimal, precision: u32, scale: u32) -> Result<BigDecimal> {
    let rounded = round(number, i64::from(scale));
    let whole_digits = i64::try_from(rounded.digits()).unwrap_or(i64::MAX) - i64::from(scale);
    if !rounded.is_zero() && whole_digits > i64::from(precision) - i64::from(scale) {
        let bound = i64::from(precision) - i64::from(scale);
        return Err(SqlError::new(
            state::NUMERIC_VALUE_OUT_OF_RANGE,
            "numeric field overflow",
        )
        .with_detail(format!(
            "A field with precision {precision}, scale {scale} must round to an absolute value \
             less than 10^{bound}."
        )));
    }
    Ok(rounded)
}

/// Compares stored numbers; text that is none sorts as text.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    match (BigDecimal::from_str(left), BigDecimal::from_str(right)) {
        (Ok(left), Ok(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// `left operator right`.
pub(crate) fn calculate(operator: char, left: &BigDecimal, right: &BigDecimal) -> Result<String> {
    let result = match operator {
        '+' => left + right,
        '-' => left - right,
        '*' => left * right,
        '/' => divide(left, right)?,
        _ => remainder(left, right)?,
    };
    Ok(print(&checked(result)?))
}

fn divide(left: &BigDecimal, right: &BigDecimal) -> Result<BigDecimal> {
    if right.is_zero() {
        return Err(by_zero());
    }
    let scales = left
        .fractional_digit_count()
        .max(right.fractional_digit_count());
    // PostgreSQL counts in groups of four digits, here: where the quotient starts.
    let weight = |number: &BigDecimal| {
        let digits = i64::try_from(number.digits()).unwrap_or(i64::MAX);
        (digits - number.fractional_digit_count() - 1).div_euclid(4)
    };
    let lead = |number: &BigDecimal| {
        let digits = number.as_bigint_and_exponent().0.magnitude().to_string();
        let whole = i64::try_from(number.digits()).unwrap_or(0) - number.fractional_digit_count();
        let take = usize::try_from((whole - 1).rem_euclid(4) + 1).unwrap_or(1);
        let first: String = digits.chars().chain("0000".chars()).take(take).collect();
        first.parse::<u32>().unwrap_or(0)
    };
    let mut start = weight(left) - weight(right);
    if lead(left) <= lead(right) {
        start -= 1;
    }
    let scale = (QUOTIENT_DIGITS - start * 4).max(scales).clamp(0, 1000);
    let (left_digits, left_scale) = left.as_bigint_and_exponent();
    let (right_digits, right_scale) = right.as_bigint_and_exponent();
    // One digit more than asked for, to round by.
    let shift = scale + 1 + right_scale - left_scale;
    let power = BigInt::from(10).pow(u32::try_from(shift.max(0)).unwrap_or(u32::MAX));
    let quotient = (left_digits * power) / right_digits;
    let surplus = if shift < 0 { -shift } else { 0 };
    let quotient = BigDecimal::new(quotient, scale + 1 - surplus);
    Ok(round(&quotient, scale))
}

fn remainder(left: &BigDecimal, right: &BigDecimal) -> Result<BigDecimal> {
    if right.is_zero() {
        return Err(by_zero());
    }
    Ok(left % right)
}

/// The error of a division by zero.
pub(crate) fn by_zero() -> SqlError {
    SqlError::new(state::DIVISION_BY_ZERO, "division by zero")
}

/// Writes a stored number in PostgreSQL's binary format.
pub(crate) fn encode(text: &str, buffer: &mut BytesMut) -> Result<()> {
    let number = parse(text)?;
    let scale = number.fractional_digit_count().max(0);
    let is_negative = number.sign() == Sign::Minus;
    let plain = print(&number.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = whole.trim_start_matches('0');
    let lead = whole.len().div_ceil(4);
    let whole = format!("{whole:0>width$}", width = lead * 4);
    let width = fraction.len().div_ceil(4) * 4;
    let fraction = format!("{fraction:0<width$}");
    let mut groups: Vec<i16> = format!("{whole}{fraction}")
        .as_bytes()
        .chunks(4)
        .filter_map(|chunk| std::str::from_utf8(chunk).ok()?.parse().ok())
        .collect();
    let mut weight = i16::try_from(lead).map_err(|_| overflow())? - 1;
    let zeros = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..zeros);
    weight -= i16::try_from(zeros).map_err(|_| overflow())?;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    buffer.put_i16(i16::try_from(groups.len()).map_err(|_| overflow())?);
    buffer.put_i16(weight);
    buffer.put_u16(if is_negative { 0x4000 } else { 0 });
    buffer.put_u16(u16::try_from(scale).map_err(|_| overflow())?);
    for group in groups {
        buffer.put_i16(group);
    }
    Ok(())
}

/// Reads a number in PostgreSQL's binary format.
pub(crate) fn decode(mut bytes: &[u8]) -> Result<BigDecimal> {
    let bad = || {
        SqlError::new(
            state::INVALID_BINARY_REPRESENTATION,
            "invalid binary value of type numeric",
        )
    };
    if bytes.len() < 8 {
        return Err(bad());
    }
    let count = bytes.get_u16();
    let weight = i64::from(bytes.get_i16());
    let sign = match bytes.get_u16() {
        0 => Sign::Plus,
        0x4000 => Sign::Minus,
        0xC000 | 0xD000 | 0xF000 => {
            return Err(SqlError::refused("the numeric value NaN or Infinity"));
        }
        _ => return Err(bad()),
    };
    let scale = i64::from(bytes.get_u16());
    if bytes.len() != usize::from(count) * 2 || scale > SCALE_MAX {
        return Err(bad());
    }
    let mut digits = BigInt::zero();
    for _ in 0..count {
        let group = bytes.get_u16();
        if group > 9999 {
            return Err(bad());
        }
        digits = digits * 10_000 + group;
    }
    let exponent = (weight + 1 - i64::from(count)) * 4;
    let magnitude = BigDecimal::new(digits, -exponent);
    let number = if sign == Sign::Minus {
        -magnitude
    } else {
        magnitude
    };
    checked(number.with_scale(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> BigDecimal {
        parse(text).unwrap()
    }

    #[test]
    fn numbers_are_kept_as_written() {
        for text in ["0", "1.10", "-0.000", "123456789012345678901234567890.1"] {
            assert_eq!(
                print(&number(text)).trim_start_matches('-'),
                text.trim_start_matches('-')
            );
        }
        assert_eq!(print(&number("1e3")), "1000");
        assert_eq!(print(&number("1.5e-3")), "0.0015");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in [
            "",
            "abc",
            "1e",
            "1.2.3",
            "--1",
            "1e999999999999",
            "NaN",
            "1 2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        assert_eq!(compare("1.0", "1.00"), Ordering::Equal);
        assert_eq!(compare("10", "9"), Ordering::Greater);
        assert_eq!(compare("-10", "9"), Ordering::Less);
    }

    #[test]
    fn arithmetic_has_the_scale_of_postgresql() {
        let calculate =
            |operator, left, right| calculate(operator, &number(left), &number(right)).unwrap();
        assert_eq!(calculate('+', "1.10", "2"), "3.10");
        assert_eq!(calculate('*', "1.10", "2.0"), "2.200");
        assert_eq!(calculate('/', "1", "3"), "0.33333333333333333333");
        assert_eq!(calculate('/', "10", "4"), "2.5000000000000000");
        assert_eq!(calculate('/', "100.00", "3"), "33.3333333333333333");
        assert_eq!(calculate('%', "7.5", "2"), "1.5");
        assert_eq!(calculate('/', "2", "3"), "0.66666666666666666667");
    }

    #[test]
    fn a_number_fits_its_column_or_is_refused() {
        assert_eq!(print(&fit(&number("1.005"), 5, 2).unwrap()), "1.01");
        assert_eq!(print(&fit(&number("-1.005"), 5, 2).unwrap()), "-1.01");
        assert!(fit(&number("1000"), 5, 2).is_err());
        assert!(fit(&number("999.995"), 5, 2).is_err());
    }

    #[test]
    fn the_binary_format_goes_both_ways() {
        for text in [
            "0",
            "1.10",
            "-12345678.9",
            "0.00001234",
            "10000",
            "100000000.5",
            "0.00",
        ] {
            let mut buffer = BytesMut::new();
            encode(text, &mut buffer).unwrap();
            assert_eq!(print(&decode(&buffer).unwrap()), text);
        }
        assert!(decode(&[0, 1, 0, 0]).is_err());
    }
}
