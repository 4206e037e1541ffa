//! Processes that outlive this one: noted in a pid file, ended by it.
//!
//! A pid file holds the pid and when that process began: together they name
//! one process for good, even where the number is used again.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clock::Stopwatch;

/// How long a process may take to end by itself.
const END_TIME: Duration = Duration::from_secs(30);

/// Where a node's output goes.
pub(crate) fn log(folder: &Path) -> PathBuf {
    folder.join("log")
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("pid")
}

/// Starts a process that goes on when this one ends, and notes it.
///
/// # Errors
///
/// When it cannot be started or noted.
pub(crate) fn launch(command: &mut Command, folder: &Path) -> Result<()> {
    let path = log(folder);
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let copy = log.try_clone().context("cannot share the log")?;
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(log).stderr(copy);
    // Not in our group, so that Ctrl-C does not end it.
    let child = command.process_group(0).spawn();
    let child =
        child.with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let began = began(child.id()).context("the process ended at once")?;
    fs::write(pid_file(folder), format!("{} {began}", child.id())).context("cannot write a pid")
}

/// Whether the process that was noted runs.
pub(crate) fn runs(folder: &Path) -> bool {
    noted(folder).is_some()
}

/// What a process is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// To put its things in order, and end.
    Term,
    /// To be gone at once.
    Kill,
    /// To stand still.
    Stop,
    /// To go on.
    Cont,
}

/// Ends the processes that were noted, and no others, all at once, and waits
/// until they are gone.
///
/// # Errors
///
/// When one cannot be ended.
pub(crate) fn end<'a>(folders: impl IntoIterator<Item = &'a Path>, signal: Signal) -> Result<()> {
    let folders: Vec<&Path> = folders.into_iter().collect();
    send(folders.iter().copied(), signal)?;
    let (stopwatch, mut patient) = (Stopwatch::start(), true);
    while folders.iter().any(|folder| runs(folder)) {
        if patient && stopwatch.elapsed() > END_TIME {
            patient = false;
            send(folders.iter().copied(), Signal::Kill)?;
        }
        ensure!(stopwatch.elapsed() < END_TIME * 2, "a process does not end");
        thread::sleep(Duration::from_millis(50));
    }
    for file in folders.iter().map(|folder| pid_file(folder)) {
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot delete {}", file.display()))?;
        }
    }
    Ok(())
}

/// Tells the processes that were noted, where they run.
///
/// # Errors
///
/// When there is no `kill`.
pub(crate) fn send<'a>(folders: impl IntoIterator<Item = &'a Path>, signal: Signal) -> Result<()> {
    signal_all(folders.into_iter().filter_map(noted), signal)
}

/// Tells processes of which it is known that they are ours, and not waited for.
///
/// # Errors
///
/// When there is no `kill`.
pub(crate) fn signal_all(pids: impl IntoIterator<Item = u32>, signal: Signal) -> Result<()> {
    let name = match signal {
        Signal::Term => "-TERM",
        Signal::Kill => "-KILL",
        Signal::Stop => "-STOP",
        Signal::Cont => "-CONT",
    };
    for pid in pids {
        let kill = Command::new("kill").args([name, &pid.to_string()]).output();
        kill.context("cannot run `kill`")?;
    }
    Ok(())
}

/// The pid that was noted, if that very process still runs.
pub(crate) fn noted(folder: &Path) -> Option<u32> {
    let text = fs::read_to_string(pid_file(folder)).ok()?;
    let (pid, start) = text.trim().split_once(' ')?;
    let pid = pid.parse().ok()?;
    (began(pid)?.to_string() == start).then_some(pid)
}

/// When a process began, in the system's ticks; `None` where it is gone, or
/// has ended and only waits to be taken note of.
fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold any.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (state != "Z").then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("music-xtask-{}-{name}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_process_runs_until_it_is_ended() {
        let folder = Folder::new("runs");
        let mut command = Command::new("sleep");
        launch(command.arg("1000"), &folder.0).unwrap();
        assert!(runs(&folder.0));
        end([&*folder.0], Signal::Term).unwrap();
        assert!(!runs(&folder.0));
        end([&*folder.0], Signal::Term).unwrap();
    }

    #[test]
    fn a_process_with_the_same_number_is_not_the_one_that_was_noted() {
        let folder = Folder::new("other");
        let ours = std::process::id();
        fs::write(pid_file(&folder.0), format!("{ours} 1")).unwrap();
        assert!(!runs(&folder.0));
        end([&*folder.0], Signal::Term).unwrap();
        assert!(began(ours).is_some());
    }
}
