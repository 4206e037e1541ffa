//! All files of the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::source::Source;

/// Folders that hold nothing of ours.
const SKIPPED_FOLDERS: &[&str] = &[".git", ".venv", "__pycache__", "node_modules", "target"];

/// Kinds of files that we write by hand. Test data is none of them.
const KINDS: &[&str] = &[
    ".css", ".html", ".js", ".md", ".py", ".rs", ".sh", ".toml", "/.ci/run",
];

/// The repository as the rules see it.
pub(super) struct Tree {
    sources: Vec<Source>,
    /// Every file and folder, whatever its kind, from the root.
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads the repository.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self {
            sources: Vec::new(),
            paths: BTreeSet::new(),
        };
        tree.read_folder(root, "")?;
        tree.mark_test_modules();
        Ok(tree)
    }

    pub(super) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The Rust files.
    pub(super) fn rust(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.is_rust())
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// The files directly in a folder.
    pub(super) fn files_in(&self, folder: &str) -> impl Iterator<Item = &str> {
        let names =
            move |path: &'_ String| path.strip_prefix(folder)?.strip_prefix('/').map(str::len);
        self.paths
            .iter()
            .filter_map(move |path| names(path).and_then(|length| path.get(path.len() - length..)))
            .filter(|name| !name.contains('/'))
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let context = || format!("cannot read {}", folder.display());
        for entry in fs::read_dir(folder).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if entry.file_type().with_context(context)?.is_dir() {
                if !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    self.read_folder(&entry.path(), &format!("{path}/"))?;
                    self.paths.insert(path);
                }
                continue;
            }
            if KINDS.iter().any(|kind| format!("/{path}").ends_with(kind)) {
                let text = fs::read_to_string(entry.path())
                    .with_context(|| format!("cannot read {path}"))?;
                self.sources.push(Source::new(&path, &text));
            }
            self.paths.insert(path);
        }
        Ok(())
    }

    /// Takes modules declared under `#[cfg(test)]` for test code, wherever
    /// their files lie.
    fn mark_test_modules(&mut self) {
        let modules: Vec<String> = self
            .sources
            .iter()
            .flat_map(|source| {
                source
                    .test_modules
                    .iter()
                    .map(|name| source.module_path(name))
            })
            .collect();
        for source in &mut self.sources {
            let is_test = |module: &String| {
                let rest = source.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            };
            if modules.iter().any(is_test) {
                source.mark_as_test();
            }
        }
    }

    /// A tree of these files, for tests of the rules.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self {
            sources: files
                .iter()
                .map(|(path, text)| Source::new(path, text))
                .collect(),
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
        };
        for (path, _) in files {
            let folders = path.match_indices('/').filter_map(|(at, _)| path.get(..at));
            tree.paths.extend(folders.map(str::to_owned));
        }
        tree.mark_test_modules();
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_folder_are_those_directly_in_it() {
        let tree = Tree::of(&[("a/b.md", ""), ("a/c/d.md", ""), ("ab/e.md", "")]);
        assert_eq!(tree.files_in("a").collect::<Vec<_>>(), ["b.md", "c"]);
        assert!(tree.has("a/c") && !tree.has("a/d"));
    }

    #[test]
    fn a_test_module_in_its_own_file_is_test_code() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "#[cfg(test)]\nmod fixture;"),
            ("a/src/fixture.rs", "f();"),
            ("a/src/fixture/more.rs", "f();"),
            ("a/src/fixtures.rs", "f();"),
        ]);
        let is_test = tree
            .rust()
            .map(|source| source.lines.iter().all(|line| line.is_test));
        assert_eq!(is_test.collect::<Vec<_>>(), [true, true, true, false]);
    }

    #[test]
    fn this_repository_can_be_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let tree = Tree::read(&root).unwrap();
        assert!(tree.has("xtask/src/main.rs") && tree.has("xtask") && !tree.has("target"));
    }
}
