//! `music dev`.

use clap::Args;

use crate::dev_control::{self, Control};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Several sites in one process, and their controls
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// The address of the controls
    #[arg(
        long,
        value_name = "URL",
        env = "MUSIC_CONTROL",
        default_value = "http://127.0.0.1:7700",
        global = true
    )]
    control: String,
    #[command(subcommand)]
    action: Control,
}

/// Starts a deployment, or controls one.
pub(crate) async fn run(dev: Dev, output: &Output) -> Result<Exit, Failure> {
    dev_control::run(&dev.control, dev.action, output).await
}
