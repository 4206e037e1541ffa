//! The embedded engine: nothing to check beyond its directory.

use std::io;
use std::path::Path;

use super::finding::Finding;
use crate::config::EmbeddedConfig;

const DIRECTORY: &str = "embedded.dir";

/// What is at the place of the engine's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nothing,
    Directory,
    ReadOnly,
    SomethingElse,
    Unknown(String),
}

/// Looks at the place of the engine's files, where it has any.
pub(super) fn survey(config: &EmbeddedConfig) -> Option<Place> {
    config.dir.as_deref().map(look)
}

fn look(dir: &Path) -> Place {
    match std::fs::metadata(dir) {
        Ok(found) if !found.is_dir() => Place::SomethingElse,
        Ok(found) if found.permissions().readonly() => Place::ReadOnly,
        Ok(_) => Place::Directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Place::Nothing,
        Err(error) => Place::Unknown(error.to_string()),
    }
}

/// Judges it.
pub(super) fn judge(config: &EmbeddedConfig, place: Option<&Place>) -> Vec<Finding> {
    let engine = Finding::ok(
        "embedded",
        "the embedded engine needs no check beyond the configuration and its directory",
    )
    .because("all sites are in one process: for development, tests and single machines");
    let dir = config.dir.as_deref().unwrap_or(Path::new(""));
    let dir = dir.display();
    let advice = "correct embedded.dir, or what is there";
    let error = |what: String| {
        Finding::error(DIRECTORY, what)
            .because("the node does not start")
            .advise(advice)
    };
    let directory = match place {
        None => Finding::warning(DIRECTORY, "embedded.dir is empty")
            .because("all that is stored is lost when the process ends")
            .advise("name a directory where the engine keeps its files"),
        Some(Place::Directory) => Finding::ok(DIRECTORY, format!("{dir} is a directory")),
        Some(Place::Nothing) => Finding::ok(DIRECTORY, format!("{dir} is made at the start")),
        Some(Place::ReadOnly) => error(format!("{dir} must not be written to")),
        Some(Place::SomethingElse) => error(format!("{dir} is no directory")),
        Some(Place::Unknown(reason)) => error(format!("{dir} cannot be looked at: {reason}")),
    };
    vec![engine, directory]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::doctor::fixture::{levels, problems};

    fn judged(dir: Option<&Path>) -> Vec<Finding> {
        let config = EmbeddedConfig {
            dir: dir.map(Path::to_owned),
            profile: "local3".to_owned(),
            sites: Vec::new(),
        };
        judge(&config, survey(&config).as_ref())
    }

    #[test]
    fn a_directory_that_is_or_will_be_there_is_right() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path(), &dir.path().join("new")] {
            let findings = judged(Some(path));
            assert_eq!(levels(&findings), ["Ok", "Ok"], "{findings:?}");
        }
    }

    #[test]
    fn what_is_no_directory_is_an_error_and_memory_a_warning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for path in [file.path(), &file.path().join("below")] {
            let findings = judged(Some(path));
            assert_eq!(levels(&findings), ["Ok", "Error"], "{findings:?}");
        }
        assert_eq!(problems(&judged(None)).len(), 1);
    }
}
