//! What must be true when faults are long over and all clients are gone: no
//! ticket is left in any queue.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use music_client::{Client, Error, Options};
use music_history::workload::CRITICAL;
use tokio::time::{Instant, sleep};

use crate::clock;

/// How long tickets of clients that are gone may stay: leases of clients and of
/// nodes, and some time for the calls.
const EMPTY_MAX: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(500);

/// Where to look.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The nodes
    #[arg(long, value_delimiter = ',', required = true)]
    endpoints: Vec<String>,
    /// How many critical records there are
    #[arg(long, default_value_t = 4)]
    keys: usize,
}

/// Waits until no ticket is in any queue, as each node sees it.
///
/// # Errors
/// When one stays, or a node does not answer.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(async {
        let deadline = clock::now() + EMPTY_MAX;
        for endpoint in &arguments.endpoints {
            let client = Client::new([endpoint], Options::default())?;
            for number in 0..arguments.keys {
                emptied(&client, &format!("k{number}"), deadline)
                    .await
                    .with_context(|| format!("at {endpoint}"))?;
            }
        }
        Ok(())
    })
}

async fn emptied(client: &Client, key: &str, deadline: Instant) -> Result<()> {
    loop {
        let queue = client.queue((CRITICAL, key)).await;
        if is_empty(&queue) {
            return Ok(());
        }
        if clock::now() >= deadline {
            bail!("tickets are left in the queue of {key} after {EMPTY_MAX:?}: {queue:?}");
        }
        sleep(PAUSE).await;
    }
}

fn is_empty(queue: &Result<music_client::api::queue::Queue, Error>) -> bool {
    queue.as_ref().is_ok_and(|queue| queue.tickets.is_empty())
}
