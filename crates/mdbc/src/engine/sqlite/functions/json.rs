//! Functions on documents.

use serde_json::Value as Json;
use serde_json::value::RawValue;

use super::value::type_at;
use super::{Arguments, Entry, lenient, strict};
use crate::error::{Result, SqlError, state};
use crate::types::{Class, SqlType, Value, array, json, text};

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_json_get", 3, get),
    strict("pg_json_typeof", 1, kind),
    strict("pg_json_length", 1, length),
    strict("pg_json_elements", 2, elements),
    strict("pg_json_keys", 1, keys),
    strict("pg_json_concat", 2, concat),
    strict("pg_json_delete", 2, delete),
    strict("pg_json_has", 2, has),
    strict("pg_json_contains", 2, contains),
    strict("pg_json_pretty", 1, pretty),
    lenient("pg_json_array", -1, build_array),
    lenient("pg_json_object", -1, build_object),
    lenient("pg_to_json", 2, to_json),
];

fn broken(error: &serde_json::Error) -> SqlError {
    SqlError::new(
        state::INVALID_TEXT_REPRESENTATION,
        format!("invalid json: {error}"),
    )
}

/// The fields of an object, in their order.
fn fields(document: &str) -> Option<Vec<(String, Box<RawValue>)>> {
    if !document.trim_start().starts_with('{') {
        return None;
    }
    // A map of the library keeps one of equal keys; the last counts here too.
    let map: std::collections::BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(document).ok()?;
    Some(map.into_iter().collect())
}

fn items(document: &str) -> Option<Vec<Box<RawValue>>> {
    serde_json::from_str(document).ok()
}

/// What is at one step of a path.
fn step(document: &str, key: &Value) -> Option<String> {
    let number = match key {
        Value::Integer(number) => Some(*number),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    if let (Some(items), Some(number)) = (items(document), number) {
        let length = i64::try_from(items.len()).ok()?;
        let at = if number < 0 {
            length.checked_add(number)?
        } else {
            number
        };
        return items
            .get(usize::try_from(at).ok()?)
            .map(|item| item.get().to_owned());
    }
    let Value::Text(name) = key else { return None };
    let fields = fields(document)?;
    fields
        .into_iter()
        .find(|(own, _)| own == name)
        .map(|(_, value)| value.get().to_owned())
}

fn get(arguments: &Arguments<'_>) -> Result<Value> {
    let operator = arguments.text(0)?;
    let document = arguments.text(1)?;
    let found = if operator.starts_with('#') {
        let path = array::load(SqlType::of(crate::types::Base::Text), arguments.text(2)?)?;
        let start = Some(document.to_owned());
        path.iter().fold(start, |at, key| step(&at?, key))
    } else {
        step(document, arguments.get(2))
    };
    let Some(found) = found else {
        return Ok(Value::Null);
    };
    if !operator.ends_with(">>") {
        return Ok(Value::Text(found));
    }
    as_text(&found)
}

/// A document as text: strings without their quotes, null as null.
fn as_text(document: &str) -> Result<Value> {
    Ok(match document.as_bytes().first() {
        Some(b'"') => Value::Text(serde_json::from_str(document).map_err(|error| broken(&error))?),
        Some(b'n') => Value::Null,
        _ => Value::Text(document.to_owned()),
    })
}

fn kind(arguments: &Arguments<'_>) -> Result<Value> {
    let kind = match arguments.text(0)?.trim_start().as_bytes().first() {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        _ => "number",
    };
    Ok(Value::from(kind))
}

fn not_an_array() -> SqlError {
    SqlError::new(
        state::INVALID_PARAMETER_VALUE,
        "cannot extract elements from a non-array",
    )
}

fn length(arguments: &Arguments<'_>) -> Result<Value> {
    let items = items(arguments.text(0)?).ok_or_else(not_an_array)?;
    Ok(Value::Integer(
        i64::try_from(items.len()).unwrap_or(i64::MAX),
    ))
}

fn elements(arguments: &Arguments<'_>) -> Result<Value> {
    let is_text = arguments.is_true(1);
    let items = items(arguments.text(0)?).ok_or_else(not_an_array)?;
    let values: Result<Vec<Value>> = items
        .into_iter()
        .map(|item| {
            if is_text {
                as_text(item.get())
            } else {
                Ok(Value::Text(item.get().to_owned()))
            }
        })
        .collect();
    array::store(&values?)
}

fn keys(arguments: &Arguments<'_>) -> Result<Value> {
    let fields = fields(arguments.text(0)?).ok_or_else(|| {
        SqlError::new(
            state::INVALID_PARAMETER_VALUE,
            "cannot call jsonb_object_keys on a non-object",
        )
    })?;
    let keys: Vec<Value> = fields
        .into_iter()
        .map(|(key, _)| Value::Text(key))
        .collect();
    array::store(&keys)
}

fn object(fields: &[(String, String)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{}: {value}", json::quote(key)))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn concat(arguments: &Arguments<'_>) -> Result<Value> {
    let (left, right) = (arguments.text(0)?, arguments.text(1)?);
    if let (Some(a), Some(b)) = (fields(left), fields(right)) {
        let all: Vec<(String, String)> = a
            .into_iter()
            .chain(b)
            .map(|(key, value)| (key, value.get().to_owned()))
            .collect();
        return Ok(Value::Text(json::normalize(&object(&all))?));
    }
    let list = |document: &str| match items(document) {
        Some(items) => items
            .into_iter()
            .map(|item| item.get().to_owned())
            .collect(),
        None => vec![document.to_owned()],
    };
    let mut all: Vec<String> = list(left);
    all.extend(list(right));
    Ok(Value::Text(json::normalize(&format!(
        "[{}]",
        all.join(", ")
    ))?))
}

fn delete(arguments: &Arguments<'_>) -> Result<Value> {
    let (document, key) = (arguments.text(0)?, arguments.text(1)?);
    if let Some(fields) = fields(document) {
        let kept: Vec<(String, String)> = fields
            .into_iter()
            .filter(|(own, _)| own != key)
            .map(|(own, value)| (own, value.get().to_owned()))
            .collect();
        return Ok(Value::Text(json::normalize(&object(&kept))?));
    }
    let items = items(document).ok_or_else(|| {
        SqlError::new(state::INVALID_PARAMETER_VALUE, "cannot delete from scalar")
    })?;
    let quoted = json::quote(key);
    let kept: Vec<&str> = items
        .iter()
        .map(|item| item.get())
        .filter(|item| *item != quoted)
        .collect();
    Ok(Value::Text(json::normalize(&format!(
        "[{}]",
        kept.join(", ")
    ))?))
}

fn has(arguments: &Arguments<'_>) -> Result<Value> {
    let (document, key) = (arguments.text(0)?, arguments.text(1)?);
    let quoted = json::quote(key);
    let is_there = match fields(document) {
        Some(fields) => fields.iter().any(|(own, _)| own == key),
        None => items(document).is_some_and(|items| items.iter().any(|item| item.get() == quoted)),
    };
    Ok(Value::from(is_there))
}

fn contains(arguments: &Arguments<'_>) -> Result<Value> {
    let parse =
        |document: &str| serde_json::from_str::<Json>(document).map_err(|error| broken(&error));
    let (left, right) = (parse(arguments.text(0)?)?, parse(arguments.text(1)?)?);
    // An array contains a scalar that is among its elements.
    let is_element = match (&left, &right) {
        (Json::Array(items), scalar) if !scalar.is_array() && !scalar.is_object() => {
            items.contains(scalar)
        }
        _ => false,
    };
    Ok(Value::from(is_element || is_within(&left, &right)))
}

fn is_within(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Object(left), Json::Object(right)) => right
            .iter()
            .all(|(key, value)| left.get(key).is_some_and(|own| is_within(own, value))),
        (Json::Array(left), Json::Array(right)) => right
            .iter()
            .all(|value| left.iter().any(|own| is_within(own, value))),
        (left, right) => left == right,
    }
}

fn pretty(arguments: &Arguments<'_>) -> Result<Value> {
    let document: Json =
        serde_json::from_str(arguments.text(0)?).map_err(|error| broken(&error))?;
    let mut output = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut output, formatter);
    serde::Serialize::serialize(&document, &mut serializer).map_err(|error| broken(&error))?;
    Ok(Value::Text(String::from_utf8_lossy(&output).into_owned()))
}

fn document(value: &Value) -> String {
    match value {
        Value::Text(document) => document.clone(),
        _ => "null".to_owned(),
    }
}

#[allow(clippy::unnecessary_wraps, reason = "all functions have this form")]
fn build_array(arguments: &Arguments<'_>) -> Result<Value> {
    let items: Vec<String> = arguments.all().iter().map(document).collect();
    Ok(Value::Text(format!("[{}]", items.join(", "))))
}

fn build_object(arguments: &Arguments<'_>) -> Result<Value> {
    let mut fields = Vec::new();
    for pair in arguments.all().chunks(2) {
        let [Value::Text(key), value] = pair else {
            return Err(SqlError::new(
                state::INVALID_PARAMETER_VALUE,
                "argument 1: key must not be null",
            ));
        };
        fields.push(format!("{} : {}", json::quote(key), document(value)));
    }
    Ok(Value::Text(format!("{{{}}}", fields.join(", "))))
}

/// A value of any type as a document.
fn to_json(arguments: &Arguments<'_>) -> Result<Value> {
    let ty = type_at(arguments, 0)?;
    let value = arguments.get(1);
    let look = arguments.context.lock().session.look.clone();
    Ok(Value::Text(match (ty.class(), value) {
        (_, Value::Null) => "null".to_owned(),
        (Class::Bool, Value::Integer(truth)) => (*truth != 0).to_string(),
        (Class::Vector, Value::Text(stored)) => stored.clone(),
        (Class::Integer | Class::Numeric | Class::Float, _) => text::print(ty, value, &look)?,
        (Class::Time, _) => json::quote(&text::print(ty, value, &look)?.replace(' ', "T")),
        _ => json::quote(&text::print(ty, value, &look)?),
    }))
}
