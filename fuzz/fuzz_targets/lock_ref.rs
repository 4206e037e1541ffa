//! LockRef strings, as paths have them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| music_api::fuzzing::lock_ref(bytes));
