//! A text as PostgreSQL's scanner cuts it into words.
//!
//! What a statement may touch is told by the names in it, so that no word may be
//! missed: this follows `scan.l`, with `standard_conforming_strings` on.

use std::borrow::Cow;

/// The longest name that PostgreSQL tells from others, in bytes.
const NAME_BYTES_MAX: usize = 63;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or a name, in whichever case.
    Name,
    /// A name in double quotes.
    Quoted,
    /// A name whose characters are given by numbers: `U&"…"`.
    Escaped,
    /// A constant in quotes of any kind.
    Text,
    /// A number.
    Number,
    /// `$1`.
    Parameter,
    /// Any other character.
    Symbol,
}

/// A word of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'t> {
    pub(super) kind: Kind,
    pub(super) text: &'t str,
    /// Where it begins, in bytes.
    pub(super) start: usize,
}

impl<'t> Word<'t> {
    /// Whether it is this keyword, or a name that is written so; in lower case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Name && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is this character.
    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }

    /// The name that it is, as PostgreSQL folds it.
    pub(super) fn name(&self) -> Option<Cow<'t, str>> {
        match self.kind {
            Kind::Name => Some(shortened(self.text.to_ascii_lowercase().into())),
            Kind::Quoted => {
                let inner = self.text.get(1..self.text.len().saturating_sub(1))?;
                Some(shortened(inner.replace("\"\"", "\"").into()))
            }
            _ => None,
        }
    }

    /// The constant that it is, where that has no escapes but doubled quotes.
    pub(super) fn constant(&self) -> Option<String> {
        let inner = self.text.strip_prefix('\'')?.strip_suffix('\'')?;
        (self.kind == Kind::Text).then(|| inner.replace("''", "'"))
    }

    /// Where it ends, in bytes.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

fn shortened(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    let end = (0..=NAME_BYTES_MAX)
        .rev()
        .find(|at| name.is_char_boundary(*at));
    name.get(..end.unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
        .into()
}

/// The words of a text, without comments. What does not end goes to the end.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    let mut scanner = Scanner { text, at: 0 };
    let mut words = Vec::new();
    while let Some(word) = scanner.next() {
        words.push(word);
    }
    words
}

/// The statements of a text, each with where it begins, in bytes.
pub(super) fn split(text: &str) -> Vec<(usize, &str)> {
    let mut statements = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    // The body of a function in SQL has statements of its own, and so has a rule.
    let mut depth = 0_usize;
    for word in words(text) {
        if word.is_symbol("(") {
            depth += 1;
        } else if word.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        if word.is_symbol(";") && depth == 0 && !is_in_body(text, open) {
            statements.extend(open.take());
        } else {
            let start = open.map_or(word.start, |(start, _)| start);
            open = Some((start, word.end()));
        }
    }
    statements.extend(open);
    let cut = |(start, end)| Some((start, text.get(start..end)?));
    statements.into_iter().filter_map(cut).collect()
}

/// Whether a statement that makes a function is within `BEGIN ATOMIC … END`.
fn is_in_body(text: &str, open: Option<(usize, usize)>) -> bool {
    let Some(statement) = open.and_then(|(start, end)| text.get(start..end)) else {
        return false;
    };
    let words = words(statement);
    let is_routine = words.first().is_some_and(|word| word.is("create"))
        && words
            .iter()
            .take(5)
            .any(|word| word.is("function") || word.is("procedure"));
    let begin = words
        .windows(2)
        .position(|pair| matches!(pair, [a, b] if a.is("begin") && b.is("atomic")));
    let Some(begin) = begin.filter(|_| is_routine) else {
        return false;
    };
    let mut open = 0_usize;
    for word in words.iter().skip(begin) {
        if word.is("begin") || word.is("case") {
            open += 1;
        } else if word.is("end") {
            open = open.saturating_sub(1);
        }
    }
    open > 0
}

struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self) -> Option<Word<'t>> {
        self.at += blank(self.rest());
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (kind, length) = quoted(rest)
            .or_else(|| dollar(rest))
            .or_else(|| plain(rest))
            .unwrap_or((Kind::Symbol, first.len_utf8()));
        let word = Word {
            kind,
            text: rest.get(..length)?,
            start: self.at,
        };
        self.at += length;
        Some(word)
    }
}

/// How long the white space and the comments are with which a text begins.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let space = rest
            .find(|c: char| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'))
            .unwrap_or(rest.len());
        let rest = rest.get(space..).unwrap_or_default();
        at += space;
        if rest.starts_with("--") {
            at += rest.find(['\n', '\r']).unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += comment(rest);
        } else {
            return at;
        }
    }
}

/// How long a comment is; they may be nested.
fn comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    text.len()
}

/// A word in quotes.
fn quoted(text: &str) -> Option<(Kind, usize)> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'\'' => Some((Kind::Text, string(text, 1, false))),
        b'"' => Some((Kind::Quoted, closed(text, 1, b'"'))),
        b'e' | b'E' if bytes.get(1) == Some(&b'\'') => Some((Kind::Text, string(text, 2, true))),
        b'b' | b'B' | b'x' | b'X' | b'n' | b'N' if bytes.get(1) == Some(&b'\'') => {
            Some((Kind::Text, string(text, 2, false)))
        }
        b'u' | b'U' => match bytes.get(1..3)? {
            b"&'" => Some((Kind::Text, string(text, 3, false))),
            b"&\"" => Some((Kind::Escaped, closed(text, 3, b'"'))),
            _ => None,
        },
        _ => None,
    }
}

/// Where a quoted word ends whose inside begins at `at`; its quote is doubled
/// where it stands for itself.
fn closed(text: &str, mut at: usize, quote: u8) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        at += 1;
        if *byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    text.len()
}

/// Where a constant ends; it goes on behind a line's end with another quote, with
/// the same escapes.
fn string(text: &str, mut at: usize, has_escapes: bool) -> usize {
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' if has_escapes => at += 1,
            b'\'' if bytes.get(at) == Some(&b'\'') => at += 1,
            b'\'' => {
                let rest = text.get(at..).unwrap_or_default();
                let length = line_end(rest);
                let goes_on = rest
                    .get(length..)
                    .is_some_and(|rest| rest.starts_with('\''));
                if length == 0 || !goes_on {
                    return at;
                }
                at += length + 1;
            }
            _ => {}
        }
    }
    text.len()
}

/// How long white space is that has an end of a line in it; 0 for other.
fn line_end(text: &str) -> usize {
    let length = blank(text);
    let space = text.get(..length).unwrap_or_default();
    if space.contains(['\n', '\r']) && !space.contains("/*") {
        length
    } else {
        0
    }
}

/// A parameter, or a constant in dollar quotes.
fn dollar(text: &str) -> Option<(Kind, usize)> {
    let inner = text.strip_prefix('$')?;
    let digits = inner
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(inner.len());
    if digits > 0 {
        return Some((Kind::Parameter, 1 + digits));
    }
    let end = inner.find('$')?;
    let tag = inner.get(..end)?;
    let is_tag = tag.chars().all(|c| is_inside(c) && c != '$');
    if !is_tag {
        return None;
    }
    let delimiter = text.get(..end + 2)?;
    let body = text.get(delimiter.len()..)?;
    let length = body
        .find(delimiter)
        .map_or(text.len(), |at| at + 2 * delimiter.len());
    Some((Kind::Text, length))
}

/// A name or a number.
fn plain(text: &str) -> Option<(Kind, usize)> {
    let first = text.chars().next()?;
    let end = |is_part: fn(char) -> bool| text.find(|c| !is_part(c)).unwrap_or(text.len());
    if is_start(first) {
        Some((Kind::Name, end(is_inside)))
    } else if first.is_ascii_digit() {
        Some((Kind::Number, end(|c| c.is_ascii_alphanumeric() || c == '_')))
    } else {
        None
    }
}

fn is_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_inside(c: char) -> bool {
    is_start(c) || c.is_ascii_digit() || c == '$'
}

/// Whether a keyword is among these, outside of parentheses.
pub(super) fn has_outside(words: &[Word<'_>], keyword: &str) -> bool {
    let mut depth = 0_usize;
    for word in words {
        if word.is_symbol("(") {
            depth += 1;
        } else if word.is_symbol(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && word.is(keyword) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        words(text)
            .iter()
            .map(|word| word.text.to_owned())
            .collect()
    }

    #[test]
    fn words_are_cut_as_postgresql_cuts_them() {
        for (text, expected) in [
            ("SELECT a.b", vec!["SELECT", "a", ".", "b"]),
            ("a/*x/*y*/z*/b--c\nd", vec!["a", "b", "d"]),
            ("'a\\' || t --'", vec!["'a\\'", "|", "|", "t"]),
            ("e'a\\' || t --'", vec!["e'a\\' || t --'"]),
            ("e'a'\n'\\' t' u", vec!["e'a'\n'\\' t'", "u"]),
            ("'it''s' x", vec!["'it''s'", "x"]),
            ("$a$ $b$ t $a$ u", vec!["$a$ $b$ t $a$", "u"]),
            ("$1$$x$$", vec!["$1", "$$x$$"]),
            ("a$b$ c$b$", vec!["a$b$", "c$b$"]),
            (
                "\"a\"\"b\" U&\"\\0061\"",
                vec!["\"a\"\"b\"", "U&\"\\0061\""],
            ),
            ("1e5x t", vec!["1e5x", "t"]),
            ("a+--b\nc", vec!["a", "+", "c"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn names_are_folded_and_shortened() {
        let name = |text: &str| words(text)[0].name().map(Cow::into_owned);
        assert_eq!(name("Äb"), Some("Äb".to_owned()));
        assert_eq!(name("AB"), Some("ab".to_owned()));
        assert_eq!(name("\"A\"\"B\""), Some("A\"B".to_owned()));
        let long = "x".repeat(70);
        assert_eq!(name(&long), Some("x".repeat(63)));
        let long = format!("{}ä", "x".repeat(62));
        assert_eq!(name(&long), Some("x".repeat(62)), "no half of a character");
    }

    #[test]
    fn statements_are_told_apart() {
        let parts = |text| -> Vec<&str> { split(text).into_iter().map(|(_, part)| part).collect() };
        assert_eq!(parts("; a ; 'b;c' ;;-- d;\n"), vec!["a", "'b;c'"]);
        assert_eq!(parts(""), Vec::<&str>::new());
        let body = "create function f() returns int begin atomic select 1; select case when \
                    true then 2 end; end";
        let two = format!("{body}; select 3");
        assert_eq!(parts(&two), vec![body, "select 3"]);
        let rule = "create rule r as on insert to t do (select 1; select 2)";
        assert_eq!(parts(rule), vec![rule]);
    }
}
