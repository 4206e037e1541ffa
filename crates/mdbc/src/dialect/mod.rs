//! PostgreSQL's SQL to what runs: each statement is understood as a whole, its
//! names resolved and its types inferred, and only then written for SQLite.
//!
//! What is not understood is refused by its name, with the state `0A000`:
//! nothing is passed through, so nothing can mean one thing here and another
//! there.

mod aggregate;
mod array_functions;
pub(crate) mod cast;
pub(crate) mod copy;
pub(crate) mod ddl;
mod dml;
mod expression;
mod from;
mod function;
mod insert;
mod join;
mod keyword;
mod membership;
mod narrow;
mod operator;
pub(crate) mod parse;
mod projection;
mod quantified;
mod query;
mod reach;
mod row_functions;
mod scope;
mod select;
mod session;
mod signatures;
mod statement;
mod system_functions;
#[cfg(test)]
mod tests;
mod time_arithmetic;
mod type_name;
mod window;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::schema::{Schema, TableKind};
use crate::error::{Result, SqlError, state};
use crate::partition::Partition;
use crate::ranges::plan::{self as ranges, RangeAccess};
use crate::types::{Base, Look, SqlType, Value};

pub(crate) use copy::{Copy, CopyFormat, Csv};
pub(crate) use insert::stored as stored_columns;
pub(crate) use statement::explained;
pub(crate) use type_name::resolve as resolve_type;

/// Parameters of one statement, as many as the protocol can count.
const PARAMETERS_MAX: usize = 65_535;
/// Views within views.
const VIEW_DEPTH_MAX: usize = 16;

/// What a statement is understood against.
#[derive(Debug, Clone)]
pub(crate) struct Environment<'e> {
    pub(crate) schema: &'e Schema,
    /// What tables are that do not say.
    pub(crate) default_kind: TableKind,
    /// The types of parameters that the client has said.
    pub(crate) parameters: &'e [Option<SqlType>],
    pub(crate) look: &'e Look,
    pub(crate) user: &'e str,
    pub(crate) database: &'e str,
}

/// What a statement touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Tables that it reads.
    pub reads: BTreeSet<String>,
    /// Tables that it writes, or whose rows it locks.
    pub writes: BTreeSet<String>,
    /// Whether it changes the schema, so that nothing else may run beside it.
    pub is_schema: bool,
    /// Whether it draws from a sequence.
    pub is_sequence: bool,
    /// Which ranges of tables it touches; all of a table that is not among them.
    pub ranges: BTreeMap<String, RangeAccess>,
    /// The partitions of tables that it makes, renames or drops.
    pub partitions: BTreeSet<Partition>,
}

impl Access {
    /// Whether it changes anything.
    pub fn is_write(&self) -> bool {
        self.is_schema || self.is_sequence || !self.writes.is_empty()
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) name: String,
    /// What SQLite calls it: unlike all others of its query.
    pub(crate) sql_name: String,
    pub(crate) ty: SqlType,
    pub(crate) modifier: i32,
    /// The object id of the table, and the number of the column, that it is.
    pub(crate) origin: Option<(u32, i16)>,
}

/// What the tag of a completed command begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Select,
    Insert,
    Update,
    Delete,
    Truncate,
    Explain,
    ExplainJson,
}

/// A statement that SQLite runs.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// Statements of SQLite; the last one's rows are the result.
    pub(crate) sql: Vec<String>,
    pub(crate) parameters: Vec<SqlType>,
    /// The columns of its rows; none where it has no result.
    pub(crate) columns: Option<Vec<Output>>,
    pub(crate) access: Access,
    /// What is known of the rows that it touches.
    pub(crate) ranges: Arc<ranges::Plan>,
    pub(crate) uses_catalog: bool,
    pub(crate) verb: Verb,
    /// The version of the schema that it was understood against.
    pub(crate) version: i64,
}

impl Run {
    /// What it touches with each of these lists of parameters.
    pub(crate) fn access(&self, parameters: &[Vec<Value>]) -> Cow<'_, Access> {
        if self.ranges.is_empty() {
            return Cow::Borrowed(&self.access);
        }
        let ranges = self.ranges.ranges(&self.parameters, parameters);
        Cow::Owned(Access {
            ranges,
            ..self.access.clone()
        })
    }
}

/// What to do about a statement.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Run(Box<Run>),
    /// A change of the schema, run as its text.
    Ddl {
        text: String,
        tag: String,
    },
    Begin {
        is_read_only: bool,
    },
    Commit,
    Rollback,
    Savepoint(String),
    Release(String),
    RollbackTo(String),
    Set {
        name: String,
        value: Option<String>,
        is_local: bool,
    },
    Reset(String),
    SetTransaction {
        is_read_only: Option<bool>,
    },
    Show(String),
    Prepare {
        name: String,
        types: Vec<Option<SqlType>>,
        text: String,
    },
    Execute {
        name: String,
        arguments: Vec<String>,
    },
    ExplainPrepared {
        name: String,
        is_json: bool,
    },
    Deallocate(Option<String>),
    Declare {
        name: String,
        is_held: bool,
        run: Box<Run>,
    },
    Fetch {
        name: String,
        count: Count,
        is_move: bool,
    },
    Close(Option<String>),
    DiscardAll,
    Copy(Box<Copy>),
    /// Accepted, and nothing to be done.
    Nothing(&'static str),
}

/// How many rows of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Count {
    Rows(usize),
    All,
}

/// Understands one statement.
pub(crate) fn compile(text: &str, environment: &Environment<'_>) -> Result<Plan> {
    let statement = parse::parse(text)?;
    statement::plan(&statement, text, environment)
}

/// The state of understanding one statement.
pub(crate) struct Compiler<'e> {
    pub(crate) environment: &'e Environment<'e>,
    parameters: RefCell<Vec<Option<SqlType>>>,
    access: RefCell<Access>,
    ranges: RefCell<ranges::Plan>,
    uses_catalog: Cell<bool>,
    view_depth: Cell<usize>,
    aliases: Cell<usize>,
    /// Whether expressions must answer the same whenever they are asked.
    is_immutable: Cell<bool>,
}

impl<'e> Compiler<'e> {
    pub(crate) fn new(environment: &'e Environment<'e>) -> Self {
        Self {
            environment,
            parameters: RefCell::new(environment.parameters.to_vec()),
            access: RefCell::default(),
            ranges: RefCell::default(),
            uses_catalog: Cell::new(false),
            view_depth: Cell::new(0),
            aliases: Cell::new(0),
            is_immutable: Cell::new(false),
        }
    }

    /// One whose expressions may not depend on the time, the session or other
    /// rows: those of checks, indexes and generated columns.
    pub(crate) fn immutable(environment: &'e Environment<'e>) -> Self {
        let compiler = Self::new(environment);
        compiler.is_immutable.set(true);
        compiler
    }

    pub(crate) fn schema(&self) -> &'e Schema {
        self.environment.schema
    }

    /// Refuses what a check or an index may not do.
    fn needs_freedom(&self, what: &str) -> Result<()> {
        if self.is_immutable.get() {
            return Err(SqlError::new(
                state::INVALID_TABLE_DEFINITION,
                format!("cannot use {what} here: the expression must be immutable"),
            ));
        }
        Ok(())
    }

    fn reads(&self, table: &str) {
        self.access.borrow_mut().reads.insert(table.to_owned());
    }

    /// A name that no statement uses.
    fn alias(&self, purpose: &str) -> String {
        self.aliases.set(self.aliases.get() + 1);
        format!("mdbc {purpose} {}", self.aliases.get())
    }

    fn parameter_type(&self, index: usize) -> Result<Option<SqlType>> {
        if index >= PARAMETERS_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("a statement has at most {PARAMETERS_MAX} parameters"),
            ));
        }
        let mut parameters = self.parameters.borrow_mut();
        if parameters.len() <= index {
            parameters.resize(index + 1, None);
        }
        Ok(parameters.get(index).copied().flatten())
    }

    fn set_parameter_type(&self, index: usize, ty: SqlType) {
        if let Some(parameter) = self.parameters.borrow_mut().get_mut(index) {
            *parameter = Some(ty);
        }
    }

    /// What has been understood, as something to run.
    fn finish(self, sql: Vec<String>, columns: Option<Vec<Output>>, verb: Verb) -> Run {
        let text = SqlType::of(Base::Text);
        let parameters = self.parameters.into_inner().into_iter();
        Run {
            sql,
            parameters: parameters.map(|ty| ty.unwrap_or(text)).collect(),
            columns,
            access: self.access.into_inner(),
            ranges: Arc::new(self.ranges.into_inner()),
            uses_catalog: self.uses_catalog.get(),
            verb,
            version: self.environment.schema.version,
        }
    }
}

/// What an expression has become.
#[derive(Debug, Clone)]
pub(crate) struct Typed {
    pub(crate) sql: String,
    pub(crate) ty: SqlType,
    pub(crate) modifier: i32,
    literal: Option<Literal>,
    origin: Option<(u32, i16)>,
}

/// Values whose types depend on where they are used.
#[derive(Debug, Clone)]
enum Literal {
    Text(String),
    Number(String),
    Null,
    Parameter(usize),
}

impl Typed {
    pub(crate) fn new(sql: impl Into<String>, ty: SqlType) -> Self {
        Self {
            sql: sql.into(),
            ty,
            modifier: -1,
            literal: None,
            origin: None,
        }
    }

    fn of(sql: impl Into<String>, base: Base) -> Self {
        Self::new(sql, SqlType::of(base))
    }

    fn literal(sql: String, base: Base, literal: Literal) -> Self {
        Self {
            literal: Some(literal),
            ..Self::of(sql, base)
        }
    }

    /// The expression with the collation of its type, where it has one.
    fn collated(&self) -> String {
        match self.ty.collation() {
            Some(collation) => format!("{} COLLATE {collation}", self.sql),
            None => self.sql.clone(),
        }
    }
}
