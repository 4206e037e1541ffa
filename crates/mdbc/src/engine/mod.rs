//! The local engine, and the seam between it and the other sites.

mod digest;
mod replication;
pub(crate) mod sqlite;

pub use crate::catalog::schema::TableKind;
pub use crate::dialect::Access;
pub use digest::{Change, Digest, DigestError};
pub use replication::{LocalOnly, Replication, Who};
pub use sqlite::{Applied, Database, OpenError, Options, Position};
