//! Which tables were changed lately: whether a snapshot is still the latest of
//! what a transaction has read in it.

use std::collections::{BTreeSet, VecDeque};

use crate::engine::Rows;
use crate::engine::digest::{Change, Digest};

/// Commits that are remembered. A snapshot that is older than these is taken for
/// one that others have changed.
const COMMITS_MAX: usize = 1024;

/// Tables by their object ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Whatever there is: the schema is another.
    All,
    /// These alone.
    These(BTreeSet<u32>),
}

impl Default for Tables {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Tables {
    /// The tables whose rows a transaction has changed.
    pub(crate) fn of(digest: &Digest) -> Self {
        let is_schema = |change: &Change| matches!(change, Change::Schema(_));
        if digest.changes.iter().any(is_schema) {
            return Self::All;
        }
        let changed = digest.changes.iter().filter_map(Change::table);
        Self::These(changed.collect()).and(&Self::of_rows(&digest.rows))
    }

    /// The tables that some rows are of.
    pub(crate) fn of_rows(rows: &Rows) -> Self {
        Self::These(rows.rows.iter().map(|row| row.table).collect())
    }

    /// These and others.
    pub(crate) fn and(self, more: &Self) -> Self {
        match (self, more) {
            (Self::These(mut tables), Self::These(more)) => {
                tables.extend(more);
                Self::These(tables)
            }
            _ => Self::All,
        }
    }

    /// Whether one of them is among those, or all are.
    pub(crate) fn meets(&self, others: &BTreeSet<u32>) -> bool {
        match self {
            Self::All => true,
            Self::These(tables) => !tables.is_disjoint(others),
        }
    }
}

/// What was committed lately.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// How many commits there were.
    count: u64,
    /// What the last of them have changed, the latest first.
    latest: VecDeque<Tables>,
}

impl History {
    /// How many commits there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// There was one more.
    pub(crate) fn note(&mut self, tables: Tables) {
        self.count += 1;
        self.latest.truncate(COMMITS_MAX - 1);
        self.latest.push_front(tables);
    }

    /// Whether one of these tables may have been changed since there were so
    /// many commits.
    pub(crate) fn is_changed(&self, since: u64, tables: &BTreeSet<u32>) -> bool {
        let later = usize::try_from(self.count.saturating_sub(since)).unwrap_or(usize::MAX);
        let mut known = self.latest.iter().take(later);
        later > self.latest.len() || known.any(|changed| changed.meets(tables))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn these(tables: &[u32]) -> BTreeSet<u32> {
        tables.iter().copied().collect()
    }

    #[test]
    fn a_snapshot_is_old_where_what_was_read_has_changed_since() {
        let mut history = History::default();
        history.note(Tables::These(these(&[1, 2])));
        let since = history.count();
        assert!(!history.is_changed(since, &these(&[1, 2])), "it has these");
        history.note(Tables::These(these(&[3])));
        assert!(!history.is_changed(since, &these(&[1, 2])));
        assert!(history.is_changed(since, &these(&[2, 3])));
        assert!(!history.is_changed(since, &these(&[])));
        history.note(Tables::All);
        assert!(
            history.is_changed(since, &these(&[])),
            "the schema is another"
        );
    }

    #[test]
    fn what_is_forgotten_may_have_changed_anything() {
        let mut history = History::default();
        for _ in 0..COMMITS_MAX {
            history.note(Tables::These(these(&[3])));
        }
        assert!(!history.is_changed(0, &these(&[1])));
        history.note(Tables::These(these(&[3])));
        assert!(history.is_changed(0, &these(&[1])));
        assert!(!history.is_changed(1, &these(&[1])));
    }
}
