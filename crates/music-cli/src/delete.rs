//! `music delete`.

use clap::Args;
use music_client::CriticalSection;
use music_client::api::table::Written;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::{Locking, Place};

/// Delete a record, or with --field one field of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music delete -t notes hello
  music delete -t accounts --critical --field limit alice")]
pub(crate) struct Delete {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    locking: Locking,
}

/// Deletes a record or a field.
pub(crate) async fn run(global: &Global, delete: Delete, output: &Output) -> Result<Exit, Failure> {
    let (client, place) = (global.client()?, &delete.place);
    let whole = place.field.is_empty();
    let stamp = if delete.locking.critical {
        let delete_there = async |section: &CriticalSection| {
            if whole {
                section.delete(place.record()).await
            } else {
                section.delete_field(place.cell()).await
            }
        };
        let key = (&client, place.record());
        delete.locking.within(key, false, delete_there).await?
    } else if whole {
        client.delete(place.record()).await?
    } else {
        client.delete_field(place.cell()).await?
    };
    output.either(&Written { stamp }, || format!("deleted, stamp {stamp}"))?;
    Ok(Exit::Done)
}
