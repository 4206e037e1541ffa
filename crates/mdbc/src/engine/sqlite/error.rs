//! What SQLite and mdbc's functions in it fail with, as PostgreSQL says it.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::catalog::schema::Schema;
use crate::error::{Result, SqlError, State, state};

/// Stands before an error that crosses SQLite as text.
const MARK: char = '\u{1}';

/// An error on its way out of a function, through SQLite.
pub(crate) fn through(error: &SqlError) -> rusqlite::Error {
    let SqlError {
        state,
        message,
        detail,
        hint,
    } = error;
    let parts = [
        state.code(),
        message,
        detail.as_deref().unwrap_or_default(),
        hint.as_deref().unwrap_or_default(),
    ];
    let text = format!("{MARK}{}", parts.join(&MARK.to_string()));
    rusqlite::Error::UserFunctionError(text.into())
}

/// The error that crossed as text.
fn crossed(text: &str) -> Option<SqlError> {
    let mut parts = text.strip_prefix(MARK)?.split(MARK);
    let code: [u8; 5] = parts.next()?.as_bytes().try_into().ok()?;
    let message = parts.next()?;
    let some = |part: Option<&str>| part.filter(|part| !part.is_empty()).map(str::to_owned);
    Some(SqlError {
        state: State::new(code),
        message: message.to_owned(),
        detail: some(parts.next()),
        hint: some(parts.next()),
    })
}

/// What SQLite says, as PostgreSQL would.
pub(crate) fn translate(error: rusqlite::Error, schema: &Schema) -> SqlError {
    match error {
        rusqlite::Error::SqliteFailure(failure, message) => {
            let message = message.unwrap_or_default();
            crossed(&message).unwrap_or_else(|| failed(failure, &message, schema))
        }
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            crossed(&msg).unwrap_or_else(|| failed(error, &msg, schema))
        }
        rusqlite::Error::UserFunctionError(inner) => {
            crossed(&inner.to_string()).unwrap_or_else(|| SqlError::internal(inner))
        }
        other => SqlError::internal(other),
    }
}

fn failed(failure: ffi::Error, message: &str, schema: &Schema) -> SqlError {
    match failure.code {
        ErrorCode::ConstraintViolation => violated(failure.extended_code, message, schema),
        ErrorCode::OperationInterrupted => SqlError::new(
            state::QUERY_CANCELED,
            "canceling statement due to user request",
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => SqlError::new(
            state::LOCK_NOT_AVAILABLE,
            "the local database is locked by another program",
        )
        .with_hint("Nothing but mdbc may have the database open."),
        ErrorCode::DiskFull => SqlError::new(
            state::DISK_FULL,
            "could not write to the local database: no space left on device",
        )
        .with_hint("The transaction had no effect. Make room and try again."),
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly => SqlError::new(
            state::IO_ERROR,
            format!("the local database cannot be read or written: {message}"),
        ),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => SqlError::new(
            state::DATA_CORRUPTED,
            format!("the local database is damaged: {message}"),
        )
        .with_hint("Restore it from another site."),
        ErrorCode::OutOfMemory => SqlError::new(state::OUT_OF_MEMORY, "out of memory"),
        ErrorCode::TooBig => SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            "a value or a statement is too long",
        ),
        _ if message.contains("ON CONFLICT clause does not match") => SqlError::new(
            state::INVALID_COLUMN_REFERENCE,
            "there is no unique or exclusion constraint matching the ON CONFLICT specification",
        ),
        _ if message.contains("integer overflow") => {
            SqlError::new(state::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range")
        }
        _ if message.contains("no such function: mdbc_capture") => SqlError::internal(message),
        _ => SqlError::internal(message),
    }
}

/// Which constraint is violated.
fn violated(code: i32, message: &str, schema: &Schema) -> SqlError {
    let named = message
        .split_once("failed: ")
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    match code {
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let (table, column) = named.split_once('.').unwrap_or((named, ""));
            SqlError::new(
                state::NOT_NULL_VIOLATION,
                format!(
                    "null value in column \"{column}\" of relation \"{table}\" violates \
                     not-null constraint"
                ),
            )
        }
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => unique(named, schema),
        ffi::SQLITE_CONSTRAINT_CHECK => {
            let table = schema
                .owner_of(named)
                .map(|table| table.name.as_str())
                .unwrap_or_default();
            SqlError::new(
                state::CHECK_VIOLATION,
                format!("new row for relation \"{table}\" violates check constraint \"{named}\""),
            )
        }
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => SqlError::new(
            state::FOREIGN_KEY_VIOLATION,
            "insert, update or delete violates a foreign key constraint",
        ),
        _ => SqlError::new(state::INTEGRITY_CONSTRAINT_VIOLATION, message),
    }
}

fn unique(named: &str, schema: &Schema) -> SqlError {
    let of_columns = || {
        let table = named.split_once('.').map(|(table, _)| table)?;
        let prefix = format!("{table}.");
        let columns: Vec<&str> = named
            .split(", ")
            .map(|column| column.strip_prefix(&prefix).unwrap_or(column))
            .collect();
        let found = schema.table(table)?;
        let name = if found.key() == columns.as_slice() {
            found.primary_key.as_ref().map(|key| key.name.clone())
        } else {
            let same = |own: Vec<&str>| own == columns;
            let index = found
                .indexes
                .iter()
                .find(|index| index.is_unique && index.columns().is_some_and(same));
            index.map(|index| index.name.clone())
        };
        Some((name?, columns.join(", ")))
    };
    // An index of expressions is named: index 'name'.
    let of_index = || {
        named
            .strip_prefix("index '")?
            .strip_suffix('\'')
            .map(str::to_owned)
    };
    match of_columns() {
        Some((name, columns)) => {
            duplicate(&name).with_detail(format!("Key ({columns}) already exists."))
        }
        None => duplicate(&of_index().unwrap_or_else(|| named.to_owned())),
    }
}

fn duplicate(name: &str) -> SqlError {
    SqlError::new(
        state::UNIQUE_VIOLATION,
        format!("duplicate key value violates unique constraint \"{name}\""),
    )
}

/// Adds the name of the foreign key, where the statement's table has one alone.
pub(crate) fn name_foreign_key(error: SqlError, schema: &Schema, table: Option<&str>) -> SqlError {
    let is_other =
        error.state != state::FOREIGN_KEY_VIOLATION || !error.message.starts_with("insert, update");
    let Some(table) = table.filter(|_| !is_other) else {
        return error;
    };
    let own = schema
        .table(table)
        .map(|table| table.foreign_keys.as_slice())
        .unwrap_or_default();
    let children: Vec<_> = schema.children(table).collect();
    let message = match (own, children.as_slice()) {
        ([key], []) => format!(
            "insert or update on table \"{table}\" violates foreign key constraint \"{}\"",
            key.name
        ),
        ([], [(child, key)]) => format!(
            "update or delete on table \"{table}\" violates foreign key constraint \"{}\" \
             on table \"{}\"",
            key.name, child.name
        ),
        _ => format!("a change of table \"{table}\" violates a foreign key constraint"),
    };
    SqlError { message, ..error }
}

/// A result of SQLite, in PostgreSQL's words.
pub(crate) trait Translated<T> {
    /// The error, translated.
    fn translated(self, schema: &Schema) -> Result<T>;
    /// The error of what knows no schema.
    fn plain(self) -> Result<T>;
}

impl<T> Translated<T> for rusqlite::Result<T> {
    fn translated(self, schema: &Schema) -> Result<T> {
        self.map_err(|error| translate(error, schema))
    }

    fn plain(self) -> Result<T> {
        self.translated(&Schema::default())
    }
}
