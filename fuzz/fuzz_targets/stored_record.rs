//! Records on disk.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_store::embedded::fuzzing::stored_record(bytes));
