//! What a fuzzer, and the test that repeats its finds, tries on a stream of
//! events.

use crate::sse::{Event, Parser};

/// Reads a stream of events: however its bytes are cut up, they are the same.
///
/// # Panics
/// Where that does not hold.
pub fn event_stream(bytes: &[u8]) {
    let whole = events(bytes, bytes.len());
    // The first byte is as good as any to say where to cut.
    let size = bytes.first().copied().map_or(1, usize::from);
    for size in [1, size] {
        assert_eq!(events(bytes, size), whole, "in pieces of {size} bytes");
    }
    // A byte that is no UTF-8 becomes a sign of three.
    let length: usize = whole
        .iter()
        .map(|event| event.name.len() + event.data.len())
        .sum();
    assert!(length <= bytes.len().saturating_mul(3));
}

fn events(bytes: &[u8], size: usize) -> Vec<Event> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        if parser.push(piece).is_err() {
            break;
        }
        events.extend(std::iter::from_fn(|| parser.next_event()));
    }
    events
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_event_streams() {
        replay::replay("event_stream", event_stream);
    }
}
