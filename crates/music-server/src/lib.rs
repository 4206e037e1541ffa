//! A MUSIC node: the HTTP API over the protocol core and an engine.

pub mod config;
mod http;
pub mod node;
mod topology;
