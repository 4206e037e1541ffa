//! `music sql`.

mod dev;
mod serve;
mod status;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

pub(crate) use dev::{SqlSite, SqlSites};

/// A SQL database at every site, for psql and the drivers of its kind
#[derive(Debug, Args)]
pub(crate) struct Sql {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Serve(serve::Serve),
    Status(status::Status),
}

pub(crate) async fn run(sql: Sql, output: &Output) -> Result<Exit, Failure> {
    match sql.action {
        Action::Serve(serve) => Box::pin(serve::run(serve, output)).await,
        Action::Status(status) => Box::pin(status::run(status, output)).await,
    }
}
