//! When what other sites did was applied here, for transactions that have a
//! snapshot and touch more tables later.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::Access;

/// When each table was changed by another site last.
#[derive(Debug, Default)]
pub(super) struct Moments(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    now: u64,
    schema: u64,
    tables: BTreeMap<String, u64>,
}

impl Moments {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.lock().now
    }

    pub(super) fn note(&self, tables: impl IntoIterator<Item = String>, has_schema: bool) {
        let mut inner = self.lock();
        inner.now = inner.now.saturating_add(1);
        let now = inner.now;
        if has_schema {
            // Names may mean other tables by now: all of them count as changed.
            inner.schema = now;
            inner.tables.clear();
        }
        inner
            .tables
            .extend(tables.into_iter().map(|name| (name, now)));
    }

    pub(super) fn has_changed_since(&self, access: &Access, moment: u64) -> bool {
        let inner = self.lock();
        let mut touched = access.reads.iter().chain(&access.writes);
        inner.schema > moment
            || touched.any(|name| inner.tables.get(name).is_some_and(|at| *at > moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_after_a_moment_is_told() {
        let moments = Moments::default();
        let access = |name: &str| Access {
            reads: [name.to_owned()].into(),
            ..Access::default()
        };
        moments.note(["public.a".to_owned()], false);
        let moment = moments.now();
        assert!(!moments.has_changed_since(&access("public.a"), moment));
        moments.note(["public.a".to_owned()], false);
        assert!(moments.has_changed_since(&access("public.a"), moment));
        assert!(!moments.has_changed_since(&access("public.b"), moment));
        moments.note([], true);
        assert!(moments.has_changed_since(&access("public.b"), moment));
    }
}
