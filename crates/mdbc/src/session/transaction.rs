//! Transactions: where they run, and how they end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Answer, Session};
use crate::catalog::schema::{Relation, TableKind};
use crate::clock;
use crate::dialect::{Access, Plan};
use crate::engine::sqlite::group::{End, Member, Read};
use crate::engine::sqlite::history::Tables;
use crate::engine::sqlite::writer::{Start, Writing};
use crate::engine::{Appended, Digest, Notes, Who};
use crate::error::{Result, SqlError, state};
use crate::freshness::Freshness;
use crate::types::datetime;

/// How long a transaction that does not ask for the latest waits to read what
/// others were told of.
const LEVEL_WAIT: Duration = Duration::from_millis(500);

/// Whether there is a transaction, and whose idea it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    Idle,
    /// Begun by a statement, ended with it, or with the statements beside it.
    Implicit,
    /// Begun by `BEGIN`.
    Explicit,
    /// Failed, and to be ended by the client.
    Failed,
}

/// What clients are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Idle,
    Open,
    Failed,
}

fn failed_block() -> SqlError {
    SqlError::new(
        state::IN_FAILED_SQL_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// What a transaction has touched of tables, by their object ids.
#[derive(Debug, Default)]
pub(super) struct Footprint {
    /// All of them.
    all: BTreeSet<u32>,
    /// Those that are not strong.
    others: BTreeSet<u32>,
    /// Those of this site alone that it has written.
    written_here: BTreeSet<u32>,
}

/// What was read before is not what is there now.
pub(super) fn changed_meanwhile() -> SqlError {
    SqlError::new(
        state::SERIALIZATION_FAILURE,
        "could not serialize access due to a concurrent commit",
    )
    .with_detail("What the transaction has read may be different by now.")
    .with_hint("The transaction had no effect. Try it again.")
}

impl Session {
    pub(crate) fn status(&self) -> Status {
        match self.block {
            Block::Idle | Block::Implicit => Status::Idle,
            Block::Explicit => Status::Open,
            Block::Failed => Status::Failed,
        }
    }

    /// Whether others wait for this transaction, or would have to.
    pub(super) fn holds_something(&self) -> bool {
        self.writing.is_some() || self.snapshot.is_some()
    }

    /// In a failed block, the block's failure comes before the statement's.
    pub(super) fn unless_failed<T>(&self, result: Result<T>) -> Result<T> {
        if self.block == Block::Failed && result.is_err() {
            return Err(failed_block());
        }
        result
    }

    /// Refuses what a failed block cannot do.
    pub(super) fn check_block(&mut self, plan: &Plan) -> Result<()> {
        let is_end = matches!(plan, Plan::Commit | Plan::Rollback | Plan::RollbackTo(_));
        if self.block == Block::Failed && !is_end {
            return Err(failed_block());
        }
        if self.block == Block::Idle {
            self.open(Block::Implicit);
        }
        Ok(())
    }

    fn open(&mut self, block: Block) {
        self.block = block;
        self.state.now = datetime::of_unix(clock::unix_micros());
        self.state.transaction = self.shared.database.next_transaction();
        let default = self.state.settings.get("default_transaction_read_only");
        self.is_read_only = default.is_some_and(|value| value == "on");
    }

    /// Takes what a statement needs: a snapshot, or the writing connection.
    pub(super) async fn enter(&mut self, access: &Access) -> Result<()> {
        let touches = access.is_write() || !access.reads.is_empty();
        if touches && !self.reads_locally(access)? {
            self.is_announced = true;
            let may_write = self.block == Block::Explicit && !self.is_read_only;
            let who = Who {
                session: self.id,
                transaction: self.state.transaction,
            };
            let before = self.shared.replication.before(who, access, may_write);
            let before = async {
                match &self.writing {
                    Some(writing) => writing.wait(before).await,
                    None => before.await,
                }
            };
            self.cancel.wait(before, self.ownership_limit()).await?;
            self.note_latest(access)?;
        }
        if access.is_write() {
            self.start_writing().await?;
        } else if self.writing.is_none() {
            self.take_snapshot(access).await?;
        }
        self.note_touched(access);
        Ok(())
    }

    /// The object ids and kinds of tables.
    fn tables(&self, names: &BTreeSet<String>) -> impl Iterator<Item = (u32, TableKind)> {
        names.iter().filter_map(|name| match self.schema.get(name) {
            Some(Relation::Table(table)) => Some((table.oid, table.kind)),
            _ => None,
        })
    }

    fn note_touched(&mut self, access: &Access) {
        let written: Vec<_> = self.tables(&access.writes).collect();
        let read: Vec<_> = self.tables(&access.reads).collect();
        for (oid, kind) in read.into_iter().chain(written.iter().copied()) {
            self.footprint.all.insert(oid);
            if kind != TableKind::Strong {
                self.footprint.others.insert(oid);
            }
        }
        let here = written.iter().filter(|(_, kind)| *kind == TableKind::Local);
        let here = here.map(|(oid, _)| *oid);
        self.footprint.written_here.extend(here);
    }

    async fn start_writing(&mut self) -> Result<()> {
        if self.writing.is_some() {
            return Ok(());
        }
        let limit = self.lock_timeout().map(|limit| {
            let error = SqlError::new(
                state::LOCK_NOT_AVAILABLE,
                "canceling statement due to lock timeout",
            )
            .with_detail("Another transaction of this site is writing.");
            (limit, error)
        });
        let begin = Writing::begin(&self.shared.database, self.id, self.start);
        let writing = self.cancel.wait(begin, limit).await?;
        if let Some(snapshot) = self.snapshot {
            if writing.is_changed(snapshot, &self.footprint.all) {
                return Err(changed_meanwhile());
            }
            self.drop_snapshot();
        }
        self.schema = self.shared.database.schema();
        self.writing = Some(writing);
        Ok(())
    }

    async fn take_snapshot(&mut self, access: &Access) -> Result<()> {
        if self.snapshot.is_some() {
            return Ok(());
        }
        let database = &self.shared.database;
        let read = match self.block {
            Block::Explicit => Read::Any,
            _ => Read::These(self.tables(&access.reads).map(|(oid, _)| oid).collect()),
        };
        // What the site has is to be had soon: the rest may hang on other sites.
        let limit = (self.freshness != Freshness::Latest).then_some(LEVEL_WAIT);
        self.cancel.wait(database.level(read, limit), None).await?;
        let (commits, known) = (database.commits(), database.schema());
        let schema = self
            .reader
            .call(self.id, move |held| held.take_snapshot(&known))
            .await?;
        self.schema = schema;
        self.snapshot = Some(commits);
        Ok(())
    }

    fn drop_snapshot(&mut self) {
        if self.snapshot.take().is_some() {
            self.reader.post(|held| {
                if let Err(error) = held.rollback() {
                    tracing::error!(%error, "a snapshot could not be given back");
                }
            });
        }
    }

    /// `BEGIN`, `COMMIT`, savepoints.
    pub(super) async fn transaction_statement(&mut self, plan: Plan) -> Result<Answer> {
        match plan {
            Plan::Begin { is_read_only } => {
                if self.block == Block::Explicit {
                    self.warn(
                        state::ACTIVE_SQL_TRANSACTION,
                        "there is already a transaction in progress",
                    );
                } else {
                    self.block = Block::Explicit;
                }
                self.is_read_only |= is_read_only;
                Ok(Answer::tagged("BEGIN"))
            }
            Plan::Commit => self.commit_statement().await,
            Plan::Rollback => {
                if self.block == Block::Implicit {
                    self.warn(
                        state::NO_ACTIVE_SQL_TRANSACTION,
                        "there is no transaction in progress",
                    );
                }
                self.rollback();
                Ok(Answer::tagged("ROLLBACK"))
            }
            Plan::Savepoint(name) => {
                self.in_block("SAVEPOINT")?;
                // Savepoints are those of the writing connection.
                self.start_writing().await?;
                self.on_writer(move |held| held.savepoint(&name)).await?;
                Ok(Answer::tagged("SAVEPOINT"))
            }
            Plan::Release(name) => {
                self.in_block("RELEASE SAVEPOINT")?;
                self.on_writer(move |held| held.release(&name)).await?;
                Ok(Answer::tagged("RELEASE"))
            }
            Plan::RollbackTo(name) => {
                self.in_block("ROLLBACK TO SAVEPOINT")?;
                self.schema = self.on_writer(move |held| held.rollback_to(&name)).await?;
                self.block = Block::Explicit;
                Ok(Answer::tagged("ROLLBACK"))
            }
            other => Err(SqlError::internal(format!("no way to run {other:?}"))),
        }
    }

    async fn commit_statement(&mut self) -> Result<Answer> {
        match self.block {
            Block::Failed => {
                self.rollback();
                Ok(Answer::tagged("ROLLBACK"))
            }
            block => {
                if block == Block::Implicit {
                    self.warn(
                        state::NO_ACTIVE_SQL_TRANSACTION,
                        "there is no transaction in progress",
                    );
                }
                self.commit().await?;
                Ok(Answer::tagged("COMMIT"))
            }
        }
    }

    fn in_block(&self, what: &str) -> Result<()> {
        if self.block == Block::Implicit {
            return Err(SqlError::new(
                state::NO_ACTIVE_SQL_TRANSACTION,
                format!("{what} can only be used in transaction blocks"),
            ));
        }
        Ok(())
    }

    async fn on_writer<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut crate::engine::sqlite::lane::Held) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.writing {
            Some(writing) => writing.call(job).await,
            None => Err(SqlError::new(
                state::INVALID_SAVEPOINT,
                "there is no savepoint",
            )),
        }
    }

    fn warn(&mut self, code: crate::error::State, message: &str) {
        self.notices.push(SqlError::new(code, message));
    }

    pub(super) fn set_transaction(&mut self, is_read_only: Option<bool>) -> Answer {
        if let Some(truth) = is_read_only {
            self.is_read_only = truth;
        }
        Answer::tagged("SET")
    }

    /// Ends a transaction that no `BEGIN` began, at the end of a query or of a
    /// pipeline.
    pub(crate) async fn end_implicit(&mut self) -> Result<()> {
        if self.block == Block::Implicit {
            self.commit().await?;
        }
        Ok(())
    }

    /// A statement has failed.
    pub(crate) async fn fail(&mut self) {
        match self.block {
            Block::Idle => {}
            Block::Implicit => self.rollback(),
            Block::Explicit | Block::Failed => {
                self.block = Block::Failed;
                // Without a savepoint to go back to, nothing need be kept.
                let kept = self.on_writer(|held| Ok(!held.savepoints.is_empty())).await;
                if !kept.unwrap_or(false) {
                    self.let_go();
                }
            }
        }
    }

    /// Seals, puts and commits. The order matters: what is in the log is
    /// committed even if this site forgets it.
    pub(crate) async fn commit(&mut self) -> Result<()> {
        let result = self.commit_all().await;
        if result.is_err() {
            self.let_go();
        }
        self.finish(result.is_ok());
        result
    }

    async fn commit_all(&mut self) -> Result<()> {
        let Some(writing) = &mut self.writing else {
            self.drop_snapshot();
            if self.is_announced {
                let transaction = self.state.transaction;
                self.shared.replication.read_committed(transaction).await?;
            }
            return Ok(());
        };
        let digest = writing.seal().await?;
        let Footprint {
            others,
            written_here,
            ..
        } = &self.footprint;
        let is_only_here = !written_here.is_empty();
        if is_only_here || !digest.changes.is_empty() {
            writing.settled(others, is_only_here).await?;
        }
        let appended = self.append(&digest).await?;
        let member = self.member(digest, appended);
        let Some(writing) = self.writing.take() else {
            return Err(SqlError::internal("a transaction ends twice"));
        };
        // What has joined is ended by its group.
        let is_announced = std::mem::take(&mut self.is_announced);
        self.start = Start::OnTop;
        let end = writing.join(member).outcome().await?;
        if is_announced && end == End::Acknowledged {
            let transaction = self.state.transaction;
            self.shared.replication.acknowledged(transaction);
        }
        Ok(())
    }

    /// Gives the transaction its place behind those before it.
    async fn append(&self, digest: &Digest) -> Result<Appended> {
        let (replication, transaction) = (&self.shared.replication, self.state.transaction);
        if !digest.is_empty() {
            return replication.append(transaction, digest).await;
        }
        let mut appended = Appended::alone(Notes::default());
        if self.is_announced {
            let replication = Arc::clone(replication);
            let read = async move { replication.read(transaction).await };
            appended.acknowledged = Box::pin(read);
        }
        Ok(appended)
    }

    fn member(&self, digest: Digest, appended: Appended) -> Member {
        let (replication, transaction) =
            (Arc::clone(&self.shared.replication), self.state.transaction);
        let is_announced = self.is_announced;
        let here = Tables::These(self.footprint.written_here.clone());
        Member {
            tables: Tables::of(&digest).and(&here),
            digest,
            notes: appended.notes,
            schema: Arc::clone(&self.schema),
            is_only_here: !self.footprint.written_here.is_empty(),
            acknowledged: appended.acknowledged,
            ended: Box::new(move |is_committed| {
                if is_announced {
                    replication.ended(transaction, is_committed);
                }
            }),
        }
    }

    pub(crate) fn rollback(&mut self) {
        self.let_go();
        self.finish(false);
    }

    /// Gives back what the transaction holds; what it has changed is undone.
    fn let_go(&mut self) {
        if let Some(writing) = self.writing.take() {
            self.start = writing.next_start();
        }
        self.drop_snapshot();
        self.schema = self.shared.database.schema();
    }

    fn finish(&mut self, is_committed: bool) {
        self.footprint = Footprint::default();
        if std::mem::take(&mut self.is_announced) {
            self.shared
                .replication
                .ended(self.state.transaction, is_committed);
        }
        self.block = Block::Idle;
        self.freshness = Freshness::default();
        self.is_read_only = false;
        self.settle_settings(is_committed);
        self.end_cursors(is_committed);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.rollback();
    }
}
