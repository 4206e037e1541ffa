//! `music watch`.

use clap::Args;
use music_client::api::watch::Change;
use music_client::{RecordKey, WatchEvent, WatchTarget};
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;
use crate::{lock_queue, scan};

/// Tell of changes as they reach the nearest replica
///
/// A key's record, or its queue, comes first as it is. Then what changes, until Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music watch -t notes
  music watch -t notes hello
  music watch -t notes --prefix 2024/ --json
  music watch -t locks --queue nightly-report")]
pub(crate) struct Watch {
    /// The table
    #[arg(short, long)]
    table: String,
    /// The key; all if left out
    key: Option<String>,
    /// Only keys that begin so
    #[arg(long, conflicts_with = "key")]
    prefix: Option<String>,
    /// Tell of the key's lock queue
    #[arg(long, requires = "key")]
    queue: bool,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum EventJson<'a> {
    Record(&'a Change),
    Reset,
    Queue(&'a music_client::api::queue::Queue),
}

/// Tells of changes.
pub(crate) async fn run(global: &Global, watch: Watch, output: &Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let target = target(watch);
    let mut events = global.client()?.watch(&target);
    loop {
        let event = tokio::select! {
            event = events.next() => event?,
            signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
        };
        match &event {
            WatchEvent::Record(change) => {
                output.either(&EventJson::Record(change), || line(change))?;
            }
            WatchEvent::Reset if output.is_json() => {
                output.either(&EventJson::Reset, String::new)?;
            }
            WatchEvent::Queue(state) => {
                output.either(&EventJson::Queue(state), || lock_queue::text(state) + "\n")?;
            }
            _ => {}
        }
    }
}

fn target(watch: Watch) -> WatchTarget {
    let Watch {
        table,
        key,
        prefix,
        queue,
    } = watch;
    match key {
        Some(key) => {
            let record = RecordKey::from((table.as_str(), key.as_str()));
            if queue {
                WatchTarget::Queue(record)
            } else {
                WatchTarget::Record(record)
            }
        }
        None => WatchTarget::Records {
            table,
            prefix: prefix.unwrap_or_default().into(),
        },
    }
}

fn line(change: &Change) -> String {
    if change.record.fields.is_empty() {
        return format!("{}\tdeleted", scan::key(&change.record.key));
    }
    scan::lines(&change.record)
}
