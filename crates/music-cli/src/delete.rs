//! `music delete`.

use clap::Args;
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
    let place = &delete.place;
    let whole = place.field.is_empty();
    let stamp = if delete.locking.critical {
        let section = delete.locking.begin(global, place.record(), false).await?;
        let stamp = if whole {
            section.delete(place.record()).await?
        } else {
            section.delete_field(place.cell()).await?
        };
        section.release().await?;
        stamp
    } else if whole {
        global.client()?.delete(place.record()).await?
    } else {
        global.client()?.delete_field(place.cell()).await?
    };
    output.either(&Written { stamp }, || format!("deleted, stamp {stamp}"))?;
    Ok(Exit::Done)
}
