//! `music semaphore`.

use std::ffi::OsString;

use clap::Args;
use music_client::LostReason;
use music_client::recipes::{Permit, Semaphore as Recipe};

use crate::arguments::Global;
use crate::child::Environment;
use crate::count;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::held::{Held, Holder, Terms, released};
use crate::output::Output;

const ABOUT: &str = "Run a command while at most a number of others do

Waits for permits, runs CMD, and gives them back when it ends. Passes on its exit code. Who waits is
served in the order of asking.

CMD finds in its environment:
  MUSIC_PERMITS         the numbers of its permits, from 0, as in 0,2: nobody else holds these
  MUSIC_FENCING_TOKEN   a number greater than that of all earlier holders of the first of them: give
                        it to other systems, which refuse what comes with a smaller one
  MUSIC_ENDPOINTS       the nodes

When a permit is lost, CMD gets SIGTERM, and SIGKILL after --kill-after; then music exits with 79.
Signals, and what becomes of CMD when music is killed, are as for `music lock`.";

/// Run a command while at most a number of others do
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music semaphore exports --permits 3 -- ./export.sh
  music semaphore exports --permits 3 --number 2 -- ./large-export.sh
  music semaphore gpus --permits 4 -- sh -c 'CUDA_VISIBLE_DEVICES=$MUSIC_PERMITS ./train'")]
pub(crate) struct Semaphore {
    /// The semaphore
    name: String,
    /// How many permits there are; all name the same number
    #[arg(long, value_name = "N", value_parser = count::parse, allow_negative_numbers = true)]
    permits: u64,
    /// How many permits to hold
    #[arg(long, value_name = "K", value_parser = count::parse, allow_negative_numbers = true)]
    #[arg(default_value = "1")]
    number: u64,
    #[command(flatten)]
    terms: Terms,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs a command under permits.
pub(crate) async fn run(
    global: &Global,
    semaphore: Semaphore,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = global.client_with_lease(semaphore.terms.lease)?;
    let recipe = Recipe::new(&client, &semaphore.name, semaphore.permits)?;
    let holder = Holder {
        client: &client,
        output,
        what: &format!("a permit of {}", semaphore.name),
        command: &semaphore.command,
        kill_after: semaphore.terms.kill_after,
    };
    holder.hold(acquire(&recipe, &semaphore)).await
}

async fn acquire(recipe: &Recipe, semaphore: &Semaphore) -> Result<Permit, Failure> {
    let Some(waited) = semaphore.terms.timeout else {
        return Ok(recipe.acquire_many(semaphore.number).await?);
    };
    let permit = recipe.acquire_within(semaphore.number, waited).await?;
    let what = "the permits were not free";
    permit.ok_or(Failure::NotInTime { what, waited })
}

impl Held for Permit {
    async fn lost(&self) -> LostReason {
        Self::lost(self).await
    }

    fn environment(&self) -> Result<Environment, Failure> {
        let numbers = self.numbers().iter().map(u64::to_string);
        Ok(vec![
            ("MUSIC_PERMITS", numbers.collect::<Vec<_>>().join(",")),
            ("MUSIC_FENCING_TOKEN", self.token().to_string()),
        ])
    }

    async fn give_back(self, output: &Output) -> Result<(), Failure> {
        released(self.release().await, output)
    }
}
