//! The JSON shapes of MUSIC's native HTTP API, `/v1`.
//!
//! | module | shapes of |
//! |---|---|
//! | [`name`] | keys and values as JSON has them |
//! | [`table`] | `/v1/tables`: tables, records, scans |
//! | [`lock`] | `/v1/locks`: lockRefs and critical sections |
//! | [`lock_ref`] | the lockRef string |
//! | [`queue`] | `/v1/queues`: who holds, who waits |
//! | [`run`] | `/v1/run`: a whole small section in one request |
//! | [`recipe`] | `/v1/recipes`: counters, barriers, elections and more |
//! | [`status`] | `/v1/status` and the development controls |
//! | [`hint`] | `/v1/hints`: what nodes tell each other of queues |
//! | [`problem`], [`code`] | errors, after RFC 9457, and their stable codes |
//! | [`watch`] | events of `/v1/watch` and `/v1/locks/{lock_ref}/events` |
//! | [`health`] | `/healthz` and `/readyz` |
//! | `fuzzing` | what a fuzzer tries |

pub mod code;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod header;
pub mod health;
pub mod hint;
pub mod lock;
pub mod lock_ref;
pub mod name;
pub mod problem;
pub mod queue;
pub mod recipe;
pub mod run;
pub mod status;
pub mod table;
pub mod watch;
