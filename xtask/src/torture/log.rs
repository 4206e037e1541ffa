//! The log of faults, a JSON object a line; `crates/music-torture` reads it
//! and says there what each line means.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::clock::{self, Stopwatch};

/// The log, and what whoever watches is told.
pub(super) struct Log {
    file: File,
    stopwatch: Stopwatch,
}

impl Log {
    /// A new one.
    ///
    /// # Errors
    ///
    /// When the file cannot be made.
    pub(super) fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let stopwatch = Stopwatch::start();
        Ok(Self { file, stopwatch })
    }

    /// Notes an event that happens now, with more to say about it.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(super) fn note(&mut self, event: &str, more: &Value) -> Result<()> {
        let mut line = json!({ "at_ns": clock::monotonic_ns(), "event": event });
        if let (Some(line), Some(more)) = (line.as_object_mut(), more.as_object()) {
            line.extend(more.clone());
        }
        let seconds = self.stopwatch.elapsed().as_secs_f64();
        println!("{seconds:7.1} s  {event} {more}");
        writeln!(self.file, "{line}").context("cannot write the log of faults")
    }
}
