//! `/v1/watch` and `/v1/locks/{lock_ref}/events`.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures_util::poll;
use music_api::code::Code;
use music_api::watch::{Change, LOCK, QUEUE, RECORD, RESET};
use music_core::critical_section::Error;
use music_core::id::{Key, RecordId};
use music_core::lock_queue::LockQueue;
use music_core::lock_ref::LockRef;
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_store::{ScanRange, Table};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::http::app::App;
use crate::http::convert;
use crate::http::describe::{LockPath, Problems};
use crate::http::own::WatchPlace;
use crate::http::problem::Failure;
use crate::http::request::{LockAt, Query, RecordAt};
use crate::http::respond::Answer;
use crate::http::sse::{self, Event, Source};
use crate::http::v1::queues;
use crate::node::{self, SectionRef, SectionView, State as Section};

mod polled;

use polled::Polled;

/// How long a watch of a queue waits for a hint before it looks anyway.
const QUEUE_POLL: Duration = Duration::from_secs(5);

/// How many tickets an event of a queue has at most.
const QUEUE_TICKETS: usize = 100;

/// How many records are read at a time after events were missed.
const SCAN_STEP: usize = 32;

const PARAMETERS: [&str; 5] = ["table", "key", "prefix", "queue_table", "queue_key"];

/// Streams records, or a queue, as they change at this site.
#[utoipa::path(
    get,
    path = "/v1/watch",
    tag = "watch",
    description = "Either `table`, with `key` or `prefix` or neither, or `queue_table` and \
        `queue_key`. A watch of a key or a queue begins with its present state. Events: `record`, \
        `reset` (events were missed: forget all, records follow as they are), `queue`, `problem` \
        (the last one). Changes in quick succession may come as one.",
    params(
        ("table" = Option<String>, Query, description = "The table."),
        ("key" = Option<String>, Query, description = "One key of it."),
        ("prefix" = Option<String>, Query, description = "Its keys that begin with these bytes."),
        ("queue_table" = Option<String>, Query, description = "The table of the queue's key."),
        ("queue_key" = Option<String>, Query, description = "The queue's key."),
    ),
    responses(
        (
            status = OK,
            content_type = "text/event-stream",
            body = String,
            description = "Events, until either side ends.",
        ),
        Problems,
    )
)]
pub(crate) async fn watch(State(app): State<Arc<App>>, query: Query, place: WatchPlace) -> Answer {
    let query = query.only(&PARAMETERS)?;
    match (query.text("table")?, query.text("queue_table")?) {
        (Some(table), None) => {
            let (table, wanted) = records(&app, table, &query)?;
            // Subscribed before the first read, so that nothing falls between.
            let Some(changes) = app.node.changes() else {
                let records = Polled::new(&app, table, wanted).await?;
                return Ok(sse::respond(app, place, records));
            };
            let records = Records::new(&app, table, wanted, changes);
            Ok(sse::respond(app, place, records))
        }
        (None, Some(table)) => {
            let at = queue_key(&app, table, &query)?;
            Ok(sse::respond(
                Arc::clone(&app),
                place,
                Queue {
                    app,
                    at,
                    seen: None,
                },
            ))
        }
        _ => Err(bad(
            "Give either `table`, or `queue_table` and `queue_key`.",
        )),
    }
}

fn bad(detail: &'static str) -> Failure {
    Failure::new(Code::BadQuery, detail)
}

fn table(app: &App, name: &str) -> Result<Table, Failure> {
    Ok(app.node.table(&convert::table_name(name.to_owned())?)?)
}

fn queue_key(app: &App, name: &str, query: &Query) -> Result<RecordAt, Failure> {
    if query.bytes("key").is_some() || query.bytes("prefix").is_some() {
        return Err(bad(
            "A queue is named by `queue_table` and `queue_key` alone.",
        ));
    }
    let key = query
        .bytes("queue_key")
        .ok_or_else(|| bad("Give `queue_key` too."))?;
    let key = convert::key(key.to_vec())?;
    let table = table(app, name)?;
    let at = RecordAt {
        id: RecordId {
            table: table.id,
            key,
        },
        table,
    };
    queues::critical(&at).map(|()| at)
}

/// What a query watches.
fn records(app: &App, name: &str, query: &Query) -> Result<(Table, Wanted), Failure> {
    let table = table(app, name)?;
    let wanted = match (query.bytes("key"), query.bytes("prefix")) {
        _ if query.bytes("queue_key").is_some() => {
            return Err(bad("`queue_key` goes with `queue_table`."));
        }
        (Some(_), Some(_)) => return Err(bad("Give `key` or `prefix`, not both.")),
        (Some(key), None) => Wanted::One(convert::key(key.to_vec())?),
        (None, prefix) => Wanted::Prefix(prefix.unwrap_or_default().to_vec()),
    };
    Ok((table, wanted))
}

/// The event of a record as it is now.
fn event(table: &Table, key: &Key, record: &Record) -> Event {
    let record = convert::record(key, record);
    let table = table.name.to_string();
    Event::new(RECORD, &Change { table, record })
}

/// Which records of a table are watched.
enum Wanted {
    One(Key),
    Prefix(Vec<u8>),
}

impl Wanted {
    fn has(&self, key: &Key) -> bool {
        match self {
            Self::One(one) => one == key,
            Self::Prefix(prefix) => key.as_bytes().starts_with(prefix),
        }
    }
}

/// Telling all records again, after events were missed.
#[derive(Clone)]
enum Rescan {
    /// There is no need.
    Done,
    /// From the first one on.
    Start,
    /// Those up to this key were told.
    After(Key),
}

/// The highest stamp of a record that was told.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Told(Option<Stamp>);

/// Records as they change.
struct Records {
    app: Arc<App>,
    table: Table,
    wanted: Wanted,
    changes: Receiver<RecordId>,
    /// What changed and was not told yet.
    pending: VecDeque<Key>,
    rescan: Rescan,
    /// The one key as it was told last: its highest stamp, if it has one.
    told: Option<Told>,
}

impl Records {
    fn new(app: &Arc<App>, table: Table, wanted: Wanted, changes: Receiver<RecordId>) -> Self {
        let pending = match &wanted {
            Wanted::One(key) => VecDeque::from([key.clone()]),
            Wanted::Prefix(_) => VecDeque::new(),
        };
        Self {
            app: Arc::clone(app),
            table,
            wanted,
            changes,
            pending,
            rescan: Rescan::Done,
            told: None,
        }
    }

    /// Reads a key and tells of it, unless that was told already.
    async fn tell(&mut self, key: &Key) -> Result<Option<Event>, Failure> {
        let id = RecordId {
            table: self.table.id,
            key: key.clone(),
        };
        let record = self.app.node.get(&id).await?;
        if matches!(self.wanted, Wanted::One(_)) {
            let stamp = Some(Told(record.stamp_max()));
            if self.told == stamp {
                return Ok(None);
            }
            self.told = stamp;
        }
        Ok(Some(event(&self.table, key, &record)))
    }

    /// What to do about missed events: one key is read again, of many all.
    fn missed(&mut self) -> Option<Event> {
        match &self.wanted {
            Wanted::One(key) => {
                self.pending.push_back(key.clone());
                None
            }
            Wanted::Prefix(_) => {
                self.pending.clear();
                self.rescan = Rescan::Start;
                Some(Event::new(RESET, &serde_json::json!({})))
            }
        }
    }

    /// Waits for a change; cancel safe as the receiver is.
    async fn wait(&mut self) -> Waited {
        match self.changes.recv().await {
            Ok(id) => {
                if id.table == self.table.id && self.wanted.has(&id.key) {
                    self.pending.push_back(id.key);
                }
                Waited::Changed
            }
            Err(RecvError::Lagged(_)) => self.missed().map_or(Waited::Changed, Waited::Missed),
            Err(RecvError::Closed) => Waited::Over,
        }
    }

    async fn step_rescan(&mut self, after: Option<Key>) -> Result<(), Failure> {
        let Wanted::Prefix(prefix) = &self.wanted else {
            return Ok(());
        };
        let table = self.table.id;
        let range = ScanRange {
            table,
            prefix: prefix.clone(),
            after,
            limit: SCAN_STEP,
        };
        let records = self.app.node.scan(range).await?;
        let last = records.last().map(|(key, _)| key.clone());
        self.rescan = match last.filter(|_| records.len() == SCAN_STEP) {
            Some(last) => Rescan::After(last),
            None => Rescan::Done,
        };
        self.pending.extend(records.into_iter().map(|(key, _)| key));
        Ok(())
    }
}

/// What a wait for changes came to.
enum Waited {
    /// Something may be pending.
    Changed,
    /// Changes were missed, which the client must be told.
    Missed(Event),
    /// There will be no more.
    Over,
}

impl Source for Records {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            // A key leaves `pending` when it was told, not before: this
            // future may be dropped at any await.
            if let Some(key) = self.pending.front().cloned() {
                let event = self.tell(&key).await?;
                self.pending.pop_front();
                if event.is_some() {
                    return Ok(event);
                }
                continue;
            }
            match self.rescan.clone() {
                Rescan::Start => self.step_rescan(None).await?,
                Rescan::After(key) => self.step_rescan(Some(key)).await?,
                Rescan::Done => match self.wait().await {
                    Waited::Changed => {}
                    Waited::Missed(event) => return Ok(Some(event)),
                    Waited::Over => return Ok(None),
                },
            }
        }
    }
}

/// A queue as it changes.
struct Queue {
    app: Arc<App>,
    at: RecordAt,
    seen: Option<Arc<LockQueue>>,
}

impl Source for Queue {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let Self { app, at, seen } = self;
        loop {
            // Listening begins before the look, so that no change falls
            // between.
            let mut changed = pin!(app.node.queue_changed(&at.id, QUEUE_POLL));
            let _listening = poll!(&mut changed);
            let queue = app.node.queue(&at.id).await?;
            if seen.as_ref() != Some(&queue) {
                let all = (&*queue, app.node.in_line(&at.id));
                let event = Event::new(QUEUE, &queues::page(all, LockRef::NONE, QUEUE_TICKETS));
                *seen = Some(queue);
                return Ok(Some(event));
            }
            changed.await;
        }
    }
}

/// Streams where a section stands, until it is over.
#[utoipa::path(
    get,
    path = "/v1/locks/{lock_ref}/events",
    tag = "locks",
    description = "Begins with the present state; ends when the section is lost or released. It \
        does not renew the lease.",
    params(LockPath),
    responses(
        (
            status = OK,
            content_type = "text/event-stream",
            body = String,
            description = "Events `lock`, whose data is a Lock.",
        ),
        Problems,
    )
)]
pub(crate) async fn lock_events(
    State(app): State<Arc<App>>,
    at: LockAt,
    query: Query,
    place: WatchPlace,
) -> Result<Response, Failure> {
    query.only(&[])?;
    app.node.section(at.section.request)?;
    let LockAt { text, section } = at;
    let source = Lock {
        app: Arc::clone(&app),
        text,
        section,
        seen: None,
    };
    Ok(sse::respond(app, place, source))
}

/// A section as it changes.
struct Lock {
    app: Arc<App>,
    text: String,
    section: SectionRef,
    seen: Option<Section>,
}

impl Source for Lock {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        let request = self.section.request;
        let view = match self.seen {
            None => self.app.node.section(request),
            Some(Section::Lost(_) | Section::Released) => return Ok(None),
            Some(seen) => self.app.node.section_changed(request, seen).await,
        };
        let over = |state| {
            Ok(SectionView {
                state,
                tokens: Vec::new(),
            })
        };
        let view = match view {
            // The section ended between two looks; the node remembers how.
            Err(node::Error::Section(Error::Released)) => over(Section::Released),
            Err(node::Error::Section(Error::Lost(lost))) => over(Section::Lost(lost)),
            Err(node::Error::NotHere) if self.seen.is_some() => return Ok(None),
            view => view,
        }?;
        self.seen = Some(view.state);
        let lock = convert::lock(&self.app, self.text.clone(), &self.section, &view);
        Ok(Some(Event::new(LOCK, &lock)))
    }
}

#[cfg(test)]
mod tests;
