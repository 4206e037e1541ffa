//! `music completions`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Write the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music completions bash > /etc/bash_completion.d/music
  music completions zsh > \"${fpath[1]}/_music\"
  music completions fish > ~/.config/fish/completions/music.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

/// Writes the completions.
pub(crate) fn run(completions: &Completions, output: &Output) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(completions.shell, &mut command, "music", &mut script);
    output.value(&script)?;
    Ok(Exit::Done)
}
