//! Patterns: `LIKE`, `SIMILAR TO`, `~`.

use std::cell::RefCell;
use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use super::{Arguments, Entry, strict};
use crate::error::{Result, SqlError, state};
use crate::types::Value;

/// Compiled patterns that a thread keeps.
const PATTERNS_MAX: usize = 64;
/// Bytes that a compiled pattern may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

pub(super) const FUNCTIONS: &[Entry] = &[
    strict("pg_like", 3, |a| like(a, false)),
    strict("pg_ilike", 3, |a| like(a, true)),
    strict("pg_similar", 3, similar),
    strict("pg_matches", 3, matches),
    strict("pg_substring_match", 2, substring_match),
    strict("pg_regexp_replace", 4, replace),
    strict("pg_regexp_split", 2, split),
];

thread_local! {
    static PATTERNS: RefCell<HashMap<(String, bool), Regex>> = RefCell::default();
}

fn compiled(pattern: &str, is_blind: bool) -> Result<Regex> {
    let key = (pattern.to_owned(), is_blind);
    let known = PATTERNS.with_borrow(|patterns| patterns.get(&key).cloned());
    if let Some(known) = known {
        return Ok(known);
    }
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(is_blind)
        .dot_matches_new_line(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| {
            SqlError::new(
                state::INVALID_REGULAR_EXPRESSION,
                format!("invalid regular expression: {error}"),
            )
            .with_hint("mdbc has no back references and no look-around")
        })?;
    PATTERNS.with_borrow_mut(|patterns| {
        if patterns.len() >= PATTERNS_MAX {
            patterns.clear();
        }
        patterns.insert(key, regex.clone());
    });
    Ok(regex)
}

/// A `LIKE` pattern as a regular expression.
fn like_pattern(pattern: &str, escape: &str) -> Result<String> {
    let mut escapes = escape.chars();
    let (escape, rest) = (escapes.next(), escapes.next());
    if rest.is_some() {
        return Err(
            SqlError::new(state::INVALID_PARAMETER_VALUE, "invalid escape string")
                .with_hint("Escape string must be empty or one character."),
        );
    }
    let mut output = "^".to_owned();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let Some(next) = characters.next() else {
                return Err(SqlError::new(
                    state::INVALID_PARAMETER_VALUE,
                    "LIKE pattern must not end with escape character",
                ));
            };
            output.push_str(&regex::escape(&next.to_string()));
            continue;
        }
        match character {
            '%' => output.push_str(".*"),
            '_' => output.push('.'),
            other => output.push_str(&regex::escape(&other.to_string())),
        }
    }
    output.push('$');
    Ok(output)
}

fn like(arguments: &Arguments<'_>, is_blind: bool) -> Result<Value> {
    let pattern = like_pattern(arguments.text(1)?, arguments.text(2)?)?;
    let is_match = compiled(&pattern, is_blind)?.is_match(arguments.text(0)?);
    Ok(Value::from(is_match))
}

/// `SIMILAR TO`: `%` and `_` as in `LIKE`, the rest as in regular expressions.
fn similar(arguments: &Arguments<'_>) -> Result<Value> {
    let escape = arguments.text(2)?.chars().next();
    let mut output = "^(?:".to_owned();
    let mut characters = arguments.text(1)?.chars();
    while let Some(character) = characters.next() {
        match character {
            _ if Some(character) == escape => {
                let next = characters.next().unwrap_or('\\');
                output.push_str(&regex::escape(&next.to_string()));
            }
            '%' => output.push_str(".*"),
            '_' => output.push('.'),
            '.' | '^' | '$' => {
                output.push('\\');
                output.push(character);
            }
            other => output.push(other),
        }
    }
    output.push_str(")$");
    Ok(Value::from(
        compiled(&output, false)?.is_match(arguments.text(0)?),
    ))
}

fn matches(arguments: &Arguments<'_>) -> Result<Value> {
    let regex = compiled(arguments.text(1)?, arguments.is_true(2))?;
    Ok(Value::from(regex.is_match(arguments.text(0)?)))
}

fn substring_match(arguments: &Arguments<'_>) -> Result<Value> {
    let regex = compiled(arguments.text(1)?, false)?;
    let found = regex.captures(arguments.text(0)?);
    let part = found.and_then(|found| found.get(1).or_else(|| found.get(0)));
    Ok(Value::from(part.map(|part| part.as_str())))
}

fn replace(arguments: &Arguments<'_>) -> Result<Value> {
    let flags = arguments.text(3)?;
    if let Some(other) = flags.chars().find(|flag| !matches!(flag, 'g' | 'i')) {
        return Err(SqlError::refused(format!(
            "the flag {other} of regexp_replace"
        )));
    }
    let regex = compiled(arguments.text(1)?, flags.contains('i'))?;
    // `\1` and `\&` are PostgreSQL's, `${1}` is the library's.
    let mut replacement = String::new();
    let mut characters = arguments.text(2)?.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(digit @ '0'..='9') => replacement.push_str(&format!("${{{digit}}}")),
                Some('&') => replacement.push_str("${0}"),
                Some(other) => replacement.push(other),
                None => {}
            },
            '$' => replacement.push_str("$$"),
            other => replacement.push(other),
        }
    }
    let text = arguments.text(0)?;
    Ok(Value::Text(if flags.contains('g') {
        regex.replace_all(text, replacement.as_str()).into_owned()
    } else {
        regex.replace(text, replacement.as_str()).into_owned()
    }))
}

fn split(arguments: &Arguments<'_>) -> Result<Value> {
    let regex = compiled(arguments.text(1)?, false)?;
    let parts = regex
        .split(arguments.text(0)?)
        .map(|part| Value::Text(part.to_owned()));
    crate::types::array::store(&parts.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_patterns_match_as_in_postgresql() {
        let is_like = |text: &str, pattern: &str| {
            compiled(&like_pattern(pattern, "\\").unwrap(), false)
                .unwrap()
                .is_match(text)
        };
        assert!(is_like("abc", "a%"));
        assert!(is_like("a\nc", "a_c"));
        assert!(!is_like("abc", "A%"));
        assert!(is_like("50%", "50\\%"));
        assert!(!is_like("500", "50\\%"));
        assert!(is_like("a.c", "a.c"));
        assert!(!is_like("abc", "a.c"));
        assert!(like_pattern("a\\", "\\").is_err());
    }
}
