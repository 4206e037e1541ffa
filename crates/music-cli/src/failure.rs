//! Why a command failed: what happened, whether it took effect, what to do.

use std::path::PathBuf;
use std::time::Duration;

use music_client::api::code::Code;
use music_client::error::{Invalid, Refusal};
use music_client::{Error, Outcome};
use music_server::engine::EngineError;
use music_server::serve;
use rustix::process::Signal;

use crate::active_passive;
use crate::bench;
use crate::demo;
use crate::exit::Exit;

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The service refused or did not answer.
    #[error(transparent)]
    Client(#[from] Error),
    /// A measurement failed.
    #[error(transparent)]
    Bench(#[from] bench::error::Error),
    /// The settings of a node cannot be used.
    #[error(transparent)]
    Configuration(#[from] music_server::config::Error),
    /// The settings of an active-passive daemon cannot be used.
    #[error(transparent)]
    ActivePassive(#[from] active_passive::config::Error),
    /// A node does not start.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// The database of a site does not start, or does not serve.
    #[error(transparent)]
    Sql(#[from] mdbc::server::Error),
    /// The settings of a site's database cannot be used.
    #[error(transparent)]
    SqlConfiguration(#[from] mdbc::config::ConfigError),
    /// No database can be asked with this.
    #[error(transparent)]
    SqlPeer(#[from] mdbc::snapshot::PeerError),
    /// None of the databases tells its status.
    #[error("none of the {sites} databases tells its status")]
    NoDatabase {
        /// How many were asked.
        sites: usize,
    },
    /// The engines cannot be used.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A development deployment does not start.
    #[error(transparent)]
    Dev(#[from] music_server::dev::Error),
    /// A demonstration came to no verdict.
    #[error(transparent)]
    Demo(#[from] demo::error::Error),
    /// Nothing can be logged.
    #[error(transparent)]
    Logging(#[from] music_server::logging::Error),
    /// No temporary directory can be made.
    #[error("no temporary directory can be made: give one with --data")]
    Temporary(#[source] std::io::Error),
    /// There is no place for what a command or a script reads.
    #[error("no temporary file can be made: is there room, and may it be written to?")]
    TemporaryFile(#[source] std::io::Error),
    /// There is no such value.
    #[error("{key:?} has no value in table {table:?}")]
    NoValue {
        /// The table.
        table: String,
        /// The key.
        key: String,
    },
    /// Nobody leads, as far as the nearest replica knows.
    #[error("nobody leads {0:?}")]
    NoLeader(String),
    /// A register without a value.
    #[error("the register {0:?} was never set")]
    NeverSet(String),
    /// It is not what was expected.
    #[error("{what} is {found}, not {expected}")]
    Differs {
        /// What was compared.
        what: &'static str,
        /// What it is.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// Something was waited for in vain.
    #[error("{what} within {waited:?}")]
    NotInTime {
        /// What did not happen.
        what: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The lock was lost in the middle of a step that is done once.
    #[error("CMD was killed in the middle of the step")]
    StepLost(#[source] Error),
    /// A step was done, but its result is not known to others.
    #[error("CMD is done, but it wrote more than {max} bytes, which are not remembered")]
    ResultTooLarge {
        /// How much is remembered.
        max: usize,
    },
    /// A step that nobody left undecided.
    #[error("the step {0:?} was not interrupted: there is nothing to settle or to forget")]
    NotInterrupted(String),
    /// No node of those asked has answered.
    #[error("none of the {nodes} nodes answers")]
    NoNode {
        /// How many were asked.
        nodes: usize,
    },
    /// A local file failed.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Standard input failed.
    #[error("standard input cannot be read")]
    Input(#[source] std::io::Error),
    /// Standard output failed.
    #[error("standard output cannot be written")]
    Output(#[from] std::io::Error),
    /// A value cannot be shown as JSON.
    #[error("the result cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The command that was given cannot be run.
    #[error("the command {command:?} cannot be run")]
    Command {
        /// The command.
        command: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// What a command writes cannot be read.
    #[error("the output of the command cannot be read")]
    CommandOutput(#[source] std::io::Error),
    /// The program cannot start.
    #[error("the program cannot start its threads")]
    Runtime(#[source] std::io::Error),
    /// A signal ended it before it was done.
    #[error("interrupted before it was done")]
    Interrupted(Signal),
    /// A signal ended a wait.
    #[error("interrupted while it waited")]
    WaitInterrupted(Signal),
    /// Signals cannot be received.
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Client(refusal.into())
    }
}

impl Failure {
    /// The code to exit with.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            // Whoever reads the output has seen enough.
            Self::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Client(error) => exit_of(error),
            Self::Demo(error) => error.exit(),
            Self::Interrupted(signal) | Self::WaitInterrupted(signal) => {
                Exit::signal(signal.as_raw())
            }
            Self::NoValue { .. } | Self::NoLeader(_) | Self::NeverSet(_) => Exit::NoValue,
            Self::Differs { .. } => Exit::Differs,
            Self::NotInTime { .. } => Exit::TimedOut,
            Self::StepLost(_) => Exit::Lost,
            Self::ResultTooLarge { .. } => Exit::Interrupted,
            Self::NotInterrupted(_) => Exit::Refused,
            Self::NoNode { .. } | Self::NoDatabase { .. } | Self::Bench(_) => Exit::Unavailable,
            Self::Configuration(_)
            | Self::ActivePassive(_)
            | Self::SqlConfiguration(_)
            | Self::SqlPeer(_)
            | Self::Logging(_)
            | Self::Dev(music_server::dev::Error::Config(_)) => Exit::Configuration,
            Self::Serve(error) | Self::Dev(music_server::dev::Error::Serve(error)) => {
                exit_of_start(error)
            }
            Self::Sql(error) => exit_of_sql(error),
            Self::Engine(error) => exit_of_engine(error),
            Self::Dev(_)
            | Self::Temporary(_)
            | Self::TemporaryFile(_)
            | Self::File { .. }
            | Self::Input(_)
            | Self::Output(_)
            | Self::CommandOutput(_)
            | Self::Json(_)
            | Self::Runtime(_)
            | Self::Signals(_) => Exit::Io,
            Self::Command { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Exit::NotFound
            }
            Self::Command { .. } => Exit::CannotRun,
        }
    }

    /// Whether it may have taken effect; `None` where it has none.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Client(error) => Some(error.outcome()),
            Self::Interrupted(_) | Self::StepLost(_) => Some(Outcome::Unknown),
            Self::Differs { .. } | Self::NotInterrupted(_) => Some(Outcome::NotApplied),
            _ => None,
        }
    }

    /// What to do about it.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Client(error) => advice(error),
            Self::NoNode { .. } => Some(NO_NODE),
            Self::StepLost(_) | Self::ResultTooLarge { .. } => Some(INTERRUPTED),
            Self::Serve(serve::Error::Listen { .. })
            | Self::Dev(music_server::dev::Error::Serve(serve::Error::Listen { .. })) => {
                Some("choose another port, or end what listens there")
            }
            Self::Command { .. } => Some("check the name of the command and its permissions"),
            _ => None,
        }
    }
}

const WRONG_MODE: &str =
    "write critical tables with --critical, eventual ones without: `music table list` tells";

const NO_NODE: &str =
    "check --endpoint (or MUSIC_ENDPOINTS) and that a node runs there: `music dev` starts some";

const INTERRUPTED: &str = "look whether the step was done, then say so: \
     music once NAME --settle RESULT, or music once NAME --forget to have it done again";

/// A node that does not start: for what it was told, or for what it found.
fn exit_of_start(error: &serve::Error) -> Exit {
    match error {
        serve::Error::Engine(error) => exit_of_engine(error),
        serve::Error::Listen { .. } => Exit::Io,
        _ => Exit::Configuration,
    }
}

fn exit_of_sql(error: &mdbc::server::Error) -> Exit {
    match error {
        mdbc::server::Error::Join(_)
        | mdbc::server::Error::Log(_)
        | mdbc::server::Error::Outbox(_)
        | mdbc::server::Error::Restore(_) => Exit::Unavailable,
        mdbc::server::Error::Database(_) | mdbc::server::Error::Listen { .. } => Exit::Io,
        _ => Exit::Configuration,
    }
}

fn exit_of_engine(error: &EngineError) -> Exit {
    match error {
        EngineError::Open(_) => Exit::Io,
        error if error.is_retryable() => Exit::Unavailable,
        _ => Exit::Configuration,
    }
}

fn exit_of(error: &Error) -> Exit {
    if matches!(error, Error::Lost(_)) {
        return Exit::Lost;
    }
    if error.outcome() == Outcome::Unknown {
        return Exit::Unknown;
    }
    match error {
        Error::TimedOut { .. } => Exit::TimedOut,
        Error::Refused(Refusal::Interrupted { .. }) => Exit::Interrupted,
        Error::Invalid(Invalid::NoEndpoint | Invalid::Endpoint(_)) => Exit::Code(2),
        Error::Problem(problem) if !problem.retryable => Exit::Refused,
        Error::Refused(_) | Error::Invalid(_) => Exit::Refused,
        _ => Exit::Unavailable,
    }
}

fn advice(error: &Error) -> Option<&'static str> {
    match error.code() {
        Some(Code::NoSuchTable) => {
            return Some("create it: music table create NAME --mode eventual|critical");
        }
        Some(Code::WrongMode) => {
            return Some(WRONG_MODE);
        }
        // What the node says is enough.
        Some(_) if error.outcome() == Outcome::NotApplied => return None,
        _ => {}
    }
    match error {
        Error::Lost(_) => Some("begin again with a new lock, from what is stored now"),
        Error::TimedOut { .. } => Some("wait longer, or see who holds it: music lock-queue KEY"),
        Error::Answer { .. } => Some("check --endpoint: another program answers there"),
        Error::Refused(Refusal::Interrupted { .. }) => Some(INTERRUPTED),
        Error::Invalid(_) | Error::Refused(_) => None,
        _ if error.outcome() == Outcome::Unknown => {
            Some("read what is stored now before you do it again")
        }
        _ => Some(NO_NODE),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use music_client::{Lost, LostReason};

    use super::*;

    fn client(error: Error) -> Exit {
        Failure::Client(error).exit()
    }

    #[test]
    fn each_end_has_its_code() {
        let waited = Duration::from_secs(1);
        assert_eq!(client(Error::TimedOut { waited }), Exit::TimedOut);
        let lost = Lost {
            reason: LostReason::Preempted,
            outcome: Outcome::Unknown,
        };
        assert_eq!(client(lost.into()), Exit::Lost);
        for (outcome, exit) in [
            (Outcome::NotApplied, Exit::Unavailable),
            (Outcome::Unknown, Exit::Unknown),
        ] {
            let last = Box::new(Error::TimedOut { waited });
            assert_eq!(
                client(Error::Unavailable {
                    attempts: 3,
                    outcome,
                    last
                }),
                exit
            );
        }
    }

    #[test]
    fn a_broken_pipe_is_no_error() {
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Failure::Output(broken).exit(), Exit::Done);
    }
}
