//! mdbc with clients of all kinds: each is installed below the target folder,
//! by its own package manager, and run against a site.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{packages, python, shell, test};

/// Packages of Python, and the versions that the tests are written for.
const PYTHON: &[&str] = &["psycopg[binary]>=3.2,<4", "sqlalchemy>=2.0,<3"];
/// What the application needs, and how it is called.
const DJANGO: &[&str] = &[
    "django>=5.2,<6",
    "psycopg[binary]>=3.2,<4",
    "django-environ>=0.12,<1",
];
const GUARDIAN: (&str, &str) = ("django-guardian", "3.5.2");
/// Packages of Node.
const NODE: &[&str] = &["pg@8", "pg-cursor@2"];
/// The driver of Java.
const JDBC: (&str, &str) = ("org.postgresql:postgresql", "42.7.7");
/// The program that uses sqlx, a workspace of its own.
const SQLX: &str = "crates/mdbc/tests/clients/sqlx";

/// Installs the clients and runs the tests that need them.
///
/// # Errors
///
/// When a client cannot be installed, or a test fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    let clients = clients(root)?;
    for which in [
        ["--test=it", "other_clients"],
        ["--test=postgres", "--test=front"],
    ] {
        let mut test = test::cargo_test(root, &which);
        shell::run(test.envs(clients.iter().map(|(name, path)| (name, path))))?;
    }
    Ok(())
}

/// Installs the clients, and tells where they are, by settings of the environment.
///
/// # Errors
///
/// When one cannot be installed.
pub(crate) fn clients(root: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_SQL)?;
    let folder = shell::target(root)?.join("sql");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let django = python::environment(root, folder.join("django"), DJANGO)?;
    Ok(vec![
        ("MDBC_TEST_GUARDIAN", guardian(root, &folder, &django)?),
        ("MDBC_TEST_DJANGO", django),
        (
            "MDBC_TEST_PYTHON",
            python::environment(root, folder.join("python"), PYTHON)?,
        ),
        ("MDBC_TEST_NODE", node(root, &folder)?),
        ("MDBC_TEST_JDBC", jdbc(root, &folder)?),
        ("MDBC_TEST_SQLX", sqlx(root, &folder)?),
    ])
}

/// The source of an application with tests of its own, which wheels do not have.
fn guardian(root: &Path, folder: &Path, python: &Path) -> Result<PathBuf> {
    let (name, version) = GUARDIAN;
    let unpacked = folder.join(format!("{}-{version}", name.replace('-', "_")));
    let archive = format!("{}.tar.gz", unpacked.display());
    if !Path::new(&archive).is_file() {
        let python = python.display().to_string();
        let mut pip = shell::program(root, &python, &["-m", "pip", "download", "--quiet"]);
        pip.args(["--no-deps", "--no-binary", name, "--dest"]);
        shell::run(pip.arg(folder).arg(format!("{name}=={version}")))?;
    }
    let mut tar = shell::program(root, "tar", &["-xzf", &archive, "-C"]);
    shell::run(tar.arg(folder))?;
    Ok(unpacked)
}

/// The folder with the packages of Node.
fn node(root: &Path, folder: &Path) -> Result<PathBuf> {
    let node = folder.join("node");
    let mut npm = shell::program(root, "npm", &["install", "--no-audit", "--no-fund"]);
    shell::run(npm.arg("--prefix").arg(&node).args(NODE))?;
    Ok(node)
}

/// The archive with the driver of Java.
fn jdbc(root: &Path, folder: &Path) -> Result<PathBuf> {
    let (name, version) = JDBC;
    let archive = folder.join(format!("postgresql-{version}.jar"));
    if !archive.is_file() {
        let goal = "org.apache.maven.plugins:maven-dependency-plugin:3.6.0:copy";
        let mut maven = shell::program(root, "mvn", &["--batch-mode", "--quiet", goal]);
        maven.arg(format!("-Dartifact={name}:{version}"));
        maven.arg(format!("-DoutputDirectory={}", folder.display()));
        shell::run(&mut maven)?;
    }
    ensure!(archive.is_file(), "{} is missing", archive.display());
    Ok(archive)
}

/// The program that uses sqlx.
fn sqlx(root: &Path, folder: &Path) -> Result<PathBuf> {
    let target = folder.join("sqlx");
    let mut build = shell::program(root, "cargo", &["build", "--locked"]);
    build
        .arg("--manifest-path")
        .arg(root.join(SQLX).join("Cargo.toml"));
    shell::run(build.arg("--target-dir").arg(&target))?;
    Ok(target.join("debug").join("sqlx-client"))
}
