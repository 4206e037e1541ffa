//! One request as a value, so that it can be sent again as it is.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use uuid::Uuid;

use crate::content::{Content, JSON};
use crate::dice;
use crate::error::Invalid;
use crate::key::percent_encode;

/// What may be done with a request whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing.
    Reads,
    /// Any node makes one of two: it is named by what it asks for.
    AnyNode,
    /// The node that had it makes one of two, by the idempotency key; another
    /// node would do it twice.
    SameNode,
}

/// Whom a node asks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Nobody, or its own site's replica.
    Local,
    /// A majority.
    Majority,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// With the query.
    pub(crate) path: String,
    pub(crate) body: Option<Content>,
    pub(crate) idempotency_key: Option<Uuid>,
    /// How often the section had moved when a node was asked to keep it.
    pub(crate) moves: Option<u64>,
    pub(crate) repeat: Repeat,
    pub(crate) reach: Reach,
    /// How long the node is asked to wait before it answers.
    pub(crate) wait: Duration,
    /// The longest time for an attempt, where it is below the options'.
    pub(crate) limit: Duration,
}

impl Call {
    /// A request that changes nothing.
    pub(crate) fn read(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            idempotency_key: None,
            moves: None,
            repeat: Repeat::Reads,
            reach: Reach::Local,
            wait: Duration::ZERO,
            limit: Duration::MAX,
        }
    }

    /// A request that changes something.
    pub(crate) fn change(method: Method, path: String, repeat: Repeat) -> Self {
        let idempotency_key = Some(dice::idempotency_key());
        Self {
            method,
            idempotency_key,
            repeat,
            ..Self::read(path)
        }
    }

    /// One that needs a majority.
    pub(crate) fn wide(mut self) -> Self {
        self.reach = Reach::Majority;
        self
    }

    /// With a body.
    pub(crate) fn body(mut self, body: Content) -> Self {
        self.body = Some(body);
        self
    }

    /// With a JSON body.
    pub(crate) fn json(self, body: &impl Serialize) -> Result<Self, Invalid> {
        let bytes = serde_json::to_vec(body).map_err(Invalid::Json)?;
        Ok(self.body(Content::new(Bytes::from(bytes), JSON)))
    }

    /// One more pair in the query.
    pub(crate) fn query(mut self, name: &str, value: &[u8]) -> Self {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        self.path.push(mark);
        self.path.push_str(name);
        self.path.push('=');
        self.path.push_str(&percent_encode(value));
        self
    }

    /// Whether its effect matters.
    pub(crate) fn changes(&self) -> bool {
        self.repeat != Repeat::Reads
    }
}
