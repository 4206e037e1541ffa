//! The asynchronous Rust client of MUSIC.
