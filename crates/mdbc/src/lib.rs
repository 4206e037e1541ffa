//! A SQL database at every site over MUSIC.

mod catalog;
mod clock;
mod dialect;
mod dice;
pub mod engine;
pub mod error;
pub mod types;
