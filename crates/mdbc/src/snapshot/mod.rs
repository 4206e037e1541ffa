//! Snapshots: a site that is new, or was away for too long, gets the database of
//! another one, and makes it its own.
//!
//! ```text
//!  restoring site                                  donor
//!   COPY mdbc_snapshot TO STDOUT (FORMAT binary) ──▶ copies its database to a file,
//!   head: what is in it ◀───────────────────────────  while its transactions go on
//!   is it enough? pieces … checksum ◀───────────────  streams the file, and removes it
//!   make it this site's: own letters, sequences, local tables; what is the donor's goes
//!   put it in the place of the old file, which is kept beside
//! ```
//!
//! A snapshot is a `COPY` in PostgreSQL's binary format, with one column, `piece`: the
//! `Head` as JSON; what the engine copies, in pieces; and the checksum of all these. SQLite
//! copies its file, PostgreSQL its tables (`engine/postgres/copy.rs`).
//!
//! *Invariant*: a database is replaced only by one that has applied all that this
//! site has said, or its file says, that it has. Others rest on that: what enough
//! sites have applied, they overwrite.
//!
//! *The worst failure survived*: the process ends anywhere. The database is the old
//! one until one rename of a file, or one commit of PostgreSQL, makes it the new one.

mod donor;
mod fetch;
mod file;
pub(crate) mod known;
mod peer;
mod postgres;
mod progress;
mod replace;
mod restore;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use fetch::FetchError;
pub use peer::{Peer, PeerError};
pub use progress::{Progress, Restoring};
pub use restore::RestoreError;

pub(crate) use donor::{Donation, Donor, Source};
pub(crate) use peer::told;
pub(crate) use replace::tidy;
pub(crate) use restore::Restore;

use crate::engine::postgres::Origin;
use crate::engine::sqlite::copy::Contents;

/// The name that a snapshot is asked for by.
pub(crate) const RELATION: &str = "mdbc_snapshot";

/// The version of the stream.
pub(crate) const FORMAT: u32 = 1;

/// The bytes of a piece, at most.
pub(crate) const PIECE_BYTES: usize = 256 << 10;

/// How long another site may take to take a piece: where the engine is PostgreSQL, it takes
/// the rows of its tables out before the first.
pub(crate) const TAKE_WAIT: Duration = Duration::from_mins(5);

/// What comes before the bytes of a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The version of the stream.
    pub(crate) format: u32,
    /// The name of the database.
    pub(crate) database: String,
    /// Whose it is.
    pub(crate) site: String,
    /// The bytes of the file; of PostgreSQL, roughly those that are to come.
    pub(crate) bytes: u64,
    pub(crate) contents: Contents,
    /// What it is of, where the engine is PostgreSQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<Origin>,
}
