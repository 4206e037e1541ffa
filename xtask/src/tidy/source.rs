//! One text file, read once for all rules.

use std::path::Path;

use super::{lexer, test_code};

/// A text file of the repository.
pub(super) struct Source {
    /// From the root of the repository, with `/`.
    pub(super) path: String,
    /// In their order.
    pub(super) lines: Vec<Line>,
    /// The whole text.
    pub(super) text: String,
    /// Test modules that this file declares and other files hold.
    pub(super) test_modules: Vec<String>,
}

/// A line of a file.
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    /// As it stands, without its end.
    pub(super) text: String,
    /// In Rust what is left without comments and literals; else nothing.
    pub(super) code: String,
    /// In Rust the comment; in other files all of it.
    pub(super) prose: String,
    /// Whether it is compiled for tests only.
    pub(super) is_test: bool,
}

impl Source {
    /// Takes a file apart into lines.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let is_rust = has_extension(path, "rs");
        let parts = if is_rust {
            lexer::split(text)
        } else {
            lexer::Parts {
                code: String::new(),
                comments: text.to_owned(),
            }
        };
        let tests = test_code::find(&parts.code);
        let is_test_file = is_test_path(path);
        let (mut code, mut prose) = (parts.code.lines(), parts.comments.lines());
        let mut is_test = tests.lines.into_iter();
        let line = |(index, text): (usize, &str)| Line {
            number: index + 1,
            text: text.to_owned(),
            code: code.next().unwrap_or_default().to_owned(),
            prose: prose.next().unwrap_or_default().to_owned(),
            is_test: is_test.next().unwrap_or_default() || is_test_file,
        };
        Self {
            path: path.to_owned(),
            lines: text.lines().enumerate().map(line).collect(),
            text: text.to_owned(),
            test_modules: tests.modules,
        }
    }

    pub(super) fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    pub(super) fn is_markdown(&self) -> bool {
        has_extension(&self.path, "md")
    }

    /// Where a module declared in this file lies: `FOLDER/name`, without end.
    pub(super) fn module_path(&self, name: &str) -> String {
        let stem = self.path.strip_suffix(".rs").unwrap_or(&self.path);
        let folder = ["/lib", "/main", "/mod"]
            .into_iter()
            .find_map(|file| stem.strip_suffix(file))
            .unwrap_or(stem);
        format!("{folder}/{name}")
    }

    /// Takes the whole file for test code.
    pub(super) fn mark_as_test(&mut self) {
        self.lines.iter_mut().for_each(|line| line.is_test = true);
    }
}

impl Line {
    /// Whether the code of this line holds `needle`, not as part of a longer
    /// name.
    pub(super) fn has_code(&self, needle: &str) -> bool {
        let follows_word = |at: usize| {
            let before = self.code.get(..at).unwrap_or_default();
            needle.starts_with(lexer::is_word) && before.ends_with(lexer::is_word)
        };
        self.code
            .match_indices(needle)
            .any(|(at, _)| !follows_word(at))
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Whether a file is test code by its place: under `tests/` or `benches/`, or
/// named `tests.rs`.
fn is_test_path(path: &str) -> bool {
    let mut folders = path.split('/');
    let file = folders.next_back();
    file == Some("tests.rs") || folders.any(|folder| matches!(folder, "tests" | "benches"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_code_and_its_comment() {
        let source = Source::new("a/src/b.rs", "f(\"x\"); // y\n");
        let [line] = source.lines.as_slice() else {
            panic!("one line")
        };
        assert_eq!(
            (line.code.trim(), line.prose.trim()),
            ("f(\"\"\");", "// y")
        );
        assert!(!line.is_test);
    }

    #[test]
    fn test_files_are_known_by_their_path() {
        for path in ["a/src/b/tests.rs", "a/tests/live/c.rs", "a/benches/d.rs"] {
            assert!(
                Source::new(path, "f();")
                    .lines
                    .iter()
                    .all(|line| line.is_test),
                "{path}"
            );
        }
        assert!(!is_test_path("a/src/tests_run.rs"));
    }

    #[test]
    fn modules_lie_beside_or_below_their_file() {
        let path = |file: &str| Source::new(file, "").module_path("x");
        assert_eq!(path("a/src/lib.rs"), "a/src/x");
        assert_eq!(path("a/src/b/mod.rs"), "a/src/b/x");
        assert_eq!(path("a/src/b.rs"), "a/src/b/x");
    }

    #[test]
    fn a_needle_is_found_as_a_whole_word_only() {
        let source = Source::new("a.rs", "operand::f(); std::env::var(x)");
        let [line] = source.lines.as_slice() else {
            panic!("one line")
        };
        assert!(!line.has_code("rand::"));
        assert!(line.has_code("env::var"));
    }
}
