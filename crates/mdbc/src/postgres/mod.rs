//! Sessions of clients over the site's own PostgreSQL.
//!
//! Each client has a connection of its own to it, and what it says passes
//! through unchanged but for transactions, which are mdbc's:
//!
//! ```text
//!  client            mdbc                                            PostgreSQL
//!  UPDATE a …  ──▶  names: {a} ─▶ owned, caught up
//!                    BEGIN ISOLATION LEVEL SERIALIZABLE              ──▶
//!                    UPDATE a …                                      ──▶ triggers capture
//!                    mdbc.seal(id): what was captured                ◀──
//!                    PREPARE TRANSACTION: nothing can fail any more  ──▶
//!                    the log, until it is acknowledged
//!                    COMMIT PREPARED                                 ──▶
//!  UPDATE 1    ◀──
//! ```
//!
//! *Before the first snapshot* of a transaction its tables are owned, as far as
//! they are known: `BEGIN` takes none, but parsing a statement does. Outside of
//! transactions a statement may be parsed without owning anything.
//!
//! *One statement a message*: a text of several is cut in pieces, and each goes by
//! the extended protocol, which takes but one. So no `COMMIT` hides in a text that
//! the two sides read in different ways.
//!
//! *Tried again*: what clients send outside a transaction block and fails since
//! others were faster is done again, as long as the client was told nothing. Programs
//! that expect `READ COMMITTED` do not expect such failures.
//!
//! *The worst failure survived*: the process ends between the log's
//! acknowledgement and `COMMIT PREPARED`. The next start rolls back what is
//! prepared, and replays the log.

mod access;
mod backend;
mod commit;
mod connection;
mod copy;
mod donate;
mod extended;
mod frame;
mod output;
mod own;
mod refused;
mod relay;
mod schema;
mod session;
mod simple;
mod statement;
mod words;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::engine::{Postgres, Replication};
use crate::snapshot::Donor;

pub(crate) use connection::{Parts, serve};
pub(crate) use session::Session;

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) local: Postgres,
    pub(crate) replication: Arc<dyn Replication>,
    pub(crate) donor: Donor,
    /// The number of the last transaction.
    pub(crate) transactions: AtomicU64,
}
