//! Text to syntax trees: bounded, so that no text is too much.

use sqlparser::ast::{Ident, ObjectName, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{Result, SqlError, state};

/// Bytes of one query, of one or more statements.
pub(crate) const TEXT_BYTES_MAX: usize = 16 << 20;
/// How deep parentheses may be nested.
const NESTING_MAX: usize = 100;
/// Operators in a row without a comma or a parenthesis that ends: the depth of
/// the tree that they become.
const CHAIN_MAX: usize = 2000;

fn syntax(message: &str) -> SqlError {
    SqlError::new(state::SYNTAX_ERROR, format!("syntax error: {message}"))
}

/// The statements of a query, each with its own text.
pub(crate) fn split(text: &str) -> Result<Vec<&str>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(SqlError::new(
            state::PROGRAM_LIMIT_EXCEEDED,
            format!("a query is longer than {TEXT_BYTES_MAX} bytes"),
        ));
    }
    let tokens = tokens(text)?;
    check_depth(&tokens)?;
    let lines: Vec<usize> = std::iter::once(0)
        .chain(text.match_indices('\n').map(|(at, _)| at + 1))
        .collect();
    let mut statements = Vec::new();
    let mut start = 0;
    for token in tokens
        .iter()
        .filter(|token| token.token == Token::SemiColon)
    {
        let end = offset(text, &lines, token.span.start);
        statements.extend(text.get(start..end));
        start = end + 1;
    }
    statements.extend(text.get(start..));
    statements.retain(|statement| !is_blank(statement));
    Ok(statements)
}

fn is_blank(text: &str) -> bool {
    let is_space = |token: &TokenWithSpan| matches!(token.token, Token::Whitespace(_) | Token::EOF);
    tokens(text).is_ok_and(|tokens| tokens.iter().all(is_space))
}

fn tokens(text: &str) -> Result<Vec<TokenWithSpan>> {
    Tokenizer::new(&PostgreSqlDialect {}, text)
        .tokenize_with_location()
        .map_err(|error| syntax(&error.message))
}

/// The byte at which a line and a column, both from 1, are.
fn offset(text: &str, lines: &[usize], location: Location) -> usize {
    let line = usize::try_from(location.line.saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(location.column.saturating_sub(1)).unwrap_or(usize::MAX);
    let start = lines.get(line).copied().unwrap_or(text.len());
    let rest = text.get(start..).unwrap_or_default();
    let at = rest.char_indices().nth(column).map(|(at, _)| at);
    start + at.unwrap_or(rest.len())
}

/// Refuses what would become a tree too deep to walk.
fn check_depth(tokens: &[TokenWithSpan]) -> Result<()> {
    let mut chains = vec![0_usize];
    let mut total = 0_usize;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket => chains.push(0),
            Token::RParen | Token::RBracket => {
                total -= chains.pop().unwrap_or_default();
                if chains.is_empty() {
                    chains.push(0);
                }
            }
            Token::Comma | Token::SemiColon => {
                if let Some(last) = chains.last_mut() {
                    total -= std::mem::take(last);
                }
            }
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_) => {}
            _ => {
                if let Some(last) = chains.last_mut() {
                    *last += 1;
                    total += 1;
                }
            }
        }
        if chains.len() > NESTING_MAX || total > CHAIN_MAX {
            return Err(SqlError::new(
                state::STATEMENT_TOO_COMPLEX,
                "the statement is nested too deeply",
            )
            .with_hint(format!(
                "at most {NESTING_MAX} parentheses and {CHAIN_MAX} operators in a row"
            )));
        }
    }
    Ok(())
}

/// The tree of one statement.
pub(crate) fn parse(text: &str) -> Result<Statement> {
    let mut tokens = tokens(text)?;
    check_depth(&tokens)?;
    drop_row_lock_modes(&mut tokens);
    let is_copy = tokens
        .iter()
        .map(|token| &token.token)
        .find(|token| !matches!(token, Token::Whitespace(_)))
        .is_some_and(
            |token| matches!(token, Token::Word(word) if word.value.eq_ignore_ascii_case("copy")),
        );
    if is_copy {
        // The parser looks for data behind the statement's end.
        tokens.push(TokenWithSpan::wrap(Token::SemiColon));
    }
    let mut parser = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(NESTING_MAX * 2)
        .with_tokens_with_locations(tokens);
    let parsed = parser.parse_statements().map_err(|error| match error {
        ParserError::RecursionLimitExceeded => SqlError::new(
            state::STATEMENT_TOO_COMPLEX,
            "the statement is nested too deeply",
        ),
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => {
            syntax(&message)
        }
    })?;
    match <[Statement; 1]>::try_from(parsed) {
        Ok([statement]) => Ok(statement),
        Err(_) => Err(syntax("one statement was expected")),
    }
}

/// The tree of an expression.
pub(crate) fn expression(text: &str) -> Result<sqlparser::ast::Expr> {
    use sqlparser::ast::{SelectItem, SetExpr};
    let wrong = || syntax("an expression was expected");
    let Statement::Query(query) = parse(&format!("SELECT ({text})"))? else {
        return Err(wrong());
    };
    match *query.body {
        SetExpr::Select(mut select) => {
            match (select.projection.pop(), select.projection.is_empty()) {
                (Some(SelectItem::UnnamedExpr(expression)), true) => Ok(expression),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

/// `FOR NO KEY UPDATE` and `FOR KEY SHARE` are weaker than what follows, and
/// the parser knows only that.
fn drop_row_lock_modes(tokens: &mut Vec<TokenWithSpan>) {
    let words: Vec<(usize, String)> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)))
        .map(|(at, token)| (at, token.token.to_string().to_ascii_lowercase()))
        .collect();
    let mut dropped = Vec::new();
    for window in words.windows(4) {
        let text: Vec<&str> = window.iter().map(|(_, word)| word.as_str()).collect();
        match text.as_slice() {
            ["for", "no", "key", "update"] => {
                dropped.extend(window.iter().skip(1).take(2).map(|(at, _)| *at));
            }
            ["for", "key", "share", _] => {
                dropped.extend(window.iter().skip(1).take(1).map(|(at, _)| *at));
            }
            _ => {}
        }
    }
    if let [.., (_, a), (at, b), (_, c)] = words.as_slice()
        && (a.as_str(), b.as_str(), c.as_str()) == ("for", "key", "share")
    {
        dropped.push(*at);
    }
    let mut index = 0;
    tokens.retain(|_| {
        index += 1;
        !dropped.contains(&(index - 1))
    });
}

/// A name as PostgreSQL folds it: in lower case unless it is quoted.
pub(crate) fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// The parts of a name, folded.
pub(crate) fn parts(name: &ObjectName) -> Result<Vec<String>> {
    name.0
        .iter()
        .map(|part| {
            let ident = part
                .as_ident()
                .ok_or_else(|| syntax("a name was expected"))?;
            Ok(fold(ident))
        })
        .collect()
}

/// Where a name says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does not say.
    Anywhere,
    Public,
    Catalog,
    Information,
}

/// The schema and the last part of a name.
pub(crate) fn place(name: &ObjectName) -> Result<(Place, String)> {
    let mut parts = parts(name)?;
    let last = parts.pop().ok_or_else(|| syntax("a name was expected"))?;
    let place = match parts.last().map(String::as_str) {
        None => Place::Anywhere,
        Some("public") => Place::Public,
        Some("pg_catalog") => Place::Catalog,
        Some("information_schema") => Place::Information,
        Some(other) => {
            return Err(SqlError::new(
                state::INVALID_SCHEMA_NAME,
                format!("schema \"{other}\" does not exist"),
            )
            .with_hint("mdbc has one schema, public, beside pg_catalog and information_schema"));
        }
    };
    Ok((place, last))
}

/// A name as SQLite and PostgreSQL quote it.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as both quote it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name quoted where PostgreSQL needs it to be.
pub(crate) fn quote_if_needed(name: &str) -> String {
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && !RESERVED.contains(&name);
    if is_plain {
        name.to_owned()
    } else {
        quote(name)
    }
}

/// Words that are no names unless they are quoted.
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "lateral",
    "leading",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_split_where_its_statements_end() {
        let text = "select 'a;b' ; -- c;d\n select \"e;f\";; /* ; */ ;\nselect $$x;y$$";
        let statements = split(text).unwrap();
        assert_eq!(statements.len(), 3, "{statements:?}");
        assert_eq!(statements[0], "select 'a;b' ");
        assert!(statements[2].ends_with("$$x;y$$"));
        assert!(split(" ; ;; -- nothing").unwrap().is_empty());
        assert_eq!(split("select 'ä'; select 'ö'").unwrap()[1], " select 'ö'");
    }

    #[test]
    fn what_would_be_too_deep_is_refused() {
        for text in [
            "select ".to_owned() + &"(".repeat(100_000),
            "select 1".to_owned() + &" + 1".repeat(100_000),
            "select ".to_owned() + &"not ".repeat(50_000) + "true",
            "select ".to_owned() + &"- ".repeat(9000) + "1",
        ] {
            let error = split(&text).and_then(|_| parse(&text)).unwrap_err();
            assert!(matches!(error.state.code(), "54001" | "42601"), "{error}");
        }
        let long = "select 1 in (".to_owned() + &"1,".repeat(100_000) + "1)";
        assert!(split(&long).is_ok());
    }

    #[test]
    fn names_fold_as_in_postgresql() {
        let ident = |value, quote_style| Ident {
            quote_style,
            ..Ident::new(value)
        };
        assert_eq!(fold(&ident("AbC", None)), "abc");
        assert_eq!(fold(&ident("AbC", Some('"'))), "AbC");
        assert_eq!(quote_if_needed("order"), "\"order\"");
        assert_eq!(quote_if_needed("orders"), "orders");
    }

    #[test]
    fn row_locks_of_all_strengths_are_parsed() {
        for mode in ["update", "share", "no key update", "key share"] {
            parse(&format!("select 1 from t for {mode}")).unwrap();
            parse(&format!("select 1 from t for {mode} nowait")).unwrap();
        }
    }
}
