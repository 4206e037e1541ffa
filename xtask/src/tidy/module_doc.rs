//! Every crate opens with its documentation.

use super::{Problem, tree::Tree};

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    tree.rust()
        .filter(|source| is_crate_root(&source.path) && !source.text.starts_with("//!"))
        .map(|source| Problem::new(&source.path, 1, "a crate must open with `//!`: what it is"))
        .collect()
}

fn is_crate_root(path: &str) -> bool {
    ["src/lib.rs", "src/main.rs"]
        .into_iter()
        .any(|root| path.ends_with(root))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn a_crate_without_documentation_is_an_error() {
        assert_eq!(count("crates/a/src/lib.rs", "// A.\nmod b;\n"), 1);
        assert_eq!(count("crates/a/src/main.rs", "fn main() {}\n"), 1);
    }

    #[test]
    fn a_crate_with_documentation_is_none() {
        assert_eq!(count("crates/a/src/lib.rs", "//! A.\nmod b;\n"), 0);
        assert_eq!(count("crates/a/src/b.rs", "fn f() {}\n"), 0);
    }
}
