//! The scripts of a service: which there are, and whether they can be run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};

use super::read::Section;
use crate::environment::search_path;

/// A script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Script {
    /// What it is for, as the configuration has it.
    pub(crate) name: &'static str,
    /// The program and its arguments.
    pub(crate) command: Vec<OsString>,
    /// How long it may take.
    pub(crate) timeout: Duration,
    /// Whether what it prints is a result.
    pub(crate) tells: bool,
}

/// All scripts of a service.
#[derive(Clone, Debug)]
pub(crate) struct Scripts {
    /// Makes the service active.
    pub(crate) activate: Script,
    /// Makes it passive, whatever it was.
    pub(crate) deactivate: Script,
    /// Succeeds where the service is healthy.
    pub(crate) check: Option<Script>,
    /// Mends an active service that is not healthy.
    pub(crate) restart: Option<Script>,
    /// Prints the state to hand on.
    pub(crate) state: Option<Script>,
    /// Prints how much the replica has to do.
    pub(crate) load: Option<Script>,
}

/// Each script, how long it may take if nothing is said, in milliseconds, and
/// whether what it prints is a result.
const ACTIVATE: (&str, &str, u64, bool) = ("activate", "activate_ms", 60_000, false);
const DEACTIVATE: (&str, &str, u64, bool) = ("deactivate", "deactivate_ms", 30_000, false);
const CHECK: (&str, &str, u64, bool) = ("check", "check_ms", 10_000, false);
const RESTART: (&str, &str, u64, bool) = ("restart", "restart_ms", 60_000, false);
const STATE: (&str, &str, u64, bool) = ("state", "state_ms", 10_000, true);
const LOAD: (&str, &str, u64, bool) = ("load", "load_ms", 10_000, true);

impl Scripts {
    /// Reads them; relative paths begin at `directory`, that of the file.
    pub(super) fn read(
        scripts: &Section<'_>,
        timeouts: &Section<'_>,
        directory: &Path,
    ) -> Option<Self> {
        let read = |(name, timeout, default, tells)| {
            let timeout = timeouts.time(timeout, default);
            let words = scripts.texts(name, r#"["/usr/bin/program", "argument"]"#)?;
            let Some((program, arguments)) = words.split_first() else {
                scripts.wrong(name, "is empty: it begins with a program");
                return None;
            };
            match find(program, directory) {
                Ok(program) => {
                    let arguments = arguments.iter().map(OsString::from);
                    Some(Script {
                        name,
                        command: std::iter::once(program.into()).chain(arguments).collect(),
                        timeout,
                        tells,
                    })
                }
                Err(reason) => {
                    scripts.wrong(name, reason);
                    None
                }
            }
        };
        let required = |script: (&'static str, _, _, _)| {
            let found = read(script);
            if found.is_none() && !scripts.has(script.0) {
                scripts.wrong(script.0, "is missing");
            }
            found
        };
        // All are read before any is missed: every fault is told.
        let (activate, deactivate) = (required(ACTIVATE), required(DEACTIVATE));
        let [check, restart, state, load] = [CHECK, RESTART, STATE, LOAD].map(read);
        if scripts.has(RESTART.0) && !scripts.has(CHECK.0) {
            scripts.wrong(RESTART.0, "is run when `check` fails: there is none");
        }
        Some(Self {
            activate: activate?,
            deactivate: deactivate?,
            check,
            restart,
            state,
            load,
        })
    }
}

/// The program, with the path that is run.
fn find(program: &str, directory: &Path) -> Result<PathBuf, String> {
    if !program.contains('/') {
        let found = search_path(program).find(|path| is_program(path));
        return found.ok_or_else(|| format!("there is no program {program:?} in PATH"));
    }
    let path = directory.join(program);
    if is_program(&path) {
        return Ok(path);
    }
    Err(match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            format!("{} is not there", path.display())
        }
        Err(error) => format!("{} cannot be run: {error}", path.display()),
        Ok(metadata) if !metadata.is_file() => format!("{} is no file", path.display()),
        Ok(_) => format!("{} is not executable: chmod +x", path.display()),
    })
}

fn is_program(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
