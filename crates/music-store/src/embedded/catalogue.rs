//! Which tables there are, and what each site knows of them.
//!
//! One catalogue a process, changed under one lock and kept on disk. Each
//! site has a view of it, which is replaced when word of a change arrives: a
//! site that is cut off keeps the view it had. Views only get newer.
//!
//! Numbers of tables grow and are never used again. So a replica can tell a
//! table that was dropped (below the next number of its view, and not in it)
//! from one that it has not heard of yet: writes to the first are ignored,
//! writes to the second are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;
use music_core::id::{ReplicaId, TableId};
use serde::{Deserialize, Serialize};

use super::codec::{self, DecodeError};
use crate::table::SYSTEM_TABLE;
use crate::{Table, TableMode, TableName};

/// All tables at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct View {
    /// Grows with each change.
    version: u64,
    /// The number of the next table.
    next: u64,
    tables: BTreeMap<TableName, Table>,
    /// Dropped, but some replica may hold records of them still.
    purging: BTreeSet<TableId>,
}

impl Default for View {
    fn default() -> Self {
        let next = SYSTEM_TABLE.0.saturating_add(1);
        Self {
            version: 0,
            next,
            tables: BTreeMap::new(),
            purging: BTreeSet::new(),
        }
    }
}

impl View {
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.get(name)
    }

    pub(super) fn table_by_id(&self, id: TableId) -> Option<&Table> {
        self.tables.values().find(|table| table.id == id)
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// The dropped tables whose records may be there still.
    pub(super) fn purging(&self) -> impl Iterator<Item = TableId> {
        self.purging.iter().copied()
    }

    pub(super) fn is_dropped(&self, id: TableId) -> bool {
        id != SYSTEM_TABLE && id.0 < self.next && self.table_by_id(id).is_none()
    }

    pub(super) fn encode(&self) -> Bytes {
        codec::encode(self).into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let view: Self = codec::decode(bytes)?;
        if view.is_consistent() {
            Ok(view)
        } else {
            Err(DecodeError::Damaged)
        }
    }

    /// Whether each table lies under its own name, with a number of its own
    /// that was given out: another number could be given out again.
    fn is_consistent(&self) -> bool {
        let numbers: BTreeSet<TableId> = self.tables().map(|table| table.id).collect();
        let given_out = |id: &TableId| *id != SYSTEM_TABLE && id.0 < self.next;
        numbers.len() == self.tables.len()
            && numbers.iter().chain(&self.purging).all(given_out)
            && numbers.is_disjoint(&self.purging)
            && self.tables.iter().all(|(name, table)| *name == table.name)
    }

    /// This view after a table was created; `None` where it is there.
    pub(super) fn with(&self, name: &TableName, mode: TableMode) -> Option<(Self, Table)> {
        if self.tables.contains_key(name) {
            return None;
        }
        let table = Table {
            id: TableId(self.next),
            name: name.clone(),
            mode,
        };
        let mut view = self.later();
        view.next = self.next.saturating_add(1);
        view.tables.insert(name.clone(), table.clone());
        Some((view, table))
    }

    /// This view after a table was dropped; `None` where it is not there.
    pub(super) fn without(&self, name: &TableName) -> Option<Self> {
        let id = self.tables.get(name)?.id;
        let mut view = self.later();
        view.tables.remove(name);
        view.purging.insert(id);
        Some(view)
    }

    /// This view with nothing left to purge.
    pub(super) fn purged(&self) -> Self {
        Self {
            purging: BTreeSet::new(),
            ..self.later()
        }
    }

    fn later(&self) -> Self {
        Self {
            version: self.version.saturating_add(1),
            ..self.clone()
        }
    }
}

/// What each site knows of the tables.
pub(super) struct Views {
    /// By replica.
    sites: Vec<RwLock<Arc<View>>>,
    /// The catalogue as it is on disk.
    current: Mutex<Arc<View>>,
}

impl Views {
    pub(super) fn new(replicas: u8, view: View) -> Self {
        let view = Arc::new(view);
        let sites = (0..replicas)
            .map(|_| RwLock::new(Arc::clone(&view)))
            .collect();
        Self {
            sites,
            current: Mutex::new(view),
        }
    }

    /// The catalogue as it is on disk.
    pub(super) fn current(&self) -> Arc<View> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what is on disk now.
    pub(super) fn set_current(&self, view: Arc<View>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// What a site knows.
    pub(super) fn of(&self, site: ReplicaId) -> Arc<View> {
        match self.sites.get(usize::from(site.0)) {
            Some(view) => Arc::clone(&view.read().unwrap_or_else(PoisonError::into_inner)),
            None => Arc::default(),
        }
    }

    /// Lets a site know. Returns whether that was news.
    pub(super) fn tell(&self, site: ReplicaId, view: &Arc<View>) -> bool {
        let Some(place) = self.sites.get(usize::from(site.0)) else {
            return false;
        };
        let mut known = place.write().unwrap_or_else(PoisonError::into_inner);
        let news = view.version > known.version;
        if news {
            *known = Arc::clone(view);
        }
        news
    }

    /// Whether that site's replica knows that the table was dropped.
    pub(super) fn is_dropped(&self, site: ReplicaId, table: TableId) -> bool {
        self.sites.get(usize::from(site.0)).is_some_and(|view| {
            view.read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_dropped(table)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TableName {
        TableName::new(name).unwrap()
    }

    #[test]
    fn a_table_created_again_has_another_number() {
        let (view, first) = View::default()
            .with(&name("t"), TableMode::Critical)
            .unwrap();
        assert_eq!(view.with(&name("t"), TableMode::Eventual), None);
        let dropped = view.without(&name("t")).unwrap();
        let (again, second) = dropped.with(&name("t"), TableMode::Eventual).unwrap();
        assert_ne!(first.id, second.id);
        assert!(again.is_dropped(first.id) && !again.is_dropped(second.id));
        assert_eq!(again.purging().collect::<Vec<_>>(), [first.id]);
    }

    #[test]
    fn a_number_not_given_yet_is_not_a_dropped_table() {
        let view = View::default();
        assert!(!view.is_dropped(TableId(7)) && !view.is_dropped(SYSTEM_TABLE));
    }

    #[test]
    fn a_view_that_contradicts_itself_is_refused() {
        let (view, table) = View::default()
            .with(&name("t"), TableMode::Critical)
            .unwrap();
        let moved = BTreeMap::from([(name("u"), table.clone())]);
        let twice = BTreeMap::from([
            (name("t"), table.clone()),
            (
                name("u"),
                Table {
                    name: name("u"),
                    ..table.clone()
                },
            ),
        ]);
        for tables in [moved, twice] {
            let view = View {
                tables,
                ..view.clone()
            };
            assert_eq!(View::decode(&view.encode()), Err(DecodeError::Damaged));
        }
        for (next, purging) in [
            (table.id.0, None),
            (2, Some(table.id)),
            (2, Some(TableId(9))),
        ] {
            let view = View {
                next,
                purging: purging.into_iter().collect(),
                ..view.clone()
            };
            assert_eq!(View::decode(&view.encode()), Err(DecodeError::Damaged));
        }
        let longer = [&view.encode()[..], &[0]].concat();
        assert_eq!(View::decode(&longer), Err(DecodeError::Damaged));
    }

    #[test]
    fn a_view_comes_back_from_disk_and_views_only_get_newer() {
        let (view, _) = View::default()
            .with(&name("t"), TableMode::Critical)
            .unwrap();
        assert_eq!(View::decode(&view.encode()), Ok(view.clone()));
        let views = Views::new(1, view.clone());
        assert!(!views.tell(ReplicaId(0), &Arc::default()));
        assert_eq!(*views.of(ReplicaId(0)), view);
    }
}
