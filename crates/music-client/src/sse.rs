//! Server-sent events, as far as nodes send them: the `event` and `data`
//! fields of <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use bytes::{Buf, BytesMut};

/// The longest event that is kept, in bytes; a longer one ends the stream.
pub(crate) const EVENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its kind, empty if it names none.
    pub(crate) name: String,
    /// Its data lines, joined.
    pub(crate) data: String,
}

/// An event above [`EVENT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Turns bytes, in whatever pieces they come, into events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    buffer: BytesMut,
    /// How much of the buffer was searched for an end of line.
    searched: usize,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.buffer.len() + self.event.data.len() + bytes.len() > EVENT_BYTES_MAX {
            return Err(TooLong);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is complete.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if std::mem::take(&mut self.has_data) {
                    return Some(event);
                }
            } else {
                self.take_line(&line);
            }
        }
        None
    }

    fn next_line(&mut self) -> Option<String> {
        let unsearched = self.buffer.get(self.searched..)?;
        let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end);
        self.buffer.advance(1);
        self.searched = 0;
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        Some(String::from_utf8_lossy(line).into_owned())
    }

    fn take_line(&mut self, line: &str) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            // Comments keep the connection alive; ids and retries are not used.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = ": hello\n\nevent: lock\ndata: {\"a\":\ndata: 1}\n\nid: 7\ndata:x\r\n\r\n";

    fn events(pieces: &[&[u8]]) -> Vec<Event> {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        for piece in pieces {
            parser.push(piece).unwrap();
            events.extend(std::iter::from_fn(|| parser.next_event()));
        }
        events
    }

    #[test]
    fn events_are_read() {
        let lock = Event {
            name: "lock".to_owned(),
            data: "{\"a\":\n1}".to_owned(),
        };
        let plain = Event {
            name: String::new(),
            data: "x".to_owned(),
        };
        assert_eq!(events(&[TEXT.as_bytes()]), [lock, plain]);
    }

    #[test]
    fn an_event_without_an_end_is_bounded() {
        let mut parser = Parser::default();
        parser.push(&vec![b'x'; EVENT_BYTES_MAX]).unwrap();
        assert_eq!(parser.next_event(), None);
        assert_eq!(parser.push(b"y"), Err(TooLong));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in proptest::collection::vec(0..TEXT.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([TEXT.len()]) {
                pieces.push(&TEXT.as_bytes()[from..cut]);
                from = cut;
            }
            prop_assert_eq!(events(&pieces), events(&[TEXT.as_bytes()]));
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            events(&[&bytes]);
        }
    }
}
