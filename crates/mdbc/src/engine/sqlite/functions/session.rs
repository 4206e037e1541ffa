//! Functions that know the session, the schema and what is captured.

use super::{Arguments, Entry, volatile};
use crate::catalog::schema::{Relation, Sequence, Table, TableKind};
use crate::dialect;
use crate::engine::digest::Change;
use crate::error::{Result, SqlError, State, state};
use crate::types::{Value, text};

pub(super) const FUNCTIONS: &[Entry] = &[
    volatile("pg_session", 1, session),
    volatile("pg_setting", 2, setting),
    volatile("pg_set_config", 3, set_config),
    volatile("pg_uuid", 0, uuid),
    volatile("pg_nextval", 1, nextval),
    volatile("pg_currval", 1, currval),
    volatile("pg_setval", 3, setval),
    volatile("pg_lastval", 0, lastval),
    volatile("mdbc_status", 1, |a| {
        Ok(Value::Text(a.context.board.lines(a.text(0)?)))
    }),
    volatile("pg_sequence_value", 1, |a| {
        let oid = u32::try_from(a.integer(0)?).unwrap_or_default();
        Ok(Value::Integer(a.context.counters().last(oid)))
    }),
    volatile("mdbc_capture", -1, capture),
    volatile("mdbc_refuse", 2, refuse),
];

fn session(arguments: &Arguments<'_>) -> Result<Value> {
    let inner = arguments.context.lock();
    Ok(match arguments.text(0)? {
        "pid" => Value::from(inner.session.pid),
        _ => Value::Integer(i64::try_from(inner.session.transaction).unwrap_or(i64::MAX)),
    })
}

fn setting(arguments: &Arguments<'_>) -> Result<Value> {
    let name = arguments.text(0)?.to_lowercase();
    let inner = arguments.context.lock();
    match inner.session.settings.get(&name) {
        Some(value) => Ok(Value::from(value.as_str())),
        None if arguments.is_true(1) => Ok(Value::Null),
        None => Err(SqlError::new(
            state::UNDEFINED_OBJECT,
            format!("unrecognized configuration parameter \"{name}\""),
        )),
    }
}

/// The setting is made once the statement has succeeded.
fn set_config(arguments: &Arguments<'_>) -> Result<Value> {
    let (name, value) = (
        arguments.text(0)?.to_lowercase(),
        arguments.text(1)?.to_owned(),
    );
    let wanted = (name, value.clone(), arguments.is_true(2));
    arguments.context.lock().session.wanted.push(wanted);
    Ok(Value::Text(value))
}

#[allow(clippy::unnecessary_wraps, reason = "all functions have this form")]
fn uuid(_: &Arguments<'_>) -> Result<Value> {
    let mut bytes = crate::dice::bytes::<16>();
    // Version 4, variant 1.
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let digits = text::print_bytes(&bytes);
    let dashed = digits.strip_prefix("\\x").and_then(text::dashed);
    Ok(Value::from(dashed))
}

fn sequence(arguments: &Arguments<'_>) -> Result<std::sync::Arc<Sequence>> {
    let oid = u32::try_from(arguments.integer(0)?).unwrap_or_default();
    let schema = arguments.context.lock().schema.clone();
    let found = schema.relations().find(|relation| relation.oid() == oid);
    match found {
        Some(Relation::Sequence(sequence)) => Ok(sequence.clone()),
        Some(other) => Err(SqlError::new(
            state::WRONG_OBJECT_TYPE,
            format!("\"{}\" is not a sequence", other.name()),
        )),
        None => Err(SqlError::new(
            state::UNDEFINED_TABLE,
            format!("no sequence {oid}"),
        )),
    }
}

fn nextval(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) {
        return Ok(Value::Null);
    }
    let own = sequence(arguments)?;
    let value = arguments
        .context
        .counters()
        .next(own.oid, own.start, own.most, &own.name)?;
    let mut inner = arguments.context.lock();
    inner.session.drawn.insert(own.oid, value);
    inner.session.last_drawn = Some(own.oid);
    Ok(Value::Integer(value))
}

fn currval(arguments: &Arguments<'_>) -> Result<Value> {
    let own = sequence(arguments)?;
    let drawn = arguments
        .context
        .lock()
        .session
        .drawn
        .get(&own.oid)
        .copied();
    drawn.map(Value::Integer).ok_or_else(|| {
        SqlError::new(
            state::OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "currval of sequence \"{}\" is not yet defined in this session",
                own.name
            ),
        )
    })
}

fn setval(arguments: &Arguments<'_>) -> Result<Value> {
    if arguments.is_null(0) || arguments.is_null(1) {
        return Ok(Value::Null);
    }
    let own = sequence(arguments)?;
    let value = arguments.integer(1)?;
    if value < 1 || value > own.most {
        return Err(SqlError::new(
            state::NUMERIC_VALUE_OUT_OF_RANGE,
            format!(
                "setval: value {value} is out of bounds for sequence \"{}\" (1..{})",
                own.name, own.most
            ),
        ));
    }
    arguments
        .context
        .counters()
        .set(own.oid, value, arguments.is_true(2));
    Ok(Value::Integer(value))
}

fn lastval(arguments: &Arguments<'_>) -> Result<Value> {
    let inner = arguments.context.lock();
    let last = inner
        .session
        .last_drawn
        .and_then(|oid| inner.session.drawn.get(&oid).copied());
    last.map(Value::Integer).ok_or_else(|| {
        SqlError::new(
            state::OBJECT_NOT_IN_PREREQUISITE_STATE,
            "lastval is not yet defined in this session",
        )
    })
}

/// Notes a change of a row, as a trigger tells it.
fn capture(arguments: &Arguments<'_>) -> Result<Value> {
    let mut inner = arguments.context.lock();
    if !inner.capture.is_on {
        return Ok(Value::Null);
    }
    let table = u32::try_from(arguments.integer(0)?).unwrap_or_default();
    let values = arguments.all().get(2..).unwrap_or_default();
    let schema = inner.schema.clone();
    let own = schema.tables().find(|own| own.oid == table);
    let own = own.ok_or_else(|| SqlError::internal(format!("no table {table}")))?;
    if own.kind == TableKind::Eventual {
        for key in keys(own, arguments.text(1)? == "u", values) {
            inner.capture.push(Change::Touch { table, key })?;
        }
        return Ok(Value::Null);
    }
    let change = match arguments.text(1)? {
        "i" => Change::Insert {
            table,
            row: values.to_vec(),
        },
        "d" => Change::Delete {
            table,
            row: values.to_vec(),
        },
        _ => match update(own, values) {
            Some(change) => change,
            None => return Ok(Value::Null),
        },
    };
    inner.capture.push(change)?;
    Ok(Value::Null)
}

/// The primary keys that a change touches: of the row before and after it.
fn keys(table: &Table, is_update: bool, values: &[Value]) -> Vec<Vec<Value>> {
    let halves = if is_update {
        values
            .split_at_checked(values.len() / 2)
            .unwrap_or((values, &[]))
    } else {
        (values, values)
    };
    let key = |values: &[Value]| -> Vec<Value> {
        let names = table.key().iter();
        let at = names.filter_map(|name| {
            dialect::stored_columns(table).position(|column| column.name == *name)
        });
        at.filter_map(|at| values.get(at).cloned()).collect()
    };
    let (before, after) = (key(halves.0), key(halves.1));
    if before == after {
        vec![after]
    } else {
        vec![before, after]
    }
}

/// What an update has changed; none where it has changed nothing.
fn update(table: &Table, values: &[Value]) -> Option<Change> {
    let (before, after) = values.split_at_checked(values.len() / 2)?;
    let is_key: Vec<bool> = dialect::stored_columns(table)
        .map(|column| table.key().contains(&column.name))
        .collect();
    let mut old = Vec::new();
    let mut new = Vec::new();
    for ((before, after), is_key) in before.iter().zip(after).zip(is_key) {
        let is_changed = before != after;
        old.push((is_changed || is_key).then(|| before.clone()));
        new.push(is_changed.then(|| after.clone()));
    }
    let is_changed = new.iter().any(Option::is_some);
    is_changed.then_some(Change::Update {
        table: table.oid,
        before: old,
        after: new,
    })
}

/// Fails with the state and the message that it is called with.
fn refuse(arguments: &Arguments<'_>) -> Result<Value> {
    let code: [u8; 5] = arguments
        .text(0)?
        .as_bytes()
        .try_into()
        .unwrap_or(*b"XX000");
    Err(SqlError::new(State::new(code), arguments.text(1)?))
}
