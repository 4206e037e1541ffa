//! Traces: spans of requests, sections and calls to engines, sent by OTLP.
//!
//! ```text
//!   request ─┬─ operation ──── call to an engine, where its client waits for it
//!            │      └─ section ── call that follows from an answer, a hint or a timer
//!            └─ request of a later operation, where its client names no span of its own
//! ```
//!
//! The spans are made in `http/spans.rs` and `node/spans.rs`. While no traces
//! are wanted, each place that would make one reads one flag and no more.

mod carrier;
mod export;

use std::sync::atomic::{AtomicBool, Ordering};

pub use export::{Error, Traces};
pub(crate) use export::{Tracing, exports_failed};

/// The target of all spans: it tells them apart from what is logged.
pub(crate) const TARGET: &str = "music_trace";

/// Whether somebody takes the spans.
static WANTED: AtomicBool = AtomicBool::new(false);

/// Whether spans are to be made.
pub(crate) fn is_wanted() -> bool {
    WANTED.load(Ordering::Relaxed)
}
