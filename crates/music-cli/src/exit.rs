//! The codes that `music` exits with.

use std::process::ExitCode;

use serde::Serialize;

use crate::failure::Failure;
use crate::output::Output;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Refused: as the request is, it cannot be done.
    Refused,
    /// There is no such value, or no leader.
    NoValue,
    /// No node, or no majority, could be reached; nothing took effect.
    Unavailable,
    /// A local file could not be read or written.
    Io,
    /// What was waited for did not happen in time.
    TimedOut,
    /// It is not known whether it took effect.
    Unknown,
    /// A configuration cannot be used.
    Configuration,
    /// What was held was lost.
    Lost,
    /// Some readable template was not placed exactly once.
    NotOnce,
    /// Something is wrong with a deployment.
    Unsound,
    /// A step was begun, and whether it was done is not known.
    Interrupted,
    /// It is not what was expected.
    Differs,
    /// The command could not be run.
    CannotRun,
    /// The command was not found.
    NotFound,
    /// That of the command, or 128 and the number of a signal.
    Code(u8),
}

/// Each code but those that pass through, and what it means.
const MEANINGS: &[(Exit, &str)] = &[
    (Exit::Done, "done"),
    (
        Exit::Refused,
        "refused: as the request is, it cannot be done; nothing took effect",
    ),
    (Exit::Code(2), "the command line is wrong; nothing was done"),
    (Exit::NoValue, "there is no such value, or no leader"),
    (
        Exit::Unavailable,
        "no node or no majority could be reached; nothing took effect",
    ),
    (Exit::Io, "a local file could not be read or written"),
    (
        Exit::TimedOut,
        "what was waited for did not happen in time; CMD was not run",
    ),
    (Exit::Unknown, "it is not known whether it took effect"),
    (Exit::Configuration, "the configuration cannot be used"),
    (
        Exit::Lost,
        "the lock, leadership or permit was lost, and CMD killed if it still ran",
    ),
    (
        Exit::NotOnce,
        "some readable template was not placed exactly once (demo placement)",
    ),
    (
        Exit::Unsound,
        "something is wrong with the deployment (doctor)",
    ),
    (
        Exit::Interrupted,
        "the step was begun and not ended: settle or forget it (once)",
    ),
    (
        Exit::Differs,
        "it is not what was expected, and was not set (compare-and-set)",
    ),
    (Exit::CannotRun, "CMD cannot be executed"),
    (Exit::NotFound, "CMD was not found"),
];

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
            Self::NoValue => 66,
            Self::Unavailable => 69,
            Self::Io => 74,
            Self::TimedOut => 75,
            Self::Unknown => 76,
            Self::Configuration => 78,
            Self::Lost => 79,
            Self::NotOnce => 80,
            Self::Unsound => 81,
            Self::Interrupted => 82,
            Self::Differs => 83,
            Self::CannotRun => 126,
            Self::NotFound => 127,
            Self::Code(code) => code,
        }
    }

    /// As a shell says that a signal ended a program.
    pub(crate) fn signal(number: i32) -> Self {
        Self::Code(u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The table of codes, as the help has it.
pub(crate) fn table() -> String {
    let line = |(exit, meaning): &(Exit, &str)| format!("{:>5}  {meaning}", exit.code());
    let mut lines = vec!["Exit codes:".to_owned()];
    lines.extend(MEANINGS.iter().map(line));
    lines.push("128+N  signal N ended CMD, or music itself".to_owned());
    lines.push("Other codes of commands that run CMD are those of CMD.".to_owned());
    lines.join("\n")
}

#[derive(Serialize)]
struct Meaning {
    code: u8,
    meaning: &'static str,
}

/// `music exit-codes`.
pub(crate) fn explain(output: &Output) -> Result<Exit, Failure> {
    let meanings = MEANINGS.iter().map(|(exit, meaning)| Meaning {
        code: exit.code(),
        meaning,
    });
    output.either(&meanings.collect::<Vec<_>>(), table)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_go_up() {
        assert!(MEANINGS.is_sorted_by(|a, b| a.0.code() < b.0.code()));
    }
}
