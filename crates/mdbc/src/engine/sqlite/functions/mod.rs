//! PostgreSQL's functions and orders of values, in SQLite.

mod aggregate;
mod array;
mod json;
mod number;
mod regex;
mod session;
mod text;
mod time;
mod time_format;
mod value;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;

use super::context::Context;
use super::error::through;
use crate::error::{Result, SqlError};
use crate::types::{Value, interval, json as json_type, numeric};

/// A function: arguments to a value.
type Function = fn(&Arguments<'_>) -> Result<Value>;

/// What a function is called with.
pub(super) struct Arguments<'a> {
    values: Vec<Value>,
    pub(super) context: &'a Context,
}

impl Arguments<'_> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn get(&self, index: usize) -> &Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    pub(super) fn all(&self) -> &[Value] {
        &self.values
    }

    pub(super) fn text(&self, index: usize) -> Result<&str> {
        match self.get(index) {
            Value::Text(text) => Ok(text),
            other => Err(wrong(index, other)),
        }
    }

    pub(super) fn integer(&self, index: usize) -> Result<i64> {
        match self.get(index) {
            Value::Integer(number) => Ok(*number),
            other => Err(wrong(index, other)),
        }
    }

    pub(super) fn real(&self, index: usize) -> Result<f64> {
        match self.get(index) {
            Value::Real(number) => Ok(*number),
            #[allow(clippy::cast_precision_loss, reason = "a float is what is asked for")]
            Value::Integer(number) => Ok(*number as f64),
            other => Err(wrong(index, other)),
        }
    }

    pub(super) fn is_true(&self, index: usize) -> bool {
        matches!(self.get(index), Value::Integer(number) if *number != 0)
    }

    pub(super) fn is_null(&self, index: usize) -> bool {
        *self.get(index) == Value::Null
    }
}

fn wrong(index: usize, value: &Value) -> SqlError {
    SqlError::internal(format!("argument {index} of a function is {value:?}"))
}

/// A value that SQLite hands over.
pub(crate) fn value_of(value: ValueRef<'_>) -> Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes);
            Value::Text(
                text.map_err(|_| SqlError::internal("stored text is no UTF-8"))?
                    .to_owned(),
            )
        }
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    })
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(rusqlite::types::ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// A function on its way into SQLite.
pub(super) struct Entry {
    name: &'static str,
    /// How many arguments; -1 for any number.
    count: i32,
    is_strict: bool,
    is_volatile: bool,
    function: Function,
}

/// One that is null where an argument is.
pub(super) const fn strict(name: &'static str, count: i32, function: Function) -> Entry {
    Entry {
        name,
        count,
        is_strict: true,
        is_volatile: false,
        function,
    }
}

/// One that looks at nulls itself.
pub(super) const fn lenient(name: &'static str, count: i32, function: Function) -> Entry {
    Entry {
        name,
        count,
        is_strict: false,
        is_volatile: false,
        function,
    }
}

/// One that answers something else each time.
pub(super) const fn volatile(name: &'static str, count: i32, function: Function) -> Entry {
    Entry {
        name,
        count,
        is_strict: false,
        is_volatile: true,
        function,
    }
}

/// Adds all functions and orders to a connection.
pub(crate) fn register(connection: &Connection, context: &Context) -> rusqlite::Result<()> {
    let lists = [
        array::FUNCTIONS,
        json::FUNCTIONS,
        number::FUNCTIONS,
        regex::FUNCTIONS,
        session::FUNCTIONS,
        text::FUNCTIONS,
        time::FUNCTIONS,
        value::FUNCTIONS,
    ];
    for entry in lists.into_iter().flatten() {
        add(connection, context.clone(), entry)?;
    }
    aggregate::register(connection)?;
    connection.create_collation("pg_numeric", numeric::compare)?;
    connection.create_collation("pg_interval", interval::compare)?;
    connection.create_collation("pg_jsonb", json_type::compare)
}

fn add(connection: &Connection, context: Context, entry: &Entry) -> rusqlite::Result<()> {
    let mut flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_INNOCUOUS;
    if !entry.is_volatile {
        flags |= FunctionFlags::SQLITE_DETERMINISTIC;
    }
    let (function, is_strict) = (entry.function, entry.is_strict);
    connection.create_scalar_function(entry.name, entry.count, flags, move |called| {
        let mut values = Vec::with_capacity(called.len());
        for index in 0..called.len() {
            let value = value_of(called.get_raw(index)).map_err(|error| through(&error))?;
            if is_strict && value == Value::Null {
                return Ok(Value::Null);
            }
            values.push(value);
        }
        let arguments = Arguments {
            values,
            context: &context,
        };
        function(&arguments).map_err(|error| through(&error))
    })
}
