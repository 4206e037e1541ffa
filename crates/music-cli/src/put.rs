//! `music put`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use music_client::api::table::Written;
use music_client::content::{BYTES, TEXT};
use music_client::{Content, CriticalSection};

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::record_arguments::{Locking, Place};

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
    /// The value; `-` for standard input
    #[arg(
        required_unless_present = "file",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    value: Option<String>,
    /// The file that has the value
    #[arg(long)]
    file: Option<PathBuf>,
    /// What the value is; text if it is UTF-8, else plain bytes
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    #[command(flatten)]
    locking: Locking,
}

/// Writes a value.
pub(crate) async fn run(global: &Global, put: Put, output: &Output) -> Result<Exit, Failure> {
    let content = put.content()?;
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

impl Put {
    fn content(&self) -> Result<Content, Failure> {
        let bytes = match (&self.file, &self.value) {
            (Some(path), _) => std::fs::read(path).map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })?,
            (None, Some(value)) if value == "-" => {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .lock()
                    .read_to_end(&mut bytes)
                    .map_err(Failure::Input)?;
                bytes
            }
            (None, value) => value.clone().unwrap_or_default().into_bytes(),
        };
        let guess = if std::str::from_utf8(&bytes).is_ok() {
            TEXT
        } else {
            BYTES
        };
        let content_type = self
            .content_type
            .clone()
            .unwrap_or_else(|| guess.to_owned());
        Ok(Content::new(bytes, content_type))
    }
}
