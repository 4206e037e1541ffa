//! What is left to do has an issue: `TODO(#123)`; and no code is left out.

use super::lexer::is_word;
use super::source::Line;
use super::{Problem, tree::Tree};

const MARKS: &[&str] = &["TODO", "FIXME"];
const MACROS: &[&str] = &["todo!", "unimplemented!"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.sources() {
        for line in &source.lines {
            if !source.is_markdown() && has_mark_without_issue(line) {
                let message = "what is to do needs an issue: TODO(#123)";
                problems.push(Problem::new(&source.path, line.number, message));
            }
            for name in MACROS.iter().filter(|name| line.has_code(name)) {
                let message = format!("`{name}` leaves code out");
                problems.push(Problem::new(&source.path, line.number, message));
            }
        }
    }
    problems
}

fn has_mark_without_issue(line: &Line) -> bool {
    let prose = &line.prose;
    MARKS.iter().any(|mark| {
        prose.match_indices(mark).any(|(at, _)| {
            let before = prose.get(..at).unwrap_or_default();
            let after = prose.get(at + mark.len()..).unwrap_or_default();
            let is_quoted = before.ends_with('`');
            let is_part = before.ends_with(is_word) || after.starts_with(is_word);
            let has_issue = *mark == "TODO" && starts_with_issue(after);
            !(is_quoted || is_part || has_issue)
        })
    })
}

/// Whether this is `(#`, a number, and `)`.
fn starts_with_issue(text: &str) -> bool {
    let number = text
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(digits, _)| digits.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("a.rs", text)])).len()
    }

    #[test]
    fn a_mark_without_an_issue_is_an_error() {
        for text in [
            "// TODO: x",
            "// TODO(me) x",
            "// TODO(#) x",
            "/// FIXME x",
            "// FIXME(#1)",
        ] {
            assert_eq!(count(text), 1, "{text}");
        }
    }

    #[test]
    fn a_mark_with_an_issue_is_none() {
        assert_eq!(count("// TODO(#12): x"), 0);
    }

    #[test]
    fn other_words_names_and_literals_are_no_marks() {
        assert_eq!(count("// TODOS, `TODO(#123)`\nlet TODO = \"TODO\";"), 0);
    }

    #[test]
    fn code_left_out_is_an_error() {
        assert_eq!(
            count("fn f() { todo!() }\nfn g() { unimplemented!(\"x\") }"),
            2
        );
        assert_eq!(count("// todo!()\nfn f() { my_todo!() }"), 0);
    }
}
