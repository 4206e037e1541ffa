//! The deployment that is measured, as `music dev` runs one: a process of its own, so that
//! its processor time can be told from that of the load.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::statfs;
use rustix::process::{Pid, Signal, getpid, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::deployment::Ready;
use super::error::Error;
use super::processor::Process;
use crate::output::Output;

/// How long it may take to start, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// What `statfs` says of a file system in memory.
const TMPFS: u64 = 0x0102_1994;

/// A running deployment; dropped, it is killed.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    pid: u32,
    urls: Vec<String>,
    /// Removed when all is over.
    _data: Option<TempDir>,
}

impl Server {
    /// Starts a deployment with these delays, its data in this directory or in
    /// a temporary one, and waits until it is ready.
    pub(super) async fn start(
        profile: &str,
        data: Option<&Path>,
        output: &Output,
    ) -> Result<Self, Error> {
        let temporary = match data {
            Some(_) => None,
            None => Some(TempDir::with_prefix("music-bench-")?),
        };
        let path = data.or(temporary.as_ref().map(TempDir::path));
        let path = path.unwrap_or(Path::new("."));
        if is_in_memory(path) {
            output.warning(&format!(
                "{} is in memory, where an fsync costs nothing: choose another by --data",
                path.display()
            ));
        }
        let mut child = command(profile, path)?.spawn().map_err(Error::Spawn)?;
        let pid = child.id().ok_or(Error::Start("it ended at once"))?;
        let stdout = child
            .stdout
            .take()
            .ok_or(Error::Start("it has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
        let line = line.map_err(|_late| Error::Start("it was not ready in time"))??;
        let line = line.ok_or(Error::Start("it ended at once"))?;
        let ready: Ready = serde_json::from_str(&line)
            .map_err(|_json| Error::Start("it did not say where it listens"))?;
        let urls = ready.urls;
        Ok(Self {
            child,
            pid,
            urls,
            _data: temporary,
        })
    }

    /// Where its nodes listen, a node a site.
    pub(super) fn urls(&self) -> &[String] {
        &self.urls
    }

    /// Its process.
    pub(super) fn process(&self) -> Process {
        Process::new(self.pid)
    }

    /// Stops it, and waits until it has.
    pub(super) async fn stop(mut self) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It fails where it has ended already.
            kill_process(pid, Signal::TERM).unwrap_or_default();
        }
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        if ended.is_err() {
            drop(self.child.start_kill());
        }
    }
}

/// A deployment, which ends when this process does.
fn command(profile: &str, data: &Path) -> Result<Command, Error> {
    let music = std::env::current_exe().map_err(Error::Spawn)?;
    let mut command = Command::new(&music);
    command
        .arg("lock-child")
        .arg("--parent")
        .arg(getpid().as_raw_nonzero().to_string())
        .arg("--")
        .arg(&music)
        .args(["bench", "deployment", "--profile", profile, "--data"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}

/// Whether an fsync in this directory costs nothing: it is in memory.
fn is_in_memory(directory: &Path) -> bool {
    statfs(directory)
        .is_ok_and(|system| u64::try_from(system.f_type).is_ok_and(|kind| kind == TMPFS))
}
