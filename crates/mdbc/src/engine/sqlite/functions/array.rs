//! Functions on arrays, which are stored as JSON.

use serde_json::Value as Json;

use super::value::type_at;
use super::{Arguments, Entry, lenient, strict};
use crate::error::{Result, SqlError};
use crate::types::{SqlType, Value, array, text};

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_subscript", 2, subscript),
    lenient("pg_longest", -1, longest),
    lenient("pg_array_concat", 2, concat),
    lenient("pg_array_to_string", 4, to_string),
    lenient("pg_string_to_array", 2, from_string),
    lenient("pg_array_remove", 2, remove),
    lenient("pg_array_position", 2, position),
    strict("pg_array_contains", 2, contains),
    strict("pg_array_overlaps", 2, overlaps),
];

fn elements(stored: &str) -> Result<Vec<Json>> {
    serde_json::from_str(stored).map_err(|_| SqlError::internal("a stored array is broken"))
}

fn value(element: &Json) -> Value {
    match element {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Real(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::Text(text.clone()),
        other => Value::Text(other.to_string()),
    }
}

fn json(value: &Value) -> Json {
    match value {
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Null | Value::Blob(_) => Json::Null,
    }
}

fn stored(elements: Vec<Json>) -> Value {
    Value::Text(Json::Array(elements).to_string())
}

fn subscript(arguments: &Arguments<'_>) -> Result<Value> {
    let elements = elements(arguments.text(0)?)?;
    let at = usize::try_from(arguments.integer(1)?).ok();
    Ok(at
        .and_then(|at| elements.get(at))
        .map_or(Value::Null, value))
}

/// The array with the most elements.
fn longest(arguments: &Arguments<'_>) -> Result<Value> {
    let mut longest = (0, Value::Null);
    for value in arguments.all() {
        if let Value::Text(stored) = value {
            let count = elements(stored)?.len();
            if longest.1 == Value::Null || count > longest.0 {
                longest = (count, value.clone());
            }
        }
    }
    Ok(longest.1)
}

fn concat(arguments: &Arguments<'_>) -> Result<Value> {
    match (arguments.get(0), arguments.get(1)) {
        (Value::Null, other) | (other, Value::Null) => Ok(other.clone()),
        _ => {
            let mut all = elements(arguments.text(0)?)?;
            all.extend(elements(arguments.text(1)?)?);
            Ok(stored(all))
        }
    }
}

fn to_string(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(1) || arguments.is_null(2) {
        return Ok(Value::Null);
    }
    let ty = type_at(arguments, 0)?;
    let element = ty
        .element()
        .unwrap_or(SqlType::of(crate::types::Base::Text));
    let look = arguments.context.lock().session.look.clone();
    let mut parts = Vec::new();
    for value in array::load(element, arguments.text(1)?)? {
        match (value, arguments.get(3)) {
            (Value::Null, Value::Text(null)) => parts.push(null.clone()),
            (Value::Null, _) => {}
            (value, _) => parts.push(text::print(element, &value, &look)?),
        }
    }
    Ok(Value::Text(parts.join(arguments.text(2)?)))
}

#[allow(clippy::unnecessary_wraps, reason = "all functions have this form")]
fn from_string(arguments: &Arguments<'_>) -> Result<Value> {
    let Value::Text(text) = arguments.get(0) else {
        return Ok(Value::Null);
    };
    let parts: Vec<Json> = match arguments.get(1) {
        _ if text.is_empty() => Vec::new(),
        Value::Text(separator) if separator.is_empty() => vec![Json::from(text.as_str())],
        Value::Text(separator) => text.split(separator.as_str()).map(Json::from).collect(),
        _ => text.chars().map(|c| Json::from(c.to_string())).collect(),
    };
    Ok(stored(parts))
}

fn remove(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) {
        return Ok(Value::Null);
    }
    let unwanted = json(arguments.get(1));
    let mut all = elements(arguments.text(0)?)?;
    all.retain(|element| *element != unwanted);
    Ok(stored(all))
}

fn position(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) {
        return Ok(Value::Null);
    }
    let wanted = json(arguments.get(1));
    let at = elements(arguments.text(0)?)?
        .iter()
        .position(|element| *element == wanted);
    Ok(Value::from(at.and_then(|at| i64::try_from(at + 1).ok())))
}

fn contains(arguments: &Arguments<'_>) -> Result<Value> {
    let (own, wanted) = (elements(arguments.text(0)?)?, elements(arguments.text(1)?)?);
    let is_within = wanted
        .iter()
        .all(|element| !element.is_null() && own.contains(element));
    Ok(Value::from(is_within))
}

fn overlaps(arguments: &Arguments<'_>) -> Result<Value> {
    let (own, other) = (elements(arguments.text(0)?)?, elements(arguments.text(1)?)?);
    let is_shared = other
        .iter()
        .any(|element| !element.is_null() && own.contains(element));
    Ok(Value::from(is_shared))
}
