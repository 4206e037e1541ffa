//! A node's configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_server::fuzzing::config(bytes));
