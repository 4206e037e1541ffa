//! `cargo xtask test`: all tests of the workspace, then those of the Python
//! client and those of mdbc with clients of all kinds; those that need real servers on request.

use std::path::Path;

use anyhow::Result;

use crate::{engines, packages, python, shell, sql};

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
    ))?;
    python::run(root)?;
    sql::run(root)
}

/// Starts the servers that are not running, and runs the tests that need them.
///
/// # Errors
///
/// When a server cannot be installed or started, or a test fails.
pub(crate) fn run_with_engines(root: &Path) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_ENGINES)?;
    let test = |last: &str| {
        let arguments = [
            "test",
            "--locked",
            "--no-fail-fast",
            "--package=music-store",
            "--package=music-cli",
            "--features=music-store/live-engines,music-cli/live-engines",
            "--lib",
            "--test=live",
            "--test=cli",
            last,
        ];
        shell::run(&mut shell::program(root, "cargo", &arguments))
    };
    // Built before the servers start, which need the processor too.
    test("--no-run")?;
    recipes(root, "--no-run")?;
    engines::with_all(root, || {
        // The modules of that name are those that need servers.
        test("live::")?;
        recipes(root, "killed_anywhere")
    })
}

/// The recipes whose clients are killed, on Cassandra and etcd.
fn recipes(root: &Path, last: &str) -> Result<()> {
    let arguments = [
        "test",
        "--locked",
        "--no-fail-fast",
        "--package=music-client",
        "--test=live",
        last,
        "--",
        // Each starts three nodes of its own, on servers that all share.
        "--test-threads=2",
    ];
    let mut cargo = shell::program(root, "cargo", &arguments);
    shell::run(cargo.env("MUSIC_TEST_LOCKS", "etcd"))
}
