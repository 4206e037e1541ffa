//! How fresh the strong tables are that the session's transaction reads.

use std::time::Duration;

use super::Session;
use super::transaction::changed_meanwhile;
use crate::catalog::schema::{Relation, TableKind};
use crate::engine::Access;
use crate::error::{Result, SqlError, state};
use crate::freshness::{self, Freshness};

/// How long a transaction waits for its first strong tables that has written
/// eventual ones.
const BEHIND_A_WRITE: Duration = Duration::from_secs(2);

impl Session {
    /// Whether a statement reads strong tables as this site has them, so that
    /// nobody is asked.
    pub(super) fn reads_locally(&mut self, access: &Access) -> Result<bool> {
        if !self.touches_strong(access) {
            return Ok(false);
        }
        let wanted = self.state.settings.get("music.read").map(String::as_str);
        let is_local = wanted == Some("local") && !access.is_write();
        let next = self.freshness.of_next(is_local)?;
        if next == Freshness::Local && self.freshness == Freshness::Open {
            let age = self.shared.replication.age();
            self.notices.push(freshness::notice(age));
        }
        if next == Freshness::Local {
            self.freshness = next;
        }
        Ok(next == Freshness::Local)
    }

    /// How long a transaction waits for strong tables, and fails, that has written
    /// others before: what must be caught up waits for it in turn.
    pub(super) fn ownership_limit(&self) -> Option<(Duration, SqlError)> {
        let is_in_the_way = self.writing.is_some() && self.freshness == Freshness::Open;
        is_in_the_way.then(|| {
            let error = SqlError::new(
                state::SERIALIZATION_FAILURE,
                "could not serialize access: strong tables have changed since the transaction \
                 began to write",
            )
            .with_hint("The transaction had no effect. Try it again; touch strong tables first.");
            (BEHIND_A_WRITE, error)
        })
    }

    /// Notes that a statement has what it needs of the latest. A snapshot that
    /// was taken before may lack some of it.
    pub(super) fn note_latest(&mut self, access: &Access) -> Result<()> {
        if !self.touches_strong(access) || self.freshness == Freshness::Latest {
            return Ok(());
        }
        self.freshness = Freshness::Latest;
        let Some(snapshot) = self.snapshot else {
            return Ok(());
        };
        let strong = |name: &String| match self.schema.get(name) {
            Some(Relation::Table(table)) => (table.kind == TableKind::Strong).then_some(table.oid),
            _ => None,
        };
        let names = access.reads.iter().chain(&access.writes);
        let strong = names.filter_map(strong).collect();
        if self.shared.database.is_changed(snapshot, &strong) {
            return Err(changed_meanwhile());
        }
        Ok(())
    }

    fn touches_strong(&self, access: &Access) -> bool {
        let is_strong = |name: &String| match self.schema.get(name) {
            Some(Relation::Table(table)) => table.kind == TableKind::Strong,
            Some(_) => false,
            // It is being made.
            None => true,
        };
        access.is_schema || access.reads.iter().chain(&access.writes).any(is_strong)
    }
}
