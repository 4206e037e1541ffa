//! A client's session: its transaction, and what it owns.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::access::{access, extend, is_nothing, is_within};
use super::backend::Backend;
use super::frame::Frame;
use super::statement::{Kind, Statement};
use super::{Shared, refused};
use crate::engine::postgres::{Name, Slot};
use crate::engine::{Access, Who};
use crate::error::{Result, SqlError, State, state};
use crate::freshness::{self, Freshness};
use crate::session::Cancel;

/// How often it is looked anew what a statement touches, since the schema changes.
const ATTEMPTS_MAX: usize = 3;
/// Prepared statements of a session.
pub(super) const STATEMENTS_MAX: usize = 10_000;
/// The SQLSTATE of a transaction that was ended so that others can go on.
const DEADLOCK: &str = "40P01";
/// What sessions begin with, unless the client says another thing.
const DEFAULTS: &[(&str, &str)] = &[
    ("client_encoding", "UTF8"),
    ("idle_in_transaction_session_timeout", "60000"),
    ("lock_timeout", "30000"),
    ("music.age", ""),
    ("music.read", "latest"),
];

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// mdbc says so.
    Sql(SqlError),
    /// The local PostgreSQL says so.
    Told(Frame),
    /// The client is gone.
    Client(io::Error),
    /// The connection to the local PostgreSQL is lost, and the session with it.
    Backend(SqlError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl Failure {
    /// What programs branch on.
    pub(super) fn state(&self) -> Option<State> {
        match self {
            Self::Sql(error) => Some(error.state),
            Self::Told(frame) => Some(frame.as_error().state),
            Self::Client(_) | Self::Backend(_) => None,
        }
    }

    /// Whether others were faster, or stood in the way: the same transaction may
    /// succeed now.
    pub(super) fn is_of_others(&self) -> bool {
        self.state()
            .is_some_and(|state| state == state::SERIALIZATION_FAILURE || state.code() == DEADLOCK)
    }

    /// As mdbc's own.
    pub(super) fn into_error(self) -> SqlError {
        match self {
            Self::Sql(error) | Self::Backend(error) => error,
            Self::Told(frame) => frame.as_error(),
            Self::Client(error) => SqlError::internal(error),
        }
    }
}

/// Whether there is a transaction, and whose idea it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Block {
    #[default]
    Idle,
    /// Begun by a statement, ended with it, or with the statements beside it.
    Implicit,
    /// Begun by `BEGIN`.
    Explicit,
}

/// Tables that a transaction has made, with their groups.
pub(super) type Fresh = BTreeMap<Name, Option<String>>;

/// A transaction.
#[allow(clippy::struct_excessive_bools, reason = "each says another thing")]
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) block: Block,
    pub(super) number: u64,
    /// Whether mdbc has failed it; the local PostgreSQL tells its own failures.
    pub(super) is_failed: bool,
    /// Whether the local PostgreSQL knows of it.
    pub(super) is_begun: bool,
    /// Whether it said that it writes nothing.
    pub(super) is_read_only: bool,
    /// Whether it may have changed something.
    pub(super) has_changed: bool,
    pub(super) has_changed_schema: bool,
    /// When its snapshot was taken, or a little before.
    moment: Option<u64>,
    /// Whether the replication knows of it.
    pub(super) is_announced: bool,
    pub(super) owned: Access,
    /// Tables that it has made, and the groups that they are owned in.
    pub(super) fresh: Fresh,
    /// All that it has run, and the schema that this was understood by.
    ran: Option<Statement>,
    version: u64,
    /// The statement that it began with, as long as it has run no other.
    first: Option<Arc<Statement>>,
    freshness: Freshness,
    /// `SET LOCAL music.read`, and `SET music.read` until it is committed.
    reads_local: Option<bool>,
    reads: Option<bool>,
}

impl Transaction {
    /// Notes that a statement is to run, with those that it runs.
    fn note(&mut self, statement: &Arc<Statement>, all: &[&Statement]) {
        if self.ran.is_none() {
            self.first = Some(Arc::clone(statement));
        } else if self.first.as_ref().is_some_and(|first| first != statement) {
            self.first = None;
        }
        for statement in all {
            match &mut self.ran {
                Some(ran) => ran.absorb(statement),
                None => self.ran = Some((*statement).clone()),
            }
        }
    }

    /// Whether it has run nothing but this statement: it may begin anew.
    pub(super) fn has_run_only(&self, statement: &Arc<Statement>) -> bool {
        self.ran.is_none() || self.first.as_ref() == Some(statement)
    }
}

/// A client's session.
pub(crate) struct Session {
    pub(super) id: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) backend: Backend,
    pub(super) cancel: Arc<Cancel>,
    pub(super) transaction: Transaction,
    /// What prepared statements are, by name.
    pub(super) statements: HashMap<String, Arc<Statement>>,
    /// What the client is to be told beside results.
    pub(super) asides: Vec<Frame>,
    /// Whether strong tables are read as this site has them.
    reads_local: bool,
    reports: Vec<(String, String)>,
    _slot: Slot,
}

impl Session {
    /// Begins a session, with settings that the client has asked for.
    pub(crate) async fn new(
        shared: Arc<Shared>,
        id: u64,
        wanted: &[(String, String)],
    ) -> Result<Self> {
        refused::check_startup(wanted)?;
        let slot = shared.local.slot().await?;
        let mut parameters = vec![("options".to_owned(), slot.startup_options())];
        for (name, value) in DEFAULTS {
            if !wanted
                .iter()
                .any(|(wanted, _)| wanted.eq_ignore_ascii_case(name))
            {
                parameters.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        parameters.extend(wanted.iter().cloned());
        let reads = wanted.iter().find(|(name, _)| name == "music.read");
        let reads_local = reads.is_some_and(|(_, value)| value == "local");
        let (backend, told) = Backend::connect(shared.local.server(), &parameters).await?;
        let report = |frame: &Frame| {
            let mut texts = frame.texts();
            Some((texts.text().ok()?, texts.text().ok()?))
        };
        Ok(Self {
            id,
            backend,
            cancel: Arc::new(Cancel::new(id)),
            transaction: Transaction::default(),
            statements: HashMap::new(),
            asides: Vec::new(),
            reads_local,
            reports: told.iter().filter_map(report).collect(),
            shared,
            _slot: slot,
        })
    }

    pub(crate) fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }

    /// Settings that clients are told of.
    pub(crate) fn all_reports(&self) -> Vec<(String, String)> {
        self.reports.clone()
    }

    /// What `ReadyForQuery` tells.
    pub(super) fn status(&self) -> u8 {
        match self.transaction.block {
            Block::Idle | Block::Implicit => b'I',
            Block::Explicit if self.is_failed() => b'E',
            Block::Explicit => b'T',
        }
    }

    /// Whether the transaction can only be ended.
    pub(super) fn is_failed(&self) -> bool {
        self.transaction.is_failed || self.backend.status == b'E'
    }

    /// In a failed block nothing is done.
    pub(super) fn check_failed(&self) -> Result<()> {
        if self.is_failed() {
            return Err(SqlError::new(
                state::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        Ok(())
    }

    /// Begins a transaction, if there is none.
    pub(super) fn open(&mut self, block: Block) {
        if self.transaction.block == Block::Idle {
            let number = self.shared.transactions.fetch_add(1, Ordering::Relaxed) + 1;
            self.transaction = Transaction {
                block,
                number,
                ..Transaction::default()
            };
        } else if block == Block::Explicit {
            self.transaction.block = block;
        }
    }

    /// What is to be run before a statement, so that a transaction is open in the
    /// local PostgreSQL; none where one is.
    pub(super) fn begin_text(&mut self, statement: &Statement) -> Option<&'static str> {
        let transaction = &mut self.transaction;
        if !statement.is_read_only {
            transaction.has_changed = true;
        }
        transaction.has_changed_schema |= matches!(statement.kind, Kind::Schema(_));
        if std::mem::replace(&mut transaction.is_begun, true) {
            return None;
        }
        Some("BEGIN ISOLATION LEVEL SERIALIZABLE")
    }

    /// Owns what a statement touches, before it is told to the local PostgreSQL.
    pub(super) async fn enter(&mut self, statement: &Arc<Statement>) -> Result<(), Failure> {
        let executed = statement.executes.as_ref();
        let executed = executed.and_then(|name| self.statements.get(name)).cloned();
        if let Some(name) = statement.executes.as_ref().filter(|_| executed.is_none()) {
            return Err(SqlError::new(
                state::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            )
            .into());
        }
        let statements: Vec<&Statement> = [Some(statement), executed.as_ref()]
            .into_iter()
            .flatten()
            .map(|statement| &**statement)
            .collect();
        self.transaction.note(statement, &statements);
        let is_writing = executed
            .as_ref()
            .is_some_and(|executed| !executed.is_read_only);
        self.transaction.has_changed |= is_writing;
        for _ in 0..ATTEMPTS_MAX {
            let model = self.shared.local.model();
            let access = access(&model, &statements, Some(&self.transaction.fresh))?;
            self.transaction.version = model.version;
            self.transaction.has_changed |= !access.writes.is_empty() || access.is_schema;
            self.own(&access).await?;
            if self.shared.local.model().version == model.version {
                self.take_moment();
                return Ok(());
            }
        }
        Err(SqlError::again("the schema changes faster than the statement is understood").into())
    }

    fn take_moment(&mut self) {
        if self.transaction.moment.is_none() {
            self.transaction.moment = Some(self.shared.local.moment());
        }
    }

    /// Owns tables.
    pub(super) async fn own(&mut self, access: &Access) -> Result<()> {
        let is_owned = is_within(access, &self.transaction.owned);
        if is_nothing(access) || is_owned || self.reads_locally(access)? {
            return Ok(());
        }
        self.transaction.is_announced = true;
        let may_write = self.transaction.block == Block::Explicit && !self.transaction.is_read_only;
        let who = Who {
            session: self.id,
            transaction: self.transaction.number,
        };
        let before = self.shared.replication.before(who, access, may_write);
        self.cancel.wait(before, None).await?;
        if let Some(moment) = self.transaction.moment
            && self.shared.local.has_changed_since(access, moment)
        {
            return Err(SqlError::again(
                "other sites have changed what the transaction began to read",
            )
            .with_detail("What the transaction has read may be different by now."));
        }
        self.transaction.freshness = Freshness::Latest;
        extend(&mut self.transaction.owned, access);
        Ok(())
    }

    /// Whether tables are read as this site has them, so that nobody is asked.
    fn reads_locally(&mut self, access: &Access) -> Result<bool> {
        let transaction = &mut self.transaction;
        let wanted = transaction.reads_local.or(transaction.reads);
        let is_read = access.writes.is_empty() && !access.is_schema;
        let is_local = wanted.unwrap_or(self.reads_local) && is_read;
        let next = transaction.freshness.of_next(is_local)?;
        if next == Freshness::Local && transaction.freshness == Freshness::Open {
            let told = freshness::notice(self.shared.replication.age());
            self.asides.push(Frame::error(b'N', "NOTICE", &told));
        }
        if next == Freshness::Local {
            transaction.freshness = next;
        }
        Ok(next == Freshness::Local)
    }

    /// Notes how strong tables are read from now on.
    pub(super) fn set_freshness(&mut self, wanted: Option<&str>, is_local: bool) {
        let reads = wanted == Some("local");
        if is_local {
            self.transaction.reads_local = Some(reads);
        } else {
            self.transaction.reads = Some(reads);
        }
    }

    /// That all that the transaction has run touched nothing but what it owns, by
    /// the schema as it is now: a table may have come in its middle.
    pub(super) async fn check_owned(&self) -> Result<()> {
        let transaction = &self.transaction;
        if transaction.freshness == Freshness::Local {
            return Ok(());
        }
        if !self.shared.local.schema_is_still().await {
            // A table may have come that no statement was known to name.
            return Err(SqlError::again(
                "the schema changes while the transaction ends",
            ));
        }
        let model = self.shared.local.model();
        if model.version == transaction.version {
            return Ok(());
        }
        let ran: Vec<&Statement> = transaction.ran.iter().collect();
        if is_within(&access(&model, &ran, None)?, &transaction.owned) {
            return Ok(());
        }
        Err(SqlError::again(
            "the schema has changed since the transaction began",
        ))
    }

    /// Whether the transaction may have set sequences, which is not undone with it.
    pub(super) fn has_set_sequences(&self) -> bool {
        let ran = self.transaction.ran.as_ref();
        ran.is_some_and(|ran| ran.names.contains("setval"))
    }

    /// The transaction has ended.
    pub(super) fn finish(&mut self, is_committed: bool) {
        let transaction = std::mem::take(&mut self.transaction);
        if transaction.is_announced {
            let number = transaction.number;
            self.shared.replication.ended(number, is_committed);
        }
        if is_committed && let Some(reads) = transaction.reads {
            self.reads_local = reads;
        }
    }

    /// The age of strong tables, in words.
    pub(super) fn age(&self) -> String {
        freshness::in_words(self.shared.replication.age())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.finish(false);
    }
}
