//! The Python client: linted, its types checked, and tested, in a virtual
//! environment below the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::{packages, shell};

/// Where the package is.
const PACKAGE: &str = "clients/python";

/// The oldest version that the package supports, as `pyproject.toml` says too.
const OLDEST: (u32, u32) = (3, 10);

/// Names of interpreters, the first that is new enough is taken.
const INTERPRETERS: &[&str] = &[
    "python3",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
    "python3.10",
];

/// Builds the program `music`, then does the same as [`run`].
///
/// # Errors
///
/// As [`run`], and when it does not build.
pub(crate) fn build_and_run(root: &Path) -> Result<()> {
    let arguments = ["build", "--package=music-cli", "--locked"];
    shell::run(&mut shell::program(root, "cargo", &arguments))?;
    run(root)
}

/// Lints, checks and tests the package, with the program `music` that the
/// tests of the workspace have built.
///
/// # Errors
///
/// When there is no suitable Python, or something fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    packages::ensure_debian_packages(root, packages::NEEDED_BY_PYTHON)?;
    let target = shell::target(root)?;
    let music = target.join("debug").join("music");
    ensure!(
        music.is_file(),
        "{} is missing: the tests of music-cli build it",
        music.display()
    );
    let environment = Environment::new(root, target.join("python"))?;
    environment.install(root)?;
    for (tool, arguments) in [
        ("ruff", ["check", "."].as_slice()),
        ("ruff", &["format", "--check", "."]),
        ("mypy", &["--strict"]),
        ("pytest", &[]),
    ] {
        let mut tool = environment.program(root, tool);
        // Compiled tests would lie beside the tests.
        tool.env("PYTHONDONTWRITEBYTECODE", "1");
        shell::run(tool.args(arguments).env("MUSIC_BIN", &music))?;
    }
    Ok(())
}

/// The interpreter of a virtual environment that has these packages.
///
/// # Errors
///
/// When there is no suitable Python, or a package cannot be installed.
pub(crate) fn environment(root: &Path, folder: PathBuf, packages: &[&str]) -> Result<PathBuf> {
    let environment = Environment::new(root, folder)?;
    let mut pip = environment.program(root, "python");
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    shell::run(pip.args(packages))?;
    Ok(environment.folder.join("bin").join("python"))
}

/// A virtual environment.
struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Makes it, unless it is there.
    fn new(root: &Path, folder: PathBuf) -> Result<Self> {
        let environment = Self { folder };
        let own = environment.folder.join("bin").join("python");
        if version_of(&own).is_some_and(|version| version >= OLDEST) {
            return Ok(environment);
        }
        let python = interpreter(root)?;
        let mut make = shell::program(root, &python, &["-m", "venv", "--clear"]);
        shell::run(make.arg(&environment.folder))?;
        Ok(environment)
    }

    /// Installs the package as it is now, and what its tests need.
    fn install(&self, root: &Path) -> Result<()> {
        let pip = |arguments: &[&str]| {
            let mut pip = self.program(root, "python");
            pip.args(["-m", "pip", "install", "--quiet"]);
            pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
            shell::run(pip.args(arguments))
        };
        // Not isolated: what is installed already need not be fetched again.
        pip(&["hatchling"])?;
        pip(&["--no-build-isolation", ".[test]"])
    }

    /// One of its programs, to be run in the package's folder.
    fn program(&self, root: &Path, name: &str) -> Command {
        let mut command = Command::new(self.folder.join("bin").join(name));
        command.current_dir(root.join(PACKAGE));
        command
    }
}

/// The name of an interpreter that is new enough and can make environments.
fn interpreter(root: &Path) -> Result<String> {
    let is_new = |name: &&&str| version_of(Path::new(name)).is_some_and(|found| found >= OLDEST);
    let Some(name) = INTERPRETERS.iter().find(is_new) else {
        let (major, minor) = OLDEST;
        bail!(
            "the Python client needs Python {major}.{minor} or newer, and none of {} is one: \
             install it as your system does",
            INTERPRETERS.join(", ")
        );
    };
    let mut asked = Command::new(name);
    let asked = asked.args(["-c", "import ensurepip, venv"]).output();
    if !asked.is_ok_and(|asked| asked.status.success()) {
        // Debian keeps this part of Python apart.
        packages::ensure_debian_packages(root, packages::NEEDED_BY_PYTHON_OF_DEBIAN)?;
    }
    Ok((*name).to_owned())
}

/// The version of an interpreter; none where it cannot be run.
fn version_of(python: &Path) -> Option<(u32, u32)> {
    let mut asked = Command::new(python);
    let asked = asked.args(["-c", "import sys; print(*sys.version_info[:2])"]);
    let output = asked.output().ok()?;
    parse_version(&String::from_utf8(output.stdout).ok()?)
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_that_are_compared_as_numbers() {
        assert_eq!(parse_version("3 11\n"), Some((3, 11)));
        assert!(parse_version("3 9\n").is_some_and(|version| version < OLDEST));
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn what_is_not_there_has_no_version() {
        assert_eq!(version_of(Path::new("no-such-python")), None);
    }

    #[test]
    fn the_package_says_the_same_of_the_oldest_version() {
        let manifest = include_str!("../../clients/python/pyproject.toml");
        let (major, minor) = OLDEST;
        assert!(manifest.contains(&format!("requires-python = \">={major}.{minor}\"")));
    }
}
