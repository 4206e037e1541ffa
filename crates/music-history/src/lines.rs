//! A history as JSON lines: one event a line, so that what a deployment's
//! clients recorded can be judged long after, elsewhere.

use std::io::{self, BufRead, Write};

use super::Event;

/// Why a file is not a history.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("line {line} cannot be read")]
    Read {
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line is not an event.
    #[error("line {line} is not an event")]
    NotAnEvent {
        /// Which line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a history, one JSON object a line. Blank lines are an error, so that
/// line numbers name events.
///
/// # Errors
///
/// The first line that cannot be read or is not an event.
pub fn read(from: impl BufRead) -> Result<Vec<Event>, Error> {
    let numbered = (1..).zip(from.lines());
    numbered
        .map(|(line, text)| {
            let text = text.map_err(|source| Error::Read { line, source })?;
            serde_json::from_str(&text).map_err(|source| Error::NotAnEvent { line, source })
        })
        .collect()
}

/// Writes a history, one JSON object a line.
///
/// # Errors
///
/// What the writer answers; a part may have been written.
pub fn write(events: &[Event], mut to: impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut to, event)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Story;

    #[test]
    fn what_is_written_is_read() {
        let events = Story::of_every_event();
        let mut file = Vec::new();
        write(&events, &mut file).unwrap();
        assert_eq!(read(file.as_slice()).unwrap(), events);
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let mut file = Vec::new();
        write(&Story::default().section(1, 5).events(), &mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            r#"{"at_us":30,"event":"granted","section":1,"tokens":{"k":327680}}"#
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let text = "{\"at_us\":1,\"event\":\"calm\"}\n{\"at_us\":2}\n";
        let error = read(text.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::NotAnEvent { line: 2, .. }));
    }
}
