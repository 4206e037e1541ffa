//! What the database consists of: tables, views, sequences.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ranges::Owned;
use crate::types::SqlType;

/// How a table is kept the same at all sites.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// Transactions on it are strictly serializable across sites.
    #[default]
    Strong,
    /// A commit is visible at other sites later; the last writer of a row wins.
    Eventual,
    /// At this site only.
    Local,
}

impl TableKind {
    /// The kind as `WITH (music = '…')` writes it; none for another word.
    pub fn named(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "strong" => Some(Self::Strong),
            "eventual" => Some(Self::Eventual),
            "local" => Some(Self::Local),
            _ => None,
        }
    }

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strong => "strong",
            Self::Eventual => "eventual",
            Self::Local => "local",
        }
    }
}

/// A table, a view or a sequence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Relation {
    Table(Arc<Table>),
    View(Arc<View>),
    Sequence(Arc<Sequence>),
}

impl Relation {
    pub(crate) fn oid(&self) -> u32 {
        match self {
            Self::Table(table) => table.oid,
            Self::View(view) => view.oid,
            Self::Sequence(sequence) => sequence.oid,
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Table(table) => &table.name,
            Self::View(view) => &view.name,
            Self::Sequence(sequence) => &sequence.name,
        }
    }

    /// What it is called in messages.
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(_) => "view",
            Self::Sequence(_) => "sequence",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) kind: TableKind,
    /// What of it is owned as one; fixed when it is made.
    #[serde(default)]
    pub(crate) owned: Owned,
    pub(crate) columns: Vec<Column>,
    /// The number that the next column gets: numbers are never used again.
    pub(crate) next_column: i16,
    pub(crate) primary_key: Option<PrimaryKey>,
    pub(crate) indexes: Vec<Index>,
    pub(crate) checks: Vec<Check>,
    pub(crate) foreign_keys: Vec<ForeignKey>,
    pub(crate) comment: Option<String>,
}

impl Table {
    pub(crate) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    pub(crate) fn column_at(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// The column by whose values its rows are owned apart.
    pub(crate) fn range_column(&self) -> Option<&Column> {
        self.column_at(self.owned.ranges.as_ref()?.column)
    }

    /// The names of the primary key's columns; none where there is no key.
    pub(crate) fn key(&self) -> &[String] {
        self.primary_key.as_ref().map_or(&[], |key| &key.columns)
    }

    /// The names of all constraints and indexes.
    pub(crate) fn constraint_names(&self) -> impl Iterator<Item = &str> {
        let key = self.primary_key.iter().map(|key| key.name.as_str());
        key.chain(self.indexes.iter().map(|index| index.name.as_str()))
            .chain(self.checks.iter().map(|check| check.name.as_str()))
            .chain(self.foreign_keys.iter().map(|key| key.name.as_str()))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Column {
    /// From 1, as `attnum` in PostgreSQL.
    pub(crate) number: i16,
    pub(crate) name: String,
    pub(crate) ty: SqlType,
    /// PostgreSQL's type modifier; -1 for none.
    pub(crate) modifier: i32,
    pub(crate) is_not_null: bool,
    /// An expression as PostgreSQL writes it.
    pub(crate) default: Option<String>,
    pub(crate) identity: Option<Identity>,
    /// The expression of a generated column.
    pub(crate) generated: Option<String>,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Identity {
    Always,
    ByDefault,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PrimaryKey {
    pub(crate) oid: u32,
    /// The object id of its index.
    pub(crate) index_oid: u32,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) parts: Vec<IndexPart>,
    pub(crate) is_unique: bool,
    /// The object id of the constraint that it enforces.
    pub(crate) constraint: Option<u32>,
    /// The condition of a partial index.
    pub(crate) predicate: Option<String>,
}

impl Index {
    /// The names of its columns, where it has no expressions.
    pub(crate) fn columns(&self) -> Option<Vec<&str>> {
        let columns = self.parts.iter().map(|part| part.column.as_deref());
        columns.collect()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IndexPart {
    /// The name of a plain column.
    pub(crate) column: Option<String>,
    /// The expression, for a column its name as SQL writes it.
    pub(crate) expression: String,
    pub(crate) is_descending: bool,
    pub(crate) is_nulls_first: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) expression: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ForeignKey {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
    pub(crate) parent: String,
    pub(crate) parent_columns: Vec<String>,
    pub(crate) on_delete: Action,
    pub(crate) on_update: Action,
    pub(crate) is_deferrable: bool,
    pub(crate) is_deferred: bool,
}

/// What becomes of rows whose parent goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Action {
    Nothing,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

impl Action {
    pub(crate) const fn sql(self) -> &'static str {
        match self {
            Self::Nothing => "NO ACTION",
            Self::Restrict => "RESTRICT",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }

    /// The letter in `pg_constraint`.
    pub(crate) const fn letter(self) -> &'static str {
        match self {
            Self::Nothing => "a",
            Self::Restrict => "r",
            Self::Cascade => "c",
            Self::SetNull => "n",
            Self::SetDefault => "d",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct View {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) query: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) oid: u32,
    pub(crate) name: String,
    pub(crate) ty: SqlType,
    /// No value is below it.
    pub(crate) start: i64,
    /// No value is above it.
    pub(crate) most: i64,
    /// The table and column whose sequence it is.
    pub(crate) owner: Option<(String, String)>,
    /// Whether it belongs to an identity column rather than a serial one.
    pub(crate) is_identity: bool,
}

/// All relations, as one transaction sees them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    /// Another number for another schema.
    pub(crate) version: i64,
    relations: BTreeMap<String, Relation>,
    has_ranges: bool,
}

impl Schema {
    pub(crate) fn new(version: i64, relations: impl IntoIterator<Item = Relation>) -> Self {
        let relations: BTreeMap<String, Relation> = relations
            .into_iter()
            .map(|relation| (relation.name().to_owned(), relation))
            .collect();
        let has_ranges = relations.values().any(|relation| match relation {
            Relation::Table(table) => table.owned.ranges.is_some(),
            Relation::View(_) | Relation::Sequence(_) => false,
        });
        Self {
            version,
            relations,
            has_ranges,
        }
    }

    /// Whether any table has ranges.
    pub(crate) fn has_ranges(&self) -> bool {
        self.has_ranges
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Relation> {
        self.relations.get(name)
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Arc<Table>> {
        match self.relations.get(name) {
            Some(Relation::Table(table)) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.relations.values()
    }

    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.relations
            .values()
            .filter_map(|relation| match relation {
                Relation::Table(table) => Some(table),
                _ => None,
            })
    }

    /// The foreign keys that refer to a table, with the tables that have them.
    pub(crate) fn children<'a>(
        &'a self,
        parent: &'a str,
    ) -> impl Iterator<Item = (&'a Arc<Table>, &'a ForeignKey)> {
        self.tables().flat_map(move |table| {
            let keys = table.foreign_keys.iter();
            keys.filter(move |key| key.parent == parent)
                .map(move |key| (table, key))
        })
    }

    /// The table that has an index or a constraint of that name.
    pub(crate) fn owner_of(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables()
            .find(|table| table.constraint_names().any(|own| own == name))
    }

    /// The table that has an index of that name.
    pub(crate) fn table_of_index(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables().find(|table| {
            let is_key = table
                .primary_key
                .as_ref()
                .is_some_and(|key| key.name == name);
            is_key || table.indexes.iter().any(|index| index.name == name)
        })
    }
}
