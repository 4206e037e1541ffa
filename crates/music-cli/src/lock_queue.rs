//! `music lock-queue`.

use clap::Args;
use music_client::RecordKey;
use music_client::api::lock::LockMode;
use music_client::api::queue::{Queue, Ticket};
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::lock::DEFAULT_TABLE;
use crate::output::{Output, columns};

/// Show who holds the lock of a key, and who waits
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music lock-queue nightly-report
  music lock-queue -t accounts alice
  music lock-queue -t accounts alice --force 17")]
pub(crate) struct LockQueue {
    /// The table
    #[arg(short, long, default_value = DEFAULT_TABLE)]
    table: String,
    /// The key
    key: String,
    /// Remove this ticket by force: its section is taken for dead
    #[arg(long, value_name = "NUMBER")]
    force: Option<u64>,
}

#[derive(Serialize)]
struct Forced {
    number: u64,
    removed: bool,
}

/// Shows a queue, or removes a ticket from it.
pub(crate) async fn run(
    global: &Global,
    queue: LockQueue,
    output: &Output,
) -> Result<Exit, Failure> {
    let client = global.client()?;
    let record = RecordKey::from((queue.table.as_str(), queue.key.as_str()));
    if let Some(number) = queue.force {
        let removed = client.force_ticket(&record, number).await?;
        let text = if removed { "removed" } else { "was not there" };
        output.either(&Forced { number, removed }, || {
            format!("ticket {number} {text}")
        })?;
        return Ok(Exit::Done);
    }
    let state = client.queue(&record).await?;
    output.either(&state, || text(&state))?;
    Ok(Exit::Done)
}

/// A queue as a table.
pub(crate) fn text(queue: &Queue) -> String {
    if queue.tickets.is_empty() {
        return format!("free; the last ticket was {}", queue.last);
    }
    let rows: Vec<_> = queue.tickets.iter().map(row).collect();
    let mut text = columns(["TICKET", "STATE", "MODE", "OWNER", "SECTION"], &rows);
    let shown = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if queue.length > shown {
        text = format!("{text}\nand {} more", queue.length - shown);
    }
    text
}

fn row(ticket: &Ticket) -> [String; 5] {
    let mode = match ticket.mode {
        LockMode::Exclusive => "exclusive",
        LockMode::Shared => "shared",
    };
    let state = match (ticket.kept, ticket.holds) {
        // For a section of its node, or the next one.
        (true, _) => "kept",
        (false, true) => "holds",
        (false, false) => "waits",
    };
    [
        ticket.number.to_string(),
        state.to_owned(),
        mode.to_owned(),
        ticket.owner.clone(),
        ticket.request.clone(),
    ]
}
