//! Changes of the schema: what mdbc adds to them.

use bytes::Bytes;

use super::access::of_made;
use super::connection::Connection;
use super::own::Value;
use super::session::{Failure, Fresh, Session};
use super::statement::Statement;
use super::words::Word;
use crate::dialect::ddl::{GROUP, check_name};
use crate::engine::TableKind;
use crate::engine::postgres::{Name, TableOptions};
use crate::error::{Result, SqlError, state};

/// The tables that a transaction sees, and their groups.
const TABLES: &str = "SELECT n.nspname, c.relname, t.group_name FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     JOIN mdbc_internal.tables t ON t.relation = c.oid \
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' \
     AND n.nspname NOT IN ('information_schema', 'mdbc_internal')";

/// A statement without the options in a `WITH (…)` that PostgreSQL does not know, and
/// what they say.
pub(super) fn without_options(text: &str, words: &[Word<'_>]) -> Result<(String, TableOptions)> {
    let mut options = TableOptions::default();
    let Some(list) = option_list(words) else {
        return Ok((text.to_owned(), options));
    };
    let mut left = Vec::new();
    for option in list.split(|word| word.is_symbol(",")) {
        if !is_own(option) {
            left.push(between(text, option));
            continue;
        }
        let [name, _, value] = option else {
            let near = between(text, option);
            let wrong = format!("syntax error at or near \"{near}\"");
            return Err(SqlError::new(state::SYNTAX_ERROR, wrong));
        };
        let given = value
            .constant()
            .or_else(|| value.name().map(Into::into))
            .unwrap_or_default();
        if name.is(GROUP) {
            check_name(&given)?;
            options.group = Some(given);
        } else {
            options.kind = Some(kind(&given)?);
        }
    }
    let (start, end) = (start_of(list), end_of(list));
    // With its parentheses, and the word before them.
    let (head, tail) = (text.get(..start), text.get(end..));
    let (head, tail) = (head.unwrap_or_default(), tail.unwrap_or_default());
    if !left.is_empty() {
        return Ok((format!("{head}{}{tail}", left.join(", ")), options));
    }
    let with = words.iter().rev().filter(|word| word.start < start).nth(1);
    let head = with.and_then(|with| text.get(..with.start));
    let close = words.iter().find(|word| word.start >= end);
    let tail = close.and_then(|close| text.get(close.end()..));
    let rest = [head.unwrap_or_default(), tail.unwrap_or_default()];
    Ok((rest.concat(), options))
}

/// The words between the parentheses of a `WITH (…)` in which there is an option of
/// mdbc's.
fn option_list<'w, 't>(words: &'w [Word<'t>]) -> Option<&'w [Word<'t>]> {
    let opens = |pair: &[Word<'_>]| match pair {
        [with, open] => with.is("with") && open.is_symbol("("),
        _ => false,
    };
    let starts = (0..words.len()).filter(|at| words.get(*at..at + 2).is_some_and(opens));
    let mut lists = starts.filter_map(|at| {
        let list = words.get(at + 2..)?;
        let end = list.iter().position(|word| word.is_symbol(")"))?;
        list.get(..end)
    });
    lists.find(|list| list.split(|word| word.is_symbol(",")).any(is_own))
}

fn is_own(option: &[Word<'_>]) -> bool {
    match option {
        [name, equal, ..] => (name.is("music") || name.is(GROUP)) && equal.is_symbol("="),
        _ => false,
    }
}

fn kind(given: &str) -> Result<TableKind> {
    match TableKind::named(given) {
        Some(TableKind::Eventual) => Err(SqlError::refused("an eventual table in PostgreSQL")),
        Some(kind) => Ok(kind),
        None => {
            let wrong = "invalid value for parameter \"music\"";
            Err(SqlError::new(state::INVALID_PARAMETER_VALUE, wrong)
                .with_hint("It is strong or local."))
        }
    }
}

fn start_of(words: &[Word<'_>]) -> usize {
    words.first().map_or(0, |word| word.start)
}

fn end_of(words: &[Word<'_>]) -> usize {
    words.last().map_or(0, Word::end)
}

fn between<'t>(text: &'t str, words: &[Word<'_>]) -> &'t str {
    text.get(start_of(words)..end_of(words)).unwrap_or_default()
}

impl Connection {
    /// Notes what a change of the schema was, which has just run, and owns the
    /// tables that it made.
    pub(super) async fn after_ddl(&mut self, statement: &Statement) -> Result<(), Failure> {
        let session = &mut self.session;
        let local = &session.shared.local;
        let after = local.after_ddl(&statement.text, &statement.options);
        session.ask(&after).await?;
        session.own_fresh().await
    }
}

impl Session {
    async fn own_fresh(&mut self) -> Result<(), Failure> {
        let rows = self.ask(TABLES).await?;
        let model = self.shared.local.model();
        let is_fresh = |(name, group): &(Name, Option<String>)| {
            model.table(name).is_none_or(|table| table.group != *group)
        };
        let tables = rows.into_iter().filter_map(table);
        let fresh: Fresh = tables.filter(is_fresh).collect();
        self.own(&of_made(&fresh)?).await?;
        self.transaction.fresh.extend(fresh);
        Ok(())
    }
}

/// A table's name and group.
fn table(row: Vec<Value>) -> Option<(Name, Option<String>)> {
    let text = |value: Bytes| String::from_utf8(value.to_vec()).ok();
    let [schema, relation, group] = <[Value; 3]>::try_from(row).ok()?;
    let name = Name {
        schema: text(schema?)?,
        relation: text(relation?)?,
    };
    Some((name, group.and_then(text)))
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn without(text: &str) -> Result<(String, TableOptions)> {
        without_options(text, &words(text))
    }

    #[test]
    fn options_of_mdbc_are_taken_out_of_a_statement() {
        let create = "CREATE TABLE a (k int PRIMARY KEY, CHECK (k > 0))";
        let strong = Some(TableKind::Strong);
        for (text, rest, kind, group) in [
            ("WITH (music = 'strong')", "", strong, None),
            (
                "WITH (fillfactor = 70, music=strong);",
                "WITH (fillfactor = 70);",
                strong,
                None,
            ),
            (
                "WITH (music = 'strong', fillfactor = 70) TABLESPACE t",
                "WITH (fillfactor = 70) TABLESPACE t",
                strong,
                None,
            ),
            ("with ( music_group = 'G' )", "", None, Some("G")),
            (
                "WITH (music_group = g /* c */) TABLESPACE t",
                " TABLESPACE t",
                None,
                Some("g"),
            ),
            (
                "WITH (music = 'strong', fillfactor = 70, music_group = g)",
                "WITH (fillfactor = 70)",
                strong,
                Some("g"),
            ),
        ] {
            let (left, options) = without(&format!("{create} {text}")).unwrap();
            assert_eq!(left.trim(), format!("{create} {rest}").trim(), "{text}");
            assert_eq!((options.kind, options.group.as_deref()), (kind, group));
        }
    }

    #[test]
    fn what_only_looks_like_an_option_stays() {
        for text in [
            "CREATE TABLE a (k int PRIMARY KEY)",
            "COMMENT ON TABLE a IS 'WITH (music = ''local'')'",
            "CREATE TABLE a (music text PRIMARY KEY CHECK (music = 'x')) WITH (fillfactor = 70)",
            "CREATE VIEW v AS WITH (SELECT 1) SELECT * FROM a WHERE music = 'x'",
        ] {
            let unchanged = (text.to_owned(), TableOptions::default());
            assert_eq!(without(text), Ok(unchanged));
        }
    }

    #[test]
    fn options_that_there_are_not_are_refused() {
        for (option, expected) in [
            ("music = 'eventual'", state::FEATURE_NOT_SUPPORTED),
            ("music = 'weak'", state::INVALID_PARAMETER_VALUE),
            ("music_group = ''", state::INVALID_NAME),
            ("music_group = 'pg_g'", state::RESERVED_NAME),
            ("music = 'strong' 1", state::SYNTAX_ERROR),
            ("music =", state::SYNTAX_ERROR),
        ] {
            let refused = without(&format!("CREATE TABLE a (k int) WITH ({option})"));
            assert_eq!(refused.unwrap_err().state, expected, "{option}");
        }
    }
}
