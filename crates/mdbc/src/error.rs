//! Errors as a PostgreSQL client sees them: an SQLSTATE, a message, a hint.

use std::fmt;

/// An SQLSTATE: five characters that programs branch on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State([u8; 5]);

impl State {
    /// The state with these five characters.
    pub const fn new(code: [u8; 5]) -> Self {
        Self(code)
    }

    /// Its five characters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

macro_rules! states {
    ($($name:ident = $code:literal;)+) => {
        /// The states that mdbc answers with, by PostgreSQL's names.
        #[allow(missing_docs, reason = "the names are those of PostgreSQL's manual")]
        pub mod state {
            use super::State;
            $(pub const $name: State = State::new(*$code);)+
        }
    };
}

states! {
    SUCCESSFUL_COMPLETION = b"00000";
    CONNECTION_FAILURE = b"08006";
    CANNOT_CONNECT_NOW = b"57P03";
    PROTOCOL_VIOLATION = b"08P01";
    FEATURE_NOT_SUPPORTED = b"0A000";
    CARDINALITY_VIOLATION = b"21000";
    STRING_DATA_RIGHT_TRUNCATION = b"22001";
    NUMERIC_VALUE_OUT_OF_RANGE = b"22003";
    INVALID_DATETIME_FORMAT = b"22007";
    DATETIME_FIELD_OVERFLOW = b"22008";
    DIVISION_BY_ZERO = b"22012";
    INVALID_ARGUMENT_FOR_LOGARITHM = b"2201E";
    INVALID_ARGUMENT_FOR_POWER = b"2201F";
    INVALID_REGULAR_EXPRESSION = b"2201B";
    CHARACTER_NOT_IN_REPERTOIRE = b"22021";
    INVALID_PARAMETER_VALUE = b"22023";
    INVALID_ROW_COUNT = b"2201W";
    SUBSTRING_ERROR = b"22011";
    INVALID_TEXT_REPRESENTATION = b"22P02";
    INVALID_BINARY_REPRESENTATION = b"22P03";
    BAD_COPY_FILE_FORMAT = b"22P04";
    INTEGRITY_CONSTRAINT_VIOLATION = b"23000";
    NOT_NULL_VIOLATION = b"23502";
    FOREIGN_KEY_VIOLATION = b"23503";
    UNIQUE_VIOLATION = b"23505";
    CHECK_VIOLATION = b"23514";
    INVALID_CURSOR_STATE = b"24000";
    ACTIVE_SQL_TRANSACTION = b"25001";
    READ_ONLY_SQL_TRANSACTION = b"25006";
    NO_ACTIVE_SQL_TRANSACTION = b"25P01";
    IN_FAILED_SQL_TRANSACTION = b"25P02";
    IDLE_IN_TRANSACTION_SESSION_TIMEOUT = b"25P03";
    INVALID_SQL_STATEMENT_NAME = b"26000";
    INVALID_PASSWORD = b"28P01";
    DEPENDENT_OBJECTS_STILL_EXIST = b"2BP01";
    INVALID_CURSOR_NAME = b"34000";
    INVALID_CATALOG_NAME = b"3D000";
    INVALID_SAVEPOINT = b"3B001";
    INVALID_SCHEMA_NAME = b"3F000";
    SERIALIZATION_FAILURE = b"40001";
    STATEMENT_COMPLETION_UNKNOWN = b"40003";
    SYNTAX_ERROR = b"42601";
    INVALID_NAME = b"42602";
    DUPLICATE_COLUMN = b"42701";
    AMBIGUOUS_COLUMN = b"42702";
    UNDEFINED_COLUMN = b"42703";
    UNDEFINED_OBJECT = b"42704";
    DUPLICATE_OBJECT = b"42710";
    DUPLICATE_ALIAS = b"42712";
    GROUPING_ERROR = b"42803";
    DATATYPE_MISMATCH = b"42804";
    WRONG_OBJECT_TYPE = b"42809";
    INVALID_FOREIGN_KEY = b"42830";
    CANNOT_COERCE = b"42846";
    UNDEFINED_FUNCTION = b"42883";
    RESERVED_NAME = b"42939";
    UNDEFINED_TABLE = b"42P01";
    UNDEFINED_PARAMETER = b"42P02";
    DUPLICATE_CURSOR = b"42P03";
    DUPLICATE_PREPARED_STATEMENT = b"42P05";
    DUPLICATE_TABLE = b"42P07";
    INVALID_COLUMN_REFERENCE = b"42P10";
    INVALID_TABLE_DEFINITION = b"42P16";
    INDETERMINATE_DATATYPE = b"42P18";
    GENERATED_ALWAYS = b"428C9";
    DISK_FULL = b"53100";
    TOO_MANY_CONNECTIONS = b"53300";
    CONFIGURATION_LIMIT_EXCEEDED = b"53400";
    OUT_OF_MEMORY = b"53200";
    PROGRAM_LIMIT_EXCEEDED = b"54000";
    STATEMENT_TOO_COMPLEX = b"54001";
    OBJECT_NOT_IN_PREREQUISITE_STATE = b"55000";
    LOCK_NOT_AVAILABLE = b"55P03";
    QUERY_CANCELED = b"57014";
    ADMIN_SHUTDOWN = b"57P01";
    IO_ERROR = b"58030";
    INTERNAL_ERROR = b"XX000";
    DATA_CORRUPTED = b"XX001";
}

/// What a statement failed with.
///
/// The statement had no effect, and within a transaction block the block has
/// failed as a whole, unless the state is
/// [`STATEMENT_COMPLETION_UNKNOWN`](state::STATEMENT_COMPLETION_UNKNOWN).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What programs branch on.
    pub state: State,
    /// What people read.
    pub message: String,
    /// More of it: the values at hand.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
}

impl SqlError {
    /// An error without detail and hint.
    pub fn new(state: State, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// The same with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What PostgreSQL has and mdbc refuses: `what` names it.
    pub fn refused(what: impl fmt::Display) -> Self {
        Self::new(
            state::FEATURE_NOT_SUPPORTED,
            format!("{what} is not supported by mdbc"),
        )
        .with_hint("docs/sql.md lists what is supported and what is refused")
    }

    /// Others were faster, or stood in the way: the same transaction may succeed now.
    pub(crate) fn again(why: impl fmt::Display) -> Self {
        Self::new(
            state::SERIALIZATION_FAILURE,
            format!("could not serialize access: {why}"),
        )
        .with_hint("The transaction had no effect. Try it again.")
    }

    /// The local database did not take what is in the log, for this reason: it does so
    /// later.
    pub(crate) fn in_log(&self) -> Self {
        Self::new(
            state::STATEMENT_COMPLETION_UNKNOWN,
            format!("the transaction is committed, but this site does not have it yet: {self}"),
        )
        .with_hint("Do not try it again. The next transaction on its tables applies it here first.")
    }

    /// A broken promise between parts of mdbc.
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(state::INTERNAL_ERROR, format!("internal error: {what}"))
    }
}

/// What most of this crate answers with.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;
