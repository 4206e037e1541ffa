//! Gets cargo-fuzz, and builds the targets with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::{self, Package, package};
use crate::shell;

/// Where everything of a run lies: tools, targets, corpora, crashes.
pub(super) const FOLDER: &str = "target/fuzz";

/// The version that the options below are those of.
const CARGO_FUZZ: &str = "cargo-fuzz@0.13.2";

/// The fuzzer's runtime is C++, compiled at every first build.
const COMPILER: &[Package] = &[package("g++", "g++")];

/// Builds a target, or all.
pub(super) fn run(root: &Path, target: Option<&str>) -> Result<()> {
    packages::ensure_debian_packages(root, COMPILER)?;
    let tools = root.join(FOLDER).join("tools");
    if !shell::is_on_path("cargo-fuzz") && !tools.join("bin/cargo-fuzz").is_file() {
        install(root, &tools)?;
    }
    // No sanitizer of memory: there is no `unsafe` in our code, and without
    // one twice as many inputs are tried. What a fuzzer needs to see where an
    // input leads is an ordinary option of the compiler.
    let mut build = shell::program(root, "cargo", &["fuzz", "build"]);
    build.args(["--fuzz-dir", "fuzz", "--target-dir", FOLDER]);
    build.args(["--sanitizer", "none", "--codegen-units", "16"]);
    build.args(target);
    shell::run(with_tools(&mut build, &tools)?)
}

/// Where the program of a target was built.
pub(super) fn program(root: &Path, target: &str) -> Result<PathBuf> {
    let version = shell::output(&mut shell::program(root, "rustc", &["-vV"]))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not say what it compiles for")?;
    Ok(root.join(FOLDER).join(host).join("release").join(target))
}

fn install(root: &Path, tools: &Path) -> Result<()> {
    let mut install = shell::program(root, "cargo", &["install", "--locked", CARGO_FUZZ]);
    shell::run(install.arg("--root").arg(tools))
}

/// The command, with our own tools where none are installed.
fn with_tools<'a>(command: &'a mut Command, tools: &Path) -> Result<&'a mut Command> {
    let path: OsString = shell::path_with(&tools.join("bin"))?;
    Ok(command.env("PATH", path))
}
