//! What a change of rows touches beside them: the parents that its foreign keys
//! look up, the children that refer to it, and theirs.
//!
//! SQLite looks at parents where a key is new, and at children where one goes:
//! an `UPDATE` that leaves the columns of a key alone looks at neither. Keys that
//! are checked when the transaction is complete are looked at for each row that
//! has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlparser::ast::{Assignment, Expr, Values};

use super::insert::is_default;
use super::{Compiler, parse};
use crate::catalog::schema::{Action, Column, ForeignKey, Table};
use crate::error::Result;
use crate::ranges::plan::{Fact, Operand, Place, TouchId};
use crate::ranges::{is_kin, is_ordered};

/// Changes that one statement may lead to before nothing is told of its ranges.
const REACHED_MAX: usize = 200;

/// A column and what a statement gives it, row by row; none where that is left
/// to its default.
pub(super) type Given<'a> = (&'a str, Vec<Option<&'a Expr>>);

/// How rows of a table change.
#[derive(Debug, Clone)]
pub(super) enum How {
    /// These are new.
    Insert(Option<TouchId>),
    /// These go.
    Delete(Option<TouchId>),
    Update {
        before: Option<TouchId>,
        after: Option<TouchId>,
        /// The columns that may change.
        columns: Vec<String>,
    },
}

/// What a change has led to so far.
#[derive(Debug, Default)]
struct Walk {
    /// The tables on the way from the statement's own.
    path: Vec<String>,
    /// Changes that were followed already: tables, whether rows go, and columns.
    seen: BTreeSet<(String, bool, Vec<String>)>,
    count: usize,
    is_blind: bool,
}

impl How {
    fn key(&self, table: &str) -> (String, bool, Vec<String>) {
        let columns = match self {
            Self::Insert(_) | Self::Delete(_) => Vec::new(),
            Self::Update { columns, .. } => columns.clone(),
        };
        (table.to_owned(), matches!(self, Self::Delete(_)), columns)
    }

    /// The rows as the change leaves them.
    fn after(&self) -> Option<TouchId> {
        match self {
            Self::Insert(after) | Self::Update { after, .. } => *after,
            Self::Delete(_) => None,
        }
    }

    /// Whether a foreign key of the rows is looked up: it may be new.
    fn looks_up(&self, table: &Table, key: &ForeignKey) -> bool {
        match self {
            Self::Insert(_) => true,
            Self::Delete(_) => false,
            Self::Update { columns, .. } => {
                let is_own = key.parent == table.name;
                is_own || key.is_deferred || meets(columns, &key.columns)
            }
        }
    }

    /// The rows whose children are looked at, and what becomes of these.
    fn is_looked_up(&self, table: &Table, child: &Table, key: &ForeignKey) -> Option<Looked> {
        let passive = |touch: &Option<TouchId>| Looked {
            touch: *touch,
            action: Action::Nothing,
            is_update: false,
        };
        match self {
            Self::Insert(after) => Some(passive(after)),
            Self::Delete(before) => Some(Looked {
                action: key.on_delete,
                ..passive(before)
            }),
            Self::Update {
                before, columns, ..
            } => {
                let is_changed = child.name == table.name || meets(columns, &key.parent_columns);
                let action = if is_changed {
                    key.on_update
                } else {
                    Action::Nothing
                };
                (is_changed || key.is_deferred).then(|| Looked {
                    action,
                    is_update: true,
                    ..passive(before)
                })
            }
        }
    }
}

/// Rows whose children are looked at.
struct Looked {
    touch: Option<TouchId>,
    action: Action,
    is_update: bool,
}

fn meets(left: &[String], right: &[String]) -> bool {
    left.iter().any(|name| right.contains(name))
}

impl Compiler<'_> {
    /// Rows of a table are written, and with them those that foreign keys reach.
    pub(super) fn writes(&self, table: &Table, how: &How) {
        let mut walk = Walk::default();
        self.reach(table, how, &mut walk);
        if walk.is_blind {
            self.ranges.borrow_mut().blind();
        }
    }

    fn reach(&self, table: &Table, how: &How, walk: &mut Walk) {
        self.access.borrow_mut().writes.insert(table.name.clone());
        walk.count += 1;
        walk.is_blind |= walk.count > REACHED_MAX;
        let is_told = self.schema().has_ranges() && !walk.is_blind;
        if !walk.seen.insert(how.key(&table.name)) && !is_told {
            return;
        }
        for key in &table.foreign_keys {
            if how.looks_up(table, key) {
                self.reads(&key.parent);
                let parent = self.touch(&key.parent, false);
                self.carry((how.after(), &key.columns), (parent, &key.parent_columns));
            }
        }
        walk.path.push(table.name.clone());
        for (child, key) in self.schema().children(&table.name) {
            if let Some(looked) = how.is_looked_up(table, child, key) {
                self.reach_child(child, key, &looked, walk);
            }
        }
        walk.path.pop();
    }

    fn reach_child(&self, child: &Arc<Table>, key: &ForeignKey, looked: &Looked, walk: &mut Walk) {
        let is_passive = matches!(looked.action, Action::Nothing | Action::Restrict);
        let before = self.touch(&child.name, !is_passive);
        let parent = self.schema().table(&key.parent);
        let is_told = |parent: &Arc<Table>| {
            let mut columns = key.parent_columns.iter();
            columns.all(|column| parent.key().contains(column))
        };
        if key.is_deferred && looked.is_update && !parent.is_some_and(is_told) {
            // Which values the row had is not told: all children are looked at,
            // and their parents.
            self.touch(&key.parent, false);
            self.reads(&key.parent);
        } else {
            self.carry((looked.touch, &key.parent_columns), (before, &key.columns));
        }
        if is_passive {
            self.reads(&child.name);
            return;
        }
        if walk.path.contains(&child.name) {
            // Rows of rows of it, and so on: what is known of the first is not
            // of the last.
            walk.is_blind = true;
        }
        let how = if looked.action == Action::Cascade && !looked.is_update {
            How::Delete(before)
        } else {
            let columns = key.columns.clone();
            let after = self.after_update(child, before, &columns);
            How::Update {
                before,
                after,
                columns,
            }
        };
        self.reach(child, &how, walk);
    }

    /// The rows that an update makes of others: the columns that it leaves alone
    /// are as they were.
    pub(super) fn after_update(
        &self,
        table: &Table,
        before: Option<TouchId>,
        changed: &[String],
    ) -> Option<TouchId> {
        let (before, after) = (before?, self.touch(&table.name, true)?);
        let is_kept = |column: &&Column| !changed.contains(&column.name) && is_ordered(column.ty);
        for column in table.columns.iter().filter(is_kept) {
            let column = column.number;
            let of = |touch| Place { touch, column };
            self.note(Fact::Same {
                from: of(before),
                to: of(after),
            });
        }
        Some(after)
    }

    /// The rows that an insert updates where its own are there already: those
    /// have the same value in the column of the ranges, since each unique key has
    /// that column.
    pub(super) fn writes_instead(
        &self,
        table: &Table,
        touch: Option<TouchId>,
        assignments: &[Assignment],
    ) -> Result<()> {
        let before = self.touch(&table.name, true);
        if let (Some(own), Some(before), Some(column)) = (touch, before, table.range_column()) {
            let column = column.number;
            let place = |touch| Place { touch, column };
            self.note(Fact::Same {
                from: place(own),
                to: place(before),
            });
        }
        self.writes_update(table, before, assignments)
    }

    /// What a statement gives columns of new rows, or of rows that it updates.
    pub(super) fn note_given(&self, table: &Table, touch: Option<TouchId>, given: &[Given<'_>]) {
        let Some(touch) = touch else { return };
        for (name, values) in given {
            let Some(column) = table.column(name) else {
                continue;
            };
            let operand = |value: Option<&Expr>| match value {
                // Drawn from a sequence, whatever is given.
                _ if column.identity.is_some() => None,
                Some(value) if !is_default(value) => self.given(value, column),
                _ => self.default_operand(column),
            };
            let operands: Option<Vec<Operand>> = values.iter().copied().map(operand).collect();
            if let Some(operands) = operands {
                let column = column.number;
                self.note(Fact::OneOf(Place { touch, column }, operands));
            }
        }
    }

    /// What `COPY` gives columns of new rows: a parameter each.
    pub(super) fn note_copied(&self, table: &Table, touch: Option<TouchId>, given: &[&Column]) {
        let Some(touch) = touch else { return };
        for column in &table.columns {
            let at = given.iter().position(|other| other.number == column.number);
            let operand = match at {
                _ if !is_ordered(column.ty) => None,
                Some(at) if column.modifier < 0 => Some(Operand::Parameter(at, column.ty)),
                Some(_) => None,
                None if column.identity.is_some() => None,
                None => self.default_operand(column),
            };
            if let Some(operand) = operand {
                let column = column.number;
                self.note(Fact::OneOf(Place { touch, column }, vec![operand]));
            }
        }
    }

    fn default_operand(&self, column: &Column) -> Option<Operand> {
        match &column.default {
            _ if column.generated.is_some() => None,
            None => Some(Operand::Null),
            Some(default) => self.given(&parse::expression(default).ok()?, column),
        }
    }

    /// Rows refer to others by these columns: the others have the same values.
    fn carry(
        &self,
        (from, columns): (Option<TouchId>, &[String]),
        (to, other): (Option<TouchId>, &[String]),
    ) {
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        for (own, other) in columns.iter().zip(other) {
            let fact = {
                let ranges = self.ranges.borrow();
                let own = ranges.table(from).and_then(|table| table.column(own));
                let other = ranges.table(to).and_then(|table| table.column(other));
                own.zip(other)
                    .filter(|(own, other)| is_kin(own.ty, other.ty))
                    .map(|(own, other)| {
                        let place = |touch, column| Place { touch, column };
                        Fact::Same {
                            from: place(from, own.number),
                            to: place(to, other.number),
                        }
                    })
            };
            if let Some(fact) = fact {
                self.note(fact);
            }
        }
    }
}

/// What each column gets in each row of a `VALUES`.
pub(super) fn given_rows<'a>(
    table: &'a Table,
    columns: &[&Column],
    values: &'a Values,
) -> Vec<Given<'a>> {
    let of = |column: &'a Column| {
        let at = columns
            .iter()
            .position(|other| other.number == column.number);
        let rows = values.rows.iter();
        let given = rows.map(|row| at.and_then(|at| row.content.get(at)));
        (column.name.as_str(), given.collect())
    };
    table.columns.iter().map(of).collect()
}
