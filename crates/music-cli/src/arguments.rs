//! The command line, as clap reads it.

use std::ffi::OsString;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use music_client::{Client, Options};

use crate::active_passive;
use crate::exit;
use crate::failure::Failure;
use crate::{
    barrier, bench, completions, counter, delete, demo, dev, doctor, elect, engine, get, queue,
};
use crate::{group, latch, lock, lock_child, lock_queue, once, put, register, scan, semaphore};
use crate::{serve, sql, status, table, watch};

/// Critical sections over state at many sites.
#[derive(Debug, Parser)]
#[command(name = "music", version, after_long_help = exit::table(), propagate_version = true)]
#[command(max_term_width = 100)]
pub(crate) struct Arguments {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads the command line.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::read_from(std::env::args_os()).map_err(explain)
    }

    fn read_from<S>(words: impl IntoIterator<Item = S>) -> Result<Self, clap::Error>
    where
        S: Into<OsString> + Clone,
    {
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(words)?;
        let read = Self::from_arg_matches(&matches);
        let mut arguments = read.map_err(|error| error.format(&mut command))?;
        let source = matches.value_source("endpoints");
        arguments.global.endpoints_given = source != Some(ValueSource::DefaultValue);
        Ok(arguments)
    }
}

/// Says what is missing where a command to run comes without `--`.
fn explain(mut error: clap::Error) -> clap::Error {
    let text = |kind| error.get(kind).map(ToString::to_string);
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let usage = text(ContextKind::Usage).unwrap_or_default();
    let is_command = !argument.starts_with('-') && usage.contains("-- <CMD>");
    if error.kind() == ErrorKind::UnknownArgument && is_command {
        let tip = format!("if {argument:?} begins a command to run, write `--` before it");
        let tips = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tips);
    }
    error
}

/// What holds for every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The nodes to use, own site first; the others serve when it fails
    #[arg(
        long = "endpoint",
        value_name = "URL[,URL]",
        env = "MUSIC_ENDPOINTS",
        default_value = "http://127.0.0.1:7701",
        value_delimiter = ',',
        global = true
    )]
    pub(crate) endpoints: Vec<String>,
    /// Whether somebody named them
    #[arg(skip)]
    pub(crate) endpoints_given: bool,
    /// Write results, and errors, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// A client of the nodes.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        self.client_with(Options::default())
    }

    /// A client whose sections and memberships have that lease.
    pub(crate) fn client_with_lease(&self, lease: Duration) -> Result<Client, Failure> {
        self.client_with(Options {
            lease,
            ..Options::default()
        })
    }

    fn client_with(&self, options: Options) -> Result<Client, Failure> {
        Ok(Client::new(self.endpoints.iter().cloned(), options)?)
    }
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Sql(sql::Sql),
    Engine(engine::Engine),
    Doctor(doctor::Doctor),
    Put(put::Put),
    Get(get::Get),
    Delete(delete::Delete),
    Scan(scan::Scan),
    Table(table::Table),
    Lock(lock::Lock),
    LockQueue(lock_queue::LockQueue),
    Elect(elect::Elect),
    Semaphore(semaphore::Semaphore),
    Once(once::Once),
    Barrier(barrier::Barrier),
    Latch(latch::Latch),
    Counter(counter::Counter),
    Queue(queue::Queue),
    Register(register::Register),
    Group(group::Group),
    ActivePassive(active_passive::ActivePassive),
    Status(status::Status),
    Watch(watch::Watch),
    Bench(bench::Bench),
    Demo(demo::Demo),
    Completions(completions::Completions),
    /// List the codes that music exits with
    ExitCodes,
    #[command(hide = true)]
    LockChild(lock_child::LockChild),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn several_endpoints_are_split() {
        let line = ["music", "--endpoint", "http://a:1,http://b:2", "exit-codes"];
        let arguments = Arguments::read_from(line).unwrap();
        assert_eq!(arguments.global.endpoints, ["http://a:1", "http://b:2"]);
    }

    #[test]
    fn endpoints_that_were_named_are_known() {
        for line in [
            ["music", "--endpoint", "http://a:1", "exit-codes"],
            ["music", "exit-codes", "--endpoint", "http://a:1"],
        ] {
            assert!(Arguments::read_from(line).unwrap().global.endpoints_given);
        }
    }
}
