//! Why a request was not answered.

use std::error::Error as StdError;

/// A request that was not answered.
#[derive(Debug, thiserror::Error)]
#[error("{}", match kind {
    FaultKind::NotConnected => "no connection",
    FaultKind::TimedOut => "no answer in time",
    FaultKind::Broken => "the connection broke",
})]
pub struct TransportFault {
    /// What happened.
    pub kind: FaultKind,
    /// What the transport says of it.
    #[source]
    pub(crate) cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It was never sent.
    NotConnected,
    /// It may have been sent, and no answer came in time.
    TimedOut,
    /// It may have been sent, and the connection ended before the answer did.
    Broken,
}

impl From<reqwest::Error> for TransportFault {
    fn from(cause: reqwest::Error) -> Self {
        // Nothing was sent on a connection that was never opened.
        let kind = if cause.is_connect() || cause.is_builder() {
            FaultKind::NotConnected
        } else if cause.is_timeout() {
            FaultKind::TimedOut
        } else {
            FaultKind::Broken
        };
        Self {
            kind,
            cause: Some(cause.without_url().into()),
        }
    }
}
