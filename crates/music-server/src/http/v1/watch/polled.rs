//! Records as they change, on an engine that does not tell: the local replica
//! is looked at from time to time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use music_api::code::Code;
use music_core::id::{Key, RecordId};
use music_core::stamp::Stamp;
use music_store::{ScanRange, Table};

use super::{Wanted, event};
use crate::http::app::App;
use crate::http::problem::Failure;
use crate::http::sse::{Event, Source};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(500);
/// How many records it can keep an eye on.
const RECORDS_MAX: usize = 20_000;
/// How many records are read at a time.
const SCAN_STEP: usize = 256;

/// The highest stamp of each record as it was told last.
type Told = BTreeMap<Key, Option<Stamp>>;

/// Records that are looked at from time to time.
pub(super) struct Polled {
    app: Arc<App>,
    table: Table,
    wanted: Wanted,
    told: Told,
    /// What is to be looked at, and told if it has changed.
    pending: VecDeque<Key>,
}

impl Polled {
    /// Tells one key as it is, of several only what changes from now on.
    pub(super) async fn new(app: &Arc<App>, table: Table, wanted: Wanted) -> Result<Self, Failure> {
        let mut polled = Self {
            app: Arc::clone(app),
            table,
            wanted,
            told: Told::new(),
            pending: VecDeque::new(),
        };
        match &polled.wanted {
            Wanted::One(key) => polled.pending.push_back(key.clone()),
            Wanted::Prefix(prefix) => polled.told = polled.scan(prefix).await?,
        }
        Ok(polled)
    }

    /// The stamps of the records that there are.
    async fn scan(&self, prefix: &[u8]) -> Result<Told, Failure> {
        let mut found = Told::new();
        let mut after = None;
        loop {
            let range = ScanRange {
                table: self.table.id,
                prefix: prefix.to_vec(),
                after,
                limit: SCAN_STEP,
            };
            let records = self.app.node.scan(range).await?;
            let full = records.len() == SCAN_STEP;
            after = records.last().map(|(key, _)| key.clone());
            let stamps = records.into_iter();
            found.extend(stamps.map(|(key, record)| (key, record.stamp_max())));
            if found.len() > RECORDS_MAX {
                return Err(too_many());
            }
            if !full {
                return Ok(found);
            }
        }
    }

    /// Finds what has changed: records that are new or have another stamp, and
    /// those that are gone.
    async fn look(&mut self) -> Result<(), Failure> {
        let prefix = match &self.wanted {
            Wanted::One(key) => {
                self.pending.push_back(key.clone());
                return Ok(());
            }
            Wanted::Prefix(prefix) => prefix,
        };
        let found = self.scan(prefix).await?;
        let changed = found
            .iter()
            .filter(|(key, stamp)| self.told.get(*key) != Some(*stamp));
        let gone = self.told.keys().filter(|key| !found.contains_key(*key));
        self.pending = changed.map(|(key, _)| key).chain(gone).cloned().collect();
        Ok(())
    }

    /// Tells of a key, unless it is as it was told.
    async fn tell(&mut self, key: &Key) -> Result<Option<Event>, Failure> {
        let id = RecordId {
            table: self.table.id,
            key: key.clone(),
        };
        let record = self.app.node.get(&id).await?;
        let stamp = record.stamp_max();
        if self.told.get(key) == Some(&stamp) {
            return Ok(None);
        }
        let event = event(&self.table, key, &record);
        // Of what is gone nothing is kept: it may never come back.
        if record.exists() || matches!(self.wanted, Wanted::One(_)) {
            self.told.insert(key.clone(), stamp);
        } else {
            self.told.remove(key);
        }
        Ok(Some(event))
    }
}

fn too_many() -> Failure {
    Failure::new(
        Code::Overloaded,
        format!(
            "On this engine a watch keeps an eye on {RECORDS_MAX} records at most: name a \
             narrower prefix."
        ),
    )
}

impl Source for Polled {
    async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            // A key leaves `pending` when it was told, not before: this
            // future may be dropped at any await.
            let Some(key) = self.pending.front().cloned() else {
                tokio::time::sleep(LOOK).await;
                self.look().await?;
                continue;
            };
            let event = self.tell(&key).await?;
            self.pending.pop_front();
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}
