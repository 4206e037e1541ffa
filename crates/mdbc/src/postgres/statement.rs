//! What a statement is, told by its words: who runs it, and what it may touch.
//!
//! A table is touched only where its name, that of a view or that of a function
//! is in the text, so that the names in it are all that can be touched: no
//! grammar is needed for it. Which tables are *written* is told by the words
//! before their names; what this should miss is found at the commit, where no
//! table is changed that is not owned.

use std::collections::BTreeSet;

use super::words::{Kind as WordKind, Word, has_outside, words};
use super::{refused, schema};
use crate::engine::postgres::TableOptions;
use crate::error::{Result, SqlError, state};
use crate::snapshot::RELATION;

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing but space.
    Empty,
    /// The local PostgreSQL runs it within a transaction.
    Plain,
    /// The same, and it tells or takes data in a stream.
    Copy,
    /// It changes the schema.
    Schema(Schema),
    /// The local PostgreSQL runs it outside transactions.
    Outside,
    /// `BEGIN`; whether it may write, where it says so.
    Begin {
        is_read_only: Option<bool>,
    },
    Commit {
        is_chained: bool,
    },
    Rollback {
        is_chained: bool,
    },
    /// `SAVEPOINT` and its kin, only in a block; whether it goes back to one.
    Savepoint {
        is_back: bool,
    },
    /// `SET TRANSACTION`; whether it may write, where it says so. Of the session:
    /// what later ones are.
    SetTransaction {
        is_read_only: Option<bool>,
        is_session: bool,
    },
    /// `SET music.read`; none where it is reset.
    Freshness {
        wanted: Option<String>,
        is_local: bool,
    },
    /// `SHOW music.age`.
    Age,
    /// `COPY mdbc_snapshot TO STDOUT (FORMAT binary)`.
    Snapshot,
    /// `PREPARE name AS …`.
    Prepare(String),
    /// `DEALLOCATE name`; all without a name.
    Deallocate(Option<String>),
}

/// Which tables a change of the schema concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// Those that are named.
    Named,
    /// None that is there: something new is made that is no table.
    New,
    /// It cannot be told.
    All,
}

/// A statement, understood as far as mdbc needs it.
#[allow(clippy::struct_excessive_bools, reason = "each says another thing")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) kind: Kind,
    /// Every name in it, folded.
    pub(super) names: BTreeSet<String>,
    /// The names that are written to.
    pub(super) targets: BTreeSet<String>,
    /// Whether what it writes are new rows alone.
    pub(super) is_insert: bool,
    /// Whether it may touch what is not named, and write it.
    pub(super) is_opaque: bool,
    /// Whether it locks rows of what it reads.
    pub(super) locks_rows: bool,
    /// Whether the local PostgreSQL may be told that nothing is written.
    pub(super) is_read_only: bool,
    /// The statement that it runs, by name.
    pub(super) executes: Option<String>,
    /// What the local PostgreSQL is told, where mdbc tells it later.
    pub(super) text: String,
    /// What tables are to be that it makes.
    pub(super) options: TableOptions,
}

/// Words that begin a statement of rows.
const ROWS: &[&str] = &[
    "select", "values", "table", "with", "insert", "update", "delete", "merge", "explain",
    "declare", "fetch", "move", "close", "show", "set", "reset", "discard", "lock", "analyze",
    "truncate", "unlisten",
];
/// Words of a statement that may write something.
const WRITING: &[&str] = &[
    "insert",
    "update",
    "delete",
    "merge",
    "truncate",
    "into",
    "nextval",
    "setval",
    "share",
    "lock",
    "analyze",
    "set_config",
];

impl Statement {
    /// Understands a text of one statement.
    ///
    /// # Errors
    /// What mdbc refuses, by its name.
    pub(super) fn of(text: &str) -> Result<Self> {
        let words = words(text);
        refused::check(text, &words)?;
        let kind = kind(&words)?;
        let is = |at: usize, keyword| {
            words
                .get(at)
                .is_some_and(|word: &Word<'_>| word.is(keyword))
        };
        let first = words.first().and_then(Word::name).unwrap_or_default();
        let executes = is(0, "execute").then(|| words.get(1).and_then(Word::name));
        let is_known = match kind {
            Kind::Plain => {
                ROWS.contains(&&*first) || words.first().is_some_and(|word| word.is_symbol("("))
            }
            _ => true,
        };
        let has_escapes = words.iter().any(|word| word.kind == WordKind::Escaped);
        let is_writing = words
            .iter()
            .any(|word| WRITING.iter().any(|keyword| word.is(keyword)));
        let (text, options) = match kind {
            Kind::Schema(_) => schema::without_options(text, &words)?,
            Kind::Outside => (text.to_owned(), TableOptions::default()),
            _ => (String::new(), TableOptions::default()),
        };
        let is_reading = kind == Kind::Plain && is_known && !has_escapes && !is_writing;
        Ok(Self {
            names: words
                .iter()
                .filter_map(Word::name)
                .map(Into::into)
                .collect(),
            targets: targets(&words),
            is_insert: is_insert(&words),
            is_opaque: has_escapes || (!is_known && executes.is_none()),
            locks_rows: locks_rows(&words),
            is_read_only: is_reading || (kind == Kind::Copy && !is_copy_in(&words) && !is_writing),
            executes: executes.flatten().map(Into::into),
            text,
            options,
            kind,
        })
    }

    /// What both touch.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.names.extend(other.names.iter().cloned());
        self.targets.extend(other.targets.iter().cloned());
        self.is_insert &= other.is_insert;
        self.is_opaque |= other.is_opaque;
        self.locks_rows |= other.locks_rows;
        if matches!(other.kind, Kind::Schema(_)) && self.kind != Kind::Schema(Schema::All) {
            self.kind = other.kind.clone();
        }
    }

    /// Whether mdbc does what it says, and the local PostgreSQL does not see it.
    pub(super) fn is_own(&self) -> bool {
        matches!(
            self.kind,
            Kind::Begin { .. }
                | Kind::Commit { .. }
                | Kind::Rollback { .. }
                | Kind::SetTransaction { .. }
                | Kind::Outside
                | Kind::Snapshot
        )
    }
}

/// Whether nothing but new rows is written.
fn is_insert(words: &[Word<'_>]) -> bool {
    let changing = ["update", "delete", "merge", "conflict", "truncate", "lock"];
    let has_change = |word: &Word<'_>| changing.iter().any(|keyword| word.is(keyword));
    !words.iter().any(has_change)
}

/// Whether two or more words are these, from a place on.
fn matches(words: &[Word<'_>], at: usize, keywords: &[&str]) -> bool {
    keywords
        .iter()
        .enumerate()
        .all(|(offset, keyword)| words.get(at + offset).is_some_and(|word| word.is(keyword)))
}

fn kind(words: &[Word<'_>]) -> Result<Kind> {
    let Some(first) = words.first() else {
        return Ok(Kind::Empty);
    };
    let is = |keywords: &[&str]| matches(words, 0, keywords);
    let keyword = first.name().unwrap_or_default();
    if first.kind != WordKind::Name {
        return Ok(Kind::Plain);
    }
    Ok(match &*keyword {
        "begin" => Kind::Begin {
            is_read_only: read_only(words),
        },
        "start" if is(&["start", "transaction"]) => Kind::Begin {
            is_read_only: read_only(words),
        },
        "commit" | "end" => Kind::Commit {
            is_chained: is_chained(words),
        },
        "rollback" | "abort" if words.iter().any(|word| word.is("to")) => {
            Kind::Savepoint { is_back: true }
        }
        "rollback" | "abort" => Kind::Rollback {
            is_chained: is_chained(words),
        },
        "savepoint" | "release" => Kind::Savepoint { is_back: false },
        "set" | "reset" => set(words)?,
        "show" if is_setting(words, 1, "age") => Kind::Age,
        "prepare" => Kind::Prepare(name_at(words, 1)?),
        "deallocate" => deallocate(words)?,
        "copy" if is_snapshot(words)? => Kind::Snapshot,
        "copy" => Kind::Copy,
        "vacuum" | "reindex" | "cluster" | "checkpoint" => Kind::Outside,
        "create" | "alter" | "drop" | "comment" => Kind::Schema(refused::schema(words)?),
        _ => Kind::Plain,
    })
}

fn name_at(words: &[Word<'_>], at: usize) -> Result<String> {
    let name = words.get(at).and_then(Word::name);
    name.map(Into::into)
        .ok_or_else(|| SqlError::new(state::SYNTAX_ERROR, "syntax error: a name was expected"))
}

fn is_chained(words: &[Word<'_>]) -> bool {
    words
        .windows(2)
        .any(|pair| matches!(pair, [a, b] if a.is("and") && b.is("chain")))
}

/// What a statement says of writing; the last word counts.
fn read_only(words: &[Word<'_>]) -> Option<bool> {
    let mut said = words.windows(2).filter_map(|pair| match pair {
        [read, only] if read.is("read") && only.is("only") => Some(true),
        [read, write] if read.is("read") && write.is("write") => Some(false),
        _ => None,
    });
    said.next_back()
}

/// Whether `music.<name>` is at a place.
fn is_setting(words: &[Word<'_>], at: usize, name: &str) -> bool {
    let is = |at: usize, keyword| {
        words
            .get(at)
            .is_some_and(|word: &Word<'_>| word.is(keyword))
    };
    let dot = words.get(at + 1).is_some_and(|word| word.is_symbol("."));
    is(at, "music") && dot && is(at + 2, name)
}

fn deallocate(words: &[Word<'_>]) -> Result<Kind> {
    let at = usize::from(matches(words, 1, &["prepare"])) + 1;
    if words.get(at).is_some_and(|word| word.is("all")) {
        return Ok(Kind::Deallocate(None));
    }
    Ok(Kind::Deallocate(Some(name_at(words, at)?)))
}

fn set(words: &[Word<'_>]) -> Result<Kind> {
    let is_transaction = matches(words, 1, &["transaction"])
        || matches(words, 1, &["local", "transaction"])
        || matches(words, 1, &["session", "characteristics"])
        || words
            .iter()
            .take(3)
            .any(|word| word.is("transaction_isolation") || word.is("transaction_deferrable"));
    if is_transaction && words.first().is_some_and(|word| word.is("set")) {
        return Ok(Kind::SetTransaction {
            is_read_only: read_only(words),
            is_session: matches(words, 1, &["session", "characteristics"]),
        });
    }
    let is_local = matches(words, 1, &["local"]);
    let at = 1 + usize::from(is_local || matches(words, 1, &["session"]));
    if !is_setting(words, at, "read") {
        return Ok(Kind::Plain);
    }
    let value = words.get(at + 4).filter(|word| !word.is("default"));
    let wanted = match value {
        Some(word) if words.first().is_some_and(|word| word.is("set")) => {
            let given = word.constant().or_else(|| word.name().map(Into::into));
            let given = given.unwrap_or_default();
            if given != "local" && given != "latest" {
                return Err(SqlError::new(
                    state::INVALID_PARAMETER_VALUE,
                    format!("invalid value for parameter \"music.read\": \"{given}\""),
                )
                .with_hint("It is local or latest."));
            }
            Some(given)
        }
        _ => None,
    };
    Ok(Kind::Freshness { wanted, is_local })
}

/// Whether a `COPY` is of the whole database, for another site.
fn is_snapshot(words: &[Word<'_>]) -> Result<bool> {
    if !matches(words, 1, &[RELATION, "to", "stdout"]) {
        return Ok(false);
    }
    if words.iter().any(|word| word.is("binary")) {
        return Ok(true);
    }
    let other = SqlError::refused(format!("{RELATION} in another format than binary"));
    Err(other.with_hint(format!("COPY {RELATION} TO STDOUT (FORMAT binary)")))
}

/// Whether a `COPY` takes data.
pub(super) fn is_copy_in(words: &[Word<'_>]) -> bool {
    has_outside(words, "from")
}

/// Whether it says `FOR UPDATE` or `FOR SHARE`.
fn locks_rows(words: &[Word<'_>]) -> bool {
    words.iter().enumerate().any(|(at, word)| {
        word.is("for")
            && (matches(words, at + 1, &["update"])
                || matches(words, at + 1, &["share"])
                || matches(words, at + 1, &["no", "key", "update"])
                || matches(words, at + 1, &["key", "share"]))
    })
}

/// The names that are written to.
fn targets(words: &[Word<'_>]) -> BTreeSet<String> {
    let mut targets = BTreeSet::new();
    let is_list = |keyword: &Word<'_>| keyword.is("truncate") || keyword.is("lock");
    for (at, word) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        let is_clause = before.is_some_and(|word| {
            ["for", "do", "key", "on", ".", ","]
                .iter()
                .any(|keyword| word.is(keyword) || word.is_symbol(keyword))
        });
        let name_at = if matches(words, at, &["insert", "into"])
            || matches(words, at, &["merge", "into"])
            || matches(words, at, &["delete", "from"])
        {
            at + 2
        } else if word.is("update") && !is_clause {
            at + 1
        } else if at == 0 && word.is("copy") && is_copy_in(words) {
            1
        } else if at == 0 && is_list(word) {
            targets.extend(words.iter().filter_map(Word::name).map(String::from));
            continue;
        } else {
            continue;
        };
        targets.extend(last_of_name(words, name_at));
    }
    targets
}

/// The last part of a name with its schema.
fn last_of_name(words: &[Word<'_>], at: usize) -> Option<String> {
    let mut at = at + usize::from(words.get(at).is_some_and(|word| word.is("only")));
    at += usize::from(words.get(at).is_some_and(|word| word.is_symbol("(")));
    while words.get(at + 1).is_some_and(|word| word.is_symbol(".")) {
        at += 2;
    }
    words.get(at).and_then(Word::name).map(Into::into)
}

#[cfg(test)]
mod tests;
