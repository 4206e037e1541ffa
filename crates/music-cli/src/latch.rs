//! `music latch`.

use std::time::Duration;

use clap::Args;
use music_client::Client;
use music_client::recipes::Latch as Recipe;
use serde::Serialize;

use crate::arguments::Global;
use crate::count;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::told;
use crate::output::Output;
use crate::record_arguments::interruptible;

/// Wait until something was done a number of times
///
/// A latch opens when it was counted down as often as --count says, and stays open. For another
/// use, take another name.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music latch migrated --count 3 --down
  music latch migrated --count 3 --wait --timeout 10m && ./switch-over.sh
  music latch migrated --count 3 --left")]
pub(crate) struct Latch {
    /// The latch
    name: String,
    /// How often it has to be counted down; all name the same number
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    count: u64,
    #[command(flatten)]
    action: Action,
    /// How long to wait at most, with --wait; for ever if left out
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    #[arg(conflicts_with_all = ["down", "left"])]
    timeout: Option<Duration>,
}

#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
struct Action {
    /// Count down, and write how many counts are left
    #[arg(long)]
    down: bool,
    /// Wait until it is open
    #[arg(long)]
    wait: bool,
    /// Write how many counts are left
    #[arg(long)]
    left: bool,
}

#[derive(Serialize)]
struct LatchJson<'a> {
    latch: &'a str,
    left: u64,
}

/// Counts a latch down, or waits for it.
pub(crate) async fn run(global: &Global, latch: Latch, output: &Output) -> Result<Exit, Failure> {
    let client = global.client()?;
    let interrupted = if latch.action.down {
        Failure::Interrupted
    } else {
        Failure::WaitInterrupted
    };
    let text = format!("waiting for the latch {}", latch.name);
    let act = told(output, || Some(&text), Box::pin(latch.act(&client)));
    let left = interruptible(&client, interrupted, act).await?;
    let json = LatchJson {
        latch: &latch.name,
        left,
    };
    output.either(&json, || {
        if latch.action.wait {
            "open".to_owned()
        } else {
            left.to_string()
        }
    })?;
    Ok(Exit::Done)
}

impl Latch {
    /// How many counts are left.
    async fn act(&self, client: &Client) -> Result<u64, Failure> {
        let recipe = Recipe::new(client, &self.name, self.count)?;
        if self.action.down {
            return Ok(recipe.count_down().await?);
        }
        if self.action.left {
            return Ok(recipe.left().await?);
        }
        match self.timeout {
            None => recipe.wait().await?,
            Some(wait) if recipe.wait_within(wait).await? => {}
            Some(waited) => {
                let what = "the latch did not open";
                return Err(Failure::NotInTime { what, waited });
            }
        }
        Ok(0)
    }
}
