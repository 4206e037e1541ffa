//! All templates of a folder, and those that come with the service.

use std::path::{Path, PathBuf};

use crate::hot::{Files, Folder, Reader, Template, Unreadable};

/// Most templates a folder may hold.
pub const TEMPLATES_MAX: usize = 10_000;

/// The templates that come with the service, by file name.
const BUILT_IN: [(&str, &str); 8] = [
    (
        "autoscaling_web.yaml",
        include_str!("../templates/autoscaling_web.yaml"),
    ),
    (
        "database_volumes.yaml",
        include_str!("../templates/database_volumes.yaml"),
    ),
    (
        "parameters.yaml",
        include_str!("../templates/parameters.yaml"),
    ),
    (
        "single_server.yaml",
        include_str!("../templates/single_server.yaml"),
    ),
    (
        "three_tier.yaml",
        include_str!("../templates/three_tier.yaml"),
    ),
    ("tier.yaml", include_str!("../templates/tier.yaml")),
    (
        "unreadable.yaml",
        include_str!("../templates/unreadable.yaml"),
    ),
    (
        "worker_group.yaml",
        include_str!("../templates/worker_group.yaml"),
    ),
];

/// Why a folder of templates could not be listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The folder could not be read.
    #[error("cannot list the templates in {}: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The folder holds more than [`TEMPLATES_MAX`] templates.
    #[error("{} holds more than {TEMPLATES_MAX} templates", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
}

/// Reads every template of a folder, in the order of their names.
///
/// A template is a file named `*.yaml`, `*.yml` or `*.template` directly in the
/// folder. One that others nest is a template of its own, too. One that cannot
/// be read is reported in its place and stops none of the others.
///
/// # Errors
/// The folder itself cannot be listed, or holds too many templates.
pub fn load_dir(
    path: &Path,
    reader: &Reader<'_>,
) -> Result<Vec<Result<Template, Unreadable>>, FolderError> {
    let failed = |source| FolderError::Io {
        path: path.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = PathBuf::from(entry.map_err(failed)?.file_name());
        let extension = name.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "template")) {
            // A name that is not text is reported under its closest spelling.
            names.push(name.to_string_lossy().into_owned());
        }
        if names.len() > TEMPLATES_MAX {
            return Err(FolderError::TooMany {
                path: path.to_owned(),
            });
        }
    }
    names.sort_unstable();
    let folder = Folder::new(path);
    Ok(names
        .iter()
        .map(|name| reader.read(name, &folder))
        .collect())
}

/// Reads the templates that come with the service, in the order of their names.
///
/// One of them is unreadable on purpose: it shows what becomes of such a one.
pub fn built_in(reader: &Reader<'_>) -> Vec<Result<Template, Unreadable>> {
    let files = built_in_files();
    files.keys().map(|name| reader.read(name, &files)).collect()
}

/// The text of the templates that come with the service, by file name.
pub fn built_in_files() -> Files {
    BUILT_IN
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests;
