//! Requests at a node.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_server::fuzzing::http_request(bytes));
