//! A value on the command line.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use music_client::Content;
use music_client::content::{BYTES, TEXT};

use crate::failure::Failure;

/// A value, and what it is.
#[derive(Clone, Debug, Args)]
pub(crate) struct ValueArgument {
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
}

impl ValueArgument {
    /// The value.
    pub(crate) fn content(&self) -> Result<Content, Failure> {
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
        let content_type = self.content_type.clone();
        let content_type = content_type.unwrap_or_else(|| guess.to_owned());
        Ok(Content::new(bytes, content_type))
    }
}
