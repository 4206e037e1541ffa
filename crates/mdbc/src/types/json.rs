//! `json` and `jsonb`: the text as it came, or in PostgreSQL's normal form.

use std::collections::HashMap;

use serde_json::value::RawValue;

use crate::error::{Result, SqlError, state};

/// How deep a document may be nested.
const DEPTH_MAX: usize = 100;

fn invalid(name: &str, detail: &str) -> SqlError {
    SqlError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("invalid input syntax for type {name}"),
    )
    .with_detail(detail)
}

/// Checks that a text is a document.
pub(crate) fn check(text: &str) -> Result<()> {
    match serde_json::from_str::<&RawValue>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(invalid("json", &error.to_string())),
    }
}

/// A document as `jsonb` shows it: keys sorted by length, then by bytes, the
/// last of equal ones kept, numbers as written.
pub(crate) fn normalize(text: &str) -> Result<String> {
    let mut output = String::with_capacity(text.len());
    let value = serde_json::from_str(text).map_err(|error| invalid("json", &error.to_string()))?;
    write(value, (0, false), &mut output)?;
    Ok(output)
}

/// Writes a document; `is_plain` drops zeros that numbers end with.
fn write(value: &RawValue, (depth, is_plain): (usize, bool), output: &mut String) -> Result<()> {
    if depth > DEPTH_MAX {
        let limit = format!("A document may be nested {DEPTH_MAX} deep.");
        return Err(
            SqlError::new(state::STATEMENT_TOO_COMPLEX, "json is too deep").with_detail(limit),
        );
    }
    let text = value.get();
    let broken = |error: serde_json::Error| invalid("json", &error.to_string());
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: HashMap<String, &RawValue> = serde_json::from_str(text).map_err(broken)?;
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|(left, _), (right, _)| (left.len(), left).cmp(&(right.len(), right)));
            output.push('{');
            for (number, (key, value)) in fields.into_iter().enumerate() {
                output.push_str(if number == 0 { "" } else { ", " });
                output.push_str(&quote(&key));
                output.push_str(": ");
                write(value, (depth + 1, is_plain), output)?;
            }
            output.push('}');
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
            output.push('[');
            for (number, value) in elements.into_iter().enumerate() {
                output.push_str(if number == 0 { "" } else { ", " });
                write(value, (depth + 1, is_plain), output)?;
            }
            output.push(']');
        }
        Some(b'"') => {
            let decoded: String = serde_json::from_str(text).map_err(broken)?;
            output.push_str(&quote(&decoded));
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = super::numeric::parse(text)?;
            let number = if is_plain {
                number.normalized()
            } else {
                number
            };
            output.push_str(&super::numeric::print(&number));
        }
        _ => output.push_str(text),
    }
    Ok(())
}

/// Compares documents in normal form: equal are those whose numbers are equal,
/// however many zeros they end with.
pub(crate) fn compare(left: &str, right: &str) -> std::cmp::Ordering {
    if left == right {
        return std::cmp::Ordering::Equal;
    }
    let plain = |text: &str| {
        let mut output = String::new();
        let value = serde_json::from_str(text).ok()?;
        write(value, (0, true), &mut output).ok()?;
        Some(output)
    };
    match (plain(left), plain(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// A text as a JSON string.
pub(crate) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_form_is_that_of_postgresql() {
        let normal = normalize(r#"{"bb":1.10, "a":[true,null , "xé"],"c":{}, "a":2}"#).unwrap();
        assert_eq!(normal, r#"{"a": 2, "c": {}, "bb": 1.10}"#);
        assert_eq!(normalize(" [1,2] ").unwrap(), "[1, 2]");
    }

    #[test]
    fn documents_are_equal_whose_numbers_are() {
        assert!(compare(r#"{"a": 1.0}"#, r#"{"a": 1}"#).is_eq());
        assert!(compare("[1.5]", "[1.50]").is_eq());
        assert!(compare("[1]", "[2]").is_lt());
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in ["", "{", "{'a':1}", "nul", "[1,]"] {
            assert!(check(text).is_err(), "{text}");
            assert!(normalize(text).is_err(), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(normalize(&deep).is_err());
    }
}
