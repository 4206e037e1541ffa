//! No white space at the end of a line, and one line end at the end of a file.

use super::{Problem, tree::Tree};

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.sources() {
        for line in &source.lines {
            if line.text.ends_with(char::is_whitespace) {
                let message = "white space at the end of the line";
                problems.push(Problem::new(&source.path, line.number, message));
            }
        }
        let is_ended = source.text.ends_with('\n') && !source.text.ends_with("\n\n");
        if !source.text.is_empty() && !is_ended {
            let message = "the file must end with one line end";
            problems.push(Problem::new(&source.path, source.lines.len(), message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("a.md", text)])).len()
    }

    #[test]
    fn white_space_at_the_end_of_a_line_is_an_error() {
        assert_eq!(count("a \nb\t\nc\n"), 2);
        assert_eq!(count("a\n\n b\n"), 0);
    }

    #[test]
    fn a_file_ends_with_one_line_end() {
        assert_eq!(count("a"), 1);
        assert_eq!(count("a\n\n"), 1);
        assert_eq!(count(""), 0);
    }
}
