//! The writing connection: one transaction at a time, on top of those that wait
//! for their outcome ([`group`](super::group)).

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::Database;
use super::error::Translated;
use super::group::{Group, Joined, Member};
use super::lane::{Held, Lane};
use super::store;
use crate::catalog::schema::{Schema, TableKind};
use crate::engine::Notes;
use crate::engine::digest::{Change, Digest};
use crate::error::{Result, SqlError, state};

/// Where a transaction begins on the writing connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Start {
    /// On top of those that wait for their outcome.
    #[default]
    OnTop,
    /// When there are none: it keeps nobody from an answer, however long it takes.
    Alone,
}

/// Who runs on the writing connection.
#[derive(Debug)]
pub(crate) struct Top {
    number: u64,
    /// None once it was taken off, or commits.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    /// Whether it waits for other sites, or other transactions of this one.
    waits: watch::Sender<bool>,
    /// Told when it is taken off.
    off: CancellationToken,
}

impl Top {
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        permit.take()
    }
}

/// The right to use the writing connection, with a transaction open on it.
/// Dropping it rolls the transaction back.
#[derive(Debug)]
pub(crate) struct Writing {
    database: Database,
    session: u64,
    group: Arc<Group>,
    top: Arc<Top>,
    /// From the seal on: it is not taken off any more.
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Writing {
    fn drop(&mut self) {
        let permit = self.permit.take().or_else(|| self.top.take());
        if permit.is_some() {
            self.database.dismiss(&self.group, self.top.number);
        }
        // When the rollback is on its way.
        drop(permit);
        self.group.note_left();
    }
}

fn taken_off() -> SqlError {
    SqlError::new(
        state::SERIALIZATION_FAILURE,
        "could not serialize access: transactions of this site waited for this one, which took \
         too long, or may have waited for them",
    )
    .with_hint("The transaction had no effect. Try it again.")
}

fn rolled_back() -> SqlError {
    SqlError::new(
        state::SERIALIZATION_FAILURE,
        "could not serialize access: the local database has rolled the transaction back",
    )
    .with_hint("The transaction had no effect. Try it again.")
}

impl Writing {
    /// Waits for the connection and begins a transaction.
    ///
    /// A dropped future gives the place in the queue up.
    pub(crate) async fn begin(database: &Database, session: u64, start: Start) -> Result<Self> {
        let permit = database.permit().await?;
        let (group, is_new) = loop {
            match database.group() {
                None => break (database.open_group(), true),
                Some(group) if start == Start::OnTop && database.takes(&group).await? => {
                    break (group, false);
                }
                Some(group) => database.end_group(&group).await?,
            }
        };
        let number = database.next_transaction();
        let top = Arc::new(Top {
            number,
            permit: Mutex::new(Some(permit)),
            waits: watch::Sender::new(false),
            off: CancellationToken::new(),
        });
        database.set_top(&top);
        let writing = Self {
            database: database.clone(),
            session,
            group,
            top,
            permit: None,
        };
        let begin = move |held: &mut Held| held.begin(number, is_new);
        writing.lane().call(session, begin).await?;
        Ok(writing)
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.database.inner.writer
    }

    /// What its jobs are known by ([`Held::on_top`]).
    pub(crate) fn number(&self) -> u64 {
        self.top.number
    }

    /// Runs a job on the connection, as [`Lane::call`].
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Held) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let number = self.top.number;
        let job = move |held: &mut Held| {
            held.on_top(number)?;
            job(held)
        };
        self.lane().call(self.session, job).await
    }

    /// Waits for others: a transaction that does so is taken off as soon as members
    /// of its group wait for it, which may be whom it waits for.
    pub(crate) async fn wait<T>(&self, others: impl Future<Output = Result<T>>) -> Result<T> {
        let mut others = pin!(others);
        if let Some(result) = others.as_mut().now_or_never() {
            return result;
        }
        self.top.waits.send_replace(true);
        let result = tokio::select! {
            result = others => result,
            () = self.top.off.cancelled() => Err(taken_off()),
        };
        self.top.waits.send_replace(false);
        result
    }

    /// Whether a member of its group has changed one of these tables, or a commit
    /// since there were so many.
    pub(crate) fn is_changed(&self, since: u64, tables: &BTreeSet<u32>) -> bool {
        self.database.is_changed(since, tables) || self.group.has_changed(tables)
    }

    /// Where the session begins the next time: alone if this one was taken off the
    /// connection, since others waited for it.
    pub(crate) fn next_start(&self) -> Start {
        let permit = self.top.permit.lock();
        let permit = permit.unwrap_or_else(PoisonError::into_inner);
        if self.permit.is_none() && permit.is_none() {
            Start::Alone
        } else {
            Start::OnTop
        }
    }

    /// What the transaction has done; it can change nothing more.
    pub(crate) async fn seal(&mut self) -> Result<Digest> {
        self.permit = Some(self.top.take().ok_or_else(taken_off)?);
        let default_kind = self.database.inner.default_kind;
        self.call(move |held| held.seal(default_kind)).await
    }

    /// Waits until those before it are acknowledged, where it has touched one of
    /// these tables and a member of its group has changed that.
    ///
    /// # Errors
    /// One of them is not: this transaction fails with them.
    pub(crate) async fn settled(&self, tables: &BTreeSet<u32>, is_only_here: bool) -> Result<()> {
        if !is_only_here && !self.group.has_changed(tables) {
            return Ok(());
        }
        let fates = self.group.fates().await;
        if fates.iter().any(Result::is_err) {
            return Err(SqlError::new(
                state::SERIALIZATION_FAILURE,
                "could not serialize access: a transaction before it, whose changes it has \
                 read, failed",
            )
            .with_hint("The transaction had no effect. Try it again."));
        }
        Ok(())
    }

    /// Makes it a member of its group, whatever becomes of the caller from here
    /// on.
    pub(crate) fn join(mut self, member: Member) -> Joined {
        let notes = member.notes.clone();
        let mut joined = self.group.add(&self.database, member);
        let is_posted = self.lane().post(move |held| held.join(&notes));
        if !is_posted {
            self.group.spoil();
        }
        joined.permit = self.permit.take();
        joined
    }
}

impl Database {
    fn open_group(&self) -> Arc<Group> {
        let group = Arc::new(Group::new());
        *self.group_slot() = Some(Arc::clone(&group));
        group
    }

    fn set_top(&self, top: &Arc<Top>) {
        let current = self.inner.top.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(top));
    }

    /// Whether a transaction may run on top of the group that is open: it takes
    /// members, and SQLite has not rolled it back.
    async fn takes(&self, group: &Group) -> Result<bool> {
        let is_open = |held: &mut Held| Ok(!held.connection.is_autocommit());
        Ok(!group.is_due() && self.inner.writer.call(0, is_open).await?)
    }

    fn top(&self) -> Option<Arc<Top>> {
        let current = self.inner.top.lock();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends when the transaction on the connection waits for others.
    pub(super) async fn runner_waits(&self) {
        match self.top() {
            // Whoever keeps the other end is this one.
            Some(top) => drop(top.waits.subscribe().wait_for(|waits| *waits).await),
            None => std::future::pending().await,
        }
    }

    /// Takes a transaction off the connection that runs there and does not commit
    /// yet; its permit.
    pub(super) fn take_off(&self) -> Option<OwnedSemaphorePermit> {
        let top = self.top()?;
        let permit = top.take()?;
        let number = top.number;
        top.off.cancel();
        self.inner.writer.post(move |held| held.leave(number));
        Some(permit)
    }

    /// Undoes what the transaction on top of a group has done; a group without
    /// members is over.
    fn dismiss(&self, group: &Arc<Group>, number: u64) {
        if !group.is_empty() {
            self.inner.writer.post(move |held| held.leave(number));
            return;
        }
        if self.is_current(group) {
            *self.group_slot() = None;
        }
        self.inner.writer.post(Held::rollback_group);
    }
}

impl Held {
    fn begin(&mut self, number: u64, is_new: bool) -> Result<()> {
        self.savepoints.clear();
        let mut inner = self.context.lock();
        inner.capture.truncate(0);
        inner.capture.is_on = true;
        drop(inner);
        if is_new {
            self.connection.execute_batch("BEGIN IMMEDIATE").plain()?;
        } else if self.connection.is_autocommit() {
            return Err(rolled_back());
        }
        self.top = Some(number);
        self.connection
            .execute_batch("SAVEPOINT \"mdbc top\"")
            .plain()
    }

    /// Whether the transaction runs here still.
    pub(crate) fn on_top(&self, number: u64) -> Result<()> {
        if self.top != Some(number) {
            return Err(taken_off());
        }
        if self.connection.is_autocommit() {
            return Err(rolled_back());
        }
        Ok(())
    }

    /// Stores how many values sequences have given, where that is not stored yet.
    pub(super) fn store_counters(&self) -> Result<()> {
        let unstored = self.context.counters().unstored.clone();
        let mut unstored = unstored.into_iter();
        unstored.try_for_each(|oid| {
            let given = self.context.counters().given.get(&oid).copied();
            store::store_given(&self.connection, oid, given.unwrap_or_default())
        })
    }

    fn seal(&mut self, default_kind: TableKind) -> Result<Digest> {
        self.store_counters()?;
        self.context.counters().unstored.clear();
        let (changes, schema) = {
            let mut inner = self.context.lock();
            inner.capture.is_on = false;
            (
                std::mem::take(&mut inner.capture.changes),
                Arc::clone(&inner.schema),
            )
        };
        let (touched, changes): (Vec<Change>, Vec<Change>) = changes
            .into_iter()
            .partition(|change| matches!(change, Change::Touch { .. }));
        self.check_deferred(&changes, &schema)?;
        let rows = self.rows_of(touched)?;
        Ok(Digest {
            changes,
            rows,
            stamp: None,
            default_kind,
        })
    }

    /// The transaction on top is a member from here on. If that fails, all are
    /// done again when their outcome is known.
    fn join(&mut self, notes: &Notes) {
        let release = || {
            self.keep(notes)?;
            self.connection
                .execute_batch("RELEASE \"mdbc top\"")
                .plain()
        };
        if let Err(error) = release() {
            tracing::warn!(%error, "a transaction that is in the log is not in the local database");
            self.rollback_group();
        }
        (self.top, self.savepoints) = (None, Vec::new());
    }

    fn keep(&self, notes: &Notes) -> Result<()> {
        self.keep_rows(notes)?;
        let mut positions = notes.positions.iter();
        positions.try_for_each(|(partition, position)| {
            store::set_position(&self.connection, partition, position)
        })
    }

    /// Commits what all members have done; whether that is so.
    pub(super) fn commit_group(&mut self) -> bool {
        if self.connection.is_autocommit() {
            return false;
        }
        let committed = self.connection.execute_batch("COMMIT").plain();
        if let Err(error) = &committed {
            tracing::error!(%error, "transactions could not be committed at once");
        }
        committed.is_ok()
    }

    /// Undoes what all members have done, and who runs on top of them.
    pub(super) fn rollback_group(&mut self) {
        self.top = None;
        if let Err(error) = self.rollback() {
            tracing::error!(%error, "transactions could not be rolled back");
        }
    }

    /// Undoes what a transaction on top has done.
    fn leave(&mut self, number: u64) {
        if self.top != Some(number) {
            return;
        }
        (self.top, self.savepoints) = (None, Vec::new());
        let mut inner = self.context.lock();
        inner.capture.truncate(0);
        inner.capture.is_on = false;
        drop(inner);
        if self.connection.is_autocommit() {
            return;
        }
        let undone = self
            .connection
            .execute_batch("ROLLBACK TO \"mdbc top\"; RELEASE \"mdbc top\"");
        if let Err(error) = undone {
            tracing::error!(%error, "a transaction could not be rolled back alone");
            self.rollback_group();
        }
    }

    /// Stores how many values sequences have given: what was stored is rolled
    /// back.
    pub(super) fn keep_counters(&mut self) {
        let given: Vec<(u32, i64)> = {
            let counters = self.context.counters();
            let pairs = counters.given.iter();
            pairs.map(|(oid, given)| (*oid, *given)).collect()
        };
        let store = || {
            self.connection.execute_batch("BEGIN IMMEDIATE").plain()?;
            let mut given = given.iter();
            given.try_for_each(|(oid, given)| store::store_given(&self.connection, *oid, *given))
        };
        let stored = store();
        if let Err(error) = self.end(stored) {
            tracing::warn!(%error, "the values that sequences have given are not stored");
            self.context.counters().unstored = given.into_iter().map(|(oid, _)| oid).collect();
        }
    }

    /// Ends a local transaction, well if its work went well; it is over in any
    /// case.
    pub(super) fn end<T>(&self, worked: Result<T>) -> Result<T> {
        let end = if worked.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.connection.execute_batch(end).plain();
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a local transaction could not be rolled back");
        }
        worked.and_then(|value| ended.map(|()| value))
    }

    pub(crate) fn rollback(&mut self) -> Result<()> {
        self.savepoints.clear();
        let mut inner = self.context.lock();
        inner.capture.truncate(0);
        inner.capture.is_on = false;
        drop(inner);
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").plain()
    }

    /// Begins to read a state of the database that does not change; its schema.
    pub(crate) fn take_snapshot(&mut self, known: &Arc<Schema>) -> Result<Arc<Schema>> {
        self.connection.execute_batch("BEGIN DEFERRED").plain()?;
        let version = store::schema_version(&self.connection)?;
        if version == known.version {
            return Ok(Arc::clone(known));
        }
        store::load_shared(&self.connection)
    }
}
