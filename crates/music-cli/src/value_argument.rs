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
            (None, value) => read(value.as_deref().unwrap_or_default())?,
        };
        let content_type = self.content_type.clone();
        Ok(content(bytes, content_type))
    }
}

/// The bytes of a value; those of standard input for `-`.
pub(crate) fn read(value: &str) -> Result<Vec<u8>, Failure> {
    if value != "-" {
        return Ok(value.as_bytes().to_vec());
    }
    let mut bytes = Vec::new();
    let input = std::io::stdin().lock().read_to_end(&mut bytes);
    input.map_err(Failure::Input).map(|_| bytes)
}

/// A value of a content type; where none is named, text if it is UTF-8.
pub(crate) fn content(bytes: Vec<u8>, content_type: Option<String>) -> Content {
    let guess = match std::str::from_utf8(&bytes) {
        Ok(_) => TEXT,
        Err(_) => BYTES,
    };
    Content::new(bytes, content_type.unwrap_or_else(|| guess.to_owned()))
}
