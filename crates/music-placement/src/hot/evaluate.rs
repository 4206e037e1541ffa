//! What a value is before the stack runs: functions, parameters, conditions.
//!
//! Evaluation is lazy (only what decides capacity is asked for) and total:
//! what cannot be told becomes a value that says why, and is a fault only if
//! capacity depends on it. The one error is running out of the meter.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::EVALUATION_COST_MAX;
use super::document::Document;
use super::parameter::{self, Constraints, Parameter};
use super::reason::{Reason, Unresolved};
use super::value::{NODE_COST, Unset, Value};

/// Depth at which conditions that refer to conditions count as undecided.
const CONDITION_DEPTH_MAX: usize = 32;

/// Functions that stay closed: they need the stack, other files, or YAQL.
const NOT_EVALUATED: [&str; 20] = [
    "contains",
    "digest",
    "filter",
    "get_attr",
    "get_file",
    "get_resource",
    "list_concat",
    "list_concat_unique",
    "make_url",
    "map_merge",
    "map_replace",
    "repeat",
    "resource_facade",
    "str_replace_vstrict",
    "str_split",
    "yaql",
    "Fn::GetAtt",
    "Fn::Join",
    "Fn::Select",
    "Ref",
];

/// What evaluating one template has cost so far.
///
/// Parameters handed down through nested templates can double at every level,
/// so the bound is on what is copied, not on the length of any file.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    spent: Cell<usize>,
    condition_depth: Cell<usize>,
}

impl Meter {
    fn charge(&self, cost: usize) -> Result<(), Reason> {
        let spent = self.spent.get().saturating_add(cost);
        self.spent.set(spent);
        if spent > EVALUATION_COST_MAX {
            Err(Reason::TooCostly)
        } else {
            Ok(())
        }
    }
}

/// The place of a member in a group: `%index%` and what stands for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Index {
    pub(crate) variable: String,
    pub(crate) number: u64,
}

/// Where a value is evaluated: its template, what that was given, its groups.
pub(crate) struct Scope<'a> {
    document: &'a Document,
    given: &'a BTreeMap<String, Value>,
    meter: &'a Meter,
    /// Outermost group first.
    indices: Vec<Index>,
}

impl<'a> Scope<'a> {
    /// The scope of a template's own resources.
    pub(crate) fn new(
        document: &'a Document,
        given: &'a BTreeMap<String, Value>,
        meter: &'a Meter,
    ) -> Self {
        Self {
            document,
            given,
            meter,
            indices: Vec::new(),
        }
    }

    /// The scope of one member of a group in this scope.
    pub(crate) fn member(&self, index: Option<Index>) -> Self {
        let indices = self.indices.iter().cloned().chain(index).collect();
        Self {
            document: self.document,
            given: self.given,
            meter: self.meter,
            indices,
        }
    }

    /// Accounts for a copy of a value as it is written.
    ///
    /// # Errors
    /// [`Reason::TooCostly`].
    pub(crate) fn charge(&self, value: &Value) -> Result<(), Reason> {
        self.meter.charge(value.cost())
    }

    /// The value, as far as it can be told.
    ///
    /// # Errors
    /// [`Reason::TooCostly`].
    pub(crate) fn evaluate(&self, value: &Value) -> Result<Value, Reason> {
        self.meter.charge(NODE_COST)?;
        match value {
            Value::Text(text) => self.indexed(text).map(Value::Text),
            Value::List(items) => items
                .iter()
                .map(|item| self.evaluate(item))
                .collect::<Result<_, _>>()
                .map(Value::List),
            Value::Map(entries) => match function(entries) {
                Some((name, argument)) => self.call(name, argument),
                None => self.evaluate_map(entries).map(Value::Map),
            },
            scalar => Ok(scalar.clone()),
        }
    }

    /// Every value of a map.
    ///
    /// # Errors
    /// [`Reason::TooCostly`].
    pub(crate) fn evaluate_map(
        &self,
        entries: &BTreeMap<String, Value>,
    ) -> Result<BTreeMap<String, Value>, Reason> {
        let mut evaluated = BTreeMap::new();
        for (key, value) in entries {
            evaluated.insert(self.indexed(key)?, self.evaluate(value)?);
        }
        Ok(evaluated)
    }

    /// Whether a condition holds; `None` if that cannot be told.
    ///
    /// # Errors
    /// [`Reason::TooCostly`].
    pub(crate) fn decide(&self, condition: &Value) -> Result<Option<bool>, Reason> {
        self.meter.charge(NODE_COST)?;
        let depth = self.meter.condition_depth.get();
        if depth >= CONDITION_DEPTH_MAX {
            return Ok(None);
        }
        self.meter.condition_depth.set(depth + 1);
        let decided = self.decide_here(condition);
        self.meter.condition_depth.set(depth);
        decided
    }

    fn decide_here(&self, condition: &Value) -> Result<Option<bool>, Reason> {
        let (name, argument) = match condition {
            Value::Bool(flag) => return Ok(Some(*flag)),
            Value::Text(name) => {
                let named = self.document.conditions.get(name);
                return named.map_or(Ok(None), |condition| self.decide(condition));
            }
            Value::Map(entries) => match only_entry(entries) {
                Some(entry) => entry,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        match (name, argument) {
            ("equals", Value::List(pair)) => self.decide_equal(pair),
            ("not", condition) => Ok(self.decide(condition)?.map(|holds| !holds)),
            ("and", Value::List(all)) => self.decide_all(all, true),
            ("or", Value::List(any)) => self.decide_all(any, false),
            ("get_param", argument) => Ok(match self.get_param(argument)? {
                Value::Bool(flag) => Some(flag),
                _ => None,
            }),
            _ => Ok(None),
        }
    }

    fn decide_equal(&self, pair: &[Value]) -> Result<Option<bool>, Reason> {
        let [left, right] = pair else {
            return Ok(None);
        };
        let (left, right) = (self.evaluate(left)?, self.evaluate(right)?);
        Ok((is_known(&left) && is_known(&right)).then(|| equal(&left, &right)))
    }

    /// `and` (neutral `true`) or `or` (neutral `false`): a single opposite
    /// settles it, whatever the others are.
    fn decide_all(&self, parts: &[Value], neutral: bool) -> Result<Option<bool>, Reason> {
        let mut result = Some(neutral);
        for part in parts {
            match self.decide(part)? {
                Some(holds) if holds != neutral => return Ok(Some(holds)),
                Some(_) => {}
                None => result = None,
            }
        }
        Ok(result)
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Value, Reason> {
        match name {
            "get_param" => self.get_param(argument),
            "if" => self.choose(argument),
            "str_replace" | "str_replace_strict" => self.str_replace(argument),
            "list_join" => self.list_join(argument),
            _ => Ok(Value::Unknown(Unresolved::NotEvaluated {
                function: name.to_owned(),
            })),
        }
    }

    fn get_param(&self, argument: &Value) -> Result<Value, Reason> {
        let argument = self.evaluate(argument)?;
        let (name, path) = match &argument {
            Value::Text(name) => (name, &[][..]),
            Value::List(items) => match items.split_first() {
                Some((Value::Text(name), path)) => (name, path),
                _ => return Ok(bad_arguments("get_param")),
            },
            _ => return Ok(bad_arguments("get_param")),
        };
        if name.starts_with("OS::") {
            return Ok(Value::Unknown(Unresolved::Pseudo {
                parameter: name.clone(),
            }));
        }
        let Some(declared) = self.document.parameters.get(name) else {
            return Ok(Value::Unknown(Unresolved::Undeclared {
                parameter: name.clone(),
            }));
        };
        let value = self.parameter(name, declared)?;
        Ok(walk(name, value, path))
    }

    fn parameter(&self, name: &str, declared: &Parameter) -> Result<Value, Reason> {
        self.meter.charge(declared.constraints.cost())?;
        let given = self.given.get(name).filter(|value| **value != Value::Null);
        let value = match given.or(declared.default.as_ref()) {
            Some(value @ (Value::Unset(_) | Value::Unknown(_))) => return Ok(value.clone()),
            Some(value) => value,
            None => {
                let constraints = declared.constraints.clone();
                return Ok(unset(name, constraints));
            }
        };
        self.meter.charge(value.cost())?;
        let value = declared.convert(value.clone());
        if declared.constraints.admit(&value) {
            return Ok(value);
        }
        let (parameter, found) = (name.to_owned(), value.to_string());
        Ok(Value::Unknown(Unresolved::NotAdmitted { parameter, found }))
    }

    fn choose(&self, argument: &Value) -> Result<Value, Reason> {
        let nothing = Value::Null;
        let (condition, then, otherwise) = match argument {
            Value::List(parts) => match parts.as_slice() {
                [condition, then, otherwise] => (condition, then, otherwise),
                [condition, then] => (condition, then, &nothing),
                _ => return Ok(bad_arguments("if")),
            },
            _ => return Ok(bad_arguments("if")),
        };
        match self.decide(condition)? {
            Some(true) => self.evaluate(then),
            Some(false) => self.evaluate(otherwise),
            None => {
                let (then, otherwise) = (self.evaluate(then)?, self.evaluate(otherwise)?);
                Ok(if then == otherwise {
                    then
                } else {
                    Value::Unknown(Unresolved::Undecided)
                })
            }
        }
    }

    fn str_replace(&self, argument: &Value) -> Result<Value, Reason> {
        let arguments = argument
            .as_map()
            .map(|map| (map.get("template"), map.get("params")));
        let Some((Some(template), Some(params))) = arguments else {
            return Ok(bad_arguments("str_replace"));
        };
        let template = match self.evaluate(template)? {
            Value::Text(template) => template,
            other => return Ok(part_of(other, "str_replace")),
        };
        let Value::Map(params) = self.evaluate(params)? else {
            return Ok(bad_arguments("str_replace"));
        };
        let mut keys: Vec<_> = params.iter().filter(|(key, _)| !key.is_empty()).collect();
        // Heat replaces the longest name first and never looks at what it has
        // put in, hence one pass instead of one replacement after another.
        keys.sort_by_key(|(key, _)| std::cmp::Reverse(key.len()));
        self.meter
            .charge(template.len().saturating_mul(keys.len()))?;
        let mut result = String::new();
        let mut rest = template.as_str();
        while let Some(next) = rest.chars().next() {
            let found = keys.iter().find(|(key, _)| rest.starts_with(key.as_str()));
            let Some((key, value)) = found else {
                result.push(next);
                rest = rest.strip_prefix(next).unwrap_or_default();
                continue;
            };
            let Some(text) = value.scalar_text() else {
                return Ok(part_of((*value).clone(), "str_replace"));
            };
            self.meter.charge(text.len())?;
            result.push_str(&text);
            rest = rest.strip_prefix(key.as_str()).unwrap_or_default();
        }
        Ok(Value::Text(result))
    }

    fn list_join(&self, argument: &Value) -> Result<Value, Reason> {
        let Value::List(parts) = self.evaluate(argument)? else {
            return Ok(bad_arguments("list_join"));
        };
        let Some((Value::Text(separator), lists)) = parts.split_first() else {
            return Ok(bad_arguments("list_join"));
        };
        let mut texts = Vec::new();
        for list in lists {
            let Value::List(items) = list else {
                return Ok(part_of(list.clone(), "list_join"));
            };
            for item in items {
                match item.scalar_text() {
                    Some(text) => texts.push(text),
                    None => return Ok(part_of(item.clone(), "list_join")),
                }
            }
        }
        self.meter
            .charge(separator.len().saturating_mul(texts.len()))?;
        Ok(Value::Text(texts.join(separator)))
    }

    fn indexed(&self, text: &str) -> Result<String, Reason> {
        self.meter.charge(text.len())?;
        let mut text = text.to_owned();
        for Index { variable, number } in &self.indices {
            if !variable.is_empty() && text.contains(variable.as_str()) {
                text = text.replace(variable.as_str(), &number.to_string());
                self.meter.charge(text.len())?;
            }
        }
        Ok(text)
    }
}

fn only_entry(entries: &BTreeMap<String, Value>) -> Option<(&str, &Value)> {
    let (name, argument) = entries.first_key_value()?;
    (entries.len() == 1).then_some((name.as_str(), argument))
}

fn function(entries: &BTreeMap<String, Value>) -> Option<(&str, &Value)> {
    const EVALUATED: [&str; 5] = [
        "get_param",
        "if",
        "list_join",
        "str_replace",
        "str_replace_strict",
    ];
    only_entry(entries).filter(|(name, _)| EVALUATED.contains(name) || NOT_EVALUATED.contains(name))
}

fn bad_arguments(function: &'static str) -> Value {
    Value::Unknown(Unresolved::BadArguments { function })
}

fn unset(parameter: &str, constraints: Constraints) -> Value {
    Value::Unset(Arc::new(Unset {
        parameter: parameter.to_owned(),
        constraints,
    }))
}

/// What a whole is that has this part: a stand-in for a parameter may replace
/// the whole value of a property, never a piece of a text.
fn part_of(part: Value, function: &'static str) -> Value {
    match part {
        Value::Unknown(why) => Value::Unknown(why),
        Value::Unset(unset) => Value::Unknown(Unresolved::NoValue {
            parameter: unset.parameter.clone(),
        }),
        _ => bad_arguments(function),
    }
}

/// `yes` is a text here and a boolean to Heat's YAML reader.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Bool(flag), Value::Text(text)) | (Value::Text(text), Value::Bool(flag)) => {
            parameter::boolean(text) == Some(*flag)
        }
        _ => left == right,
    }
}

fn is_known(value: &Value) -> bool {
    match value {
        Value::Unset(_) | Value::Unknown(_) => false,
        Value::List(items) => items.iter().all(is_known),
        Value::Map(entries) => entries.values().all(is_known),
        Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => true,
    }
}

fn walk(parameter: &str, mut value: Value, path: &[Value]) -> Value {
    for step in path {
        let key = step.scalar_text();
        let inner = match &mut value {
            Value::Unknown(_) => return value,
            // The constraints are those of the whole, not of a part.
            Value::Unset(_) => return unset(parameter, Constraints::default()),
            Value::Map(entries) => key.and_then(|key| entries.remove(&key)),
            Value::List(items) => {
                let position = step
                    .as_amount()
                    .and_then(|number| usize::try_from(number).ok());
                position
                    .filter(|at| *at < items.len())
                    .map(|at| items.swap_remove(at))
            }
            _ => None,
        };
        let Some(inner) = inner else {
            let (parameter, step) = (parameter.to_owned(), step.to_string());
            return Value::Unknown(Unresolved::NoSuchPath { parameter, step });
        };
        value = inner;
    }
    value
}

#[cfg(test)]
mod tests;
