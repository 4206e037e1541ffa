//! A client's session: its settings, its transaction, its cursors. Everything
//! that a client asks for runs through it.

pub(crate) mod cancel;
mod cursors;
mod ddl;
mod freshness;
mod settings;
mod statements;
mod transaction;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::catalog::Facts;
use crate::catalog::schema::Schema;
use crate::dialect::{self, Copy, Environment, Output, Plan, Run, Verb};
use crate::engine::Replication;
use crate::engine::sqlite::Database;
use crate::engine::sqlite::context::SessionState;
use crate::engine::sqlite::lane::{Held, Lane};
use crate::engine::sqlite::run::{Outcome, Setting};
use crate::engine::sqlite::writer::{Start, Writing};
use crate::error::{Result, SqlError, state};
use crate::freshness::Freshness;
use crate::snapshot::{Donation, Donor};
use crate::types::{SqlType, Value};

pub(crate) use cancel::Cancel;
pub(crate) use settings::fixed as fixed_settings;
pub(crate) use statements::Prepared;
pub(crate) use transaction::Status;

/// Prepared statements of one session.
const STATEMENTS_MAX: usize = 1000;
/// Cursors of one session.
const CURSORS_MAX: usize = 100;
/// How often a statement is understood anew because the schema has changed.
const ATTEMPTS_MAX: usize = 3;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) replication: Arc<dyn Replication>,
    pub(crate) facts: Arc<Facts>,
    pub(crate) result_bytes_max: usize,
    pub(crate) donor: Donor,
}

/// A client's session.
pub(crate) struct Session {
    id: u64,
    user: String,
    shared: Arc<Shared>,
    reader: Lane,
    state: SessionState,
    schema: Arc<Schema>,
    block: transaction::Block,
    writing: Option<Writing>,
    /// How many commits there were when the snapshot was taken that is open.
    snapshot: Option<u64>,
    /// What the transaction has touched.
    footprint: transaction::Footprint,
    /// Where the next transaction begins: alone, where the last one took too long
    /// for those that waited for it.
    start: Start,
    freshness: Freshness,
    /// Whether the replication knows of the transaction.
    is_announced: bool,
    is_read_only: bool,
    /// Whether the client knows the columns of what it runs.
    is_described: bool,
    /// The settings before the transaction, if it has changed some.
    before: Option<settings::Before>,
    statements: HashMap<String, Prepared>,
    cursors: BTreeMap<String, cursors::Cursor>,
    cancel: Arc<Cancel>,
    /// Settings that the client is told of.
    reports: Vec<(String, String)>,
    notices: Vec<SqlError>,
}

/// What a statement answers.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) tag: String,
    pub(crate) columns: Option<Vec<Output>>,
    pub(crate) rows: Vec<Vec<Value>>,
    /// A `COPY` that begins.
    pub(crate) copy: Option<Box<Copy>>,
}

impl Answer {
    fn tagged(tag: impl Into<String>) -> Self {
        Self {
            tag: tag.into(),
            ..Self::default()
        }
    }
}

impl Session {
    /// Begins a session, with settings that the client has asked for.
    pub(crate) fn new(
        shared: Arc<Shared>,
        user: &str,
        (id, pid): (u64, i32),
        wanted: &[(String, String)],
    ) -> Result<Self> {
        let reader = shared.database.reader().map_err(SqlError::internal)?;
        let mut session = Self {
            id,
            user: user.to_owned(),
            schema: shared.database.schema(),
            shared,
            reader,
            state: SessionState {
                pid,
                settings: settings::defaults(user),
                ..SessionState::default()
            },
            block: transaction::Block::Idle,
            writing: None,
            snapshot: None,
            footprint: transaction::Footprint::default(),
            start: Start::default(),
            freshness: Freshness::default(),
            is_announced: false,
            is_read_only: false,
            is_described: true,
            before: None,
            statements: HashMap::new(),
            cursors: BTreeMap::new(),
            cancel: Arc::new(Cancel::new(id)),
            reports: Vec::new(),
            notices: Vec::new(),
        };
        for (name, value) in wanted {
            session.set(name, Some(value))?;
        }
        session.reports.clear();
        Ok(session)
    }

    /// Begins to give the database to another site, as it is committed.
    pub(crate) async fn donate(&self) -> Result<Donation> {
        if self.block != transaction::Block::Implicit {
            return Err(SqlError::new(
                state::ACTIVE_SQL_TRANSACTION,
                "a snapshot cannot be taken in a transaction block",
            ));
        }
        self.shared.donor.donate().await
    }

    pub(crate) fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }

    pub(crate) fn look(&self) -> &crate::types::Look {
        &self.state.look
    }

    /// Settings that have changed and that clients are told of.
    pub(crate) fn take_reports(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.reports)
    }

    pub(crate) fn take_notices(&mut self) -> Vec<SqlError> {
        std::mem::take(&mut self.notices)
    }

    /// Every setting that clients are told of.
    pub(crate) fn all_reports(&self) -> Vec<(String, String)> {
        settings::reported(&self.state.settings)
    }

    fn setting(&self) -> Setting {
        Setting {
            schema: Arc::clone(&self.schema),
            facts: Arc::clone(&self.shared.facts),
            default_kind: self.shared.database.inner.default_kind,
            result_bytes_max: self.shared.result_bytes_max,
        }
    }

    /// The statements of a query.
    pub(crate) async fn split(&self, text: &str) -> Result<Vec<String>> {
        let text = text.to_owned();
        let split = move |_: &mut Held| {
            let statements = dialect::parse::split(&text)?;
            Ok(statements.into_iter().map(str::to_owned).collect())
        };
        self.reader.call(self.id, split).await
    }

    /// Understands a statement. One that cannot be may rest on what was done to
    /// the schema at another site a moment ago.
    pub(crate) async fn plan(&mut self, text: &str, types: &[Option<SqlType>]) -> Result<Plan> {
        let known = self.schema.version;
        let plan = self.plan_here(text, types).await;
        let is_free = !self.holds_something() && !self.is_announced;
        match plan {
            Err(error) if is_free => {
                let refreshed = self.shared.replication.refresh().await;
                if refreshed.is_err() && error.hint.is_none() {
                    return Err(error.with_hint(
                        "What other sites did to the schema a moment ago is not known here.",
                    ));
                }
                if refreshed.is_err() || self.shared.database.schema().version == known {
                    return Err(error);
                }
                self.plan_here(text, types).await
            }
            plan => plan,
        }
    }

    async fn plan_here(&mut self, text: &str, types: &[Option<SqlType>]) -> Result<Plan> {
        if self.writing.is_none() && self.snapshot.is_none() {
            self.schema = self.shared.database.schema();
        }
        let (text, types) = (text.to_owned(), types.to_vec());
        let setting = self.setting();
        let (user, look) = (self.user.clone(), self.state.look.clone());
        let compile = move |_: &mut Held| {
            let environment = Environment {
                schema: &setting.schema,
                default_kind: setting.default_kind,
                parameters: &types,
                look: &look,
                user: &user,
                database: &setting.facts.database,
            };
            dialect::compile(&text, &environment)
        };
        self.reader.call(self.id, compile).await
    }

    /// Understands and runs a statement without parameters.
    pub(crate) async fn run_text(&mut self, text: &str) -> Result<Answer> {
        let plan = self.plan(text, &[]).await;
        let plan = self.unless_failed(plan)?;
        if let Plan::Run(run) = &plan
            && !run.parameters.is_empty()
        {
            return Err(SqlError::new(
                state::UNDEFINED_PARAMETER,
                "there is no parameter $1",
            ));
        }
        self.is_described = false;
        let answer = self.execute(plan, text, Vec::new()).await;
        self.is_described = true;
        answer
    }

    /// Runs a plan; `text` is what it was understood from.
    pub(crate) async fn execute(
        &mut self,
        plan: Plan,
        text: &str,
        parameters: Vec<Value>,
    ) -> Result<Answer> {
        self.check_block(&plan)?;
        match plan {
            Plan::Run(run) => {
                let (run, outcome) = self.run(*run, text, parameters).await?;
                Ok(answer(&run, outcome))
            }
            Plan::Ddl { text, tag } => self.run_ddl(text, tag).await,
            Plan::Copy(copy) => {
                self.check_writable(&copy.run)?;
                let columns = None;
                Ok(Answer {
                    copy: Some(copy),
                    columns,
                    ..Answer::default()
                })
            }
            Plan::Declare { name, is_held, run } => {
                self.declare((name, is_held), *run, text, parameters).await
            }
            Plan::Fetch {
                name,
                count,
                is_move,
            } => self.fetch(&name, count, is_move),
            Plan::Close(name) => self.close_cursor(name.as_deref()),
            Plan::Prepare { name, types, text } => self.prepare_named(name, &types, text).await,
            Plan::Execute { name, arguments } => self.execute_named(&name, &arguments).await,
            Plan::ExplainPrepared { name, is_json } => self.explain_prepared(&name, is_json).await,
            Plan::Deallocate(name) => self.deallocate(name.as_deref()),
            Plan::Set {
                name,
                value,
                is_local,
            } => self.set_statement(&name, value.as_deref(), is_local),
            Plan::Reset(name) => {
                self.set_statement(&name, None, false)?;
                Ok(Answer::tagged("RESET"))
            }
            Plan::SetTransaction { is_read_only } => Ok(self.set_transaction(is_read_only)),
            Plan::Show(name) => self.show(&name),
            Plan::DiscardAll => self.discard_all(),
            Plan::Nothing(tag) => Ok(Answer::tagged(tag)),
            other => self.transaction_statement(other).await,
        }
    }

    /// Runs a statement, understood anew if the schema has changed meanwhile.
    pub(crate) async fn run(
        &mut self,
        run: Run,
        text: &str,
        parameters: Vec<Value>,
    ) -> Result<(Run, Outcome)> {
        self.run_each(run, text, vec![parameters]).await
    }

    /// Runs a statement once for each list of parameters; what the last one did
    /// is the outcome.
    pub(crate) async fn run_each(
        &mut self,
        mut run: Run,
        text: &str,
        parameters: Vec<Vec<Value>>,
    ) -> Result<(Run, Outcome)> {
        self.check_writable(&run)?;
        for _ in 0..ATTEMPTS_MAX {
            self.enter(&run.access(&parameters)).await?;
            if run.version == self.schema.version {
                let outcome = self.run_here(&run, parameters).await?;
                return Ok((run, outcome));
            }
            let types: Vec<Option<SqlType>> = run.parameters.iter().copied().map(Some).collect();
            let before = run.columns.clone();
            let again = match self.plan(text, &types).await? {
                Plan::Run(again) | Plan::Declare { run: again, .. } => *again,
                Plan::Copy(copy) => copy.run,
                _ => return Err(SqlError::internal("a statement has become another")),
            };
            let is_explained = |run: &Run| matches!(run.verb, Verb::Explain | Verb::ExplainJson);
            run = if is_explained(&run) && !is_explained(&again) {
                dialect::explained(again, run.verb == Verb::ExplainJson)?
            } else {
                again
            };
            let same = |a: &Output, b: &Output| a.name == b.name && a.ty == b.ty;
            let is_same = match (&before, &run.columns) {
                (None, None) => true,
                (Some(a), Some(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
                }
                _ => false,
            };
            if self.is_described && !is_same {
                return Err(SqlError::new(
                    state::FEATURE_NOT_SUPPORTED,
                    "cached plan must not change result type",
                ));
            }
        }
        Err(SqlError::new(
            state::SERIALIZATION_FAILURE,
            "the schema changes faster than the statement is understood",
        ))
    }

    /// Runs a statement where the transaction is.
    async fn run_here(&mut self, run: &Run, parameters: Vec<Vec<Value>>) -> Result<Outcome> {
        let lane = match &self.writing {
            Some(writing) => writing.lane().clone(),
            None => self.reader.clone(),
        };
        let top = self.writing.as_ref().map(Writing::number);
        let limit = settings::timeout(&self.state.settings, "statement_timeout");
        let (run, setting, mut state) =
            (run.clone(), self.setting(), std::mem::take(&mut self.state));
        state.statement = crate::types::datetime::of_unix(crate::clock::unix_micros());
        // The state comes back whatever becomes of the statement.
        let (back, came_back) = tokio::sync::oneshot::channel();
        let call = lane.call(self.id, move |held| {
            let outcome = held.for_session(&mut state, &setting, |held| {
                top.map_or(Ok(()), |number| held.on_top(number))?;
                let mut outcome = Outcome::default();
                for parameters in &parameters {
                    outcome = held.run(&run, parameters, &setting)?;
                }
                Ok(outcome)
            });
            drop(back.send(state));
            outcome
        });
        let outcome = self.cancel.supervise(&lane, call, limit).await;
        self.state = came_back
            .await
            .map_err(|_| SqlError::internal("a connection has ended"))?;
        let wanted = std::mem::take(&mut self.state.wanted);
        let outcome = outcome?;
        for (name, value, is_local) in wanted {
            self.set_statement(&name, Some(&value), is_local)?;
        }
        Ok(outcome)
    }

    fn check_writable(&self, run: &Run) -> Result<()> {
        if self.is_read_only && run.access.is_write() {
            return Err(read_only(&verb_name(run)));
        }
        Ok(())
    }
}

fn read_only(tag: &str) -> SqlError {
    SqlError::new(
        state::READ_ONLY_SQL_TRANSACTION,
        format!("cannot execute {tag} in a read-only transaction"),
    )
}

fn verb_name(run: &Run) -> String {
    match run.verb {
        Verb::Select => "SELECT FOR UPDATE",
        Verb::Insert => "INSERT",
        Verb::Update => "UPDATE",
        Verb::Delete => "DELETE",
        Verb::Truncate => "TRUNCATE TABLE",
        Verb::Explain | Verb::ExplainJson => "EXPLAIN",
    }
    .to_owned()
}

/// The answer of a statement that has run.
fn answer(run: &Run, outcome: Outcome) -> Answer {
    let count = outcome.count;
    let tag = match run.verb {
        Verb::Select => format!("SELECT {count}"),
        Verb::Insert => format!("INSERT 0 {count}"),
        Verb::Update => format!("UPDATE {count}"),
        Verb::Delete => format!("DELETE {count}"),
        Verb::Truncate => "TRUNCATE TABLE".to_owned(),
        Verb::Explain | Verb::ExplainJson => "EXPLAIN".to_owned(),
    };
    Answer {
        tag,
        columns: run.columns.clone(),
        rows: outcome.rows,
        copy: None,
    }
}
