//! `cargo xtask deps`: what the crates depend on.
//!
//! Three rules: a licence that ours goes with, the public registry as the only
//! source, and arrows between our own crates that point one way.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{licence, shell};

/// Where crates may come from, besides this repository.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Which of our crates each of them may use, tests left aside.
const ARROWS: &[(&str, &[&str])] = &[
    ("music-core", &[]),
    ("music-api", &[]),
    ("music-store", &["music-core"]),
    ("music-client", &["music-api"]),
    (
        "music-server",
        &["music-core", "music-store", "music-api", "music-client"],
    ),
    ("music-placement", &["music-client"]),
    ("music-history", &["music-core", "music-client"]),
    ("music-torture", &["music-client", "music-history"]),
    ("mdbc", &["music-client"]),
    ("xtask", &[]),
];

/// Crates with another licence that is no burden on ours, and why they are here.
const EXCEPTIONS: &[(&str, &str)] = &[
    // File-level copyleft: ours goes with it as long as its own files are not
    // changed. pgwire needs it for TLS, to bind passwords to the certificate.
    ("x509-certificate", "MPL-2.0"),
];

/// Crates at the end of all arrows: they may use every other.
const ENDS: &[&str] = &["music-bench", "music-cli", "music-sim"];

/// Checks the dependencies in `Cargo.lock`.
///
/// # Errors
///
/// When a rule is broken, or cargo cannot tell the dependencies.
pub(crate) fn run(root: &Path) -> Result<()> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let metadata = shell::output(&mut shell::program(root, "cargo", &arguments))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    let problems: Vec<String> = packages.iter().flat_map(check).collect();
    for problem in &problems {
        println!("{problem}");
    }
    ensure!(
        problems.is_empty(),
        "{} problems of dependencies",
        problems.len()
    );
    println!("deps: {} packages, no problems", packages.len());
    Ok(())
}

/// The problems of one package of `cargo metadata`.
fn check(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    match package["source"].as_str() {
        None => arrows(name, package),
        Some(source) => foreign(name, source, package),
    }
}

fn foreign(name: &str, source: &str, package: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    if source != REGISTRY {
        problems.push(format!("{name} comes from {source}, not from crates.io"));
    }
    let licence = package["license"].as_str().unwrap_or_default();
    if !licence::is_allowed(licence) && !EXCEPTIONS.contains(&(name, licence)) {
        problems.push(format!(
            "{name} has the licence `{licence}`: see ALLOWED in xtask/src/licence.rs"
        ));
    }
    problems
}

fn arrows(name: &str, package: &Value) -> Vec<String> {
    if ENDS.contains(&name) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![format!("{name} is not in ARROWS in xtask/src/deps.rs")];
    };
    let dependencies = package["dependencies"].as_array();
    dependencies
        .into_iter()
        .flatten()
        .filter(|dependency| dependency["path"].is_string() && dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
        .filter(|used| !allowed.contains(used))
        .map(|used| format!("{name} must not use {used}: see ARROWS in xtask/src/deps.rs"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ours(name: &str, used: &str, kind: &Value) -> Value {
        let dependencies = json!([{"name": used, "path": "/x", "kind": kind}]);
        json!({"name": name, "source": null, "dependencies": dependencies})
    }

    #[test]
    fn an_arrow_that_points_back_is_a_problem() {
        let problems = check(&ours("music-core", "music-store", &Value::Null));
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn an_arrow_that_points_forward_is_none() {
        assert!(check(&ours("music-store", "music-core", &Value::Null)).is_empty());
    }

    #[test]
    fn tests_may_use_any_crate() {
        assert!(check(&ours("music-client", "music-server", &json!("dev"))).is_empty());
    }

    #[test]
    fn the_command_line_may_use_any_crate() {
        assert!(check(&ours("music-cli", "music-store", &Value::Null)).is_empty());
    }

    #[test]
    fn a_crate_without_arrows_is_a_problem() {
        let problems = check(&ours("music-new", "music-core", &Value::Null));
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn a_foreign_licence_or_source_is_a_problem() {
        let package = |source: &str, licence: &str| {
            check(&json!({"name": "other", "source": source, "license": licence}))
        };
        assert!(package(REGISTRY, "MIT").is_empty());
        assert_eq!(package(REGISTRY, "AGPL-3.0").len(), 1);
        assert_eq!(package("git+https://example.org/other", "MIT").len(), 1);
    }

    #[test]
    fn an_exception_is_for_one_crate_alone() {
        let package =
            |name: &str| check(&json!({"name": name, "source": REGISTRY, "license": "MPL-2.0"}));
        assert!(package("x509-certificate").is_empty());
        assert_eq!(package("other").len(), 1);
    }
}
