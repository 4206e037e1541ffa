//! `cargo xtask tidy`: the house rules that no other tool checks.
//!
//! Each rule is a module with one function, `check`, from the tree of files to
//! problems, and with tests that show the rule both failing and passing.

mod determinism;
mod error_pages;
mod length;
mod lexer;
mod links;
mod module_doc;
mod skipped_tests;
mod sleep;
mod source;
mod test_code;
mod todo;
mod tree;
mod white_space;

use std::fmt;
use std::path::Path;

use anyhow::{Result, ensure};

use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    /// From the root of the repository.
    path: String,
    /// From 1; 0 for the file as a whole.
    line: usize,
    /// What is wrong, and what to do.
    message: String,
    /// Shown, but no failure.
    is_warning: bool,
}

impl Problem {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        let (path, message) = (path.to_owned(), message.into());
        Self {
            path,
            line,
            message,
            is_warning: false,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_warning { "warning" } else { "error" };
        let Self {
            path,
            line,
            message,
            ..
        } = self;
        match line {
            0 => write!(f, "{path}: {kind}: {message}"),
            _ => write!(f, "{path}:{line}: {kind}: {message}"),
        }
    }
}

const RULES: &[fn(&Tree) -> Vec<Problem>] = &[
    determinism::check,
    error_pages::check,
    length::check,
    links::check,
    module_doc::check,
    skipped_tests::check,
    sleep::check,
    todo::check,
    white_space::check,
];

/// Checks every file of the repository by every rule.
///
/// # Errors
///
/// When a rule is broken, or a file cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut problems: Vec<Problem> = RULES.iter().flat_map(|check| check(&tree)).collect();
    problems.sort();
    for problem in &problems {
        println!("{problem}");
    }
    let errors = problems
        .iter()
        .filter(|problem| !problem.is_warning)
        .count();
    ensure!(errors == 0, "{errors} errors of tidiness");
    println!("tidy: {} files, no errors", tree.sources().len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_it_is() {
        let mut problem = Problem::new("a/b.rs", 3, "too long");
        assert_eq!(problem.to_string(), "a/b.rs:3: error: too long");
        (problem.line, problem.is_warning) = (0, true);
        assert_eq!(problem.to_string(), "a/b.rs: warning: too long");
    }
}
