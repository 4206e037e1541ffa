//! The redo log: what committed in strong tables, in MUSIC, where it is the
//! truth; the database of a site is a cache of it.
//!
//! ```text
//!  table mdbc_<database>_log (critical)
//!  key = partition        e17 = entry 17    e18 = entry 18    …   a ring
//!                            ▲ names its predecessor, ── a chain ──▶
//! ```
//!
//! Each partition has one record, whose lock is the right to write it. A
//! transaction is an *entry* in the log of each partition that it changed; the
//! slot in the first of these, by name, is its *commit point*.
//!
//! | module | what it is |
//! |---|---|
//! | [`point`] | positions, and how far a database has applied logs |
//! | [`entry`] | entries, and their encoding in slots |
//! | `ring` | slots, and what a reading of them shows |
//! | [`settle`] | which entries count: the rules, and why they are safe |
//! | `book` | what a site remembers of a log; what may be overwritten |
//! | [`behind`] | a database that lacks what is gone |
//! | `acquire` | becoming the owner |
//! | [`turn`] | a turn: the owner's transactions |
//! | `lanes` | what a turn owns, and what is under way there |
//! | `append` | one entry on its way |
//! | `batcher` | slots of one log that are put together |
//! | [`log`] | the log of a database as a whole |

mod acquire;
mod append;
mod batcher;
pub mod behind;
mod book;
pub mod entry;
pub mod error;
mod lanes;
pub mod log;
pub mod point;
mod ring;
pub mod settle;
pub mod turn;

pub use behind::Behind;
pub use entry::{DIGEST_BYTES_MAX, Entry, Place};
pub use error::{Cause, Error, Failure};
pub use lanes::Footprint;
pub use log::{LogOptions, RedoLog, Status};
pub use point::{Applied, Point, Step};
pub use settle::LogFault;
pub use turn::{Access, Ticket, Turn};
