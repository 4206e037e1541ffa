//! YAML text to values, within bounds.
//!
//! The parser is `serde-saphyr`: it is maintained, it and the parser below it
//! forbid `unsafe`, and limits on depth, nodes, text and *replayed* alias events
//! are options of every call. `serde_yaml` is archived, and `serde_yaml_ng` goes
//! on with the same `unsafe-libyaml`; the loaders of `saphyr` and `yaml-rust2`
//! copy each alias out before anyone can count, and a kilobyte can stand for
//! gigabytes. Types of the parser stay inside this module.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};

use super::parameter::Constraints;
use super::reason::Unresolved;

/// Deepest nesting of lists and maps in one file.
pub const YAML_DEPTH_MAX: usize = 48;
/// Most nodes (scalars, lists, maps) in one file, before aliases are expanded.
pub const YAML_NODES_MAX: usize = 100_000;
/// Most parser events that aliases may repeat, over a whole file.
pub const YAML_ALIAS_EVENTS_MAX: usize = 100_000;

/// Most text in all scalars of one file, those repeated by aliases included.
pub const YAML_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What a node counts for beside its text when the cost of copying is reckoned.
pub(crate) const NODE_COST: usize = 32;

/// A value of a template: as written, or as far as it could be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// A parameter with neither a value nor a default; the policy may fill it.
    Unset(Arc<Unset>),
    /// Cannot be told before the stack runs, or not at all.
    Unknown(Unresolved),
}

/// The parameter a missing value goes back to, and what it would admit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unset {
    pub(crate) parameter: String,
    pub(crate) constraints: Constraints,
}

/// Why a text is not a YAML document we read.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.without_snippet())]
pub struct YamlError(Box<serde_saphyr::Error>);

impl YamlError {
    /// Line of the fault, from 1; `None` if it has no place.
    pub fn line(&self) -> Option<u64> {
        self.0.location().map(|location| location.line())
    }
}

/// Parses one YAML document.
pub(crate) fn parse(text: &str) -> Result<Value, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: YAML_DEPTH_MAX,
            flow_nesting_limit: YAML_DEPTH_MAX,
            max_nodes: YAML_NODES_MAX,
            max_total_scalar_bytes: YAML_TEXT_BYTES_MAX,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: YAML_ALIAS_EVENTS_MAX,
        },
        // A parameter may be called `n`: only `true` and `false` are booleans,
        // and other spellings become one where a boolean is declared.
        strict_booleans: true,
        // Heat reads with PyYAML, which takes the last of two equal keys.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| YamlError(Box::new(error)))
}

impl Value {
    /// The map, if it is one.
    pub(crate) fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number that is not negative; numbers in quotes count.
    pub(crate) fn as_amount(&self) -> Option<u64> {
        match self {
            Self::Integer(number) => u64::try_from(*number).ok(),
            Self::Float(_) => format!("{}", self.as_float()?).parse().ok(),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A number, whole or not; numbers in quotes count.
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            // Through text, which rounds where a cast would be a lossy one.
            Self::Integer(number) => number.to_string().parse().ok(),
            Self::Float(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// A scalar as Heat would put it into a text; `None` for anything else.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Bool(flag) => Some(if *flag { "True" } else { "False" }.to_owned()),
            Self::Integer(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::List(_) | Self::Map(_) | Self::Unset(_) | Self::Unknown(_) => None,
        }
    }

    /// What copying this value costs, in bytes.
    pub(crate) fn cost(&self) -> usize {
        let inside = match self {
            Self::Text(text) => text.len(),
            Self::List(items) => sum(items.iter().map(Self::cost)),
            Self::Map(entries) => sum(entries
                .iter()
                .map(|(key, value)| key.len().saturating_add(value.cost()))),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Float(_)
            | Self::Unset(_)
            | Self::Unknown(_) => 0,
        };
        inside.saturating_add(NODE_COST)
    }
}

fn sum(costs: impl Iterator<Item = usize>) -> usize {
    costs.fold(0, usize::saturating_add)
}

/// What a value is, for messages; long texts are cut.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_CHARS: usize = 40;
        match self {
            Self::Null => formatter.write_str("nothing"),
            Self::Bool(flag) => write!(formatter, "{flag}"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number}"),
            Self::Text(text) => {
                write!(
                    formatter,
                    "{:?}",
                    text.chars().take(SHOWN_CHARS).collect::<String>()
                )
            }
            Self::List(items) => write!(formatter, "a list of {}", items.len()),
            Self::Map(entries) => write!(formatter, "a map of {}", entries.len()),
            Self::Unset(unset) => {
                write!(formatter, "parameter {:?} without a value", unset.parameter)
            }
            Self::Unknown(why) => write!(formatter, "{why}"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        // No capacity has twenty digits; as a text it still compares and prints.
        Ok(i64::try_from(number).map_or_else(|_| Value::Text(number.to_string()), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((key, value)) = entries.next_entry::<Value, Value>()? {
            let key = key
                .scalar_text()
                .ok_or_else(|| A::Error::custom("a key must be a scalar"))?;
            map.insert(key, value);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn a_template_version_stays_a_text_and_a_byte_order_mark_is_skipped() {
        let value = parse("\u{feff}heat_template_version: 2013-05-23").unwrap();
        let version = value
            .as_map()
            .unwrap()
            .get("heat_template_version")
            .unwrap();
        assert_eq!(version.as_text(), Some("2013-05-23"));
    }

    #[test]
    fn the_last_of_two_equal_keys_wins_as_in_heat() {
        let value = parse("a: 1\na: 2").unwrap();
        assert_eq!(value.as_map().unwrap().get("a"), Some(&Value::Integer(2)));
    }

    #[test]
    fn numbers_count_in_quotes_and_as_whole_floats_but_never_below_zero() {
        let amount = |text: &str| parse(text).unwrap().as_amount();
        assert_eq!(amount("12"), Some(12));
        assert_eq!(amount("'12'"), Some(12));
        assert_eq!(amount("12.0"), Some(12));
        assert_eq!(amount("12.5"), None);
        assert_eq!(amount("-1"), None);
        assert_eq!(amount(".inf"), None);
        assert_eq!(amount("[1]"), None);
    }

    #[test]
    fn aliases_that_would_expand_without_end_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{items}]").unwrap();
        }
        assert!(parse(&bomb).is_err());
    }

    #[test]
    fn an_alias_to_a_long_text_cannot_multiply_it_without_end() {
        let long = "x".repeat(400_000);
        let uses = vec!["*long"; 9_000].join(", ");
        assert!(parse(&format!("a: &long {long}\nb: [{uses}]\n")).is_err());
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused_in_either_style() {
        let flow = "[".repeat(YAML_DEPTH_MAX + 1) + &"]".repeat(YAML_DEPTH_MAX + 1);
        assert!(parse(&flow).is_err());
        let block: String = (0..=YAML_DEPTH_MAX)
            .map(|depth| " ".repeat(depth) + "a:\n")
            .collect();
        assert!(parse(&block).is_err());
        assert!(parse(&"[".repeat(500_000)).is_err());
    }

    #[test]
    fn a_fault_says_where_it_is() {
        let error = parse("a: 1\nb: [1\n").unwrap_err();
        assert!(error.line().is_some());
        assert!(!error.to_string().is_empty());
    }
}
