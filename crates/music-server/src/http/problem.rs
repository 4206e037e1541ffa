//! Failures as problem documents: the one place that chooses code and status.

mod client;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use music_api::code::Code;
use music_api::problem::{Outcome, Problem};
use music_core::critical_section::{self, Lost};
use music_store::TableMode;

use crate::node;

/// How long an overloaded or unavailable node asks its client to wait.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A request that failed, and how.
///
/// As a response it is empty and carries itself as an extension: the request
/// service writes the document, for it knows the request's id.
#[derive(Clone, Debug)]
pub(crate) struct Failure(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Cow<'static, str>,
    outcome: Outcome,
    retryable: bool,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    /// A failure of that kind; `detail` says what to do.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with(
            code,
            detail.into(),
            code.outcome(),
            code.is_retryable(),
            None,
        )
    }

    fn with(
        code: Code,
        detail: Cow<'static, str>,
        outcome: Outcome,
        retryable: bool,
        cause: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner {
            code,
            detail,
            outcome,
            retryable,
            cause,
        }))
    }

    /// The kind of problem.
    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    /// Whether the effect may have happened.
    pub(crate) fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// What went wrong beneath, for the logs.
    pub(crate) fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }

    /// How long to wait before the next try, in seconds.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        let refused = matches!(self.0.code.status(), 429 | 503) && self.0.retryable;
        refused.then_some(RETRY_AFTER_SECONDS)
    }

    /// The document.
    pub(crate) fn problem(&self, request_id: Option<&str>) -> Problem {
        let code = self.0.code;
        Problem {
            r#type: format!("/errors/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: self.0.detail.clone().into_owned(),
            code: code.to_string(),
            outcome: self.0.outcome,
            retryable: self.0.retryable,
            request_id: request_id.map(str::to_owned),
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<node::Error> for Failure {
    fn from(error: node::Error) -> Self {
        match error {
            node::Error::Section(error) => section(error),
            node::Error::Store(error) => store(error),
            node::Error::WrongMode { mode } => wrong_mode(mode),
            node::Error::NoSuchTable => Self::new(
                Code::NoSuchTable,
                "There is no such table. Create it with PUT /v1/tables/{table}, or list what \
                 there is with GET /v1/tables.",
            ),
            node::Error::NotHere => Self::new(
                Code::NotHere,
                "This node does not keep the section. POST /v1/locks/{lock_ref}/acquire here \
                 takes it over; then repeat the request.",
            ),
            node::Error::NoSuchSection => Self::new(
                Code::NoSuchSection,
                "The lockRef is in no queue: it was released, preempted or never created. \
                 Create another with POST /v1/locks.",
            ),
            node::Error::IdempotencyKeyReused => Self::new(
                Code::IdempotencyKeyReused,
                "A different request was made with this Idempotency-Key. Use a new key, a UUID \
                 for instance, for each new request.",
            ),
            node::Error::TooManySections => Self::new(
                Code::TooManySections,
                "This node keeps as many sections as it may. Try again later, or at another \
                 node.",
            ),
            node::Error::NodeLeaseExpired => Self::new(
                Code::NodeLeaseExpired,
                "This node cannot reach a majority to keep its lease, and so keeps no sections. \
                 Try again later, or at another site.",
            ),
            node::Error::ShuttingDown => shutting_down(),
        }
    }
}

/// The node is about to end.
pub(crate) fn shutting_down() -> Failure {
    Failure::new(
        Code::ShuttingDown,
        "This node is shutting down. Try again at another node.",
    )
}

/// The node has as much of `what` under way as it takes.
pub(crate) fn overloaded(what: &str) -> Failure {
    Failure::new(
        Code::Overloaded,
        format!("This node has as many {what} as it takes. Try again later, or at another node."),
    )
}

fn wrong_mode(mode: TableMode) -> Failure {
    Failure::new(
        Code::WrongMode,
        match mode {
            TableMode::Critical => {
                "The table is critical: write it under its key's lock, by POST /v1/locks or \
                 POST /v1/run."
            }
            TableMode::Eventual => {
                "The table is eventual and has no locks: use /v1/tables/{table}/keys/{key}, or \
                 a critical table."
            }
        },
    )
}

fn section(error: critical_section::Error) -> Failure {
    use critical_section::Error;
    let (code, detail) = match error {
        Error::NotGranted => (
            Code::NotGranted,
            "The lockRef waits for its turn: POST /v1/locks/{lock_ref}/acquire first.",
        ),
        Error::Lost(reason) => return lost(reason),
        Error::Released => (
            Code::Released,
            "The section was released. Create another with POST /v1/locks.",
        ),
        Error::SharedIsReadOnly => (
            Code::SharedIsReadOnly,
            "A shared lockRef only reads: create an exclusive one.",
        ),
        Error::KeyNotInSet => (
            Code::KeyNotInSet,
            "The lockRef does not cover this key: name all keys when you create it.",
        ),
        Error::TooManyPuts => (
            Code::TooManyPuts,
            "Too many puts of this section are under way: wait for some.",
        ),
        Error::Renumbering => (
            Code::Renumbering,
            "The section is numbering its puts anew. Try again in a moment.",
        ),
        Error::Exhausted => (
            Code::Exhausted,
            "The section has used up its stamps. Release it and create another.",
        ),
        Error::Unknown => (Code::OutcomeUnknown, UNKNOWN),
        Error::Unavailable => (
            Code::Unavailable,
            "No majority of the replicas answers. Try again later, or at another site.",
        ),
        Error::IdempotencyKeyReused => return node::Error::IdempotencyKeyReused.into(),
        _ => (Code::Internal, INTERNAL),
    };
    Failure::new(code, detail)
}

const UNKNOWN: &str = "No majority acknowledged in time: it may or may not take effect. Repeat \
                       the request with the same Idempotency-Key, or read what there is.";
const INTERNAL: &str = "The node failed in a way that it was not built for. Its log has this \
                        request's id.";

/// Why the section is not held any more, as the answer to a request that
/// needs it held.
pub(crate) fn lost(lost: Lost) -> Failure {
    let detail = match lost {
        Lost::Preempted => {
            "The lock is lost: its ticket was removed by force. What this section writes is \
             never seen again; create another."
        }
        Lost::Adopted => {
            "The lock is lost here: another node has taken the section over. Go on there."
        }
        Lost::NodeLeaseExpired => {
            "The lock is lost: this node could not prove life for a lease. Acquire again, here \
             or elsewhere: that takes the section over where its tickets are still there."
        }
        Lost::ClientLeaseExpired => {
            "The lock is lost: its client went unheard for its lease. Renew more often; create \
             another."
        }
        Lost::LockStoreBehind => {
            return Failure::new(
                Code::LockStoreBehind,
                "The lock store is older than the state, as after a restore. Advance its \
                 lockRefs past every stamp of the state.",
            );
        }
    };
    Failure::new(Code::Lost, detail)
}

fn store(error: music_store::Error) -> Failure {
    use music_store::Error;
    let outcome = match error.outcome() {
        music_store::error::Outcome::NotApplied => Outcome::NotApplied,
        music_store::error::Outcome::Unknown => Outcome::Unknown,
    };
    let (code, detail): (_, Cow<'static, str>) = match &error {
        Error::Unavailable { needed, .. } if outcome == Outcome::NotApplied => (
            Code::Unavailable,
            format!(
                "The {needed} of the replicas cannot be reached. Try again later, or at another \
                 site."
            )
            .into(),
        ),
        Error::Unavailable { .. } | Error::TimedOut => (Code::OutcomeUnknown, UNKNOWN.into()),
        Error::Contended => (
            Code::Contended,
            "Too many others changed this key at once; nothing was changed. Try again.".into(),
        ),
        Error::Overloaded => return overloaded("requests under way at the engine"),
        Error::NoSuchTable => return node::Error::NoSuchTable.into(),
        Error::Storage(cause) if is_full(cause.as_ref()) => (
            Code::StorageFull,
            "The disk under the engine is full. Free some room; what was acknowledged is safe."
                .into(),
        ),
        Error::Storage(_) => (
            Code::StorageFailed,
            "The engine's disk or files failed: see the node's log. What was acknowledged is \
             safe at the other replicas."
                .into(),
        ),
        _ => (Code::Internal, INTERNAL.into()),
    };
    let retryable = error.is_retryable() || code.is_retryable();
    Failure::with(code, detail, outcome, retryable, Some(Box::new(error)))
}

/// Whether some cause is a full disk.
fn is_full(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let full = |error: &io::Error| error.kind() == io::ErrorKind::StorageFull;
        if error.downcast_ref::<io::Error>().is_some_and(full) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart_from_a_broken_one() {
        let storage = |kind: io::ErrorKind| {
            let cause = Box::new(io::Error::new(kind, "disk"));
            Failure::from(node::Error::Store(music_store::Error::Storage(cause)))
        };
        let full = storage(io::ErrorKind::StorageFull);
        assert_eq!(
            (full.code(), full.outcome()),
            (Code::StorageFull, Outcome::Unknown)
        );
        assert_eq!(storage(io::ErrorKind::Other).code(), Code::StorageFailed);
    }

    #[test]
    fn an_unavailable_majority_says_whether_something_was_sent() {
        let unavailable = |outcome| {
            let needed = music_store::error::Needed::Majority;
            let error = music_store::Error::Unavailable { needed, outcome };
            Failure::from(node::Error::Store(error)).problem(Some("r1"))
        };
        let clean = unavailable(music_store::error::Outcome::NotApplied);
        assert_eq!((clean.status, clean.outcome), (503, Outcome::NotApplied));
        let sent = unavailable(music_store::error::Outcome::Unknown);
        assert_eq!((sent.status, sent.outcome), (504, Outcome::Unknown));
        assert!(sent.retryable);
    }
}
