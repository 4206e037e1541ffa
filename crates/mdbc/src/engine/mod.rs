//! The local engine, and the seam between it and the other sites.

mod digest;
pub(crate) mod eventual;
pub(crate) mod local;
pub mod postgres;
mod replication;
pub(crate) mod sqlite;

pub use crate::catalog::schema::TableKind;
pub use crate::dialect::Access;
pub use crate::ranges::plan::RangeAccess;
pub use digest::{Change, Digest, DigestError};
pub use eventual::{Row, Rows, Stamped};
pub use local::Engine;
pub use postgres::{Postgres, PostgresError, PostgresOptions};
pub use replication::{Acknowledgement, Appended, LocalOnly, Notes, Replication, Who};
pub use sqlite::{Applied, CONFLICTS_MAX, Database, OpenError, Options, Position};
