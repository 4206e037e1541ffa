//! The asynchronous Rust client of MUSIC.
//!
//! [`Client`] reads and writes eventual tables at the nearest replica, and
//! opens critical sections: [`Client::lock`] asks for the lock of a key or of
//! several, [`CriticalSection`] holds it.
//!
//! # What a failure means
//! Each [`Error`] says whether the effect may have happened
//! ([`Error::outcome`]) and whether the call may succeed later
//! ([`Error::is_retryable`]). The client repeats by itself what is safe to
//! repeat, and nothing else:
//!
//! | request | after no answer |
//! |---|---|
//! | reads, tables created, lockRefs created | again at any node |
//! | puts and deletes | again at the same node, which makes one of two |
//! | critical puts, after the section moved | again at the next node, unless a later put to the field was begun |
//! | confirmed release | again at the same node |
//! | release | again at any node |
//!
//! # When a node is gone
//! A section moves to the next endpoint, which takes it over from the one that
//! is gone. It never goes back to a node that it left: such a node may not know
//! yet, and acknowledge what will never be seen.
//!
//! # Traces
//! With the feature `opentelemetry`, a request names the span that is current
//! where its future is polled, so that what the node does for it is in the
//! caller's trace: OpenTelemetry's own, or one of `tracing` by way of
//! `tracing-opentelemetry`.

mod call;
mod client;
mod clock;
pub mod content;
mod dev;
mod dice;
mod endpoints;
pub mod error;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod in_process;
mod key;
#[cfg(feature = "mutations")]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
#[expect(unreachable_pub, reason = "it is public with the feature only")]
mod mutation;
mod options;
pub mod recipes;
mod records;
mod section;
#[cfg(feature = "simulation")]
pub mod simulation;
mod sse;
mod status;
mod tables;
#[cfg(feature = "opentelemetry")]
mod trace_context;
mod transport;
mod watch;

pub use music_api as api;

pub use client::Client;
pub use content::{Content, Stored};
pub use dev::{DevControls, Link, NodeControl, SiteControl};
pub use error::{Error, Lost, LostReason, Outcome};
pub use key::{Cell, RecordKey};
pub use options::{Options, RetryPolicy};
pub use records::ScanOptions;
pub use section::CriticalSection;
pub use section::batch::{Batch, StepOutcome};
pub use section::request::LockRequest;
pub use watch::{Watch, WatchEvent, WatchTarget};

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
