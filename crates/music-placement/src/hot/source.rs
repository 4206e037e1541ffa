//! Where the files of templates come from, and how one names another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use super::FILE_BYTES_MAX;
use super::reason::Reason;

/// What stands for a path separator in the names of a flattened folder.
const FLAT_SEPARATOR: &str = "__";

/// A place that holds template files by name.
pub trait Source {
    /// The text of a file; `None` if there is no such file.
    ///
    /// # Errors
    /// The file is there and cannot be read as text within
    /// [`FILE_BYTES_MAX`].
    fn text(&self, name: &str) -> Result<Option<String>, Reason>;
}

/// Template files held in memory, by name.
///
/// A template carries the files it was read from in this form: they are what a
/// client submits, and enough to read the template again at another site.
pub type Files = BTreeMap<String, String>;

impl Source for Files {
    fn text(&self, name: &str) -> Result<Option<String>, Reason> {
        match self.get(name) {
            Some(text) if text.len() > FILE_BYTES_MAX => Err(Reason::TooLong),
            text => Ok(text.cloned()),
        }
    }
}

/// The template files of a folder on disk; read when asked for.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at this path; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Source for Folder {
    fn text(&self, name: &str) -> Result<Option<String>, Reason> {
        let mut steps = Path::new(name).components();
        if !steps.all(|step| matches!(step, Component::Normal(_))) {
            return Err(Reason::OutsideFolder {
                file: name.to_owned(),
            });
        }
        let path = self.path.join(name);
        // Asked before opening: opening a named pipe would wait for a writer.
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(Reason::NotAFile),
            Err(error) if is_absent(error.kind()) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        File::open(&path)?
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Reason::TooLong);
        }
        Ok(Some(std::str::from_utf8(&bytes)?.to_owned()))
    }
}

/// A name with a zero byte or of absurd length is that of no file, too.
fn is_absent(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind;
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    )
}

/// The names a file may have that `including` calls `reference`, best first.
///
/// References are relative to the including file. In a flattened folder the
/// directory is part of the file name (`a__b.yaml` was `a/b.yaml`), so the
/// reference is followed there first, then beside the file as it is.
///
/// # Errors
/// [`Reason::OutsideFolder`] for a reference that is absolute, a URL, or leads
/// out of the folder: a template must not make a site read any other file.
pub(crate) fn candidates(including: &str, reference: &str) -> Result<Vec<String>, Reason> {
    let outside = || Reason::OutsideFolder {
        file: reference.to_owned(),
    };
    let foreign = ["\\", "\0", ":"]
        .iter()
        .any(|sign| reference.contains(sign));
    if foreign || reference.starts_with('/') || reference.is_empty() {
        return Err(outside());
    }
    let (directory, file) = match including.rsplit_once('/') {
        Some((directory, file)) => (directory.split('/').collect(), file),
        None => (Vec::new(), including),
    };
    let mut flat: Vec<_> = file.split(FLAT_SEPARATOR).collect();
    flat.pop();
    let prefix = if directory.is_empty() {
        String::new()
    } else {
        directory.join("/") + "/"
    };
    let unflattened =
        follow(flat, reference).map(|parts| format!("{prefix}{}", parts.join(FLAT_SEPARATOR)));
    let beside = follow(directory, reference).map(|parts| parts.join("/"));
    let mut names: Vec<_> = unflattened.into_iter().chain(beside).collect();
    names.dedup();
    if names.is_empty() {
        Err(outside())
    } else {
        Ok(names)
    }
}

/// The directory and the reference as one path; `None` if it leads out.
fn follow<'a>(mut directory: Vec<&'a str>, reference: &'a str) -> Option<Vec<&'a str>> {
    for step in reference.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                directory.pop()?;
            }
            name => directory.push(name),
        }
    }
    Some(directory).filter(|path| !path.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(including: &str, reference: &str) -> Vec<String> {
        candidates(including, reference).unwrap()
    }

    #[test]
    fn a_name_is_looked_for_beside_the_template() {
        assert_eq!(names("web.yaml", "db.yaml"), ["db.yaml"]);
        assert_eq!(names("lib/web.yaml", "./db.yaml"), ["lib/db.yaml"]);
        assert_eq!(
            names("web.yaml", "lib/db.yaml"),
            ["lib__db.yaml", "lib/db.yaml"]
        );
    }

    #[test]
    fn in_a_flattened_folder_it_is_looked_for_in_the_directory_it_came_from() {
        assert_eq!(
            names("heal__group.yaml", "server.yaml"),
            ["heal__server.yaml", "server.yaml"]
        );
        assert_eq!(names("a__b__c.yaml", "../d.yaml"), ["a__d.yaml"]);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        for reference in [
            "../secret.yaml",
            "/etc/secret.yaml",
            "lib/../../secret.yaml",
            "file:///etc/secret.yaml",
            "http://example.org/a.yaml",
            "..\\secret.yaml",
            "..",
            "",
        ] {
            let error = candidates("web.yaml", reference).unwrap_err();
            assert!(matches!(error, Reason::OutsideFolder { .. }), "{reference}");
        }
    }

    #[test]
    fn a_folder_gives_text_and_says_what_else_it_found() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yaml"), "text").unwrap();
        std::fs::write(folder.path().join("bytes.yaml"), [0xff, 0xfe]).unwrap();
        std::fs::write(
            folder.path().join("long.yaml"),
            vec![b'#'; FILE_BYTES_MAX + 1],
        )
        .unwrap();
        std::fs::create_dir(folder.path().join("directory.yaml")).unwrap();
        let source = Folder::new(folder.path());
        assert_eq!(source.text("a.yaml").unwrap().as_deref(), Some("text"));
        assert_eq!(source.text("b.yaml").unwrap(), None);
        assert_eq!(source.text("a.yaml/b.yaml").unwrap(), None);
        assert!(matches!(source.text("bytes.yaml"), Err(Reason::NotUtf8(_))));
        assert!(matches!(source.text("long.yaml"), Err(Reason::TooLong)));
        assert!(matches!(
            source.text("directory.yaml"),
            Err(Reason::NotAFile)
        ));
    }

    #[test]
    fn a_folder_gives_nothing_from_outside_it() {
        let folder = tempfile::tempdir().unwrap();
        let source = Folder::new(folder.path());
        for name in ["/etc/hostname", "../a.yaml", "lib/../../a.yaml"] {
            let error = source.text(name).unwrap_err();
            assert!(matches!(error, Reason::OutsideFolder { .. }), "{name}");
        }
    }
}
