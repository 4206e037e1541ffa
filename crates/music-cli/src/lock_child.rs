//! `music lock-child`: between `music lock` and its command. See
//! [`crate::child`].

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::ExitStatus;

use clap::Args;
use rustix::process::{Pid, Signal, getpgrp, getppid, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::Signals;

/// Run the command of `music lock`
#[derive(Debug, Args)]
pub(crate) struct LockChild {
    /// The process whose death ends the command
    #[arg(long)]
    parent: i32,
    /// Whether the command's process group is its own
    #[arg(long)]
    group: bool,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Runs the command until it ends or the parent does.
pub(crate) async fn run(child: LockChild) -> Result<Exit, Failure> {
    let name = child
        .command
        .first()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_default();
    let result = if child.group {
        guard(&child).await
    } else {
        become_command(&child)
    };
    result.map_err(|source| Failure::Command {
        command: name,
        source,
    })
}

/// Starts the command, and kills its group when the parent dies.
async fn guard(child: &LockChild) -> io::Result<Exit> {
    // Signals to the group are meant for the command, which decides.
    let mut ignored = Signals::new().map_err(io::Error::other)?;
    let mut orphaned = signal(SignalKind::user_defined1())?;
    tell_of_death(child, Signal::USR1)?;
    let mut command = tokio::process::Command::from(command(child));
    let mut process = command.spawn()?;
    loop {
        tokio::select! {
            status = process.wait() => return Ok(exit_of(status?)),
            _ = orphaned.recv() => kill_process_group(getpgrp(), Signal::KILL)?,
            _ = ignored.next() => {}
        }
    }
}

/// Becomes the command, killed when the parent dies.
fn become_command(child: &LockChild) -> io::Result<Exit> {
    tell_of_death(child, Signal::KILL)?;
    Err(command(child).exec())
}

fn command(child: &LockChild) -> std::process::Command {
    let mut words = child.command.iter();
    let mut command = std::process::Command::new(words.next().cloned().unwrap_or_default());
    command.args(words);
    command
}

/// Asks for a signal when the parent dies.
fn tell_of_death(child: &LockChild, signal: Signal) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(signal))?;
    #[cfg(not(target_os = "linux"))]
    let _: Signal = signal;
    // It may have died before: then nobody would tell.
    if getppid() == Pid::from_raw(child.parent) {
        Ok(())
    } else {
        Err(io::Error::other("music has ended already"))
    }
}

/// How a command ended, as a shell says it.
pub(crate) fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Exit::signal(signal.unwrap_or_default()),
    }
}
