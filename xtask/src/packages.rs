//! Programs that tests need and that come from the system, not from cargo.

use std::path::Path;

use anyhow::{Result, bail};

use crate::shell;

/// Debian packages that some test needs. Name the test beside each.
pub(crate) const NEEDED_BY_TESTS: &[&str] = &[
    // `music-server`, tests/http/dashboard.rs.
    "chromium",
    "chromium-driver",
];

/// Installs those Debian packages that are missing.
///
/// A package counts as present if it is installed, or if a program of its name
/// is there: on another system that may be so by other means.
///
/// # Errors
///
/// When some are missing and this is no Debian system, or we are not root.
pub(crate) fn ensure_debian_packages(root: &Path, packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|name| !shell::is_on_path(name) && !is_installed(root, name))
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
        ensure_debian_packages(Path::new("/"), &["sh", "cargo"]).unwrap();
    }

    #[test]
    fn an_unknown_package_is_not_installed() {
        assert!(!is_installed(Path::new("/"), "no-such-package"));
    }
}
