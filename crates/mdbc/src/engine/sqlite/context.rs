//! What functions in SQLite know of the statement that calls them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalog::schema::Schema;
use crate::engine::digest::{Change, DIGEST_BYTES_MAX};
use crate::error::{Result, SqlError, state};
use crate::status::Board;
use crate::types::Look;

use super::localise::skipped;

/// What belongs to a session, and goes where its statements run.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionState {
    pub(crate) look: Look,
    /// When the transaction began, as a stored `timestamptz`.
    pub(crate) now: i64,
    /// When the statement began.
    pub(crate) statement: i64,
    pub(crate) transaction: u64,
    pub(crate) pid: i32,
    pub(crate) settings: BTreeMap<String, String>,
    /// Settings that a statement has asked for: name, value, for how long.
    pub(crate) wanted: Vec<(String, String, bool)>,
    /// The values that the session drew last from each sequence.
    pub(crate) drawn: HashMap<u32, i64>,
    pub(crate) last_drawn: Option<u32>,
}

/// The values of sequences at this site.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// How many values each sequence has given.
    pub(crate) given: HashMap<u32, i64>,
    /// Sequences whose number is not stored yet.
    pub(crate) unstored: Vec<u32>,
    /// The distance of values of one site.
    pub(crate) stride: i64,
    /// The number of this site, from 1.
    pub(crate) site: i64,
}

impl Counters {
    /// The next value: `n * stride + site` for the first n that is free.
    pub(crate) fn next(&mut self, oid: u32, start: i64, most: i64, name: &str) -> Result<i64> {
        let least = (start - self.site).max(0);
        let first = least / self.stride + i64::from(least % self.stride != 0);
        let count = self.given.get(&oid).copied().unwrap_or(0).max(first);
        let value = count
            .checked_mul(self.stride)
            .and_then(|value| value.checked_add(self.site))
            .filter(|value| *value <= most);
        let Some(value) = value else {
            return Err(SqlError::new(
                state::OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("nextval: reached maximum value of sequence \"{name}\" ({most})"),
            ));
        };
        self.given.insert(oid, count + 1);
        self.unstored.push(oid);
        Ok(value)
    }

    /// Makes the next value the first of this site above `value`, or that itself.
    pub(crate) fn set(&mut self, oid: u32, value: i64, is_called: bool) {
        let least = value - self.site + i64::from(is_called);
        let count = least.max(0) / self.stride + i64::from(least.max(0) % self.stride != 0);
        self.given.insert(oid, count);
        self.unstored.push(oid);
    }

    /// Notes a value that is in a row: where this site has given it, in a
    /// transaction that was lost here and is in the log, it is not given again.
    pub(crate) fn note_used(&mut self, oid: u32, value: i64) {
        let above = value.saturating_sub(self.site);
        if above < 0 || above % self.stride != 0 {
            return;
        }
        let count = (above / self.stride).saturating_add(1);
        let given = self.given.entry(oid).or_default();
        if *given < count {
            *given = count;
            self.unstored.push(oid);
        }
    }

    /// Makes sure that no value is given again of those that this site has said it
    /// has given. `values` tells how many a sequence has at a site.
    pub(crate) fn outrun(&mut self, said: &BTreeMap<u32, i64>, values: impl Fn(u32) -> i64) {
        for (oid, said) in said {
            let given = self.given.entry(*oid).or_default();
            if *given < *said {
                *given = said.saturating_add(skipped(*said, values(*oid)));
                self.unstored.push(*oid);
            }
        }
    }

    /// The value given last, or the first one.
    pub(crate) fn last(&self, oid: u32) -> i64 {
        let count = self.given.get(&oid).copied().unwrap_or(1).max(1);
        (count - 1) * self.stride + self.site
    }
}

/// The changes of the transaction that is open.
#[derive(Debug, Default)]
pub(crate) struct Capture {
    pub(crate) is_on: bool,
    pub(crate) changes: Vec<Change>,
    bytes: usize,
}

impl Capture {
    pub(crate) fn push(&mut self, change: Change) -> Result<()> {
        self.bytes = self.bytes.saturating_add(change.size());
        if self.bytes > DIGEST_BYTES_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("a transaction changes more than {DIGEST_BYTES_MAX} bytes"),
            )
            .with_hint("Split it into several transactions."));
        }
        self.changes.push(change);
        Ok(())
    }

    /// Forgets what came after the first `count` changes.
    pub(crate) fn truncate(&mut self, count: usize) {
        self.changes.truncate(count);
        self.bytes = self.changes.iter().map(Change::size).sum();
    }
}

/// What the functions of one connection share.
#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) session: SessionState,
    pub(crate) schema: Arc<Schema>,
    pub(crate) capture: Capture,
    pub(crate) started: i64,
}

/// [`Inner`], shared with the functions.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    inner: Arc<Mutex<Inner>>,
    pub(crate) counters: Arc<Mutex<Counters>>,
    pub(crate) board: Board,
}

impl Context {
    pub(crate) fn new(counters: Arc<Mutex<Counters>>, board: Board) -> Self {
        let inner = Arc::default();
        Self {
            inner,
            counters,
            board,
        }
    }

    /// A thread that panicked leaves nothing half done: statements that fail
    /// are rolled back.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(site: i64, stride: i64) -> Counters {
        Counters {
            stride,
            site,
            ..Counters::default()
        }
    }

    #[test]
    fn sites_never_draw_the_same_value() {
        let mut sites: Vec<Counters> = (1..=3).map(|site| counters(site, 3)).collect();
        let mut drawn = Vec::new();
        for _ in 0..10 {
            for site in &mut sites {
                drawn.push(site.next(1, 1, 1000, "s").unwrap());
            }
        }
        let mut unique = drawn.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique, (1..=30).collect::<Vec<_>>());
    }

    #[test]
    fn values_of_this_site_that_rows_have_are_not_given_again() {
        let mut counters = counters(2, 16);
        for value in [18, 34, 33, 2, -14, i64::MIN, i64::MAX] {
            counters.note_used(1, value);
        }
        assert_eq!(counters.next(1, 1, 1000, "s").unwrap(), 50);
        assert_eq!(counters.unstored, [1, 1, 1]);
    }

    #[test]
    fn values_are_left_out_that_were_given_though_the_file_does_not_know() {
        let mut counters = counters(2, 16);
        counters.given = [(1, 8), (2, 9)].into();
        counters.outrun(&[(1, 8), (2, 10), (3, 5)].into(), |_| 10_000);
        assert_eq!(counters.given, [(1, 8), (2, 109), (3, 104)].into());
        assert_eq!(counters.unstored, [2, 3]);
    }

    #[test]
    fn a_sequence_starts_where_it_is_told_and_ends() {
        let mut one = counters(1, 1);
        assert_eq!(one.next(1, 5, 6, "s").unwrap(), 5);
        assert_eq!(one.next(1, 5, 6, "s").unwrap(), 6);
        assert_eq!(one.next(1, 5, 6, "s").unwrap_err().state.code(), "55000");
        let mut two = counters(2, 16);
        assert_eq!(two.next(1, 5, 100, "s").unwrap(), 18);
        two.set(1, 40, true);
        assert_eq!(two.next(1, 1, 100, "s").unwrap(), 50);
        assert_eq!(two.last(1), 50);
    }
}
