//! `music counter`.

use clap::{Args, Subcommand};
use music_client::recipes::Counter as Recipe;
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::interruptible;

/// Read or change a number that all sites share
///
/// A 64-bit integer, 0 at first. A change happens once, even where an answer is lost on the way.
#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
#[command(after_help = "Examples:
  music counter visits
  music counter visits add 3
  music counter visits add -3
  music counter visits set 0
  music counter visits compare-and-set 3 -7 || echo somebody else was faster")]
pub(crate) struct Counter {
    /// The counter
    name: String,
    /// What to do; read it if left out
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Action {
    /// Read the number
    Get,
    /// Add a number, which may be negative; writes the sum
    Add {
        /// What to add
        #[arg(allow_negative_numbers = true)]
        number: i64,
    },
    /// Set the number
    Set {
        /// What to set it to
        #[arg(allow_negative_numbers = true)]
        number: i64,
    },
    /// Set the number if it is what is expected; exits with 83 if it is not
    CompareAndSet {
        /// What it has to be
        #[arg(allow_negative_numbers = true)]
        old: i64,
        /// What to set it to
        #[arg(allow_negative_numbers = true)]
        new: i64,
    },
}

#[derive(Serialize)]
struct CounterJson<'a> {
    counter: &'a str,
    number: i64,
    /// What it was before it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
}

/// Reads or changes a counter.
pub(crate) async fn run(
    global: &Global,
    counter: Counter,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let recipe = Recipe::new(&client, &counter.name)?;
    let action = counter.action.unwrap_or(Action::Get);
    let act = act(&recipe, action);
    let (number, before) = interruptible(&client, Failure::Interrupted, act).await?;
    let json = CounterJson {
        counter: &counter.name,
        number,
        before,
    };
    output.either(&json, || number.to_string())?;
    Ok(Exit::Done)
}

/// What the number is, and was before it was changed.
async fn act(recipe: &Recipe, action: Action) -> Result<(i64, Option<i64>), Failure> {
    match action {
        Action::Get => Ok((recipe.get().await?, None)),
        Action::Add { number } => {
            let before = recipe.add(number).await?;
            // What left the range was refused.
            Ok((before.saturating_add(number), Some(before)))
        }
        Action::Set { number } => Ok((number, Some(recipe.set(number).await?))),
        Action::CompareAndSet { old, new } => match recipe.compare_and_set(old, new).await? {
            Ok(()) => Ok((new, Some(old))),
            Err(found) => Err(Failure::Differs {
                what: "the number",
                found: found.to_string(),
                expected: old.to_string(),
            }),
        },
    }
}
