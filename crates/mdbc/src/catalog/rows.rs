//! The rows of the catalogues.

use super::schema::{Relation, Schema};
use super::{constraints, information, relations, settled, system_table};
use crate::types::{Base, Class, SqlType, Value};

/// What the catalogues tell beside the schema.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) database: String,
    /// The roles that may connect; the first owns everything.
    pub(crate) roles: Vec<String>,
    /// The settings of the session: names and values.
    pub(crate) settings: Vec<(String, String)>,
}

/// A row of a table of a catalogue.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) schema: &'static str,
    pub(crate) table: &'static str,
    values: Vec<(&'static str, Value)>,
}

impl Row {
    /// A row of `pg_catalog`, all of whose columns are zero, false or empty.
    pub(super) fn of(table: &'static str) -> Self {
        let schema = "pg_catalog";
        Self {
            schema,
            table,
            values: Vec::new(),
        }
    }

    /// A row of `information_schema`, all of whose columns are null.
    pub(super) fn informing(table: &'static str) -> Self {
        let schema = "information_schema";
        Self {
            schema,
            table,
            values: Vec::new(),
        }
    }

    pub(super) fn set(mut self, column: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((column, value.into()));
        self
    }

    /// The values of all columns, in their order.
    pub(crate) fn into_values(self, columns: &[(String, SqlType)]) -> Vec<Value> {
        let is_null = self.schema == "information_schema";
        columns
            .iter()
            .map(|(name, ty)| {
                // What was set last counts.
                let given = self.values.iter().rev().find(|(own, _)| own == name);
                match given {
                    Some((_, value)) => value.clone(),
                    None if is_null => Value::Null,
                    None => zero(*ty),
                }
            })
            .collect()
    }
}

/// What a column holds of which nothing is known.
fn zero(ty: SqlType) -> Value {
    match ty.class() {
        Class::Bool | Class::Integer | Class::Registered => Value::Integer(0),
        Class::Float => Value::Real(0.0),
        Class::Text if ty.base != Base::PgNodeTree && ty.base != Base::Text => {
            Value::Text(String::new())
        }
        _ => Value::Null,
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Integer(i64::from(truth))
    }
}

impl From<i16> for Value {
    fn from(number: i16) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Integer(i64::from(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A list of numbers as an array.
pub(super) fn numbers(list: impl IntoIterator<Item = i64>) -> Value {
    let list: Vec<i64> = list.into_iter().collect();
    Value::Text(serde_json::Value::from(list).to_string())
}

/// The number of something, as catalogues count.
pub(super) fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// All rows of all catalogues.
pub(crate) fn all(schema: &Schema, facts: &Facts) -> Vec<Row> {
    let mut rows = settled::rows(facts);
    for relation in schema.relations() {
        match relation {
            Relation::Table(table) => {
                rows.extend(relations::table(table, schema));
                rows.extend(constraints::table(table, schema));
            }
            Relation::View(view) => rows.extend(relations::view(view)),
            Relation::Sequence(sequence) => rows.extend(relations::sequence(sequence, schema)),
        }
    }
    rows.extend(information::rows(schema, facts));
    rows.push(Row::of("mdbc_version").set("version", schema.version));
    rows.retain(|row| row.schema != "pg_catalog" || system_table(row.table).is_some());
    rows
}
