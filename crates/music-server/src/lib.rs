//! A MUSIC node: the HTTP API over the protocol core and an engine.

pub mod node;
