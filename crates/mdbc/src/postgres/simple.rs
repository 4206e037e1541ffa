//! The simple protocol, and how statements run in both.

use std::sync::Arc;

use super::connection::{Connection, Tries};
use super::frame::Frame;
use super::relay::Ask;
use super::session::{Block, Failure, STATEMENTS_MAX};
use super::statement::{Kind, Statement};
use super::words::split;
use crate::error::{Result, SqlError, State, state};

/// What a statement fails with that names what is not there.
const OF_SCHEMA: &[State] = &[
    state::INVALID_SCHEMA_NAME,
    state::UNDEFINED_COLUMN,
    state::UNDEFINED_FUNCTION,
    state::UNDEFINED_OBJECT,
    state::UNDEFINED_TABLE,
];

/// How a statement is told to the local PostgreSQL.
#[derive(Clone, Copy)]
pub(super) enum Message<'m> {
    /// As a whole.
    Text(&'m str),
    /// As a message of the client.
    Frame(&'m Frame),
}

fn no_block(what: &str) -> SqlError {
    SqlError::new(
        state::NO_ACTIVE_SQL_TRANSACTION,
        format!("{what} can only be used in transaction blocks"),
    )
}

fn warning(code: State, message: &str) -> Frame {
    Frame::error(b'N', "WARNING", &SqlError::new(code, message))
}

impl Connection {
    /// A text of one or more statements.
    pub(super) async fn simple(&mut self, frame: &Frame) -> Result<(), Failure> {
        let text = match frame.texts().text() {
            Ok(text) => text,
            Err(error) => {
                self.fail(error.into()).await?;
                return self.ready().await;
            }
        };
        // An unnamed statement and portal end with it.
        self.portals.remove("");
        self.session.statements.remove("");
        self.output.mark();
        (self.current, self.has_ended) = (None, false);
        // A block that was begun before is more than this text.
        let is_whole = self.session.transaction.block == Block::Idle;
        let mut tries = Tries::new();
        while let Err(failure) = self.run_all(&text).await {
            if !is_whole || !self.may_try_again(&failure) || !tries.another() {
                self.fail(failure).await?;
                break;
            }
            self.session.rollback().await?;
            self.output.forget();
        }
        self.has_ended = false;
        self.ready().await
    }

    async fn run_all(&mut self, text: &str) -> Result<(), Failure> {
        let statements = split(text);
        if statements.is_empty() {
            self.output.tell(&Frame::new(b'I', Vec::new())).await?;
        }
        for (start, statement) in statements {
            let before = text.get(..start).unwrap_or_default();
            self.output.tell_tag();
            let ran = self.run_text(statement).await;
            ran.map_err(|failure| match failure {
                Failure::Told(frame) => Failure::Told(frame.moved(before.chars().count())),
                failure => failure,
            })?;
        }
        self.session.end_implicit().await
    }

    async fn run_text(&mut self, text: &str) -> Result<(), Failure> {
        let statement = match Statement::of(text) {
            Ok(statement) => Arc::new(statement),
            Err(error) => {
                self.session.check_failed()?;
                return Err(error.into());
            }
        };
        if statement.is_own() {
            return self.run_own(&statement).await;
        }
        let text = match statement.kind {
            Kind::Schema(_) => statement.text.clone(),
            _ => text.to_owned(),
        };
        match self.enter_and_run(&statement, &text).await {
            Err(failure) if self.refresh(&failure, &statement).await? => {
                self.enter_and_run(&statement, &text).await
            }
            ran => ran,
        }
    }

    async fn enter_and_run(
        &mut self,
        statement: &Arc<Statement>,
        text: &str,
    ) -> Result<(), Failure> {
        self.enter(statement).await?;
        self.run(statement, Message::Text(text)).await
    }

    /// A statement that cannot be understood may rest on what was done to the
    /// schema at another site a moment ago: whether it may be now. The transaction
    /// begins anew then, which has done nothing else.
    pub(super) async fn refresh(
        &mut self,
        failure: &Failure,
        statement: &Arc<Statement>,
    ) -> Result<bool, Failure> {
        let is_of_schema = |state: State| OF_SCHEMA.contains(&state);
        let transaction = &self.session.transaction;
        let is_alone = transaction.has_run_only(statement) && !transaction.is_failed;
        if !failure.state().is_some_and(is_of_schema) || !is_alone || !self.output.can_forget() {
            return Ok(false);
        }
        let (block, is_read_only) = (transaction.block, transaction.is_read_only);
        let known = self.session.shared.local.model().version;
        self.session.rollback().await?;
        let refreshed = self.session.shared.replication.refresh().await;
        if block == Block::Explicit {
            self.begin(is_read_only.then_some(true)).await?;
        }
        let is_new = self.session.shared.local.model().version != known;
        Ok(refreshed.is_ok() && is_new)
    }

    /// Opens a transaction, if there is none, and owns what a statement touches.
    pub(super) async fn enter(&mut self, statement: &Arc<Statement>) -> Result<(), Failure> {
        let is_back = statement.kind == Kind::Savepoint { is_back: true };
        if !is_back {
            self.session.check_failed()?;
        }
        self.open_implicit();
        if matches!(statement.kind, Kind::Savepoint { .. }) {
            if self.session.transaction.block == Block::Implicit {
                return Err(no_block("SAVEPOINT").into());
            }
            return Ok(());
        }
        self.session.enter(statement).await?;
        self.tell_asides().await
    }

    /// Runs a statement that has what it needs.
    pub(super) async fn run(
        &mut self,
        statement: &Arc<Statement>,
        message: Message<'_>,
    ) -> Result<(), Failure> {
        let is_quiet = matches!(message, Message::Text(_));
        let mut ask = Ask::new(is_quiet, statement.kind == Kind::Copy);
        if let Some(begin) = self.session.begin_text(statement) {
            ask.own(begin)?;
        }
        match statement.kind {
            Kind::Age => {
                let age = self.session.age();
                ask.own(&format!("SELECT set_config('music.age', '{age}', false)"))?;
            }
            Kind::Schema(_) => ask.own(self.session.shared.local.before_ddl())?,
            _ => {}
        }
        match message {
            Message::Text(text) => ask.statement(text),
            Message::Frame(frame) => ask.put(frame),
        }
        self.relay(ask).await?;
        self.after(statement).await
    }

    /// A statement has run.
    async fn after(&mut self, statement: &Arc<Statement>) -> Result<(), Failure> {
        let session = &mut self.session;
        match &statement.kind {
            Kind::Schema(_) => self.after_ddl(statement).await?,
            Kind::Savepoint { is_back: true } => session.transaction.is_failed = false,
            Kind::Freshness { wanted, is_local } => {
                session.set_freshness(wanted.as_deref(), *is_local);
            }
            Kind::Prepare(name) => self.remember(name.clone(), statement)?,
            Kind::Deallocate(Some(name)) => drop(session.statements.remove(name)),
            Kind::Deallocate(None) => session.statements.clear(),
            _ => {}
        }
        Ok(())
    }

    /// Remembers what a prepared statement is.
    pub(super) fn remember(&mut self, name: String, statement: &Arc<Statement>) -> Result<()> {
        let statements = &mut self.session.statements;
        if statements.len() >= STATEMENTS_MAX && !statements.contains_key(&name) {
            return Err(SqlError::new(
                state::CONFIGURATION_LIMIT_EXCEEDED,
                format!("a session has at most {STATEMENTS_MAX} prepared statements"),
            ));
        }
        statements.insert(name, Arc::clone(statement));
        Ok(())
    }

    /// What is mdbc's to do.
    pub(super) async fn run_own(&mut self, statement: &Statement) -> Result<(), Failure> {
        let is_end = matches!(statement.kind, Kind::Commit { .. } | Kind::Rollback { .. });
        if !is_end {
            self.session.check_failed()?;
        }
        let tag = match statement.kind {
            Kind::Begin { is_read_only } => self.begin(is_read_only).await?,
            Kind::Commit { is_chained } => self.end_block(true, is_chained).await?,
            Kind::Rollback { is_chained } => self.end_block(false, is_chained).await?,
            Kind::SetTransaction {
                is_read_only,
                is_session,
            } => self.set_transaction(is_read_only, is_session).await?,
            Kind::Snapshot => return self.donate().await,
            _ => {
                let mut ask = Ask::new(true, false);
                ask.statement(&statement.text);
                return self.relay(ask).await;
            }
        };
        self.tell_asides().await?;
        self.output.complete(Frame::complete(tag));
        Ok(())
    }

    async fn begin(&mut self, is_read_only: Option<bool>) -> Result<&'static str, Failure> {
        let session = &mut self.session;
        if session.transaction.block == Block::Explicit {
            session.asides.push(warning(
                state::ACTIVE_SQL_TRANSACTION,
                "there is already a transaction in progress",
            ));
            return Ok("BEGIN");
        }
        session.open(Block::Explicit);
        session.transaction.is_read_only = is_read_only == Some(true);
        if !std::mem::replace(&mut session.transaction.is_begun, true) {
            let mode = match is_read_only {
                Some(true) => ", READ ONLY",
                Some(false) => ", READ WRITE",
                None => "",
            };
            session
                .ask(&format!("BEGIN ISOLATION LEVEL SERIALIZABLE{mode}"))
                .await?;
        }
        Ok("BEGIN")
    }

    async fn end_block(
        &mut self,
        is_commit: bool,
        is_chained: bool,
    ) -> Result<&'static str, Failure> {
        let session = &mut self.session;
        let is_block = session.transaction.block == Block::Explicit;
        if !is_block {
            if is_chained {
                return Err(no_block("AND CHAIN").into());
            }
            session.asides.push(warning(
                state::NO_ACTIVE_SQL_TRANSACTION,
                "there is no transaction in progress",
            ));
        }
        let is_read_only = session.transaction.is_read_only.then_some(true);
        let is_commit = is_commit && !session.is_failed();
        self.portals.clear();
        if is_commit {
            self.session.commit().await?;
        } else {
            self.session.rollback().await?;
        }
        self.has_ended = true;
        if is_chained {
            self.begin(is_read_only).await?;
        }
        let is_commit = is_commit || !is_block;
        Ok(if is_commit { "COMMIT" } else { "ROLLBACK" })
    }

    async fn set_transaction(
        &mut self,
        is_read_only: Option<bool>,
        is_session: bool,
    ) -> Result<&'static str, Failure> {
        let session = &mut self.session;
        let Some(is_read_only) = is_read_only else {
            return Ok("SET");
        };
        let mode = if is_read_only {
            "READ ONLY"
        } else {
            "READ WRITE"
        };
        if is_session {
            let set = format!("SET SESSION CHARACTERISTICS AS TRANSACTION {mode}");
            session.ask(&set).await?;
        } else if session.transaction.is_begun {
            session.ask(&format!("SET TRANSACTION {mode}")).await?;
            session.transaction.is_read_only = is_read_only;
        }
        Ok("SET")
    }
}
