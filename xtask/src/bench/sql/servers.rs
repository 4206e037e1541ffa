//! Processes at the sites. Each has a folder, in which it is noted; all are
//! ended with the run, by what was noted.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::clock::Stopwatch;
use crate::engines::process::{self, Signal};
use crate::engines::wire;
use crate::shell;
use crate::torture::Stage;

/// How long a server may take until it listens.
const START_TIME: Duration = Duration::from_mins(2);

/// Where servers keep what they have.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// When what an earlier run left cannot be removed.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let folder = Self(path.to_owned());
        folder.remove()?;
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(folder)
    }

    /// Removes it: what failed stays, to be looked at.
    ///
    /// # Errors
    ///
    /// When something in it cannot be removed.
    pub(super) fn remove(&self) -> Result<()> {
        if self.0.exists() {
            let removed = fs::remove_dir_all(&self.0);
            removed.with_context(|| format!("cannot remove {}", self.0.display()))?;
        }
        Ok(())
    }

    /// A folder within it for a server at a site.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(super) fn at(&self, site: usize, name: &str) -> Result<PathBuf> {
        let path = self.0.join(Stage::datacentre(site)).join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }
}

/// Processes that were started; they end when this is dropped.
#[derive(Default)]
pub(super) struct Servers {
    folders: Vec<PathBuf>,
}

impl Servers {
    /// Starts one at a site, in a folder of its own.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(super) fn launch(&mut self, site: usize, command: Command, folder: &Path) -> Result<()> {
        process::launch(&mut Stage::at(site, command), folder)?;
        self.folders.push(folder.to_owned());
        Ok(())
    }

    /// The first of them that has ended, by the end of its log.
    pub(super) fn ended(&self) -> Option<String> {
        let mut folders = self.folders.iter();
        let ended = folders.find(|folder| !process::runs(folder))?;
        Some(last_words(&process::log(ended)))
    }

    /// Ends all, those that were started last first.
    ///
    /// # Errors
    ///
    /// When one does not end.
    pub(super) fn end(mut self) -> Result<()> {
        self.clear()
    }

    fn clear(&mut self) -> Result<()> {
        while let Some(folder) = self.folders.pop() {
            process::end([&*folder], Signal::Term)?;
        }
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("a server is left behind: {error:#}");
        }
    }
}

/// Waits until the server of that folder listens at its site's address.
///
/// # Errors
///
/// When it ends, or takes too long.
pub(super) fn wait(site: usize, port: u16, folder: &Path) -> Result<()> {
    let hosts = Stage::hosts();
    let host = hosts.get(site).context("no such site")?;
    let stopwatch = Stopwatch::start();
    while !wire::listens(host, port) {
        let log = process::log(folder);
        ensure!(
            process::runs(folder),
            "a server ended: {}",
            last_words(&log)
        );
        if stopwatch.elapsed() > START_TIME {
            bail!(
                "a server does not listen at {host}:{port}: see {}",
                log.display()
            );
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Runs a command at a site, to its end.
///
/// # Errors
///
/// When it fails.
pub(super) fn at(site: usize, command: Command) -> Result<()> {
    shell::output(&mut Stage::at(site, command)).map(drop)
}

/// A program as another user: these servers do not run as root, or not well.
pub(super) fn as_user(user: &str, program: impl AsRef<OsStr>) -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    setpriv.arg(program);
    setpriv
}

/// Lets that user have a folder.
///
/// # Errors
///
/// When there is no such user.
pub(super) fn give_away(user: &str, folder: &Path) -> Result<()> {
    let mut chown = Command::new("chown");
    shell::output(chown.arg(format!("{user}:{user}")).arg(folder)).map(drop)
}

/// The end of a log, with its place.
fn last_words(log: &Path) -> String {
    const LINES: usize = 3;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let last = lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default();
    format!("{} (see {})", last.join(" / "), log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_of_a_server_are_told() {
        let name = format!("music-xtask-{}-words", std::process::id());
        let log = std::env::temp_dir().join(name);
        fs::write(&log, "one\ntwo\nthree\nfour\n").unwrap();
        let words = last_words(&log);
        fs::remove_file(&log).unwrap();
        assert!(words.starts_with("two / three / four"), "{words}");
        assert!(last_words(&log).contains("see"));
    }
}
