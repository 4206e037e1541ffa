//! `cargo xtask test`: all tests of the workspace.

use std::path::Path;

use anyhow::Result;

use crate::{packages, shell};

/// Installs what tests need, then runs all of them.
///
/// # Errors
///
/// When something is missing that cannot be installed, or a test fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_TESTS)?;
    // Without a choice of targets cargo runs the documentation tests too.
    shell::run(&mut shell::program(
        root,
        "cargo",
        &["test", "--workspace", "--locked"],
    ))
}
