//! Programs that tests need and that come from the system, not from cargo.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;

/// A Debian package.
pub(crate) struct Package {
    name: &'static str,
    /// What it is needed for: another system may have it by other means.
    program: &'static str,
}

/// A package, and the program in it that is needed.
pub(crate) const fn package(name: &'static str, program: &'static str) -> Package {
    Package { name, program }
}

/// What some test needs. Name the test beside each.
pub(crate) const NEEDED_BY_TESTS: &[Package] = &[
    // `music-server`, tests/http/dashboard.rs.
    package("chromium", "chromium"),
    package("chromium-driver", "chromedriver"),
    // `mdbc`, tests/it/psql.rs.
    package("postgresql-client", "psql"),
];

/// What the tests of mdbc with other clients need.
pub(crate) const NEEDED_BY_SQL: &[Package] = &[
    package("postgresql-client", "psql"),
    package("postgresql", "initdb"),
    package("python3", "python3"),
    package("nodejs", "node"),
    package("npm", "npm"),
    package("default-jdk-headless", "javac"),
    package("maven", "mvn"),
];

/// What mdbc is measured beside. MariaDB's replicas get their first data by rsync.
pub(crate) const NEEDED_BY_BENCH_SQL: &[Package] = &[
    package("mariadb-server", "mariadbd"),
    package("galera-4", "galera-4"),
    package("rsync", "rsync"),
    package("postgresql", "pg_ctlcluster"),
];

/// What the tests of the Python client need.
pub(crate) const NEEDED_BY_PYTHON: &[Package] = &[package("python3", "python3")];

/// What of Python Debian keeps in a package without a program.
pub(crate) const NEEDED_BY_PYTHON_OF_DEBIAN: &[Package] =
    &[package("python3-venv", "python3-venv")];

/// What the servers in Java need, to be installed and to run. Go, which
/// compiles etcd, is not here: Debian's is older than what etcd asks for.
pub(crate) const NEEDED_BY_ENGINES: &[Package] = &[
    package("openjdk-17-jre-headless", "java"),
    package("maven", "mvn"),
];

/// Installs those Debian packages that are missing.
///
/// A package counts as present if it is installed, or if its program is there.
///
/// # Errors
///
/// When some are missing and this is no Debian system, or we are not root.
pub(crate) fn ensure_debian_packages(root: &Path, packages: &[Package]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|package| !shell::is_on_path(package.program) && !is_installed(root, package.name))
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !shell::is_on_path("apt-get") || !is_root(root) {
        bail!(
            "missing: {0}. As root, run `apt-get install --no-install-recommends {1}`, \
             or install them as your system does",
            missing.join(", "),
            missing.join(" ")
        );
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(missing);
    for arguments in [["update"].as_slice(), arguments.as_slice()] {
        let mut apt = shell::program(root, "apt-get", arguments);
        shell::run(apt.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    Ok(())
}

fn is_installed(root: &Path, package: &str) -> bool {
    let mut query = shell::program(root, "dpkg-query", &["-W", "-f=${Status}", package]);
    query
        .output()
        .is_ok_and(|output| output.stdout.ends_with(b" installed"))
}

fn is_root(root: &Path) -> bool {
    shell::output(&mut shell::program(root, "id", &["-u"])).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_again() {
        let packages = [package("no-such-package", "sh")];
        ensure_debian_packages(Path::new("/"), &packages).unwrap();
    }

    #[test]
    fn an_unknown_package_is_not_installed() {
        assert!(!is_installed(Path::new("/"), "no-such-package"));
    }
}
