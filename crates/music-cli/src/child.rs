//! The command that `music` runs while it holds something.
//!
//! It must not outlive the lock by much, even where `music` itself is killed.
//! So `music` does not start it, but starts itself once more, as `music
//! lock-child` (see [`crate::lock_child`]), which asks the system to be told of
//! the death of `music`, and then starts the command, or becomes it:
//!
//! ```text
//! stdin no terminal: music lock ── music lock-child ── CMD ── its children
//!                                 └──────── one process group ──────────┘
//! stdin a terminal:  music lock ── CMD     in the terminal's foreground group
//! ```
//!
//! In a group of its own, everything the command started is signalled and
//! killed with it. On a terminal it stays in the foreground group, where it may
//! read and gets Ctrl-C from the terminal itself; then it alone is signalled.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group};
use tokio::process::{Child as Process, ChildStdout, Command};

use crate::failure::Failure;

/// Variables for a command's environment.
pub(crate) type Environment = Vec<(&'static str, String)>;

/// What a command reads and writes, and with whom it is signalled.
struct Pipes {
    stdin: Stdio,
    stdout: Stdio,
    has_group: bool,
}

impl Pipes {
    fn new(stdout: Stdio) -> Self {
        Self {
            stdin: Stdio::inherit(),
            stdout,
            has_group: !std::io::stdin().is_terminal(),
        }
    }
}

/// This program. Where another version has taken its place, the one that runs:
/// a daemon that cannot start anything any more could not even deactivate.
fn own_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let running = PathBuf::from("/proc/self/exe");
    Ok(if !path.exists() && running.exists() {
        running
    } else {
        path
    })
}

/// The command, running.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    /// Its process id, and the number of its group.
    pid: Option<Pid>,
    /// Its name, for messages.
    name: String,
    /// Whether it has a process group of its own.
    has_group: bool,
}

impl Child {
    /// Starts the command with these variables added to its environment.
    pub(crate) fn start(command: &[OsString], environment: &Environment) -> Result<Self, Failure> {
        let pipes = Pipes::new(Stdio::inherit());
        Self::start_with(command, environment, pipes)
    }

    /// Starts the command; [`take_output`](Self::take_output) has what it writes.
    pub(crate) fn start_captured(
        command: &[OsString],
        environment: &Environment,
    ) -> Result<Self, Failure> {
        let pipes = Pipes::new(Stdio::piped());
        Self::start_with(command, environment, pipes)
    }

    /// Starts the command in a group of its own, terminal or not.
    pub(crate) fn start_apart(
        command: &[OsString],
        environment: &Environment,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Self, Failure> {
        let pipes = Pipes {
            stdin,
            stdout,
            has_group: true,
        };
        Self::start_with(command, environment, pipes)
    }

    fn start_with(
        command: &[OsString],
        environment: &Environment,
        pipes: Pipes,
    ) -> Result<Self, Failure> {
        let has_group = pipes.has_group;
        let name = command.first().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_default().into_owned();
        let failed = |source| Failure::Command {
            command: name.clone(),
            source,
        };
        let mut start = Command::new(own_program().map_err(failed)?);
        start
            .arg("lock-child")
            .arg("--parent")
            .arg(getpid().as_raw_nonzero().to_string());
        if has_group {
            start.arg("--group").process_group(0);
        }
        start.arg("--").args(command);
        start.stdin(pipes.stdin).stdout(pipes.stdout);
        start.envs(environment.iter().map(|(name, value)| (name, value)));
        let process = start.spawn().map_err(failed)?;
        let pid = process.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self {
            process,
            pid,
            name,
            has_group,
        })
    }

    /// What a captured command writes to its standard output.
    pub(crate) fn take_output(&mut self) -> Option<ChildStdout> {
        self.process.stdout.take()
    }

    /// Waits for its end. Dropping the future loses nothing.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus, Failure> {
        let status = self.process.wait().await;
        status.map_err(|source| Failure::Command {
            command: self.name.clone(),
            source,
        })
    }

    /// Ends it: tells it to, and kills it where it has not ended in time.
    pub(crate) async fn stop(&mut self, kill_after: Duration) -> Result<ExitStatus, Failure> {
        self.signal(Signal::TERM);
        if let Ok(status) = tokio::time::timeout(kill_after, self.wait()).await {
            return status;
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    /// Passes on a signal that `music` received.
    pub(crate) fn pass_on(&self, signal: Signal) {
        // What a terminal sends, it has sent to the whole foreground group.
        if self.has_group || signal == Signal::TERM {
            self.signal(signal);
        }
    }

    /// Sends a signal to all it has started, or to itself alone.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = self.pid.filter(|_| self.process.id().is_some()) else {
            return; // It has ended.
        };
        let sent = if self.has_group {
            kill_process_group(pid, signal)
        } else {
            kill_process(pid, signal)
        };
        // It fails where nothing is left to signal.
        sent.unwrap_or_default();
    }

    /// Sends a signal to what a command that has ended left behind, if that is
    /// a group of its own. The group keeps its number while anything is in it.
    pub(crate) fn signal_rest(&self, signal: Signal) {
        if let Some(group) = self.pid.filter(|_| self.has_group) {
            kill_process_group(group, signal).unwrap_or_default();
        }
    }
}
