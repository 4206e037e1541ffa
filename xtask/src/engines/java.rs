//! What the servers in Java share: a Java that they run on, and Maven, which
//! gets their jars.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell;

/// Where systems keep several Javas beside each other.
const JAVAS: &str = "/usr/lib/jvm";
/// The versions that every server here runs on: Cassandra takes no other.
const VERSIONS: [&str; 2] = ["17", "11"];
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies";

/// An artifact by its group, name and version.
pub(super) type Artifact = (&'static str, &'static str, &'static str);

/// The program `java` of a Java that the servers run on.
///
/// # Errors
///
/// When there is none.
pub(super) fn program() -> Result<PathBuf> {
    find().context("Java 17 is missing (11 does too): install it as your system does")
}

/// The first Java of a version that the servers take; that of the `PATH`
/// before others.
fn find() -> Option<PathBuf> {
    let first = shell::find_on_path("java").and_then(|java| fs::canonicalize(java).ok());
    let mut others: Vec<PathBuf> = fs::read_dir(JAVAS)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/java")))
        .collect();
    others.sort();
    first
        .into_iter()
        .chain(others)
        .find(|java| java.is_file() && version(java).is_some_and(|it| VERSIONS.contains(&&*it)))
}

/// The first number of a Java's version, as the file beside it says.
fn version(java: &Path) -> Option<String> {
    let release = fs::read_to_string(java.parent()?.parent()?.join("release")).ok()?;
    version_in(&release)
}

fn version_in(release: &str) -> Option<String> {
    let line = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION="))?;
    line.trim_matches('"').split('.').next().map(str::to_owned)
}

/// Copies artifacts, and all that they need, into `lib` of a folder.
///
/// # Errors
///
/// When Maven is missing or fails.
pub(super) fn install(folder: &Path, artifacts: &[Artifact]) -> Result<()> {
    program()?;
    ensure!(
        shell::is_on_path("mvn"),
        "`mvn` is missing: install Maven as your system does"
    );
    fs::write(folder.join("pom.xml"), project(artifacts)).context("cannot write pom.xml")?;
    let lib = format!("-DoutputDirectory={}", folder.join("lib").display());
    let arguments = ["-q", "-B", COPY, "-DincludeScope=runtime", &lib];
    shell::run(&mut shell::program(folder, "mvn", &arguments))
}

/// What Maven copies.
fn project(artifacts: &[Artifact]) -> String {
    let dependency = |(group, artifact, version): &Artifact| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>"
        )
    };
    let dependencies: String = artifacts.iter().map(dependency).collect();
    format!(
        "<project><modelVersion>4.0.0</modelVersion><groupId>local</groupId>\
         <artifactId>engines</artifactId><version>1</version>\
         <dependencies>{dependencies}</dependencies></project>"
    )
}

/// A configuration of Logback that writes to standard output from a level on.
pub(super) fn logback(level: &str) -> String {
    format!(
        r#"<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{{ISO8601}} %-5level [%thread] %logger{{0}} - %msg%n</pattern></encoder>
  </appender>
  <root level="{level}"><appender-ref ref="out"/></root>
</configuration>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_number() {
        let release = "IMPLEMENTOR=\"Debian\"\nJAVA_VERSION=\"17.0.15\"\nOS_NAME=\"Linux\"\n";
        assert_eq!(version_in(release).as_deref(), Some("17"));
        assert_eq!(version_in("JAVA_VERSION=\"25\"\n").as_deref(), Some("25"));
        assert_eq!(version_in("OS_NAME=\"Linux\"\n"), None);
    }

    #[test]
    fn maven_is_told_of_every_artifact() {
        let text = project(&[("a", "b", "1"), ("c", "d", "2")]);
        assert!(text.contains("<artifactId>b</artifactId><version>1</version>"));
        assert!(text.contains("<groupId>c</groupId>"));
    }
}
