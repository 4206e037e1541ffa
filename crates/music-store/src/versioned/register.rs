//! What an engine has to offer: registers with versions.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use music_core::id::RecordId;

/// One value of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// When it was written, in the engine's order of all changes.
    pub(crate) at: i64,
    /// Its number, which a swap compares.
    pub(crate) number: i64,
}

/// What a register holds, and which version that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versioned {
    /// `None` while it was never written.
    pub(crate) version: Option<Version>,
    pub(crate) bytes: Bytes,
}

/// What a swap did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// The register has the new value, as this version.
    Done {
        version: Version,
        /// When a swap was last refused.
        refused: i64,
    },
    /// It had another version; this is what it held then or later. The
    /// register bears a mark of the refusal, which the next who succeeds sees:
    /// otherwise nobody would know that others want it.
    Refused(Versioned),
}

/// Why a register did not answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// It was not reached, or has no majority: nothing happened, nor will.
    Unreachable,
    /// No answer: it may have happened, or may happen still.
    Unknown,
    /// It holds as much work as it may; nothing happened.
    Overloaded,
    /// It refuses, and will again until somebody sees to it; nothing happened.
    Fatal(Arc<dyn std::error::Error + Send + Sync>),
}

/// Registers that exist for every key.
pub(crate) trait Register: Send + Sync + 'static {
    /// Reads what a majority holds: no swap that was answered before is
    /// missing.
    fn read(&self, id: &RecordId) -> impl Future<Output = Result<Versioned, Failure>> + Send;

    /// Writes `bytes` if the register still has that version.
    fn swap(
        &self,
        id: &RecordId,
        version: Option<Version>,
        bytes: Bytes,
    ) -> impl Future<Output = Result<Swapped, Failure>> + Send;

    /// Tells what the register holds, and again after each change, until the
    /// connection is lost. Several changes may be told as one.
    fn follow(
        &self,
        id: &RecordId,
        changed: impl Fn(Versioned) + Send + Sync,
    ) -> impl Future<Output = Failure> + Send;
}
