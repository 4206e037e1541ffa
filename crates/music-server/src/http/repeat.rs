//! Requests that a client may make again: one with an idempotency key is
//! carried out once, and gets the answer of the first try.
//!
//! What was begun goes on when its client has left, so that a client that asks
//! again finds how it ended, which this node remembers for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::http::request::Parts;
use music_api::code::Code;
use music_api::problem::Outcome;
use music_core::id::IdempotencyKey;
use serde::Serialize;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::http::app::App;
use crate::http::problem::Failure;
use crate::http::request::Idempotency;
use crate::http::respond::{self, Answer};
use crate::node;

/// How many requests with idempotency keys are remembered.
const REMEMBERED_MAX: usize = 10_000;

/// How a request ended: the JSON of its answer.
type Ended = Result<Bytes, Failure>;

/// The requests that a client may make again, the oldest first.
pub(crate) struct Repeats(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    order: VecDeque<IdempotencyKey>,
    requests: HashMap<IdempotencyKey, Remember>,
}

#[derive(Clone)]
struct Remember {
    asked: Arc<[u8]>,
    ended: watch::Receiver<Option<Ended>>,
}

enum Joined {
    Old(watch::Receiver<Option<Ended>>),
    New(watch::Sender<Option<Ended>>, watch::Receiver<Option<Ended>>),
}

impl Repeats {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The request of that key, or a place for a new one.
    fn join(&self, key: IdempotencyKey, asked: &Arc<[u8]>) -> Result<Joined, Failure> {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(request) = remembered.requests.get(&key) {
            if request.asked != *asked {
                return Err(node::Error::IdempotencyKeyReused.into());
            }
            return Ok(Joined::Old(request.ended.clone()));
        }
        while remembered.order.len() >= REMEMBERED_MAX {
            if let Some(oldest) = remembered.order.pop_front() {
                remembered.requests.remove(&oldest);
            }
        }
        let (end, ended) = watch::channel(None);
        remembered.order.push_back(key);
        let remember = Remember {
            asked: Arc::clone(asked),
            ended: ended.clone(),
        };
        remembered.requests.insert(key, remember);
        Ok(Joined::New(end, ended))
    }

    /// Forgets a request that had no effect: a repeated one may try again.
    fn forget(&self, key: IdempotencyKey) {
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.requests.remove(&key);
        remembered.order.retain(|other| *other != key);
    }
}

/// What a request with an idempotency key is known by, beside its body.
pub(crate) struct Repeat {
    key: Option<IdempotencyKey>,
    /// The method and the path.
    what: Vec<u8>,
}

impl<S: Sync> FromRequestParts<S> for Repeat {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Idempotency(key) = Idempotency::from_request_parts(parts, state).await?;
        let what = match key {
            Some(_) => format!("{} {}\n", parts.method, parts.uri.path()).into_bytes(),
            None => Vec::new(),
        };
        Ok(Self { key, what })
    }
}

impl Repeat {
    /// Carries a request out, unless it was before, and answers with its JSON.
    pub(crate) async fn once<T: Serialize>(
        self,
        app: &Arc<App>,
        body: &impl Serialize,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Answer {
        let Self {
            key,
            what: mut asked,
        } = self;
        let (end, ended) = match key {
            None => watch::channel(None),
            Some(key) => {
                asked.extend(serde_json::to_vec(body).unwrap_or_default());
                match app.repeats.join(key, &asked.into())? {
                    Joined::Old(ended) => return answer(ended).await,
                    Joined::New(end, ended) => (end, ended),
                }
            }
        };
        let own = Arc::clone(app);
        let killed = app.killed.clone();
        // On the heap: the work may be a whole recipe.
        let work = Box::pin(work.in_current_span());
        app.tasks
            .spawn(killed.run_until_cancelled_owned(async move {
                let result = work.await.and_then(|answer| respond::bytes(&answer));
                if let (Err(failure), Some(key)) = (&result, key)
                    && failure.outcome() == Outcome::NotApplied
                {
                    own.repeats.forget(key);
                }
                // Nobody is there to hear it where the client has left.
                end.send_replace(Some(result));
            }));
        answer(ended).await
    }
}

async fn answer(mut ended: watch::Receiver<Option<Ended>>) -> Answer {
    let ended = ended.wait_for(Option::is_some).await;
    // It was dropped with its node, which is dead.
    let ended = ended.ok().and_then(|ended| ended.clone());
    let ended = ended.unwrap_or_else(|| {
        Err(Failure::new(
            Code::OutcomeUnknown,
            "The node ended in the middle of the request: read what there is.",
        ))
    });
    ended.map(|bytes| respond::json_bytes(StatusCode::OK, bytes))
}
