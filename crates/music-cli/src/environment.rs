//! The environment, as far as clap does not read it.

use std::path::PathBuf;

/// Whether colours are unwanted: <https://no-color.org>.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// The first program of that name that a shell finds.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    search_path(name).find(|file| file.is_file())
}

/// Where a shell looks for a program of that name.
pub(crate) fn search_path(name: &str) -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = std::env::split_paths(&path).collect();
    directories.into_iter().map(move |dir| dir.join(name))
}
