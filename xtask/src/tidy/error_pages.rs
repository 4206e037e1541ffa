//! Every error code has a page, and every page a code.
//!
//! The codes are those in the table of `music-api` and any other that code
//! outside tests writes out.

use std::collections::BTreeMap;

use super::source::{Line, Source};
use super::{Problem, tree::Tree};

const TABLE: &str = "crates/music-api/src/code.rs";
const PAGES: &str = "docs/errors";
const PREFIX: &str = "MUSIC-";

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut codes: BTreeMap<String, (&str, usize)> = BTreeMap::new();
    for source in tree.rust() {
        for line in source.lines.iter().filter(|line| !line.is_test) {
            for digits in codes_of(source, line) {
                codes.entry(digits).or_insert((&source.path, line.number));
            }
        }
    }
    let pages: Vec<String> = tree.files_in(PAGES).filter_map(page_code).collect();
    let without_page = codes.iter().filter(|(digits, _)| !pages.contains(digits));
    let without_code = pages.iter().filter(|digits| !codes.contains_key(*digits));
    without_page
        .map(|(digits, (path, line))| {
            Problem::new(
                path,
                *line,
                format!("{PREFIX}{digits} has no page in {PAGES}"),
            )
        })
        .chain(without_code.map(|digits| {
            let path = format!("{PAGES}/{PREFIX}{digits}.md");
            Problem::new(&path, 0, format!("{PREFIX}{digits} is nowhere in the code"))
        }))
        .chain(unread_table(tree))
        .collect()
}

/// The digits of the codes that a line introduces.
fn codes_of(source: &Source, line: &Line) -> Vec<String> {
    let mut codes: Vec<String> = line
        .text
        .match_indices(PREFIX)
        .filter_map(|(at, _)| digits(line.text.get(at + PREFIX.len()..)?))
        .collect();
    if source.path == TABLE {
        codes.extend(table_code(&line.code));
    }
    codes
}

/// The code in a line of the table: `Name = 1000, 400, …`.
fn table_code(code: &str) -> Option<String> {
    let (name, rest) = code.trim().split_once(" = ")?;
    let is_name = name.chars().all(char::is_alphanumeric);
    let digits = digits(rest)?;
    let is_row = rest.get(digits.len()..)?.starts_with(',');
    (is_name && is_row).then_some(digits)
}

/// The four digits a text starts with, if it is not more of them.
fn digits(text: &str) -> Option<String> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    (count == 4).then(|| text.get(..count).map(str::to_owned))?
}

fn page_code(file: &str) -> Option<String> {
    digits(file.strip_prefix(PREFIX)?.strip_suffix(".md")?)
}

/// A table in which no code is found has changed its form: say so, rather than
/// check nothing.
fn unread_table(tree: &Tree) -> Option<Problem> {
    let table = tree.rust().find(|source| source.path == TABLE)?;
    let is_read = table
        .lines
        .iter()
        .any(|line| table_code(&line.code).is_some());
    let message = "no code found here; see xtask/src/tidy/error_pages.rs";
    (!is_read).then(|| Problem::new(TABLE, 0, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "    BadKey = 1007, 400, \"bad key\", NotApplied, false;\n";

    fn count(files: &[(&str, &str)]) -> usize {
        check(&Tree::of(files)).len()
    }

    #[test]
    fn a_code_without_a_page_is_an_error() {
        assert_eq!(count(&[(TABLE, ROW)]), 1);
        assert_eq!(
            count(&[("a/src/b.rs", "const A: &str = \"MUSIC-9001\";")]),
            1
        );
    }

    #[test]
    fn a_page_without_a_code_is_an_error() {
        assert_eq!(count(&[("docs/errors/MUSIC-1007.md", "")]), 1);
    }

    #[test]
    fn a_code_with_its_page_is_none() {
        assert_eq!(count(&[(TABLE, ROW), ("docs/errors/MUSIC-1007.md", "")]), 0);
    }

    #[test]
    fn codes_in_tests_and_other_numbers_are_none() {
        assert_eq!(count(&[("a/tests/b.rs", "\"MUSIC-0001\"")]), 0);
        assert_eq!(
            count(&[("a/src/b.rs", "// MUSIC-nnnn, MUSIC-12345\nlet a = 1000, 1;")]),
            0
        );
    }

    #[test]
    fn a_table_that_cannot_be_read_is_an_error() {
        assert_eq!(count(&[(TABLE, "BadKey => 1007,\n")]), 1);
    }
}
