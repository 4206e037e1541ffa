//! Being told of changes as they reach the nearest replica.

use std::collections::VecDeque;

use bytes::Bytes;
use music_api::queue::Queue;
use music_api::watch::{self, Change};
use reqwest::Response;

use crate::call::Call;
use crate::client::{Client, Inner};
use crate::clock;
use crate::error::{AnswerFault, Error, Outcome};
use crate::key::RecordKey;
use crate::section::judge::{Verdict, judge};
use crate::sse::{EVENT_BYTES_MAX, Event, Parser};

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WatchTarget {
    /// The records of a table whose keys begin so; empty for all.
    Records {
        /// The table.
        table: String,
        /// How the keys begin.
        prefix: Bytes,
    },
    /// One record.
    Record(RecordKey),
    /// The lock queue of a key.
    Queue(RecordKey),
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A record as it is now.
    Record(Change),
    /// Changes may have been missed: forget what was told, and take what
    /// follows for the present state.
    Reset,
    /// A queue as it is now.
    Queue(Queue),
}

/// A watch; ends when it is dropped.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    call: Call,
    stream: Option<(Response, Parser)>,
    events: VecDeque<WatchEvent>,
    failures: u32,
}

impl Client {
    /// Watches. Nothing is asked before the first [`Watch::next`].
    pub fn watch(&self, target: &WatchTarget) -> Watch {
        let call = Call::read("/v1/watch".to_owned());
        let call = match target {
            WatchTarget::Records { table, prefix } if prefix.is_empty() => {
                call.query("table", table.as_bytes())
            }
            WatchTarget::Records { table, prefix } => call
                .query("table", table.as_bytes())
                .query("prefix", prefix),
            WatchTarget::Record(record) => keyed(call, record),
            WatchTarget::Queue(record) => keyed(call, record).query("queue", b"true"),
        };
        let (client, events) = (self.clone(), VecDeque::new());
        Watch {
            client,
            call,
            stream: None,
            events,
            failures: 0,
        }
    }
}

fn keyed(call: Call, record: &RecordKey) -> Call {
    call.query("table", record.table.as_bytes())
        .query("key", &record.key)
}

impl Watch {
    /// The next event. Where the connection breaks, another one is opened, and
    /// a [`WatchEvent::Reset`] comes first.
    ///
    /// # Errors
    /// [`Error::Problem`] where there is no such table; [`Error::Unavailable`]
    /// where no node serves. Asking again goes on with the watch.
    ///
    /// # Cost
    /// A connection to the own site, kept open.
    ///
    /// # Cancel safety
    /// No event is lost.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let Some((response, parser)) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            let Ok(Some(bytes)) = response.chunk().await else {
                self.stream = None;
                continue;
            };
            if parser.push(&bytes).is_err() {
                self.stream = None;
                return Err(self.fault(AnswerFault::TooLarge(EVENT_BYTES_MAX)));
            }
            while let Some(event) = parser.next_event() {
                if event.name == watch::PROBLEM {
                    self.stream = None;
                    break;
                }
                match understand(&event) {
                    Ok(event) => self.events.extend(event),
                    Err(fault) => return Err(self.fault(AnswerFault::Body(fault.to_string()))),
                }
                self.failures = 0;
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let inner: &Inner = &self.client.inner;
        if self.failures > 0 {
            inner.pause(self.failures).await;
            self.events.push_back(WatchEvent::Reset);
        }
        let order = inner
            .endpoints
            .order(clock::now(), inner.options.avoid_failed);
        let mut last = None;
        self.failures += 1;
        for at in order {
            match inner
                .transport
                .open(inner.endpoints.url(at), &self.call)
                .await
            {
                Ok(response) => {
                    self.stream = Some((response, Parser::default()));
                    return Ok(());
                }
                Err(error) if judge(&error) == Verdict::Stop => return Err(error),
                Err(error) => {
                    inner.endpoints.note(at, Some(clock::now()));
                    last = Some(error);
                }
            }
        }
        self.events.clear();
        let attempts = u32::try_from(inner.endpoints.len()).unwrap_or(u32::MAX);
        let fault = self.fault(AnswerFault::Status(0));
        let last = Box::new(last.unwrap_or(fault));
        Err(Error::Unavailable {
            attempts,
            outcome: Outcome::NotApplied,
            last,
        })
    }

    fn fault(&self, reason: AnswerFault) -> Error {
        let endpoint = self.client.endpoints().first().cloned().unwrap_or_default();
        Error::Answer {
            endpoint,
            outcome: Outcome::NotApplied,
            reason,
        }
    }
}

fn understand(event: &Event) -> Result<Option<WatchEvent>, serde_json::Error> {
    Ok(match event.name.as_str() {
        watch::RECORD => Some(WatchEvent::Record(serde_json::from_str(&event.data)?)),
        watch::RESET => Some(WatchEvent::Reset),
        watch::QUEUE => Some(WatchEvent::Queue(serde_json::from_str(&event.data)?)),
        // Kinds of a newer version.
        _ => None,
    })
}
