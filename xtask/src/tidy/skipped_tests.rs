//! Every test runs, and says what it expects: no `#[ignore]`, no
//! `#[should_panic]`, and none of either on the examples in documentation.

use super::{Problem, tree::Tree};

const ATTRIBUTES: &[&str] = &[
    "#[ignore",
    "#[should_panic",
    ", ignore)]",
    ", should_panic)]",
];
const FENCE_WORDS: &[&str] = &["ignore", "should_panic"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in tree.rust() {
        for line in &source.lines {
            if ATTRIBUTES.iter().any(|attribute| line.has_code(attribute)) {
                let message = "a test must run, and check its result itself";
                problems.push(Problem::new(&source.path, line.number, message));
            }
            if is_skipping_fence(&line.prose) {
                let message = "an example must compile and run (`no_run`, or `text` if no code)";
                problems.push(Problem::new(&source.path, line.number, message));
            }
        }
    }
    problems
}

/// Whether a comment opens an example that is not run.
fn is_skipping_fence(prose: &str) -> bool {
    let doc = prose
        .trim_start()
        .trim_start_matches(['/', '!', '*'])
        .trim_start();
    let words = doc.strip_prefix("```").unwrap_or_default();
    words
        .split([',', ' '])
        .any(|word| FENCE_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(text: &str) -> usize {
        check(&Tree::of(&[("a/tests/b.rs", text)])).len()
    }

    #[test]
    fn a_test_that_does_not_run_is_an_error() {
        assert_eq!(
            count("#[ignore]\n#[ignore = \"slow\"]\n#[cfg_attr(windows, ignore)]"),
            3
        );
    }

    #[test]
    fn a_test_that_must_panic_is_an_error() {
        assert_eq!(
            count("#[should_panic]\n#[should_panic(expected = \"x\")]"),
            2
        );
    }

    #[test]
    fn an_example_that_does_not_run_is_an_error() {
        assert_eq!(count("/// ```ignore\n//! ```rust,should_panic\n"), 2);
        assert_eq!(count("/// ```\n/// ```no_run\n/// we ignore this\n"), 0);
    }

    #[test]
    fn comments_and_literals_are_no_attributes() {
        assert_eq!(count("// #[ignore]\nlet a = \"#[ignore]\";"), 0);
    }
}
