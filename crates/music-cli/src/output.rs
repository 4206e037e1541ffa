//! The only place that writes to standard output and standard error.

use std::error::Error as _;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use music_client::{Error, Outcome};
use serde::Serialize;

use crate::environment::no_color;
use crate::failure::Failure;

/// Where results and messages go, and in which form.
#[derive(Debug)]
pub(crate) struct Output {
    out: Stdout,
    messages: Stderr,
    format: Format,
    /// Whether somebody reads standard output from a terminal.
    terminal: bool,
    /// Whether messages may have colours.
    colour: bool,
    /// Whether somebody reads the messages from a terminal.
    attended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Json,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    exit_code: u8,
}

impl Output {
    /// JSON or text, colours on terminals only.
    pub(crate) fn new(json: bool) -> Self {
        let attended = io::stderr().is_terminal();
        let plain = no_color();
        let terminal = io::stdout().is_terminal();
        let format = if json { Format::Json } else { Format::Text };
        Self {
            out: io::stdout(),
            messages: io::stderr(),
            format,
            terminal,
            colour: attended && !plain,
            attended: attended && !json,
        }
    }

    /// Whether results are JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes a result: as JSON or as text, whichever was asked for.
    pub(crate) fn either(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.is_json() {
            return self.json(value);
        }
        self.line(&text())
    }

    /// Writes what goes on, where results are text: for a command whose result
    /// is what goes on. Where nobody reads it, the command goes on all the same.
    pub(crate) fn narrate(&self, text: &str) {
        if !self.is_json() {
            drop(self.line(text));
        }
    }

    /// Writes a line of JSON.
    pub(crate) fn json(&self, value: &impl Serialize) -> Result<(), Failure> {
        self.line(&serde_json::to_string(value)?)
    }

    /// Writes a value as it is; on a terminal, a new line after it.
    pub(crate) fn value(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = self.out.lock();
        out.write_all(bytes)?;
        if self.terminal && !bytes.ends_with(b"\n") {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Tells somebody who waits what goes on; nobody else.
    pub(crate) fn progress(&self, text: &str) {
        if self.attended {
            self.message(text);
        }
    }

    /// Tells what goes on, whoever reads it: for a program that runs unattended.
    pub(crate) fn log(&self, text: &str) {
        self.message(text);
    }

    /// Tells what somebody should know although it is no failure.
    pub(crate) fn warning(&self, text: &str) {
        let (on, off) = self.paint("\x1b[1;33m");
        self.message(&format!("{on}warning:{off} {text}"));
    }

    /// Tells why a command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.exit() == crate::exit::Exit::Done {
            return;
        }
        if self.is_json() {
            self.message(&failure_json(failure));
            return;
        }
        let (on, off) = self.paint("\x1b[1;31m");
        self.message(&format!("{on}error:{off} {}", with_causes(failure)));
        if let Some(outcome) = failure.outcome() {
            self.message(match outcome {
                Outcome::NotApplied => "effect: none, nothing was changed",
                Outcome::Unknown => "effect: unknown, it may have happened or may happen still",
            });
        }
        if let Some(advice) = failure.advice() {
            self.message(&format!("to do: {advice}"));
        }
    }

    /// Writes a line, or several.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = self.out.lock();
        writeln!(out, "{text}")?;
        Ok(out.flush()?)
    }

    fn message(&self, text: &str) {
        // Where messages cannot be written, there is nobody to tell.
        drop(writeln!(self.messages.lock(), "{text}"));
    }

    fn paint(&self, on: &'static str) -> (&'static str, &'static str) {
        if self.colour {
            (on, "\x1b[0m")
        } else {
            ("", "")
        }
    }
}

fn failure_json(failure: &Failure) -> String {
    let problem = match failure {
        Failure::Client(error) => problem(error),
        _ => None,
    };
    let json = FailureJson {
        error: with_causes(failure),
        code: problem.map(|problem| problem.code.as_str()),
        outcome: failure.outcome(),
        advice: failure.advice(),
        request_id: problem.and_then(|problem| problem.request_id.as_deref()),
        exit_code: failure.exit().code(),
    };
    serde_json::to_string(&json).unwrap_or(json.error)
}

fn problem(error: &Error) -> Option<&music_client::error::Problem> {
    match error {
        Error::Problem(problem) => Some(problem),
        Error::Unavailable { last, .. } => problem(last),
        _ => None,
    }
}

/// The failure and what led to it, each once.
pub(crate) fn with_causes(failure: &Failure) -> String {
    let mut text = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Rows in columns, as wide as they have to be.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = head.map(str::to_owned);
    let lines = std::iter::once(&head).chain(rows).map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bcd"], ["efghi", "j"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(["x", "y"], &rows), "x      y\na      bcd\nefghi  j");
    }
}
