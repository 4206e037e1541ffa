//! How fresh the strong tables are that a transaction reads: the latest of all
//! sites, or, where the session asks with `SET music.read = 'local'`, as this
//! site has them.

use std::time::Duration;

use super::Session;
use super::transaction::changed_meanwhile;
use crate::catalog::schema::{Relation, TableKind};
use crate::engine::Access;
use crate::error::{Result, SqlError, state};

/// How long a transaction waits for its first strong tables that has written
/// eventual ones.
const BEHIND_A_WRITE: Duration = Duration::from_secs(2);

/// What a transaction has read of strong tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Nothing yet.
    #[default]
    Open,
    /// The latest.
    Latest,
    /// What there was.
    Local,
}

impl Session {
    /// Whether a statement reads strong tables as this site has them, so that
    /// nobody is asked.
    pub(super) fn reads_locally(&mut self, access: &Access) -> Result<bool> {
        if !self.touches_strong(access) {
            return Ok(false);
        }
        let wanted = self.state.settings.get("music.read").map(String::as_str);
        let is_local = wanted == Some("local") && !access.is_write();
        match (self.freshness, is_local) {
            (Freshness::Open, true) => {
                self.freshness = Freshness::Local;
                let age = self.age();
                let message = format!("strong tables are read as this site has them, {age}");
                self.notices
                    .push(SqlError::new(state::SUCCESSFUL_COMPLETION, message));
                Ok(true)
            }
            (Freshness::Local, true) => Ok(true),
            (Freshness::Local, false) => Err(SqlError::new(
                state::READ_ONLY_SQL_TRANSACTION,
                "the transaction has read strong tables as this site has them, and can only go on \
                 so",
            )
            .with_hint("Set music.read to latest before a transaction that needs the latest.")),
            (Freshness::Open | Freshness::Latest, _) => Ok(false),
        }
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

    /// The age of strong tables, in words.
    pub(super) fn age(&self) -> String {
        match self.shared.replication.age() {
            Some(age) => format!("{:.1} s old at most", age.as_secs_f64()),
            None => "of unknown age".to_owned(),
        }
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
