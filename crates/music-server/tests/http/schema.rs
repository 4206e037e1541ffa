//! Just as much of JSON Schema as the document of the routes uses.

use serde_json::Value;

/// Whether `value` is what `schema` says; the fault if not.
pub(crate) fn check(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = document.pointer(reference.trim_start_matches('#'));
        return check(document, target.ok_or(format!("no {reference}"))?, value);
    }
    for part in list(&schema["allOf"]) {
        check(document, part, value)?;
    }
    for name in ["oneOf", "anyOf"] {
        let options = list(&schema[name]);
        let faults: Vec<_> = options
            .iter()
            .filter_map(|option| check(document, option, value).err())
            .collect();
        if !options.is_empty() && faults.len() == options.len() {
            return Err(format!("{value} is none of {name}: {faults:?}"));
        }
    }
    let options = list(&schema["enum"]);
    if !options.is_empty() && !options.contains(value) {
        return Err(format!("{value} is none of {options:?}"));
    }
    check_type(&schema["type"], value)?;
    check_parts(document, schema, value)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn check_type(wanted: &Value, value: &Value) -> Result<(), String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("what is {other}?"),
    };
    let fits = match wanted {
        Value::Null => true,
        Value::String(name) => is(name),
        names => list(names).iter().any(|name| is(name.as_str().unwrap())),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{value} is no {wanted}"))
    }
}

fn check_parts(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(object) = value.as_object() {
        for name in list(&schema["required"]) {
            let name = name.as_str().unwrap();
            object.get(name).ok_or(format!("{value} has no {name}"))?;
        }
        for (name, part) in object {
            let own = &schema["properties"][name];
            let schema = if own.is_null() {
                &schema["additionalProperties"]
            } else {
                own
            };
            match schema {
                Value::Null | Value::Bool(true) => {}
                Value::Bool(false) => return Err(format!("{value} must have no {name}")),
                schema => check(document, schema, part)?,
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        items
            .iter()
            .try_for_each(|item| check(document, schema, item))?;
    }
    Ok(())
}
