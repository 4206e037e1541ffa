//! `music put`.

use clap::Args;
use music_client::CriticalSection;
use music_client::api::table::Written;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::{Locking, Place};
use crate::value_argument::ValueArgument;

/// Write a value
///
/// At the nearest replica of an eventual table, or with --critical in a
/// critical section of its own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music put -t notes hello world
  music put -t notes picture --file cat.png --content-type image/png
  date | music put -t notes now -
  music put -t accounts --critical alice 10")]
pub(crate) struct Put {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    value: ValueArgument,
    #[command(flatten)]
    locking: Locking,
}

/// Writes a value.
pub(crate) async fn run(global: &Global, put: Put, output: &Output) -> Result<Exit, Failure> {
    let content = put.value.content()?;
    let (client, place) = (global.client()?, &put.place);
    let stamp = if put.locking.critical {
        let write = async |section: &CriticalSection| section.put(place.cell(), content).await;
        put.locking
            .within((&client, place.record()), false, write)
            .await?
    } else {
        client.put(place.cell(), content).await?
    };
    output.either(&Written { stamp }, || format!("written, stamp {stamp}"))?;
    Ok(Exit::Done)
}
