//! The MUSIC protocol as values: events in, effects out; no I/O, clock or randomness.
