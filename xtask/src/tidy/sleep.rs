//! A test does not sleep: it waits for the event with a deadline, or moves
//! virtual time.

use super::lexer::is_word;
use super::source::Line;
use super::{Problem, tree::Tree};

const PATHS: &[&str] = &["thread::sleep", "time::sleep"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.rust() {
        for line in source
            .lines
            .iter()
            .filter(|line| line.is_test && sleeps(line))
        {
            let message = "a test must not sleep: wait for the event, or move virtual time";
            problems.push(Problem::new(&source.path, line.number, message));
        }
    }
    problems
}

/// Whether the line calls `sleep` of a thread or a runtime; a function of that
/// name in another module, or a method, is none of our business.
fn sleeps(line: &Line) -> bool {
    let calls_imported = line.code.match_indices("sleep(").any(|(at, _)| {
        let before = line.code.get(..at).unwrap_or_default();
        !before.ends_with(|last: char| is_word(last) || last == '.' || last == ':')
            && !before.ends_with("fn ")
    });
    calls_imported || PATHS.iter().any(|path| line.has_code(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_test_that_sleeps_is_an_error() {
        for text in [
            "std::thread::sleep(d);",
            "tokio::time::sleep(d).await;",
            "sleep(d).await;",
        ] {
            assert_eq!(count("a/tests/b.rs", text), 1, "{text}");
        }
        assert_eq!(
            count(
                "a/src/b.rs",
                "#[cfg(test)]\nmod tests { fn f() { sleep(d) } }"
            ),
            1
        );
    }

    #[test]
    fn other_code_and_other_functions_are_left_alone() {
        assert_eq!(count("a/src/b.rs", "tokio::time::sleep(d).await;"), 0);
        let text = "fn sleep() {}\nworld.sleep(d);\nclock::sleep(d);\nasleep(d); // sleep(d)";
        assert_eq!(count("a/tests/b.rs", text), 0);
    }
}
