//! Arrays of one dimension: `{1,2,NULL}` outside, a JSON array inside.

use bytes::{Buf, BufMut, BytesMut};
use serde_json::Value as Json;

use super::{Look, SqlType, Value, binary, text};
use crate::error::{Result, SqlError, state};

/// Elements that an array may have.
const ELEMENTS_MAX: usize = 1_000_000;

fn malformed(text: &str) -> SqlError {
    SqlError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("malformed array literal: \"{text}\""),
    )
}

/// The stored form of elements.
pub(crate) fn store(elements: &[Value]) -> Result<Value> {
    let elements: Result<Vec<Json>> = elements.iter().map(to_json).collect();
    Ok(Value::Text(Json::Array(elements?).to_string()))
}

fn to_json(value: &Value) -> Result<Json> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) if number.is_infinite() => {
            return Err(SqlError::refused("an infinite number in an array"));
        }
        Value::Real(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Blob(_) => return Err(SqlError::refused("an array of bytea")),
    })
}

/// The elements of a stored array.
pub(crate) fn load(element: SqlType, stored: &str) -> Result<Vec<Value>> {
    let broken = |_| SqlError::internal(format!("a stored array is broken: {stored}"));
    let elements: Vec<Json> = serde_json::from_str(stored).map_err(broken)?;
    let is_real = element.storage() == "REAL";
    Ok(elements
        .into_iter()
        .map(|element| match element {
            Json::Null => Value::Null,
            Json::Bool(truth) => Value::Integer(i64::from(truth)),
            Json::Number(number) => match number.as_i64() {
                Some(number) if !is_real => Value::Integer(number),
                _ => Value::Real(number.as_f64().unwrap_or_default()),
            },
            Json::String(text) => Value::Text(text),
            other => Value::Text(other.to_string()),
        })
        .collect())
}

/// Reads `{…}`.
pub(crate) fn parse(element: SqlType, literal: &str, look: &Look) -> Result<Value> {
    let inner = literal
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .ok_or_else(|| malformed(literal))?;
    let mut elements = Vec::new();
    let mut characters = inner.chars().peekable();
    if inner.trim().is_empty() {
        return store(&elements);
    }
    loop {
        let (item, is_quoted) = item(&mut characters).ok_or_else(|| malformed(literal))?;
        let is_null = !is_quoted && item.eq_ignore_ascii_case("null");
        elements.push(if is_null {
            Value::Null
        } else {
            text::parse(element, &item, look)?
        });
        match characters.next() {
            None => return store(&elements),
            Some(',') if elements.len() < ELEMENTS_MAX => {}
            Some(_) => return Err(malformed(literal)),
        }
    }
}

/// The next element's text, up to a comma or the end.
fn item(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<(String, bool)> {
    let mut item = String::new();
    while characters.next_if(|c| c.is_whitespace()).is_some() {}
    if characters.next_if_eq(&'"').is_some() {
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => item.push(characters.next()?),
                other => item.push(other),
            }
        }
        while characters.next_if(|c| c.is_whitespace()).is_some() {}
        return Some((item, true));
    }
    while let Some(character) = characters.next_if(|c| *c != ',') {
        match character {
            '\\' => item.push(characters.next()?),
            // Nested arrays are more than one dimension.
            '{' | '}' | '"' => return None,
            other => item.push(other),
        }
    }
    let item = item.trim_end().to_owned();
    (!item.is_empty()).then_some((item, false))
}

/// Shows a stored array as `{…}`, a vector as numbers with spaces.
pub(crate) fn print(ty: SqlType, stored: &str, look: &Look) -> Result<String> {
    let element = ty.element().unwrap_or(ty);
    let mut shown = Vec::new();
    for value in load(element, stored)? {
        shown.push(match value {
            Value::Null => "NULL".to_owned(),
            value => quote(&text::print(element, &value, look)?),
        });
    }
    Ok(if ty.is_array {
        format!("{{{}}}", shown.join(","))
    } else {
        shown.join(" ")
    })
}

fn quote(text: &str) -> String {
    let is_plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | ',' | '"' | '\\'));
    if is_plain {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Writes PostgreSQL's binary format.
pub(crate) fn encode(ty: SqlType, stored: &str, look: &Look, buffer: &mut BytesMut) -> Result<()> {
    let element = ty.element().unwrap_or(ty);
    let values = load(element, stored)?;
    let too_long = |_| SqlError::new(state::PROGRAM_LIMIT_EXCEEDED, "the array is too long");
    let has_null = values.contains(&Value::Null);
    buffer.put_i32(i32::from(!values.is_empty()));
    buffer.put_i32(i32::from(has_null));
    buffer.put_u32(element.oid());
    if !values.is_empty() {
        buffer.put_i32(i32::try_from(values.len()).map_err(too_long)?);
        buffer.put_i32(i32::from(ty.is_array));
    }
    for value in &values {
        binary::encode_sized(element, value, look, buffer)?;
    }
    Ok(())
}

/// Reads PostgreSQL's binary format.
pub(crate) fn decode(element: SqlType, mut bytes: &[u8], look: &Look) -> Result<Value> {
    let bad = || {
        SqlError::new(
            state::INVALID_BINARY_REPRESENTATION,
            "invalid binary value of an array type",
        )
    };
    let dimensions = bytes.try_get_i32().map_err(|_| bad())?;
    bytes.try_get_i32().map_err(|_| bad())?;
    let oid = bytes.try_get_u32().map_err(|_| bad())?;
    if oid != element.oid() {
        return Err(SqlError::new(
            state::DATATYPE_MISMATCH,
            "wrong element type",
        ));
    }
    if dimensions == 0 {
        return store(&[]);
    }
    if dimensions != 1 {
        return Err(SqlError::refused("an array of more than one dimension"));
    }
    let count = bytes.try_get_i32().map_err(|_| bad())?;
    bytes.try_get_i32().map_err(|_| bad())?;
    let mut values = Vec::new();
    for _ in 0..count {
        let length = bytes.try_get_i32().map_err(|_| bad())?;
        let Ok(length) = usize::try_from(length) else {
            values.push(Value::Null);
            continue;
        };
        let (held, rest) = bytes.split_at_checked(length).ok_or_else(bad)?;
        values.push(binary::decode(element, held, look)?);
        bytes = rest;
    }
    store(&values)
}

#[cfg(test)]
mod tests {
    use super::super::Base;
    use super::*;

    #[test]
    fn arrays_go_both_ways() {
        let look = Look::default();
        let element = SqlType::of(Base::Text);
        for literal in ["{}", "{a,b}", r#"{"a b",NULL,"NULL","x\"y"}"#] {
            let Value::Text(stored) = parse(element, literal, &look).unwrap() else {
                panic!("an array is text");
            };
            let ty = SqlType::array_of(Base::Text);
            assert_eq!(print(ty, &stored, &look).unwrap(), literal);
            let mut buffer = BytesMut::new();
            encode(ty, &stored, &look, &mut buffer).unwrap();
            let decoded = decode(element, &buffer, &look).unwrap();
            assert_eq!(decoded, Value::Text(stored));
        }
    }

    #[test]
    fn malformed_arrays_are_refused() {
        let look = Look::default();
        for literal in ["", "{", "1,2", "{1,}", "{{1},{2}}", "{1}x", "{\"a}", "{a"] {
            assert!(
                parse(SqlType::of(Base::Int4), literal, &look).is_err(),
                "{literal}"
            );
        }
    }
}
