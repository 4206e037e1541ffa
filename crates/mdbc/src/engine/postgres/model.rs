//! What tables, views and functions there are, and what touching one touches.
//!
//! PostgreSQL runs statements as they stand, so which tables one touches is told
//! before it runs: those that it names, and what they bring along. *Fail
//! closed*: where a trigger or function of a user takes part, that is everything.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Name;
use crate::engine::{Access, TableKind};

/// The schema as this site has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Another number for another schema; none is used again.
    pub version: u64,
    pub(super) tables: BTreeMap<Name, Table>,
    pub(super) views: BTreeMap<Name, View>,
    /// Names of functions that touch no table, whatever their arguments are.
    pub(super) safe: BTreeSet<String>,
    /// Names of functions that may touch tables: all that are not safe.
    pub(super) opaque: BTreeSet<String>,
    /// Whether an operator or a cast calls a function that may touch tables.
    pub(super) has_opaque_operators: bool,
}

/// A table of the user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its object id at this site.
    pub oid: u32,
    /// How it is kept the same at all sites.
    pub kind: TableKind,
    /// The tables that it is owned with.
    pub group: Option<String>,
    /// Whether writing it runs what a user wrote: triggers, or functions in
    /// defaults and constraints.
    pub is_opaque: bool,
    /// Tables that its foreign keys point to.
    pub parents: BTreeSet<Name>,
    /// Tables whose foreign keys point to it, and whether they are written
    /// where a row that they point to goes or gets another key.
    pub children: BTreeMap<Name, bool>,
}

/// A view of the user's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// Tables and views that it reads.
    pub reads: BTreeSet<Name>,
    /// Whether reading or writing it runs what a user wrote.
    pub is_opaque: bool,
}

/// What a statement names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Touch {
    /// Tables and views that it reads.
    pub reads: BTreeSet<Name>,
    /// Those that it inserts into, and changes in no other way.
    pub inserts: BTreeSet<Name>,
    /// Those that it updates, deletes from, empties, or whose rows it locks.
    pub writes: BTreeSet<Name>,
    /// Whether it calls something that may touch any table.
    pub is_opaque: bool,
}

/// Somebody named a table that is not here: it was made at another site, or it
/// is of the system, or it is nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no table {0} here")]
pub struct Unknown(pub Name);

impl Model {
    /// A table, by its exact name.
    pub fn table(&self, name: &Name) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether there is a table or view of the user's with this name.
    pub fn has(&self, name: &Name) -> bool {
        self.tables.contains_key(name) || self.views.contains_key(name)
    }

    /// All tables and views with this name, whatever their schemas are.
    pub fn named<'m>(&'m self, relation: &'m str) -> impl Iterator<Item = &'m Name> {
        let names = self.tables.keys().chain(self.views.keys());
        names.filter(move |name| name.relation == relation)
    }

    /// Whether a function with this name may touch tables.
    pub fn is_opaque_function(&self, name: &str) -> bool {
        self.opaque.contains(name)
    }

    /// The table or view that an unqualified name means, where schemas are
    /// looked through in this order.
    pub fn find(&self, relation: &str, search_path: &[String]) -> Option<Name> {
        let named = |schema: &String| Name {
            schema: schema.clone(),
            relation: relation.to_owned(),
        };
        search_path.iter().map(named).find(|name| self.has(name))
    }

    /// The names of the tables with their kinds, in their order.
    pub fn tables(&self) -> impl Iterator<Item = (&Name, TableKind)> {
        self.tables.iter().map(|(name, table)| (name, table.kind))
    }

    /// Whether all functions with this name touch no table: those of the system
    /// but for a few, and those in C of known extensions.
    pub fn is_safe_function(&self, name: &str) -> bool {
        self.safe.contains(name)
    }

    /// All that a statement touches, beside what it names: what views read, what
    /// foreign keys look at and cascade to.
    ///
    /// # Errors
    /// [`Unknown`], where it names a table that is not here.
    pub fn closure(&self, touch: &Touch) -> Result<Access, Unknown> {
        let mut open = Closure {
            model: self,
            access: Access::default(),
            is_opaque: touch.is_opaque || self.has_opaque_operators,
        };
        for name in &touch.reads {
            open.read(name)?;
        }
        for name in &touch.inserts {
            open.write(name, false)?;
        }
        for name in &touch.writes {
            open.write(name, true)?;
        }
        if open.is_opaque {
            return Ok(self.everything());
        }
        Ok(open.access)
    }

    /// All strong tables, for writing.
    pub fn everything(&self) -> Access {
        let strong = self.tables().filter(|(_, kind)| *kind == TableKind::Strong);
        let writes = strong.map(|(name, _)| name.to_string()).collect();
        Access {
            writes,
            ..Access::default()
        }
    }
}

/// What is touched, as far as it is known.
struct Closure<'m> {
    model: &'m Model,
    access: Access,
    is_opaque: bool,
}

impl Closure<'_> {
    fn read(&mut self, name: &Name) -> Result<(), Unknown> {
        if let Some(view) = self.model.views.get(name) {
            self.is_opaque |= view.is_opaque;
            return view.reads.iter().try_for_each(|name| self.read(name));
        }
        if !self.model.tables.contains_key(name) {
            return Err(Unknown(name.clone()));
        }
        self.access.reads.insert(name.to_string());
        Ok(())
    }

    /// `is_change` where rows that are there may go or get another key.
    fn write(&mut self, name: &Name, is_change: bool) -> Result<(), Unknown> {
        let model = self.model;
        if let Some(view) = model.views.get(name) {
            self.is_opaque |= view.is_opaque;
            let mut reads = view.reads.iter();
            return reads.try_for_each(|name| self.write(name, is_change));
        }
        let Some(table) = model.tables.get(name) else {
            return Err(Unknown(name.clone()));
        };
        self.is_opaque |= table.is_opaque;
        self.access.writes.insert(name.to_string());
        for parent in &table.parents {
            self.access.reads.insert(parent.to_string());
        }
        for (child, is_written) in table.children.iter().filter(|_| is_change) {
            if *is_written && !self.access.writes.contains(&child.to_string()) {
                self.write(child, true)?;
            } else {
                self.access.reads.insert(child.to_string());
            }
        }
        Ok(())
    }
}
