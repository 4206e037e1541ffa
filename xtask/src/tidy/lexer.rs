//! Tells the code of a Rust file from its comments and its string literals.

/// A file taken apart. Each part has the file's lines and columns, with spaces
/// where the other part has its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Everything outside comments; literals are shown as `"` all over.
    pub(super) code: String,
    /// The comments, documentation included.
    pub(super) comments: String,
}

#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// How many comments are open, one inside the other.
    BlockComment(usize),
    Text,
    /// How many `#` end the literal.
    RawText(usize),
}

/// Where a piece of the file goes.
#[derive(Clone, Copy)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Takes a file apart.
pub(super) fn split(text: &str) -> Parts {
    let mut lexer = Lexer {
        rest: text,
        state: State::Code,
        parts: Parts {
            code: String::new(),
            comments: String::new(),
        },
    };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.parts
}

struct Lexer<'a> {
    rest: &'a str,
    state: State,
    parts: Parts,
}

impl Lexer<'_> {
    fn step(&mut self) {
        match self.state {
            State::Code => self.code(),
            State::LineComment => self.line_comment(),
            State::BlockComment(depth) => self.block_comment(depth),
            State::Text => self.text(),
            State::RawText(hashes) => self.raw_text(hashes),
        }
    }

    fn code(&mut self) {
        if self.rest.starts_with("//") {
            self.enter(State::LineComment, 2, Part::Comment);
        } else if self.rest.starts_with("/*") {
            self.enter(State::BlockComment(1), 2, Part::Comment);
        } else if let Some((length, hashes)) = self.raw_opening() {
            self.enter(State::RawText(hashes), length, Part::Literal);
        } else if self.rest.starts_with('"') {
            self.enter(State::Text, 1, Part::Literal);
        } else if let Some(length) = character(self.rest) {
            self.take(length, Part::Literal);
        } else {
            self.take(1, Part::Code);
        }
    }

    fn line_comment(&mut self) {
        let is_over = self.rest.starts_with('\n');
        self.take(1, Part::Comment);
        if is_over {
            self.state = State::Code;
        }
    }

    fn block_comment(&mut self, depth: usize) {
        if self.rest.starts_with("/*") {
            self.enter(State::BlockComment(depth + 1), 2, Part::Comment);
        } else if self.rest.starts_with("*/") {
            let outer = if depth == 1 {
                State::Code
            } else {
                State::BlockComment(depth - 1)
            };
            self.enter(outer, 2, Part::Comment);
        } else {
            self.take(1, Part::Comment);
        }
    }

    fn text(&mut self) {
        if self.rest.starts_with('\\') {
            self.take(2, Part::Literal);
        } else if self.rest.starts_with('"') {
            self.enter(State::Code, 1, Part::Literal);
        } else {
            self.take(1, Part::Literal);
        }
    }

    fn raw_text(&mut self, hashes: usize) {
        let is_over = self
            .rest
            .strip_prefix('"')
            .is_some_and(|after| after.starts_with(&"#".repeat(hashes)));
        if is_over {
            self.enter(State::Code, hashes + 1, Part::Literal);
        } else {
            self.take(1, Part::Literal);
        }
    }

    /// The length of a raw string's opening, such as `br##"`, and its number
    /// of `#`.
    fn raw_opening(&self) -> Option<(usize, usize)> {
        if self.parts.code.ends_with(is_word) {
            return None;
        }
        let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
            let after = self.rest.strip_prefix(prefix);
            after.is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
        })?;
        let after = self.rest.strip_prefix(prefix)?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        Some((prefix.len() + hashes + 1, hashes))
    }

    fn enter(&mut self, state: State, length: usize, part: Part) {
        self.take(length, part);
        self.state = state;
    }

    /// Moves that many characters into a part.
    fn take(&mut self, length: usize, part: Part) {
        for _ in 0..length {
            let mut chars = self.rest.chars();
            let Some(next) = chars.next() else { return };
            self.rest = chars.as_str();
            let (code, comment) = match part {
                _ if next.is_whitespace() => (next, next),
                Part::Code => (next, ' '),
                Part::Comment => (' ', next),
                Part::Literal => ('"', ' '),
            };
            self.parts.code.push(code);
            self.parts.comments.push(comment);
        }
    }
}

/// The number of characters in a character literal; `None` for a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let first = inner.chars().next()?;
    if first == '\\' {
        // The escaped character may be a quote itself.
        return inner
            .chars()
            .skip(2)
            .position(|next| next == '\'')
            .map(|at| at + 4);
    }
    (inner.chars().nth(1)? == '\'').then_some(3)
}

/// Whether a character can be part of a Rust name.
pub(super) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        split(text).code
    }

    #[test]
    fn comments_leave_the_code() {
        let parts = split("let a = 1; // one\nb /* x /* y */ z */ c");
        assert_eq!(parts.code, "let a = 1;       \nb                   c");
        assert_eq!(parts.comments, "           // one\n  /* x /* y */ z */  ");
    }

    #[test]
    fn literals_are_blotted_out() {
        assert_eq!(code(r#"f("a\"b", x)"#), r#"f("""""", x)"#);
        assert_eq!(code(r##"f(r#"a"b"#, x)"##), r#"f("""""""", x)"#);
        assert_eq!(code(r#"f(br"\", x)"#), r#"f(""""", x)"#);
        assert_eq!(code(r"['a', '\'', '\u{1F}']"), r#"[""", """", """"""""]"#);
    }

    #[test]
    fn a_slash_in_a_literal_opens_no_comment() {
        assert_eq!(split(r#""http://x" y"#).comments.trim(), "");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(
            code("fn f<'a>(r#type: &'a str)"),
            "fn f<'a>(r#type: &'a str)"
        );
        assert_eq!(code(r#"color"x""#), r#"color""""#);
    }

    #[test]
    fn a_literal_keeps_its_lines() {
        assert_eq!(code("\"a\nb\" c"), "\"\"\n\"\" c");
    }

    #[test]
    fn an_open_end_is_no_panic() {
        for text in ["\"", "/*", "r#\"", "'", "'\\", "b'"] {
            split(text);
        }
    }
}
