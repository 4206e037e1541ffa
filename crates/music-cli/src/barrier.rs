//! `music barrier`.

use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use music_client::recipes::{Barrier as Recipe, Crossing, DoubleBarrier};
use music_client::{Client, Error};
use serde::Serialize;

use crate::arguments::Global;
use crate::count;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::told;
use crate::output::Output;
use crate::record_arguments::interruptible;

/// Wait until a number of parties have arrived
///
/// Then all go on, and the barrier is closed for the next time. A party that stops waiting, by
/// --timeout or Ctrl-C, is withdrawn. One that is killed has arrived all the same; started again
/// under the same --party, it is counted once.
///
/// With --enter and --leave it is a double barrier: parties begin together and end together. None
/// enters again before all have left.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music barrier phase --parties 3
  music barrier phase --parties 3 --party $(hostname) --timeout 5m && ./next-phase.sh
  music barrier measure --parties 3 --party a --enter && ./measure.sh
  music barrier measure --parties 3 --party a --leave")]
pub(crate) struct Barrier {
    /// The barrier
    name: String,
    /// How many parties wait for each other; all name the same number
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    parties: u64,
    /// The name of this party, which no other one has; any if left out
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    party: Option<String>,
    /// How long to wait at most; for ever if left out
    #[arg(long, visible_alias = "wait", value_name = "TIME", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Wait until all have entered, of a double barrier
    #[arg(long, requires = "party", conflicts_with = "leave")]
    enter: bool,
    /// Wait until all have left, of a double barrier
    #[arg(long, requires = "party")]
    leave: bool,
}

#[derive(Serialize)]
struct CrossingJson<'a> {
    barrier: &'a str,
    /// How often it was crossed, this time included.
    crossing: u64,
    /// Whether this party was the last to arrive.
    last: bool,
}

/// Waits at a barrier.
pub(crate) async fn run(
    global: &Global,
    barrier: Barrier,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let cross = Box::pin(async { Ok(barrier.cross(&client).await?) });
    let text = format!("waiting for the other parties of {}", barrier.name);
    let cross = told(output, || Some(&text), cross);
    let crossed = interruptible(&client, Failure::WaitInterrupted, cross).await?;
    let Some(Crossing { number, last }) = crossed else {
        return Err(Failure::NotInTime {
            what: "not all parties arrived",
            waited: barrier.timeout.unwrap_or_default(),
        });
    };
    let json = CrossingJson {
        barrier: &barrier.name,
        crossing: number,
        last,
    };
    output.either(&json, || {
        let word = barrier.word();
        format!(
            "all {} parties have {word}: crossing {number}",
            barrier.parties
        )
    })?;
    Ok(Exit::Done)
}

impl Barrier {
    async fn cross(&self, client: &Client) -> Result<Option<Crossing>, Error> {
        let (name, parties) = (self.name.as_str(), self.parties);
        if let (Some(party), true) = (&self.party, self.enter || self.leave) {
            let mut barrier = DoubleBarrier::new_as(client, name, parties, party)?;
            return match (self.enter, self.timeout) {
                (true, Some(wait)) => barrier.enter_within(wait).await,
                (true, None) => barrier.enter().await.map(Some),
                (false, Some(wait)) => barrier.leave_within(wait).await,
                (false, None) => barrier.leave().await.map(Some),
            };
        }
        let barrier = Recipe::new(client, name, parties)?;
        match (&self.party, self.timeout) {
            (Some(party), Some(wait)) => barrier.wait_as_within(party, wait).await,
            (Some(party), None) => barrier.wait_as(party).await.map(Some),
            (None, Some(wait)) => barrier.wait_within(wait).await,
            (None, None) => barrier.wait().await.map(Some),
        }
    }

    /// What the parties did.
    fn word(&self) -> &'static str {
        match (self.enter, self.leave) {
            (true, _) => "entered",
            (_, true) => "left",
            _ => "arrived",
        }
    }
}
