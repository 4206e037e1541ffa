//! A MUSIC node: the HTTP API over the protocol core and an engine.
//!
//! | module | what it holds |
//! |---|---|
//! | [`node`] | the protocol's machines, driven over an engine |
//! | [`config`] | settings: file, environment, flags, checked whole |
//! | [`serve`] | one node with its HTTP side: start, shut down, kill |
//! | [`engine`] | setting up the engines of a deployment |
//! | [`dev`] | a whole deployment in one process, with controls |
//! | `simulated` | a node without sockets, whose time and chance are simulated |
//! | [`logging`] | structured logs |
//! | [`trace`] | spans of requests, sections and calls to engines |
//! | `fuzzing` | what a fuzzer tries: requests, configurations |

pub mod config;
pub mod dev;
pub mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod http;
mod listen;
pub mod logging;
pub mod node;
pub mod serve;
#[cfg(feature = "simulation")]
pub mod simulated;
mod topology;
pub mod trace;
