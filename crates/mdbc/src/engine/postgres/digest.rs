//! What a transaction has changed in a PostgreSQL, told by its triggers.
//!
//! Each table's changes are a *delta*: the rows that are gone, and those that
//! are new, as whole rows. Triggers tell the rows of each statement before and
//! after it; what was made and undone within the transaction cancels out. So it
//! does not matter in which order triggers fire, nor in which order rows of
//! unique keys were exchanged: who applies a delta takes out all rows that are
//! gone, and then puts in the new ones. Changes of the schema stand between
//! deltas.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::dice;
use crate::engine::digest::{self, DIGEST_BYTES_MAX, Digest};
use crate::engine::{Access, TableKind};
use crate::error::{Result, SqlError, state};
use crate::partition::Partition;

/// What a transaction is called in the local database and in the log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id([u8; 16]);

impl Id {
    /// An id that no other transaction has.
    pub fn draw() -> Self {
        Self(dice::bytes())
    }

    /// What `PREPARE TRANSACTION` calls it.
    pub fn gid(&self) -> String {
        format!("{GID}{self}")
    }
}

/// How the names of prepared transactions begin.
pub(super) const GID: &str = "mdbc:";

/// As a `uuid` is written.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&at) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A table's schema and name, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    /// The schema.
    pub schema: String,
    /// The table.
    pub relation: String,
}

impl Name {
    /// The name as SQL writes it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.relation))
    }

    /// What is owned with such a table, which may be in a group.
    pub(crate) fn partition(&self, group: Option<&str>) -> Result<Partition> {
        let partition = match group {
            Some(group) => Partition::of_group(group),
            None => Partition::of_table(&self.to_string()),
        };
        partition.map_err(SqlError::refused)
    }
}

/// As [`Access`] and partitions have it.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.relation)
    }
}

/// A name in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in quotes, whatever the settings of the session are.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    format!("E'{escaped}'")
}

/// One change of a PostgreSQL, as it is in a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// The transaction's id; the first change of each digest.
    Id(Id),
    /// The rows of a table are others.
    Delta(Delta),
    /// The schema is another.
    Statement(Statement),
}

/// What has become of the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The table.
    pub table: Name,
    /// Whether all rows that there were are gone.
    pub is_emptied: bool,
    /// Rows that are gone, as texts of the table's row type.
    pub gone: Vec<String>,
    /// Rows that are new.
    pub new: Vec<String>,
}

/// A change of the schema, to be run as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The statement, as PostgreSQL understands it.
    pub text: String,
    /// The settings that it was understood under.
    pub settings: BTreeMap<String, String>,
    /// What tables are that it makes.
    pub kind: TableKind,
    /// What they are owned with.
    pub group: Option<String>,
}

impl Change {
    /// Roughly how much memory it takes, in bytes.
    pub(crate) fn size(&self) -> usize {
        let all = |rows: &[String]| -> usize { rows.iter().map(String::len).sum() };
        match self {
            Self::Id(id) => id.0.len(),
            Self::Delta(delta) => all(&delta.gone).saturating_add(all(&delta.new)),
            Self::Statement(statement) => statement.text.len(),
        }
    }
}

/// A row of what `mdbc_internal.seal` returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// `-` a row before, `+` one after, `t` a table was emptied, `d` the schema
    /// was changed.
    pub kind: String,
    /// The table's schema.
    pub schema: String,
    /// The table's name.
    pub relation: String,
    /// The row, or the statement with its settings.
    pub body: String,
}

/// Makes a digest of what `mdbc_internal.seal` returned, in that order; an empty one
/// where nothing was captured, or all of it cancelled out.
///
/// # Errors
/// Where it is too large, or is none that `mdbc_internal.seal` returns.
pub(super) fn digest(id: Id, rows: Vec<Captured>, default_kind: TableKind) -> Result<Digest> {
    let size: usize = rows.iter().map(|row| row.body.len()).sum();
    if size > DIGEST_BYTES_MAX {
        return Err(SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!("a transaction changes more than {DIGEST_BYTES_MAX} bytes"),
        )
        .with_hint("The transaction had no effect. Split it into several."));
    }
    let mut changes = Vec::new();
    let mut open: BTreeMap<Name, Net> = BTreeMap::new();
    for Captured {
        kind,
        schema,
        relation,
        body,
    } in rows
    {
        let table = Name { schema, relation };
        match kind.as_str() {
            "+" => open.entry(table).or_default().count(body, 1),
            "-" => open.entry(table).or_default().count(body, -1),
            "t" => {
                let emptied = Net {
                    is_emptied: true,
                    ..Net::default()
                };
                open.insert(table, emptied);
            }
            "d" => {
                settle(&mut open, &mut changes)?;
                changes.push(Change::Statement(statement(&body)?));
            }
            other => return Err(SqlError::internal(format!("captured a change {other:?}"))),
        }
    }
    settle(&mut open, &mut changes)?;
    if !changes.is_empty() {
        changes.insert(0, Change::Id(id));
    }
    Ok(Digest {
        changes: changes.into_iter().map(digest::Change::Postgres).collect(),
        default_kind,
        ..Digest::default()
    })
}

/// How often each row was made, less how often it was undone.
#[derive(Debug, Default)]
struct Net {
    is_emptied: bool,
    rows: BTreeMap<String, i64>,
}

impl Net {
    fn count(&mut self, row: String, by: i64) {
        let count = self.rows.entry(row).or_default();
        *count = count.saturating_add(by);
    }
}

/// Turns what is known of tables into changes.
fn settle(open: &mut BTreeMap<Name, Net>, changes: &mut Vec<Change>) -> Result<()> {
    for (table, net) in std::mem::take(open) {
        let mut delta = Delta {
            table,
            is_emptied: net.is_emptied,
            gone: Vec::new(),
            new: Vec::new(),
        };
        for (row, count) in net.rows {
            match count {
                0 => {}
                1 => delta.new.push(row),
                -1 => delta.gone.push(row),
                // A key has one row before and one after.
                _ => return Err(SqlError::internal("a row was captured twice")),
            }
        }
        if delta.is_emptied || !delta.gone.is_empty() || !delta.new.is_empty() {
            changes.push(Change::Delta(delta));
        }
    }
    Ok(())
}

pub(super) fn statement(body: &str) -> Result<Statement> {
    serde_json::from_str(body).map_err(SqlError::internal)
}

/// That every table that a digest changes is owned for writing.
///
/// # Errors
/// With nothing done, where one is not.
pub(super) fn check_owned(digest: &Digest, owned: &Access) -> Result<()> {
    for change in &digest.changes {
        let digest::Change::Postgres(change) = change else {
            continue;
        };
        let is_owned = match change {
            Change::Id(_) => true,
            Change::Delta(delta) => owned.writes.contains(&delta.table.to_string()),
            Change::Statement(_) => owned.is_schema,
        };
        if !is_owned {
            return Err(SqlError::internal(
                "the transaction has changed what it does not own; it had no effect",
            ));
        }
    }
    Ok(())
}
