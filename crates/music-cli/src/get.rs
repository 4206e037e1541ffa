//! `music get`.

use clap::Args;
use music_client::api::name::{Key, Value};
use music_client::{CriticalSection, Stored};
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::{Locking, Place};
use crate::scan;

/// Read a value
///
/// At the nearest replica, which may lag; with --critical the latest one, in a
/// critical section of its own. The value is written as it is stored.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music get -t notes hello
  music get -t notes picture > cat.png
  music get -t accounts --critical alice
  music get -t accounts --all alice")]
pub(crate) struct Get {
    #[command(flatten)]
    place: Place,
    /// Read all fields of the record
    #[arg(long, conflicts_with = "field")]
    all: bool,
    #[command(flatten)]
    locking: Locking,
}

#[derive(Serialize)]
struct GetJson<'a> {
    table: &'a str,
    key: Key,
    field: &'a str,
    value: Value,
    content_type: &'a str,
    stamp: u64,
}

/// Reads a value.
pub(crate) async fn run(global: &Global, get: Get, output: &Output) -> Result<Exit, Failure> {
    if get.all {
        return all(global, &get, output).await;
    }
    let (client, place) = (global.client()?, &get.place);
    let stored = if get.locking.critical {
        let read = async |section: &CriticalSection| section.get(place.cell()).await;
        get.locking
            .within((&client, place.record()), true, read)
            .await?
    } else {
        client.get(place.cell()).await?
    };
    let stored = stored.ok_or_else(|| get.no_value())?;
    if output.is_json() {
        output.either(&get.json(&stored), String::new)?;
    } else {
        output.value(&stored.content.bytes)?;
    }
    Ok(Exit::Done)
}

async fn all(global: &Global, get: &Get, output: &Output) -> Result<Exit, Failure> {
    let (client, place) = (global.client()?, &get.place);
    let record = if get.locking.critical {
        let read = async |section: &CriticalSection| section.fields(place.record()).await;
        get.locking
            .within((&client, place.record()), true, read)
            .await?
    } else {
        client.fields(place.record()).await?
    };
    let record = record.ok_or_else(|| get.no_value())?;
    output.either(&record, || scan::lines(&record))?;
    Ok(Exit::Done)
}

impl Get {
    fn no_value(&self) -> Failure {
        Failure::NoValue {
            table: self.place.table.clone(),
            key: self.place.key.clone(),
        }
    }

    fn json<'a>(&'a self, stored: &'a Stored) -> GetJson<'a> {
        GetJson {
            table: &self.place.table,
            key: Key::from_bytes(self.place.key.as_bytes()),
            field: &self.place.field,
            value: stored.content.to_value(),
            content_type: &stored.content.content_type,
            stamp: stored.stamp,
        }
    }
}
