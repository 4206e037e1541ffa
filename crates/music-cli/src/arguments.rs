//! The command line, as clap reads it.

use clap::{Args, Parser, Subcommand};
use music_client::{Client, Options};

use crate::exit;
use crate::failure::Failure;
use crate::{bench, completions, delete, demo, dev, doctor, engine, get, lock, lock_child};
use crate::{lock_queue, put, scan, serve, status, table, watch};

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
    /// Write results, and errors, as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Global {
    /// A client of the nodes.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(
            self.endpoints.iter().cloned(),
            Options::default(),
        )?)
    }
}

/// A subcommand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Dev(dev::Dev),
    Serve(serve::Serve),
    Engine(engine::Engine),
    Doctor(doctor::Doctor),
    Put(put::Put),
    Get(get::Get),
    Delete(delete::Delete),
    Scan(scan::Scan),
    Table(table::Table),
    Lock(lock::Lock),
    Status(status::Status),
    LockQueue(lock_queue::LockQueue),
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn several_endpoints_are_split() {
        let line = ["music", "--endpoint", "http://a:1,http://b:2", "exit-codes"];
        let arguments = Arguments::parse_from(line);
        assert_eq!(arguments.global.endpoints, ["http://a:1", "http://b:2"]);
    }
}
