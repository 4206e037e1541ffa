//! Clients that `cargo xtask test --sql` installs.
#![cfg(feature = "clients")]

use std::env;
use std::path::PathBuf;

use tokio::process::Command;

use crate::site::TestSite;

/// Where a client's program is in this crate.
fn program(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

/// What xtask says about a client.
fn installed(variable: &str) -> PathBuf {
    let value = env::var_os(variable)
        .unwrap_or_else(|| panic!("{variable} is not set: use cargo xtask test --sql"));
    PathBuf::from(value)
}

async fn succeeds(mut command: Command) {
    let output = command.kill_on_drop(true).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[tokio::test]
async fn psycopg() {
    let site = TestSite::start().await;
    let mut command = Command::new(installed("MDBC_TEST_PYTHON"));
    command.arg(program("psycopg_client.py")).arg(site.url());
    succeeds(command).await;
}

#[tokio::test]
async fn sqlalchemy() {
    let site = TestSite::start().await;
    let mut command = Command::new(installed("MDBC_TEST_PYTHON"));
    command.arg(program("sqlalchemy_client.py"));
    command.arg(site.url().replace("postgres://", "postgresql+psycopg://"));
    succeeds(command).await;
}

#[tokio::test]
async fn node_postgres() {
    let site = TestSite::start().await;
    // Packages are looked for beside the program.
    let folder = installed("MDBC_TEST_NODE");
    let copy = folder.join("node_client.mjs");
    std::fs::copy(program("node_client.mjs"), &copy).unwrap();
    let mut command = Command::new("node");
    command.arg(copy).arg(site.url());
    succeeds(command).await;
}

#[tokio::test]
async fn pgjdbc() {
    let site = TestSite::start().await;
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(installed("MDBC_TEST_JDBC"))
        .arg(program("JdbcClient.java"));
    command.arg(format!(
        "jdbc:postgresql://127.0.0.1:{}/music?user=mdbc",
        site.port
    ));
    succeeds(command).await;
}

#[tokio::test]
async fn sqlx() {
    let site = TestSite::start().await;
    let mut command = Command::new(installed("MDBC_TEST_SQLX"));
    command.arg(site.url());
    succeeds(command).await;
}
