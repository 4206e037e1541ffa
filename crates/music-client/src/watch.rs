//! Being told of changes as they reach the nearest replica.

use std::collections::VecDeque;

use bytes::Bytes;
use music_api::problem;
use music_api::queue::Queue;
use music_api::watch::{self, Change};
use reqwest::Response;

use crate::call::Call;
use crate::client::{Client, Inner};
use crate::clock;
use crate::error::{AnswerFault, Error, Outcome, Problem};
use crate::key::RecordKey;
use crate::records::ScanOptions;
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
    target: WatchTarget,
    call: Call,
    stream: Option<(Response, Parser)>,
    /// After a gap: the next page of the records to be told anew.
    rescan: Option<ScanOptions>,
    events: VecDeque<WatchEvent>,
    /// How many connections there were.
    connections: u64,
    /// How many failed since anything was heard.
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
            WatchTarget::Record(record) => call
                .query("table", record.table.as_bytes())
                .query("key", &record.key),
            WatchTarget::Queue(record) => call
                .query("queue_table", record.table.as_bytes())
                .query("queue_key", &record.key),
        };
        Watch {
            client: self.clone(),
            target: target.clone(),
            call,
            stream: None,
            rescan: None,
            events: VecDeque::new(),
            connections: 0,
            failures: 0,
        }
    }
}

impl Watch {
    /// The next event. A watch of one record or of a queue begins with its
    /// present state. Where the connection breaks, another one is opened; then
    /// a [`WatchEvent::Reset`] comes first, and the records as they are.
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
            if let Some(options) = self.rescan.clone() {
                self.scan(options).await?;
            } else if self.stream.is_none() {
                self.connect().await?;
            } else {
                self.listen().await?;
            }
        }
    }

    /// Begins to watch, where that has not begun: what changes from then on is
    /// told.
    ///
    /// # Cancel safety
    /// No event is lost.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        if self.stream.is_none() {
            self.connect().await?;
        }
        Ok(())
    }

    /// Takes what comes next from the connection.
    async fn listen(&mut self) -> Result<(), Error> {
        let Some((response, parser)) = &mut self.stream else {
            return Ok(());
        };
        let Ok(Some(bytes)) = response.chunk().await else {
            self.stream = None;
            return Ok(());
        };
        if parser.push(&bytes).is_err() {
            self.stream = None;
            return Err(self.fault(AnswerFault::TooLarge(EVENT_BYTES_MAX)));
        }
        let events: Vec<_> = std::iter::from_fn(|| parser.next_event()).collect();
        for event in events {
            match understand(&event) {
                Ok(Told::Event(event)) => self.events.push_back(event),
                Ok(Told::Nothing) => {}
                Ok(Told::Problem(problem)) => {
                    self.stream = None;
                    if !problem.retryable {
                        return Err(Box::new(problem).into());
                    }
                    return Ok(());
                }
                Err(fault) => return Err(self.fault(AnswerFault::Body(fault.to_string()))),
            }
            self.failures = 0;
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<(), Error> {
        let options = &self.client.inner.options;
        let (rounds, avoid) = (options.retry.attempts.get(), options.avoid_failed);
        let mut attempts = 0;
        let mut last = None;
        for _ in 0..rounds {
            let inner: &Inner = &self.client.inner;
            if self.failures > 0 {
                inner.pause(self.failures).await;
            }
            self.failures += 1;
            for at in inner.endpoints.order(clock::now(), avoid) {
                attempts += 1;
                match inner
                    .transport
                    .open(inner.endpoints.url(at), &self.call)
                    .await
                {
                    Ok(response) => {
                        self.connected(response);
                        return Ok(());
                    }
                    Err(error) if judge(&error) == Verdict::Stop => return Err(error),
                    Err(error) => {
                        inner.endpoints.note(at, Some(clock::now()));
                        last = Some(error);
                    }
                }
            }
        }
        let last = last.unwrap_or_else(|| self.fault(AnswerFault::Status(0)));
        let outcome = Outcome::NotApplied;
        Err(Error::Unavailable {
            attempts,
            outcome,
            last: Box::new(last),
        })
    }

    /// Notes a new connection: what was missed since the last one is told.
    fn connected(&mut self, response: Response) {
        self.stream = Some((response, Parser::default()));
        self.connections += 1;
        if self.connections == 1 {
            return;
        }
        self.events.push_back(WatchEvent::Reset);
        // One record, and a queue, are told by the node itself.
        if let WatchTarget::Records { prefix, .. } = &self.target {
            self.rescan = Some(ScanOptions {
                prefix: prefix.to_vec(),
                ..ScanOptions::default()
            });
        }
    }

    async fn scan(&mut self, mut options: ScanOptions) -> Result<(), Error> {
        let WatchTarget::Records { table, .. } = &self.target else {
            return Ok(());
        };
        let page = self.client.scan_page(table, &options).await?;
        let records = page.records.into_iter();
        let change = |record| {
            WatchEvent::Record(Change {
                table: table.clone(),
                record,
            })
        };
        self.events.extend(records.map(change));
        options.cursor = page.cursor;
        self.rescan = options.cursor.is_some().then_some(options);
        Ok(())
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

enum Told {
    Event(WatchEvent),
    Problem(Problem),
    /// Something of a newer version.
    Nothing,
}

fn understand(event: &Event) -> Result<Told, serde_json::Error> {
    Ok(match event.name.as_str() {
        watch::RECORD => Told::Event(WatchEvent::Record(serde_json::from_str(&event.data)?)),
        watch::RESET => Told::Event(WatchEvent::Reset),
        watch::QUEUE => Told::Event(WatchEvent::Queue(serde_json::from_str(&event.data)?)),
        watch::PROBLEM => {
            let problem: problem::Problem = serde_json::from_str(&event.data)?;
            Told::Problem(problem.into())
        }
        _ => Told::Nothing,
    })
}
