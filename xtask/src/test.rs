//! `cargo xtask test`: all tests of the workspace, then those of the Python
//! client and those of mdbc with clients of all kinds; those that need real servers on request.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{engines, packages, python, shell, sql};

/// The whole workspace with the features of all of its tests: what is built for one
/// step of CI does for the others.
pub(crate) const WORKSPACE: [&str; 3] = [
    "--workspace",
    "--locked",
    "--features=mdbc/clients,mdbc/postgres,music-cli/live-engines,music-store/live-engines",
];

/// The modules whose tests need servers that somebody has started.
const LIVE: &str = "live::";

/// Installs what tests need, then runs all of them.
///
/// # Errors
///
/// When something is missing that cannot be installed, or a test fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_TESTS)?;
    let clients = sql::clients(root)?;
    // Without a choice of targets cargo runs the documentation tests too.
    let mut cargo = cargo_test(root, &["--", "--skip", LIVE]);
    shell::run(cargo.envs(clients))?;
    python::run(root)
}

/// Starts the servers that are not running, and runs the tests that need them.
///
/// # Errors
///
/// When a server cannot be installed or started, or a test fails.
pub(crate) fn run_with_engines(root: &Path) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_ENGINES)?;
    let test = |last: &str| {
        let which = ["--no-fail-fast", "--lib", "--test=live", "--test=cli", last];
        shell::run(&mut cargo_test(root, &which))
    };
    // Built before the servers start, which need the processor too.
    test("--no-run")?;
    engines::with_all(root, || {
        test(LIVE)?;
        recipes(root)
    })
}

/// `cargo test` of the whole workspace.
pub(crate) fn cargo_test(root: &Path, which: &[&str]) -> Command {
    let arguments = [&["test"], &WORKSPACE[..], which].concat();
    shell::program(root, "cargo", &arguments)
}

/// The recipes whose clients are killed, on Cassandra and etcd.
fn recipes(root: &Path) -> Result<()> {
    let mut cargo = cargo_test(
        root,
        &[
            "--no-fail-fast",
            "--test=live",
            "killed_anywhere",
            "--",
            // Each starts three nodes of its own, on servers that all share.
            "--test-threads=2",
        ],
    );
    shell::run(cargo.env("MUSIC_TEST_LOCKS", "etcd"))
}
