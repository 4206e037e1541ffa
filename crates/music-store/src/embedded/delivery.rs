//! Delivers what one site owes another: one task a pair of sites.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use music_core::id::{RecordId, ReplicaId};
use music_core::record::Record;
use music_core::replica::acceptor::{Acceptor, Ballot};
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_64;

use super::codec;
use super::disk::{Disk, Fault, Range, Space};
use super::healing::{Delivery, Healing, Item};
use super::shared::Shared;
use super::tables;
use super::writer::{Job, Work};
use crate::Error;

/// How many keys are delivered, or compared, in one message.
const ITEMS_MAX: usize = 256;
/// How many bytes of values one message carries, but for its last record.
const BYTES_MAX: usize = 4 << 20;
/// How long a pair waits after a loss that no cut explains.
const PAUSE: Duration = Duration::from_millis(20);

/// A message was lost, or the storage failed.
enum Failed {
    Lost,
    Storage,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        tracing::warn!(%fault, "could not bring a replica up to date");
        Self::Storage
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        tracing::warn!(%error, "could not bring a replica up to date");
        Self::Storage
    }
}

/// Delivers whatever `from` owes `to`, until the engine is dropped.
pub(super) async fn run(
    shared: Weak<Shared>,
    healing: Arc<Healing>,
    from: ReplicaId,
    to: ReplicaId,
) {
    loop {
        {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            Pair { shared, from, to }.deliver_all().await;
        }
        healing.woken(from, to).await;
    }
}

struct Pair {
    shared: Arc<Shared>,
    from: ReplicaId,
    to: ReplicaId,
}

impl Pair {
    async fn deliver_all(&self) {
        let Self { from, to, .. } = *self;
        let healing = &self.shared.healing;
        while self.shared.connected(from, to) {
            if self.tell_tables().await.is_err() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let Some(delivery) = healing.take(from, to, ITEMS_MAX) else {
                break;
            };
            let result = match &delivery {
                Delivery::Items(items) => self.deliver(items.clone()).await,
                Delivery::Pass => self.compare_all().await,
            };
            healing.finish(from, to, result.is_err().then_some(delivery));
            match result {
                Ok(()) => {}
                Err(Failed::Lost) => tokio::time::sleep(PAUSE).await,
                // Nothing helps but to open the engine again.
                Err(Failed::Storage) => break,
            }
        }
        healing.look_again();
    }

    /// Lets the other know of tables that it has not heard of.
    async fn tell_tables(&self) -> Result<(), Failed> {
        let views = &self.shared.observer.views;
        let view = views.of(self.from);
        if views.of(self.to).version() >= view.version() {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        tables::send(&self.shared, [self.from, self.to], view, move || {
            sender.send(()).is_ok()
        });
        receiver.await.ok().ok_or(Failed::Lost)
    }

    /// Brings the other's copies of these up to date.
    async fn deliver(&self, items: Vec<Item>) -> Result<(), Failed> {
        // What is owed may be in the writer's queue still.
        self.shared.perform(self.from, Work::Nothing).await?;
        let mut works = Vec::new();
        let mut bytes = 0_usize;
        for item in items {
            let work = self.work(item)?;
            bytes = bytes.saturating_add(work.as_ref().map_or(0, Work::bytes));
            works.extend(work);
            if bytes >= BYTES_MAX {
                self.send(std::mem::take(&mut works)).await?;
                bytes = 0;
            }
        }
        self.send(works).await
    }

    /// Lets the other perform these, and waits until it has.
    async fn send(&self, works: Vec<Work>) -> Result<(), Failed> {
        let there = Arc::clone(&self.shared);
        let to = self.to;
        self.ask(move |answer| {
            let mut jobs: Vec<Job> = works
                .into_iter()
                .map(|work| Job {
                    replica: to,
                    work,
                    done: Box::new(|_result| {}),
                })
                .collect();
            // Jobs are done in their order, so this one is done after all.
            let done = Box::new(move |result: Result<_, _>| answer(result.is_ok()));
            jobs.push(Job {
                replica: to,
                work: Work::Nothing,
                done,
            });
            there.writer.submit(jobs);
        })
        .await
        .and_then(|stored| if stored { Ok(()) } else { Err(Failed::Storage) })
    }

    fn work(&self, item: Item) -> Result<Option<Work>, Fault> {
        Ok(match item {
            Item::Record(id) => {
                let record = self.shared.read_record(self.from, &id)?;
                (record != Record::empty()).then(|| Work::Merge(id, Arc::new(record)))
            }
            Item::Queue(id) => {
                let acceptor = self.shared.read_queue(self.from, &id)?;
                (acceptor != Acceptor::default()).then_some(Work::CatchUp(id, acceptor))
            }
        })
    }

    /// Compares all records and queues, and delivers those that differ.
    async fn compare_all(&self) -> Result<(), Failed> {
        self.shared.perform(self.from, Work::Nothing).await?;
        for space in [Space::Records, Space::Queues] {
            let mut after = None;
            loop {
                let chunk = chunk(&*self.shared.disk.get()?, space, self.from, after.take())?;
                let Some((last, _)) = chunk.last() else { break };
                after = Some(last.to_vec());
                let differing = self.compare(space, chunk).await?;
                if !differing.is_empty() {
                    self.deliver(differing).await?;
                }
            }
        }
        Ok(())
    }

    /// Sends digests; the other answers with what it has otherwise.
    async fn compare(&self, space: Space, chunk: Vec<(Bytes, u64)>) -> Result<Vec<Item>, Failed> {
        let there = Arc::clone(&self.shared);
        let to = self.to;
        let compared = self
            .ask(move |answer| {
                // Not on the thread that keeps the time of all links.
                let shared = Arc::clone(&there);
                there.spawn(async move {
                    let differing = shared
                        .disk
                        .get()
                        .and_then(|disk| differing(&disk, space, to, &chunk));
                    answer(differing);
                });
            })
            .await?;
        Ok(compared?)
    }

    /// Sends a message and waits for the answer to come back.
    async fn ask<T: Send + 'static>(
        &self,
        message: impl FnOnce(Box<dyn FnOnce(T) + Send>) + Send + 'static,
    ) -> Result<T, Failed> {
        let Self { from, to, .. } = *self;
        let (sender, receiver) = oneshot::channel();
        let there = Arc::clone(&self.shared);
        self.shared.network.send(from, to, move |slot| {
            if !there.is_running(to) {
                return;
            }
            let back = Arc::clone(&there);
            message(Box::new(move |answer| {
                drop(slot);
                back.network.send(to, from, move |_slot| {
                    if sender.send(answer).is_err() {
                        tracing::trace!("the engine was dropped");
                    }
                });
            }));
        });
        receiver.await.ok().ok_or(Failed::Lost)
    }
}

/// The next keys of a replica, and digests of what it has.
fn chunk(
    disk: &Disk,
    space: Space,
    replica: ReplicaId,
    after: Option<Vec<u8>>,
) -> Result<Vec<(Bytes, u64)>, Fault> {
    let range = Range {
        prefix: vec![replica.0],
        after,
        limit: ITEMS_MAX,
    };
    let found = disk.scan(space, &range)?;
    found
        .into_iter()
        .map(|(key, value)| Ok((key, digest(space, Some(&value))?)))
        .collect()
}

/// Of these keys of another replica, those that this one has otherwise.
fn differing(
    disk: &Disk,
    space: Space,
    replica: ReplicaId,
    chunk: &[(Bytes, u64)],
) -> Result<Vec<Item>, Fault> {
    let mut differing = Vec::new();
    for (key, theirs) in chunk {
        let id: RecordId = codec::record_id(key)?;
        let value = disk.get(space, &codec::disk_key(replica, &id))?;
        if digest(space, value.as_ref())? != *theirs {
            differing.push(match space {
                Space::Queues => Item::Queue(id),
                Space::Records | Space::Engine => Item::Record(id),
            });
        }
    }
    Ok(differing)
}

/// A number that is the same for copies that agree.
fn digest(space: Space, value: Option<&Bytes>) -> Result<u64, Fault> {
    match (space, value) {
        (Space::Queues, value) => {
            let acceptor = match value {
                Some(value) => codec::decode_acceptor(value)?,
                None => Acceptor::default(),
            };
            // Promises are each replica's own.
            let known: (Ballot, _) = (acceptor.accepted(), acceptor.released());
            Ok(xxh3_64(&codec::encode(&known)))
        }
        (Space::Records | Space::Engine, value) => {
            Ok(xxh3_64(value.map_or(&[][..], |value| &value[..])))
        }
    }
}

/// A number over all records of a replica, in tables that it knows: replicas
/// that agree have the same.
pub(super) fn digest_of_site(shared: &Shared, site: ReplicaId) -> Result<u64, Fault> {
    let disk = shared.disk.get()?;
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    let mut after = None;
    loop {
        let range = Range {
            prefix: vec![site.0],
            after: after.take(),
            limit: ITEMS_MAX,
        };
        let found = disk.scan(Space::Records, &range)?;
        let Some((last, _)) = found.last() else {
            return Ok(hash.digest());
        };
        after = Some(last.to_vec());
        for (key, value) in &found {
            let id = codec::record_id(key)?;
            if !shared.observer.views.is_dropped(site, id.table) {
                hash.update(&codec::encode(&id));
                hash.update(value);
            }
        }
    }
}
