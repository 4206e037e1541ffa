//! Running programs, and finding the repository.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The root of the repository: the nearest folder upwards with a `Cargo.lock`.
pub(crate) fn root() -> Result<PathBuf> {
    let start = env::current_dir().context("the current folder is gone")?;
    for folder in start.ancestors() {
        if folder.join("Cargo.lock").is_file() && folder.join("xtask").is_dir() {
            return Ok(folder.to_owned());
        }
    }
    bail!("{} is not inside the repository", start.display())
}

/// Where cargo builds.
///
/// # Errors
///
/// When cargo does not say.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--locked"];
    let metadata = output(&mut program(root, "cargo", &arguments))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let target = metadata.get("target_directory").and_then(Value::as_str);
    target
        .map(PathBuf::from)
        .context("cargo does not say where it builds")
}

/// A program to be run in the repository's root.
pub(crate) fn program(root: &Path, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.current_dir(root).args(arguments);
    command
}

/// Prints a command line, then runs it.
///
/// # Errors
///
/// When it cannot be started, or ends with anything but success.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}

/// Runs a command and gives what it printed.
///
/// # Errors
///
/// As [`run`], and when the output is not UTF-8.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(
        output.status.success(),
        "`{line}` failed: {}",
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed no UTF-8"))
}

/// Whether a program of that name can be run.
pub(crate) fn is_on_path(name: &str) -> bool {
    find_on_path(name).is_some()
}

/// Where a program of that name is.
pub(crate) fn find_on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut programs = env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| program.is_file())
}

/// The folders of programs, `first` before those there are.
///
/// # Errors
///
/// When the name of a folder cannot be part of such a list.
pub(crate) fn path_with(first: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [first.to_owned()]
        .into_iter()
        .chain(env::split_paths(&path));
    env::join_paths(folders).context("the folder's name does not fit the PATH")
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        let value = value.unwrap_or_default();
        words.push(format!("{}=\"{}\"", name.display(), value.display()));
    }
    words.push(command.get_program().display().to_string());
    words.extend(command.get_args().map(|word| word.display().to_string()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = program(Path::new("/"), "cargo", &["doc", "--no-deps"]);
        command.env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(
            line(&command),
            r#"RUSTDOCFLAGS="-D warnings" cargo doc --no-deps"#
        );
    }

    #[test]
    fn a_failing_command_is_an_error_that_names_it() {
        let error = run(&mut program(Path::new("/"), "false", &[])).unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let error = run(&mut program(Path::new("/"), "no-such-program", &[])).unwrap_err();
        assert!(error.to_string().contains("no-such-program"), "{error}");
        assert!(!is_on_path("no-such-program"));
    }
}
