//! Becoming the owner of partitions: the lock, what was missed, the end of each
//! log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use music_client::CriticalSection;

use crate::clock::{self, Instant};
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::book::Book;
use crate::redo_log::entry::Entry;
use crate::redo_log::error::Error;
use crate::redo_log::log::Inner;
use crate::redo_log::point::{Applied, Point};
use crate::redo_log::ring::View;
use crate::redo_log::settle::{Reading, Readings, Verdict, settle};

/// Partitions that are owned, and what their owner has still to apply.
#[derive(Debug)]
pub(crate) struct Acquired {
    pub(crate) section: CriticalSection,
    pub(crate) books: BTreeMap<Partition, Book>,
    pub(crate) missed: Vec<Entry>,
    /// Whether other sites may read at the same time.
    pub(crate) is_shared: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) partitions: &'a PartitionSet,
    /// Whether other sites may read at the same time.
    pub(crate) is_shared: bool,
    /// What the database has applied.
    pub(crate) applied: &'a Applied,
    /// Partitions that the same turn owns already, and their ends.
    pub(crate) held: &'a BTreeMap<Partition, Point>,
    pub(crate) wait: Duration,
}

/// Becomes the owner of partitions, and of others that what they missed rests
/// on.
pub(crate) async fn acquire(inner: &Arc<Inner>, wanted: Wanted<'_>) -> Result<Acquired, Error> {
    let began = clock::now();
    let until = began.checked_add(wanted.wait);
    let mut partitions = wanted.partitions.clone();
    // Each time round there is one more partition at least, of a bounded number.
    loop {
        let section = lock(inner, (&partitions, wanted.is_shared), (began, until)).await?;
        let tokens = tokens(&partitions, &section);
        let (known, alone) = inner.follow_books(&tokens);
        let mut case = Case {
            inner,
            wanted,
            readings: Readings::new(),
        };
        case.read_owned(&section, &tokens, &known).await?;
        match case.settle().await? {
            Settled::Entries(missed, ends) => {
                let mut books = case.books(&tokens, known, &ends);
                for (partition, book) in &mut books {
                    book.is_alone = alone.contains(partition);
                }
                return Ok(Acquired {
                    section,
                    books,
                    missed,
                    is_shared: wanted.is_shared,
                });
            }
            Settled::Own(more) => {
                // Nothing was put in it.
                if let Err(error) = section.release().await {
                    tracing::debug!(%error, "a section could not be released");
                }
                let Ok(all) = partitions.with(more) else {
                    return Err(Error::TooFarBehind);
                };
                partitions = all;
            }
        }
    }
}

async fn lock(
    inner: &Inner,
    (partitions, is_shared): (&PartitionSet, bool),
    (began, until): (Instant, Option<Instant>),
) -> Result<CriticalSection, Error> {
    let keys = partitions.iter().map(|partition| inner.record(partition));
    let mut request = inner.client.lock(keys);
    if is_shared {
        request = request.shared();
    }
    if let Some(until) = until {
        request = request.wait(until.saturating_duration_since(clock::now()));
    }
    match Box::pin(request.acquire()).await {
        Ok(section) => Ok(section),
        Err(music_client::Error::TimedOut { .. }) => Err(Error::TimedOut {
            waited: clock::now().saturating_duration_since(began),
        }),
        Err(error) => Err(error.into()),
    }
}

/// The fencing token of each partition: the section has them in the order in
/// which it was asked for the keys.
fn tokens(partitions: &PartitionSet, section: &CriticalSection) -> BTreeMap<Partition, u64> {
    let tokens = section.tokens().iter().map(|token| token.token);
    partitions.iter().cloned().zip(tokens).collect()
}

enum Settled {
    Entries(Vec<Entry>, BTreeMap<Partition, Point>),
    Own(BTreeSet<Partition>),
}

/// What was read so far.
struct Case<'a> {
    inner: &'a Arc<Inner>,
    wanted: Wanted<'a>,
    readings: Readings,
}

impl Case<'_> {
    /// Reads the logs that are owned, but those that are known to be as this
    /// site left them.
    async fn read_owned(
        &mut self,
        section: &CriticalSection,
        tokens: &BTreeMap<Partition, u64>,
        known: &BTreeMap<Partition, Book>,
    ) -> Result<(), Error> {
        for partition in self.wanted.held.keys() {
            self.readings.insert(partition.clone(), self.unread());
        }
        let is_known = |partition: &Partition| {
            let applied = self.wanted.applied.point(partition);
            known.get(partition).is_some_and(|book| book.end == applied)
        };
        let (known, unknown): (Vec<_>, Vec<_>) =
            tokens.keys().partition(|partition| is_known(partition));
        for partition in known {
            self.readings.insert(partition.clone(), self.unread());
        }
        if unknown.is_empty() {
            return Ok(());
        }
        let reports = self.inner.sites.refresh().await?;
        let read = unknown.into_iter().map(async |partition| {
            let record = section.fields(self.inner.record(partition)).await?;
            let fields = record.map(|record| record.fields).unwrap_or_default();
            let view = View::read(self.inner.ring, partition, fields);
            let claims = reports.claims(partition);
            let reading = Reading {
                view,
                is_owned: true,
                claims,
            };
            Ok::<_, music_client::Error>((partition.clone(), reading))
        });
        self.readings.extend(try_join_all(read).await?);
        Ok(())
    }

    /// A log that is owned and ends with what is applied.
    fn unread(&self) -> Reading {
        let view = View::empty(self.inner.ring);
        Reading {
            view,
            is_owned: true,
            claims: Vec::new(),
        }
    }

    async fn settle(&mut self) -> Result<Settled, Error> {
        let mut applied = self.wanted.applied.clone();
        for (partition, end) in self.wanted.held {
            applied.set(partition.clone(), *end);
        }
        loop {
            match self.inner.note(settle(&self.readings, &applied))? {
                Verdict::Settled { entries, ends } => return Ok(Settled::Entries(entries, ends)),
                Verdict::Own(more) => return Ok(Settled::Own(more)),
                // Each is looked at once.
                Verdict::Look(others) => {
                    let read = others.iter().map(|partition| self.inner.look(partition));
                    let read = try_join_all(read).await?;
                    self.readings.extend(others.iter().cloned().zip(read));
                }
            }
        }
    }

    fn books(
        &self,
        tokens: &BTreeMap<Partition, u64>,
        mut known: BTreeMap<Partition, Book>,
        ends: &BTreeMap<Partition, Point>,
    ) -> BTreeMap<Partition, Book> {
        let mut books = BTreeMap::new();
        for (partition, token) in tokens {
            let end = ends.get(partition).copied().unwrap_or_default();
            let view = self.readings.get(partition).map(|reading| &reading.view);
            let book = match (known.remove(partition), view) {
                (Some(book), _) if book.end == end => book,
                (_, Some(view)) => Book::new(self.inner.ring, *token, end, view),
                (_, None) => continue,
            };
            books.insert(partition.clone(), book);
        }
        books
    }
}
