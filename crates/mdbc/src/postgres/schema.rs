//! Changes of the schema: what mdbc adds to them.

use std::collections::BTreeSet;

use super::connection::Connection;
use super::own::Value;
use super::session::{Failure, Session};
use super::statement::Statement;
use super::words::Word;
use crate::engine::postgres::Name;
use crate::engine::{Access, TableKind};
use crate::error::{Result, SqlError, state};

/// The tables that a transaction sees.
const TABLES: &str = "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c \
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' \
     AND n.nspname NOT IN ('information_schema', 'mdbc_internal')";

/// A statement without `WITH (music = …)`, and what that says.
pub(super) fn without_kind(text: &str, words: &[Word<'_>]) -> Result<(String, Option<TableKind>)> {
    let Some(at) = words.windows(2).position(is_option) else {
        return Ok((text.to_owned(), None));
    };
    let value = words.get(at + 2);
    let given = value.and_then(|word| word.constant().or_else(|| word.name().map(Into::into)));
    let kind = match given.as_deref() {
        Some("strong") => TableKind::Strong,
        Some("local") => TableKind::Local,
        Some("eventual") => return Err(SqlError::refused("an eventual table in PostgreSQL")),
        _ => {
            let wrong = "invalid value for parameter \"music\"";
            return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, wrong)
                .with_hint("It is strong or local."));
        }
    };
    // Also the comma beside it, or the whole clause.
    let is = |at: Option<usize>, symbol: &str| {
        let word = at.and_then(|at| words.get(at));
        word.is_some_and(|word| word.is_symbol(symbol) || word.is(symbol))
    };
    let (first, last) = if is(Some(at + 3), ",") {
        (at, at + 3)
    } else if is(at.checked_sub(1), ",") {
        (at - 1, at + 2)
    } else if is(at.checked_sub(1), "(") && is(Some(at + 3), ")") && is(at.checked_sub(2), "with") {
        (at - 2, at + 3)
    } else {
        return Err(SqlError::new(
            state::SYNTAX_ERROR,
            "syntax error at or near \"music\"",
        ));
    };
    let start = words.get(first).map_or(0, |word| word.start);
    let end = words.get(last).map_or(text.len(), Word::end);
    let rest = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let without = format!("{} {}", rest(0..start), rest(end..text.len()));
    Ok((without, Some(kind)))
}

fn is_option(pair: &[Word<'_>]) -> bool {
    matches!(pair, [name, equal] if name.is("music") && equal.is_symbol("="))
}

impl Connection {
    /// Notes what a change of the schema was, which has just run, and owns the
    /// tables that it made.
    pub(super) async fn after_ddl(&mut self, statement: &Statement) -> Result<(), Failure> {
        let session = &mut self.session;
        let local = &session.shared.local;
        let after = local.after_ddl(&statement.text, statement.table);
        session.ask(&after).await?;
        session.own_fresh().await
    }
}

impl Session {
    async fn own_fresh(&mut self) -> Result<(), Failure> {
        let rows = self.ask(TABLES).await?;
        let model = self.shared.local.model();
        let tables = rows.into_iter().filter_map(name);
        let fresh = tables.filter(|name| model.table(name).is_none());
        let fresh: BTreeSet<Name> = fresh.collect();
        if fresh.is_subset(&self.transaction.fresh) {
            return Ok(());
        }
        let access = Access {
            writes: fresh.iter().map(ToString::to_string).collect(),
            is_schema: true,
            ..Access::default()
        };
        self.own(&access).await?;
        self.transaction.fresh.extend(fresh);
        Ok(())
    }
}

fn name(row: Vec<Value>) -> Option<Name> {
    let text = |value: Value| String::from_utf8(value?.to_vec()).ok();
    let [schema, relation] = <[Value; 2]>::try_from(row).ok()?;
    Some(Name {
        schema: text(schema)?,
        relation: text(relation)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn without(text: &str) -> Result<(String, Option<TableKind>)> {
        without_kind(text, &words(text))
    }

    #[test]
    fn the_kind_is_taken_out_of_a_statement() {
        let create = "CREATE TABLE a (k int PRIMARY KEY)";
        for (text, rest) in [
            (" WITH (music = 'strong')", ""),
            (
                " WITH (fillfactor = 70, music=strong);",
                "WITH (fillfactor = 70 );",
            ),
            (
                " WITH (music = 'strong', fillfactor = 70)",
                "WITH (  fillfactor = 70)",
            ),
        ] {
            let (left, kind) = without(&format!("{create}{text}")).unwrap();
            assert_eq!(kind, Some(TableKind::Strong), "{text}");
            assert_eq!(left.trim(), format!("{create} {rest}").trim(), "{text}");
        }
        assert_eq!(without(create), Ok((create.to_owned(), None)));
        let comment = "COMMENT ON TABLE a IS 'WITH (music = ''local'')'";
        assert_eq!(without(comment), Ok((comment.to_owned(), None)));
    }

    #[test]
    fn kinds_that_there_are_not_are_refused() {
        for (kind, expected) in [
            ("eventual", state::FEATURE_NOT_SUPPORTED),
            ("weak", state::INVALID_PARAMETER_VALUE),
        ] {
            let refused = without(&format!("CREATE TABLE a (k int) WITH (music = '{kind}')"));
            assert_eq!(refused.unwrap_err().state, expected, "{kind}");
        }
    }
}
