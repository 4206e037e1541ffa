//! What mdbc refuses though PostgreSQL has it, by its name: what other sites could
//! not do in the same way, and what would go past mdbc.

use super::statement::{Schema, is_copy_in};
use super::words::{Kind, Word, has_outside};
use crate::error::{Result, SqlError, state};

/// mdbc's own schema.
const OWN: &str = "mdbc_internal";

/// First words of what is refused, and what it is called.
const STATEMENTS: &[(&[&str], &str)] = &[
    (&["prepare", "transaction"], "PREPARE TRANSACTION"),
    (&["commit", "prepared"], "COMMIT PREPARED"),
    (&["rollback", "prepared"], "ROLLBACK PREPARED"),
    (&["listen"], "LISTEN"),
    (&["notify"], "NOTIFY"),
    (&["grant"], "GRANT"),
    (&["revoke"], "REVOKE"),
    (&["reassign"], "REASSIGN OWNED"),
    (&["security"], "SECURITY LABEL"),
    (&["import"], "IMPORT FOREIGN SCHEMA"),
    (&["refresh"], "REFRESH MATERIALIZED VIEW"),
    (&["load"], "LOAD"),
    (&["set", "role"], "SET ROLE"),
    (&["set", "local", "role"], "SET ROLE"),
    (&["set", "session", "role"], "SET ROLE"),
    (
        &["set", "session", "authorization"],
        "SET SESSION AUTHORIZATION",
    ),
    (&["set", "local", "session"], "SET SESSION AUTHORIZATION"),
    (&["set", "session", "session"], "SET SESSION AUTHORIZATION"),
];

/// Beginnings of the names of functions that are refused, and what they do.
const FUNCTIONS: &[(&str, &str)] = &[
    (
        "pg_advisory_",
        "an advisory lock, which other sites would not see,",
    ),
    (
        "pg_try_advisory_",
        "an advisory lock, which other sites would not see,",
    ),
    ("pg_notify", "NOTIFY"),
    ("lo_", "a large object"),
    ("loread", "a large object"),
    ("lowrite", "a large object"),
    ("pg_read_", "a file of the server"),
    ("pg_stat_file", "a file of the server"),
    ("pg_ls_", "a file of the server"),
    ("dblink", "dblink"),
    ("pg_terminate_backend", "pg_terminate_backend"),
    ("pg_logical_", "logical decoding"),
    ("pg_replication_", "replication of the server"),
    ("query_to_xml", "a query in a constant"),
    ("cursor_to_xml", "a query in a constant"),
    ("table_to_xml", "a query in a constant"),
    ("schema_to_xml", "a query in a constant"),
    ("database_to_xml", "a query in a constant"),
    ("ts_stat", "a query in a constant"),
];

/// Settings that are mdbc's, or by which a text would mean another thing.
const SETTINGS: &[&str] = &[
    "standard_conforming_strings",
    "session_replication_role",
    "role",
    "session_authorization",
    "transaction_isolation",
    "client_encoding",
];

/// Kinds of objects whose statements are replicated.
const OBJECTS: &[&str] = &[
    "table",
    "index",
    "view",
    "sequence",
    "type",
    "domain",
    "function",
    "procedure",
    "trigger",
    "schema",
    "column",
    "constraint",
];

/// Words between the verb and the kind of the object.
const BETWEEN: &[&str] = &["or", "replace", "unique", "recursive", "constraint"];

/// Refuses a statement.
pub(super) fn check(text: &str, words: &[Word<'_>]) -> Result<()> {
    let is = |keywords: &[&str]| {
        let pairs = keywords.iter().zip(words);
        words.len() >= keywords.len() && pairs.into_iter().all(|(keyword, word)| word.is(keyword))
    };
    if let Some((_, name)) = STATEMENTS.iter().find(|(keywords, _)| is(keywords)) {
        return Err(SqlError::refused(*name));
    }
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1);
        if let Some(name) = word.name() {
            if name == OWN && next.is_some_and(|next| next.is_symbol(".")) {
                return Err(own("the schema mdbc_internal"));
            }
            let is_call = next.is_some_and(|next| next.is_symbol("("));
            let function = FUNCTIONS.iter().find(|(start, _)| name.starts_with(start));
            if let Some((_, what)) = function.filter(|_| is_call) {
                return Err(SqlError::refused(*what));
            }
        }
    }
    if text
        .to_ascii_lowercase()
        .contains("session_replication_role")
    {
        return Err(SqlError::refused("session_replication_role"));
    }
    check_settings(words)?;
    check_copy(words)
}

fn own(what: &str) -> SqlError {
    SqlError::new(state::RESERVED_NAME, format!("{what} is mdbc's own"))
}

fn check_settings(words: &[Word<'_>]) -> Result<()> {
    for (at, word) in words.iter().enumerate() {
        if word.is("set_config") {
            let is_whole = words.get(at + 3).is_some_and(|next| next.is_symbol(","));
            let name = words.get(at + 2).filter(|_| is_whole);
            let name = name.and_then(Word::constant);
            let name = name.ok_or_else(|| {
                SqlError::refused("set_config with a name that is not a constant")
            })?;
            let is_fixed = SETTINGS.contains(&name.to_ascii_lowercase().as_str());
            if is_fixed || name.to_ascii_lowercase().starts_with("music.") {
                return Err(SqlError::refused(format!("set_config of {name}")));
            }
        }
    }
    if !words.first().is_some_and(|word| word.is("set")) {
        return Ok(());
    }
    let names_mdbc = |word: &Word<'_>| {
        word.name().is_some_and(|name| name == OWN)
            || word.constant().is_some_and(|text| text.contains(OWN))
    };
    if words.iter().take(4).any(|word| word.is("search_path")) && words.iter().any(names_mdbc) {
        return Err(own("the schema mdbc_internal"));
    }
    let is_local = words
        .get(1)
        .is_some_and(|word| word.is("local") || word.is("session"));
    let at = 1 + usize::from(is_local);
    let name = words.get(at).and_then(Word::name).unwrap_or_default();
    let value = words.get(at + 2).or_else(|| words.get(at + 1));
    let value = value.map(|word| word.constant().or_else(|| word.name().map(Into::into)));
    let value = value.flatten().unwrap_or_default().to_ascii_lowercase();
    let is_right = match &*name {
        "standard_conforming_strings" => ["on", "true", "yes", "1"].contains(&value.as_str()),
        "client_encoding" | "names" => is_utf8(&value),
        _ => true,
    };
    if is_right {
        return Ok(());
    }
    let wrong = format!("invalid value for parameter \"{name}\": \"{value}\"");
    Err(SqlError::new(state::INVALID_PARAMETER_VALUE, wrong)
        .with_hint("mdbc has UTF-8 and standard strings alone."))
}

/// Refuses settings that a client asks for as it connects.
pub(super) fn check_startup(wanted: &[(String, String)]) -> Result<()> {
    for (name, value) in wanted {
        let name = name.to_ascii_lowercase();
        let is_right = match name.as_str() {
            "client_encoding" => is_utf8(value),
            "standard_conforming_strings" => value == "on",
            "music.read" => value == "latest" || value == "local",
            "transaction_isolation" => true,
            "search_path" => !value.contains(OWN),
            name => !SETTINGS.contains(&name) && !name.starts_with("mdbc."),
        };
        if !is_right {
            let wrong = format!("invalid value for parameter \"{name}\": \"{value}\"");
            return Err(SqlError::new(state::INVALID_PARAMETER_VALUE, wrong));
        }
    }
    Ok(())
}

/// Whether an encoding is the one that there is.
pub(super) fn is_utf8(encoding: &str) -> bool {
    let letters = encoding.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.collect::<String>().to_ascii_lowercase();
    ["utf8", "unicode", "default"].contains(&name.as_str())
}

/// `COPY` speaks with the client alone.
fn check_copy(words: &[Word<'_>]) -> Result<()> {
    if !words.first().is_some_and(|word| word.is("copy")) {
        return Ok(());
    }
    let direction = if is_copy_in(words) { "from" } else { "to" };
    let mut ends = words.iter().skip_while(|word| !word.is(direction));
    let target = ends.nth(1);
    let is_client = target.is_some_and(|word| word.is("stdin") || word.is("stdout"));
    let is_table = target.is_none_or(|word| word.is_symbol("("));
    let is_file = target.is_some_and(|word| word.is("program") || word.kind == Kind::Text);
    if is_file && !is_client && !is_table {
        return Err(
            SqlError::refused("COPY with a file or a program of the server")
                .with_hint("Use \\copy."),
        );
    }
    Ok(())
}

/// Which tables a change of the schema concerns.
///
/// # Errors
/// What is not replicated, by its name.
pub(super) fn schema(words: &[Word<'_>]) -> Result<Schema> {
    let verb = words.first().and_then(Word::name).unwrap_or_default();
    let has = |keyword: &str| words.iter().any(|word| word.is(keyword));
    let rest = words.iter().skip(1);
    let mut rest = rest.skip_while(|word| BETWEEN.iter().any(|between| word.is(between)));
    let first = rest.next().and_then(Word::name).unwrap_or_default();
    let object = if verb == "comment" {
        words.get(2).and_then(Word::name).unwrap_or_default()
    } else if has("trigger") && &*first == "trigger" {
        "trigger".into()
    } else {
        first
    };
    if !OBJECTS.contains(&&*object) {
        let verb = verb.to_ascii_uppercase();
        let object = object.to_ascii_uppercase().replace("TEMPORARY", "TEMP");
        return Err(SqlError::refused(format!("{verb} {object}")));
    }
    refuse_clauses(&verb, &object, words)?;
    Ok(match (&*verb, &*object) {
        (_, "table" | "trigger" | "column" | "constraint" | "sequence") | ("create", "index") => {
            Schema::Named
        }
        (_, "view") | ("create" | "comment", _) => Schema::New,
        _ => Schema::All,
    }
    .widened(has("cascade")))
}

impl Schema {
    fn widened(self, has_cascade: bool) -> Self {
        if has_cascade { Self::All } else { self }
    }
}

fn refuse_clauses(verb: &str, object: &str, words: &[Word<'_>]) -> Result<()> {
    let has = |keyword: &str| words.iter().any(|word| word.is(keyword));
    let pair = |a: &str, b: &str| {
        words
            .windows(2)
            .any(|pair| matches!(pair, [x, y] if x.is(a) && y.is(b)))
    };
    let is_mdbc = |word: &Word<'_>| word.name().is_some_and(|name| name.starts_with("$mdbc_"));
    if object == "trigger" && words.iter().any(is_mdbc) {
        return Err(own("a trigger whose name begins with $mdbc_"));
    }
    let is_table = object == "table";
    for (is_there, what) in [
        (has("concurrently"), "CONCURRENTLY"),
        (
            is_table && verb == "create" && is_made_of_query(words),
            "CREATE TABLE AS",
        ),
        (is_table && pair("partition", "by"), "a partitioned table"),
        (is_table && pair("partition", "of"), "a partitioned table"),
        (
            is_table && pair("attach", "partition"),
            "a partitioned table",
        ),
        (
            is_table && verb == "create" && has("inherits"),
            "an inherited table",
        ),
        (
            is_table && verb == "alter" && has("inherit"),
            "an inherited table",
        ),
        (is_table && pair("disable", "trigger"), "DISABLE TRIGGER"),
        (
            is_table && pair("replica", "trigger"),
            "ENABLE REPLICA TRIGGER",
        ),
        (
            is_table && pair("always", "trigger"),
            "ENABLE ALWAYS TRIGGER",
        ),
        (is_table && pair("owner", "to"), "OWNER TO"),
        (
            object == "sequence" && verb == "alter" && has("increment"),
            "ALTER SEQUENCE INCREMENT",
        ),
    ] {
        if is_there {
            return Err(SqlError::refused(what));
        }
    }
    Ok(())
}

/// Whether a table is made of the rows of a query.
fn is_made_of_query(words: &[Word<'_>]) -> bool {
    has_outside(words, "as")
}

#[cfg(test)]
mod tests {
    use super::super::words::words;
    use super::*;

    fn refusal(text: &str) -> Option<State> {
        let words = words(text);
        let result = check(text, &words).and_then(|()| {
            let is_schema = ["create", "alter", "drop"]
                .iter()
                .any(|verb| words[0].is(verb));
            if is_schema {
                schema(&words).map(drop)
            } else {
                Ok(())
            }
        });
        result.err().map(|error| error.state)
    }

    use crate::error::State;

    #[test]
    fn what_goes_past_mdbc_is_refused() {
        for text in [
            "PREPARE TRANSACTION 'x'",
            "LISTEN a",
            "SELECT pg_advisory_lock(1)",
            "SELECT set_config('session_' || 'replication_role', 'replica', false)",
            "SET session_replication_role = replica",
            "SET ROLE x",
            "COPY a FROM '/etc/passwd'",
            "COPY a TO PROGRAM 'x'",
            "CREATE TEMP TABLE a (k int)",
            "CREATE TABLE a AS SELECT 1",
            "CREATE MATERIALIZED VIEW a AS SELECT 1",
            "CREATE INDEX CONCURRENTLY i ON a (b)",
            "CREATE EXTENSION dblink",
            "ALTER TABLE a DISABLE TRIGGER ALL",
            "ALTER SYSTEM SET x = 1",
            "DROP ROLE x",
        ] {
            assert_eq!(refusal(text), Some(state::FEATURE_NOT_SUPPORTED), "{text}");
        }
        assert_eq!(
            refusal("SELECT * FROM mdbc_internal.own"),
            Some(state::RESERVED_NAME)
        );
        assert_eq!(
            refusal("SET search_path = mdbc_internal"),
            Some(state::RESERVED_NAME)
        );
        assert_eq!(
            refusal("DROP TRIGGER \"$mdbc_x\" ON a"),
            Some(state::RESERVED_NAME)
        );
        for text in [
            "SET standard_conforming_strings = off",
            "SET client_encoding = 'latin1'",
        ] {
            assert_eq!(
                refusal(text),
                Some(state::INVALID_PARAMETER_VALUE),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_right_passes() {
        for text in [
            "COPY a FROM STDIN",
            "COPY (SELECT * FROM a) TO STDOUT",
            "SET client_encoding TO 'UTF8'",
            "SET standard_conforming_strings = on",
            "SET search_path = a, public",
            "SELECT lo_water FROM a",
            "CREATE TABLE a (k int PRIMARY KEY, b int GENERATED ALWAYS AS (k + 1) STORED)",
            "CREATE OR REPLACE VIEW v AS SELECT 1",
            "CREATE CONSTRAINT TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()",
            "SELECT set_config('search_path', '', false)",
        ] {
            assert_eq!(refusal(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_change_of_the_schema_concerns() {
        for (text, expected) in [
            ("CREATE TABLE a (k int PRIMARY KEY)", Schema::Named),
            ("DROP TABLE a CASCADE", Schema::All),
            ("CREATE TYPE e AS ENUM ('a')", Schema::New),
            ("ALTER TYPE e ADD VALUE 'b'", Schema::All),
            ("CREATE UNIQUE INDEX i ON a (b)", Schema::Named),
            ("DROP SCHEMA s", Schema::All),
            ("COMMENT ON COLUMN a.b IS 'x'", Schema::Named),
        ] {
            assert_eq!(schema(&words(text)), Ok(expected), "{text}");
        }
    }
}
