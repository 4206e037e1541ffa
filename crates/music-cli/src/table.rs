//! `music table`.

use clap::{Args, Subcommand, ValueEnum};
use music_client::api::table::TableMode;
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// Create, list and drop tables
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music table create notes --mode eventual
  music table create accounts --mode critical
  music table list")]
pub(crate) struct Table {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a table, or find it there in the same mode
    Create {
        /// The name
        name: String,
        /// How its keys may be written; fixed from now on
        #[arg(long)]
        mode: Mode,
    },
    /// List the tables
    List,
    /// Drop a table with all its records
    Drop {
        /// The name
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// By the holder of the key's lock only
    Critical,
    /// By anyone, at any one replica; the last writer wins
    Eventual,
}

#[derive(Serialize)]
struct Dropped<'a> {
    dropped: &'a str,
}

/// Creates, lists or drops tables.
pub(crate) async fn run(global: &Global, table: Table, output: &Output) -> Result<Exit, Failure> {
    let client = global.client()?;
    match table.action {
        Action::Create { name, mode } => {
            let mode = match mode {
                Mode::Critical => TableMode::Critical,
                Mode::Eventual => TableMode::Eventual,
            };
            let table = client.create_table(&name, mode).await?;
            output.either(&table, || {
                format!("table {} is {}", table.name, word(table.mode))
            })?;
        }
        Action::List => {
            let tables = client.tables().await?;
            let rows = tables
                .iter()
                .map(|table| [table.name.clone(), word(table.mode).to_owned()]);
            let rows: Vec<_> = rows.collect();
            output.either(&tables, || columns(["TABLE", "MODE"], &rows))?;
        }
        Action::Drop { name } => {
            client.drop_table(&name).await?;
            output.either(&Dropped { dropped: &name }, || {
                format!("table {name} is dropped")
            })?;
        }
    }
    Ok(Exit::Done)
}

fn word(mode: TableMode) -> &'static str {
    match mode {
        TableMode::Critical => "critical",
        TableMode::Eventual => "eventual",
    }
}
