//! The placement service's catalogue.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_placement::fuzzing::placement_catalogue(bytes));
