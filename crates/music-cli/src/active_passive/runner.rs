//! Runs the scripts, one at a time, each in a process group of its own that is
//! killed at its time-out, and with the daemon.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::config::Config;
use super::scripts::Script;
use crate::captured::{self, CAPTURED_MAX, Captured};
use crate::child::{Child, Environment};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lock_child::exit_of;
use crate::output::with_causes;

/// The right under which scripts run.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    /// The slot and the lockRef; `None` for a passive replica, whose token is 0:
    /// lower than all.
    pub(super) place: Option<(u64, String)>,
    /// The fencing token.
    pub(super) token: u64,
    /// The state of the slot; empty where there is none.
    pub(super) state: Vec<u8>,
}

/// Why a script did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// It says so, or a signal ended it.
    #[error("{script} exited with {code}")]
    Exited { script: &'static str, code: u8 },
    /// It was killed.
    #[error("{script} did not end within {timeout:?} and was killed")]
    TimedOut {
        script: &'static str,
        timeout: Duration,
    },
    /// It prints more than can be stored.
    #[error("{script} printed more than {CAPTURED_MAX} bytes")]
    TooMuch { script: &'static str },
    /// It did not run, or not all of it was seen.
    #[error("{script} cannot be run: {reason}")]
    NotRun {
        script: &'static str,
        reason: String,
    },
}

/// Runs scripts. Dropping a run leaves the script to [`Runner::stop`] and
/// [`Runner::kill`].
pub(super) struct Runner {
    /// Holds the file with the state.
    directory: TempDir,
    /// What all scripts find in their environment.
    environment: Environment,
    kill_after: Duration,
    running: Option<Child>,
}

impl Runner {
    pub(super) fn new(config: &Config, endpoints: (&'static str, String)) -> Result<Self, Failure> {
        let directory = tempfile::Builder::new()
            .prefix("music-active-passive-")
            .tempdir()
            .map_err(Failure::TemporaryFile)?;
        let state = directory.path().join(STATE).display().to_string();
        Ok(Self {
            environment: vec![
                endpoints,
                ("MUSIC_SERVICE", config.service.clone()),
                ("MUSIC_REPLICA", config.replica.clone()),
                ("MUSIC_SITE", config.site.clone()),
                ("MUSIC_STATE_FILE", state),
            ],
            directory,
            kill_after: config.kill_after,
            running: None,
        })
    }

    /// Runs a script to its end, and kills it at its time-out. What it printed,
    /// if that is its result.
    pub(super) async fn run(
        &mut self,
        script: &Script,
        holding: &Holding,
    ) -> Result<Vec<u8>, Failed> {
        let input = self.hand_over(&holding.state).map_err(Failure::Input);
        let input = input.map_err(|failure| not_run(script, &failure))?;
        let environment = self.environment(holding, "");
        self.run_with(script, &environment, input.into()).await
    }

    /// Runs `deactivate`, and tells it why. It runs also where the state cannot
    /// be written, as on a disk that is full: nothing is worse than to stay
    /// active.
    pub(super) async fn deactivate(
        &mut self,
        script: &Script,
        holding: &Holding,
        why: &str,
    ) -> Result<(), Failed> {
        let input = self.hand_over(&holding.state);
        let input = input.map_or_else(|_| Stdio::null(), Stdio::from);
        let environment = self.environment(holding, why);
        self.run_with(script, &environment, input).await.map(drop)
    }

    async fn run_with(
        &mut self,
        script: &Script,
        environment: &Environment,
        input: Stdio,
    ) -> Result<Vec<u8>, Failed> {
        self.kill().await;
        let not_run = |failure: Failure| not_run(script, &failure);
        let output = if script.tells {
            Stdio::piped()
        } else {
            // Standard output is the daemon's own.
            Stdio::from(io::stderr())
        };
        let child = Child::start_apart(&script.command, environment, input, output);
        let child = self.running.insert(child.map_err(not_run)?);
        let ended = tokio::time::timeout(script.timeout, end(child, script.tells)).await;
        let Ok(ended) = ended else {
            self.stop().await;
            return Err(Failed::TimedOut {
                script: script.name,
                timeout: script.timeout,
            });
        };
        self.running = None;
        let script = script.name;
        match ended.map_err(not_run)? {
            (Exit::Code(0), Captured::All(printed)) => Ok(printed),
            (Exit::Code(0), Captured::TooMuch(_)) => Err(Failed::TooMuch { script }),
            (exit, _) => Err(Failed::Exited {
                script,
                code: exit.code(),
            }),
        }
    }

    /// Tells the script that runs, if any, to end, and kills it if it does not.
    pub(super) async fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            // Nothing is to be done about a status that is not known.
            drop(child.stop(self.kill_after).await);
            child.signal_rest(Signal::KILL);
        }
    }

    /// Kills the script that runs, if any.
    pub(super) async fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.signal(Signal::KILL);
            drop(child.wait().await);
        }
    }

    fn environment(&self, holding: &Holding, why: &str) -> Environment {
        let (role, slot, lock_ref) = match &holding.place {
            Some((slot, lock_ref)) => ("active", slot.to_string(), lock_ref.clone()),
            None => ("passive", String::new(), String::new()),
        };
        let mut environment = self.environment.clone();
        // All are always set, so that none comes from around the daemon.
        environment.extend([
            ("MUSIC_ROLE", role.to_owned()),
            ("MUSIC_FENCING_TOKEN", holding.token.to_string()),
            ("MUSIC_SLOT", slot),
            ("MUSIC_LOCK_REF", lock_ref),
            ("MUSIC_REASON", why.to_owned()),
        ]);
        environment
    }

    /// Writes the state to its file, which the script finds whole, and as its
    /// standard input.
    fn hand_over(&self, state: &[u8]) -> io::Result<File> {
        // Somebody may have tidied up.
        let mut directory = DirBuilder::new();
        directory.recursive(true).mode(0o700);
        directory.create(self.directory.path())?;
        let new = self.directory.path().join("state.new");
        let path = self.directory.path().join(STATE);
        std::fs::write(&new, state)?;
        std::fs::rename(&new, &path)?;
        File::open(path)
    }
}

/// The name of the file with the state.
const STATE: &str = "state";

fn not_run(script: &Script, failure: &Failure) -> Failed {
    Failed::NotRun {
        script: script.name,
        reason: with_causes(failure),
    }
}

async fn end(child: &mut Child, tells: bool) -> Result<(Exit, Captured), Failure> {
    if !tells {
        let status = child.wait().await?;
        return Ok((exit_of(status), Captured::All(Vec::new())));
    }
    // No signal is passed on: the sender is gone.
    let (_, mut none) = mpsc::channel(1);
    let (status, captured) = captured::wait(child, &mut none).await?;
    Ok((exit_of(status), captured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_handed_over_where_its_directory_was_removed() {
        let runner = Runner {
            directory: tempfile::tempdir().unwrap(),
            environment: Vec::new(),
            kill_after: Duration::ZERO,
            running: None,
        };
        std::fs::remove_dir(runner.directory.path()).unwrap();
        for state in ["one", "", "two"] {
            let file = runner.hand_over(state.as_bytes()).unwrap();
            assert_eq!(io::read_to_string(file).unwrap(), state);
        }
    }
}
