//! Templates that are submitted to be placed.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_placement::fuzzing::hot_template(bytes));
