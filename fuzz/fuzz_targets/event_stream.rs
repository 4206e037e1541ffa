//! Streams of events, as the client reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_client::fuzzing::event_stream(bytes));
