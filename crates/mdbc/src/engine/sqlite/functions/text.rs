//! Functions on text.

use super::{Arguments, Entry, lenient, strict};
use crate::dialect::parse;
use crate::error::{Result, SqlError, state};
use crate::types::Value;

/// Bytes of a text that a function makes.
const TEXT_BYTES_MAX: usize = 64 << 20;

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_lower", 1, |a| {
        Ok(Value::Text(a.text(0)?.to_lowercase()))
    }),
    strict("pg_upper", 1, |a| {
        Ok(Value::Text(a.text(0)?.to_uppercase()))
    }),
    strict("pg_initcap", 1, initcap),
    lenient("pg_substring", 3, substring),
    strict("pg_translate", 3, translate),
    strict("pg_pad", 4, pad),
    strict("pg_left", 2, |a| {
        Ok(Value::Text(left(a.text(0)?, a.integer(1)?)))
    }),
    strict("pg_right", 2, right),
    strict("pg_repeat", 2, repeat),
    strict("pg_reverse", 1, |a| {
        Ok(Value::Text(a.text(0)?.chars().rev().collect()))
    }),
    strict("pg_split_part", 3, split_part),
    strict("pg_overlay", 4, overlay),
    strict("pg_chr", 1, chr),
    strict("pg_to_hex", 1, |a| {
        Ok(Value::Text(format!("{:x}", a.integer(0)?)))
    }),
    strict("pg_quote_ident", 1, |a| {
        Ok(Value::Text(parse::quote_if_needed(a.text(0)?)))
    }),
    strict("pg_quote_literal", 1, |a| {
        Ok(Value::Text(parse::literal(a.text(0)?)))
    }),
    strict("pg_md5", 1, md5),
    lenient("pg_concat", -1, concat),
    strict("pg_pretty_size", 1, pretty_size),
];

fn initcap(arguments: &Arguments<'_>) -> Result<Value> {
    let mut is_start = true;
    let mut output = String::new();
    for character in arguments.text(0)?.chars() {
        if is_start {
            output.extend(character.to_uppercase());
        } else {
            output.extend(character.to_lowercase());
        }
        is_start = !character.is_alphanumeric();
    }
    Ok(Value::Text(output))
}

/// `substring(text from start [for count])`: positions before 1 count too.
fn substring(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) || arguments.is_null(1) {
        return Ok(Value::Null);
    }
    let (text, start) = (arguments.text(0)?, arguments.integer(1)?);
    let end = if arguments.get(2) == &Value::Null {
        i64::MAX
    } else {
        let count = arguments.integer(2)?;
        if count < 0 {
            return Err(SqlError::new(
                state::SUBSTRING_ERROR,
                "negative substring length not allowed",
            ));
        }
        start.saturating_add(count)
    };
    let skipped = usize::try_from(start.max(1) - 1).unwrap_or_default();
    let taken = usize::try_from(end.saturating_sub(start.max(1))).unwrap_or_default();
    Ok(Value::Text(
        text.chars().skip(skipped).take(taken).collect(),
    ))
}

fn translate(arguments: &Arguments<'_>) -> Result<Value> {
    let from: Vec<char> = arguments.text(1)?.chars().collect();
    let to: Vec<char> = arguments.text(2)?.chars().collect();
    let text = arguments.text(0)?.chars();
    let translated =
        text.filter_map(
            |character| match from.iter().position(|own| *own == character) {
                Some(at) => to.get(at).copied(),
                None => Some(character),
            },
        );
    Ok(Value::Text(translated.collect()))
}

fn bounded(count: i64) -> Result<usize> {
    usize::try_from(count.max(0))
        .ok()
        .filter(|count| *count <= TEXT_BYTES_MAX)
        .ok_or_else(|| SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, "requested length too large"))
}

fn pad(arguments: &Arguments<'_>) -> Result<Value> {
    let text = arguments.text(0)?;
    let wanted = bounded(arguments.integer(1)?)?;
    let fill = arguments.text(2)?;
    let length = text.chars().count();
    if length >= wanted || fill.is_empty() {
        return Ok(Value::Text(text.chars().take(wanted).collect()));
    }
    let padding: String = fill.chars().cycle().take(wanted - length).collect();
    Ok(Value::Text(if arguments.is_true(3) {
        padding + text
    } else {
        text.to_owned() + &padding
    }))
}

/// The first characters; all but the last ones for a negative number.
fn left(text: &str, count: i64) -> String {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let count = if count < 0 {
        length.saturating_add(count)
    } else {
        count
    };
    text.chars()
        .take(usize::try_from(count.max(0)).unwrap_or(usize::MAX))
        .collect()
}

fn right(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, count) = (arguments.text(0)?, arguments.integer(1)?);
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let skipped = if count < 0 {
        count.saturating_neg()
    } else {
        length - count
    };
    let skipped = usize::try_from(skipped.max(0)).unwrap_or(usize::MAX);
    Ok(Value::Text(text.chars().skip(skipped).collect()))
}

fn repeat(arguments: &Arguments<'_>) -> Result<Value> {
    let text = arguments.text(0)?;
    let count = bounded(arguments.integer(1)?)?;
    bounded(i64::try_from(text.len().saturating_mul(count)).unwrap_or(i64::MAX))?;
    Ok(Value::Text(text.repeat(count)))
}

fn split_part(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, separator, number) = (
        arguments.text(0)?,
        arguments.text(1)?,
        arguments.integer(2)?,
    );
    if number == 0 {
        return Err(SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            "field position must not be zero",
        ));
    }
    let parts: Vec<&str> = if separator.is_empty() {
        vec![text]
    } else {
        text.split(separator).collect()
    };
    let at = usize::try_from(number.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part = if number > 0 {
        parts.get(at)
    } else {
        parts.iter().rev().nth(at)
    };
    Ok(Value::Text(part.copied().unwrap_or_default().to_owned()))
}

fn overlay(arguments: &Arguments<'_>) -> Result<Value> {
    let (text, new) = (arguments.text(0)?, arguments.text(1)?);
    let (from, count) = (arguments.integer(2)?, arguments.integer(3)?);
    if from < 1 {
        return Err(SqlError::new(
            state::SUBSTRING_ERROR,
            "negative substring length not allowed",
        ));
    }
    let before = usize::try_from(from - 1).unwrap_or(usize::MAX);
    let after = usize::try_from((from - 1).saturating_add(count).max(0)).unwrap_or(usize::MAX);
    let start: String = text.chars().take(before).collect();
    let end: String = text.chars().skip(after).collect();
    Ok(Value::Text(format!("{start}{new}{end}")))
}

fn chr(arguments: &Arguments<'_>) -> Result<Value> {
    let number = u32::try_from(arguments.integer(0)?)
        .ok()
        .filter(|number| *number != 0);
    let character = number.and_then(char::from_u32);
    let character = character.ok_or_else(|| {
        SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            "requested character not valid for encoding",
        )
    })?;
    Ok(Value::Text(character.to_string()))
}

/// Texts one after another, with a separator; nulls are skipped.
fn concat(arguments: &Arguments<'_>) -> Result<Value> {
    let Value::Text(separator) = arguments.get(0) else {
        return Ok(Value::Null);
    };
    let mut parts = Vec::new();
    for index in 1..arguments.len() {
        if !arguments.is_null(index) {
            parts.push(arguments.text(index)?);
        }
    }
    Ok(Value::Text(parts.join(separator)))
}

fn md5(arguments: &Arguments<'_>) -> Result<Value> {
    let digest = match arguments.get(0) {
        Value::Blob(bytes) => md5::compute(bytes),
        _ => md5::compute(arguments.text(0)?),
    };
    Ok(Value::Text(format!("{digest:x}")))
}

fn pretty_size(arguments: &Arguments<'_>) -> Result<Value> {
    let mut size = arguments.integer(0)?;
    let mut unit = "bytes";
    for next in ["kB", "MB", "GB", "TB"] {
        if size.abs() < 10 * 1024 {
            break;
        }
        size /= 1024;
        unit = next;
    }
    Ok(Value::Text(format!("{size} {unit}")))
}
