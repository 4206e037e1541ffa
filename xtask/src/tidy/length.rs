//! Files of at most 800 lines of code, with a warning from 500, and lines of
//! at most 100 characters.
//!
//! A line counts that holds code and is not compiled for tests only: neither
//! comments nor tests make a file too long.

use super::source::{Line, Source};
use super::{Problem, tree::Tree};

const FILE_WARNED: usize = 500;
const FILE_MAX: usize = 800;
const LINE_MAX: usize = 100;

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.rust()
        .flat_map(|source| file(source).into_iter().chain(lines(source)))
        .collect()
}

fn file(source: &Source) -> Option<Problem> {
    let is_counted = |line: &&Line| !line.is_test && !line.code.trim().is_empty();
    let count = source.lines.iter().filter(is_counted).count();
    if count <= FILE_WARNED {
        return None;
    }
    let message = format!("{count} lines of code: split it (aim {FILE_WARNED}, most {FILE_MAX})");
    let mut problem = Problem::new(&source.path, 0, message);
    problem.is_warning = count <= FILE_MAX;
    Some(problem)
}

fn lines(source: &Source) -> impl Iterator<Item = Problem> {
    let is_long = |line: &&Line| line.text.chars().count() > LINE_MAX && !is_unbreakable(line);
    source.lines.iter().filter(is_long).map(|line| {
        let message = format!("longer than {LINE_MAX} characters");
        Problem::new(&source.path, line.number, message)
    })
}

/// A web address and a row of a table, in a comment, are one line.
fn is_unbreakable(line: &Line) -> bool {
    let comment = line.prose.trim_start().trim_start_matches(['/', '!']);
    comment.contains("://") || comment.trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_length(count: usize, test_count: usize) -> Vec<Problem> {
        let tests = format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            "g();\n".repeat(test_count)
        );
        let text = format!(
            "{}{}{tests}",
            "f();\n".repeat(count),
            "// f\n\n".repeat(900)
        );
        check(&Tree::of(&[("a.rs", &text)]))
    }

    #[test]
    fn a_file_over_800_lines_of_code_is_an_error() {
        assert!(of_length(801, 0).iter().any(|problem| !problem.is_warning));
        assert!(of_length(800, 0).iter().all(|problem| problem.is_warning));
    }

    #[test]
    fn a_file_over_500_lines_of_code_is_a_warning() {
        assert_eq!(of_length(501, 0).len(), 1);
        assert_eq!(of_length(500, 0), []);
    }

    #[test]
    fn tests_and_comments_do_not_count() {
        assert_eq!(of_length(400, 1000), []);
    }

    #[test]
    fn a_line_over_100_characters_is_an_error() {
        let of_width = |width: usize| check(&Tree::of(&[("a.rs", &"ä".repeat(width))]));
        assert_eq!(of_width(101).len(), 1);
        assert_eq!(of_width(100), []);
    }

    #[test]
    fn an_address_or_a_table_in_a_comment_may_be_long() {
        for start in ["// https://example.org/", "//! | a | "] {
            let text = format!("{start}{}", "x".repeat(100));
            assert_eq!(check(&Tree::of(&[("a.rs", &text)])), []);
        }
    }
}
