//! Declared parameters: type, default, and the constraints that bear on capacity.

use std::collections::BTreeMap;

use super::value::{self, Value};

/// A parameter as the template declares it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    kind: Kind,
    /// `None` if the template leaves the value to whoever launches it.
    pub(crate) default: Option<Value>,
    /// What values it admits.
    pub(crate) constraints: Constraints,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Number,
    Boolean,
    List,
    Json,
    /// A type Heat does not have; values are taken as they are.
    Other,
}

/// The constraints that can refuse a flavor, a size or a count.
///
/// Patterns, lengths and the cloud's own checks are not read: they guard names
/// and passwords. That a flavor is known is checked against the catalogue.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Constraints {
    /// Empty if any value is admitted.
    pub(crate) allowed: Vec<String>,
    /// Inclusive.
    pub(crate) min: Option<f64>,
    /// Inclusive.
    pub(crate) max: Option<f64>,
}

impl Parameter {
    /// Reads a declaration; what is malformed in it is left out.
    pub(crate) fn read(declared: &BTreeMap<String, Value>) -> Self {
        let kind = match declared.get("type").and_then(Value::as_text) {
            Some("string") => Kind::Text,
            Some("number") => Kind::Number,
            Some("boolean") => Kind::Boolean,
            Some("comma_delimited_list") => Kind::List,
            Some("json") => Kind::Json,
            _ => Kind::Other,
        };
        let default = declared
            .get("default")
            .filter(|value| **value != Value::Null)
            .cloned();
        let constraints = declared
            .get("constraints")
            .and_then(Value::as_list)
            .unwrap_or_default();
        Self {
            kind,
            default,
            constraints: Constraints::read(constraints),
        }
    }

    /// The value in the parameter's type, where it has a reading in it.
    pub(crate) fn convert(&self, value: Value) -> Value {
        match (self.kind, &value) {
            (Kind::Text, Value::Integer(_) | Value::Float(_) | Value::Bool(_)) => {
                value.scalar_text().map_or(value, Value::Text)
            }
            (Kind::Number, Value::Text(text)) => number(text).unwrap_or(value),
            (Kind::Boolean, Value::Text(text)) => boolean(text).map_or(value, Value::Bool),
            (Kind::List, Value::Text(text)) => Value::List(
                text.split(',')
                    .map(|item| Value::Text(item.trim().to_owned()))
                    .collect(),
            ),
            // JSON is YAML, and the same bounds then hold for both.
            (Kind::Json, Value::Text(text)) => value::parse(text).unwrap_or(value),
            _ => value,
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let text = text.trim();
    let float = || {
        text.parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(Value::Float)
    };
    text.parse().ok().map(Value::Integer).or_else(float)
}

/// The boolean that Heat takes a text for.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "on" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "off" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

impl Constraints {
    fn read(declared: &[Value]) -> Self {
        let mut constraints = Self::default();
        for constraint in declared.iter().filter_map(Value::as_map) {
            if let Some(values) = constraint.get("allowed_values").and_then(Value::as_list) {
                constraints.allowed = values.iter().filter_map(Value::scalar_text).collect();
            }
            if let Some(range) = constraint.get("range").and_then(Value::as_map) {
                constraints.min = range.get("min").and_then(Value::as_float);
                constraints.max = range.get("max").and_then(Value::as_float);
            }
        }
        constraints
    }

    /// What checking a value, or copying these, costs in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.allowed.iter().map(String::len).fold(0, |sum, length| {
            sum.saturating_add(length).saturating_add(value::NODE_COST)
        })
    }

    /// Whether the value is admitted. Lists and maps are: Heat checks items.
    pub(crate) fn admit(&self, value: &Value) -> bool {
        let listed = |text: String| self.allowed.is_empty() || self.allowed.contains(&text);
        let in_range = |number: f64| {
            self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max)
        };
        let ranged = self.min.is_some() || self.max.is_some();
        value.scalar_text().is_none_or(listed) && (!ranged || value.as_float().is_none_or(in_range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(text: &str) -> Parameter {
        Parameter::read(value::parse(text).unwrap().as_map().unwrap())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn values_take_the_type_of_their_parameter() {
        assert_eq!(
            parameter("type: number").convert(text("7")),
            Value::Integer(7)
        );
        assert_eq!(
            parameter("type: string").convert(Value::Integer(7)),
            text("7")
        );
        assert_eq!(
            parameter("type: boolean").convert(text("Yes")),
            Value::Bool(true)
        );
        assert_eq!(
            parameter("type: comma_delimited_list").convert(text("a, b")),
            Value::List(vec![text("a"), text("b")])
        );
        let json = parameter("type: json").convert(text(r#"{"gb": 4}"#));
        assert_eq!(json.as_map().unwrap().get("gb"), Some(&Value::Integer(4)));
    }

    #[test]
    fn a_value_with_no_reading_in_the_type_stays_as_it_is() {
        assert_eq!(
            parameter("type: number").convert(text("many")),
            text("many")
        );
        assert_eq!(parameter("type: json").convert(text("[1")), text("[1"));
    }

    #[test]
    fn allowed_values_and_ranges_admit_their_ends_and_nothing_else() {
        let listed = parameter("constraints: [{allowed_values: [m1.small, 2]}]").constraints;
        assert!(listed.admit(&text("m1.small")));
        assert!(listed.admit(&Value::Integer(2)));
        assert!(!listed.admit(&text("m1.large")));
        let ranged = parameter("constraints: [{range: {min: 1, max: 10}}]").constraints;
        assert!(ranged.admit(&Value::Integer(1)) && ranged.admit(&Value::Integer(10)));
        assert!(!ranged.admit(&Value::Integer(0)) && !ranged.admit(&text("11")));
    }

    #[test]
    fn a_default_of_nothing_is_no_default() {
        assert_eq!(parameter("default:").default, None);
        assert_eq!(parameter("default: ''").default, Some(text("")));
    }
}
