//! The log of a database: its tables in MUSIC, and what one site knows of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use music_client::api::queue::Queue;
use music_client::api::table::TableMode;
use music_client::{Client, RecordKey};

use crate::partition::{Partition, PartitionSet};
use crate::redo_log::behind::Behind;
use crate::redo_log::book::Book;
use crate::redo_log::entry::Entry;
use crate::redo_log::error::Error;
use crate::redo_log::point::{Applied, Point};
use crate::redo_log::ring::{Ring, View};
use crate::redo_log::settle::{LogFault, Reading, Readings, is_behind, visible};
use crate::redo_log::turn::{Access, Turn};
use crate::sites::{SiteList, Sites};

/// How many entries of a turn may be under way at a time.
pub const UNDER_WAY_MAX: u64 = 64;

/// Of how many partitions a site remembers what it left.
const BOOKS_MAX: usize = 4096;

/// The fewest slots that a log may have.
pub const SLOTS_MIN: u64 = 4;

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The database's name: its tables in MUSIC are `mdbc_<database>_…`.
    pub database: String,
    /// This site's name.
    pub site: String,
    /// All sites of the database.
    pub sites: SiteList,
    /// How long a turn takes further transactions; three times as long where no other
    /// site had one since the last. 250 ms.
    pub turn: Duration,
    /// How many slots a partition's log has, the same at all sites. 1024.
    pub slots: u64,
    /// Told where the site's database lacks what is gone.
    pub behind: Behind,
}

impl LogOptions {
    /// The usual settings.
    pub fn new(database: impl Into<String>, site: impl Into<String>, sites: SiteList) -> Self {
        Self {
            database: database.into(),
            site: site.into(),
            sites,
            turn: Duration::from_millis(250),
            slots: 1024,
            behind: Behind::default(),
        }
    }
}

/// The redo log of a database, as one site has it; clones are the same.
///
/// One process a site opens it: two would be two owners with one name.
#[derive(Clone, Debug)]
pub struct RedoLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) sites: Arc<Sites>,
    pub(crate) ring: Ring,
    pub(crate) turn: Duration,
    table: String,
    /// Of the partitions whose last turn ended well.
    books: Mutex<BTreeMap<Partition, Book>>,
    behind: Behind,
}

/// What is known of one partition.
#[derive(Clone, Debug)]
pub struct Status {
    /// Who owns it, and who waits for it.
    pub queue: Queue,
    /// The last entry that some site is known to have or to know.
    pub committed: Point,
    /// How many entries the log holds at the local replica.
    pub entries: usize,
    /// How many bytes these have.
    pub bytes: usize,
    /// What each site has applied.
    pub sites: BTreeMap<String, Point>,
}

impl RedoLog {
    /// Opens the log, creating its tables if there are none.
    ///
    /// # Errors
    /// [`Error::Sites`] where the list of sites is not the other sites';
    /// [`Error::Slots`]; [`Error::Music`] where MUSIC cannot be reached.
    ///
    /// # Cost
    /// One consensus for each table that is new, and requests to the own site.
    ///
    /// # Cancel safety
    /// The tables may or may not be created.
    pub async fn open(client: Client, options: LogOptions) -> Result<Self, Error> {
        let LogOptions {
            database,
            site,
            sites,
            turn,
            slots,
            behind,
        } = options;
        if slots < SLOTS_MIN {
            return Err(Error::Slots {
                slots,
                least: SLOTS_MIN,
            });
        }
        let (table, sites_table) = (
            format!("mdbc_{database}_log"),
            format!("mdbc_{database}_sites"),
        );
        client.create_table(&table, TableMode::Critical).await?;
        client
            .create_table(&sites_table, TableMode::Eventual)
            .await?;
        let sites = Sites::open(client.clone(), sites_table, site, sites).await?;
        let inner = Inner {
            client,
            sites: Arc::new(sites),
            ring: Ring { slots },
            turn,
            table,
            books: Mutex::default(),
            behind,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What the sites tell each other.
    pub fn sites(&self) -> &Arc<Sites> {
        &self.inner.sites
    }

    /// Whether the database needs a snapshot, as far as that was found out.
    pub fn behind(&self) -> &Behind {
        &self.inner.behind
    }

    /// Notes where a log has gone round since what a database has applied, as far as
    /// sites have said: what it lacks is overwritten for certain.
    pub(crate) fn check_round<'p>(
        &self,
        partitions: impl IntoIterator<Item = &'p Partition>,
        applied: &Applied,
    ) -> Result<(), LogFault> {
        let reports = self.inner.sites.reports();
        for partition in partitions {
            let at = applied.point(partition).position;
            let claims = reports.claims(partition).into_iter();
            let last = claims.map(|point| point.position).max().unwrap_or_default();
            if last > at.saturating_add(self.inner.ring.slots) {
                let (partition, applied) = (partition.clone(), at);
                return self
                    .inner
                    .note(Err(LogFault::Behind { partition, applied }));
            }
        }
        Ok(())
    }

    /// The partitions whose last turn ended well here, with how many entries their
    /// logs hold, and whether the site works on them alone.
    pub fn kept(&self) -> BTreeMap<Partition, (usize, bool)> {
        let books = self.inner.books();
        let kept = books.iter();
        kept.map(|(partition, book)| (partition.clone(), (book.entries(), book.is_alone)))
            .collect()
    }

    /// Becomes the owner of partitions. `applied` is what the local database has
    /// applied; what it lacks is in [`Turn::missed`].
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the wait; [`Error::Fault`] where a log or the
    /// database is not what it must be; [`Error::Music`] where MUSIC fails.
    ///
    /// # Cost
    /// One enqueue's rounds, none where the site worked alone lately; and one
    /// round to read the logs, none where nobody else had a turn since this
    /// site's last one. Where what was missed rests on other partitions that
    /// the local replica does not know well enough, the same again for each
    /// of these.
    ///
    /// # Cancel safety
    /// Nothing stays owned: the lock is given back in the background.
    pub async fn turn(
        &self,
        partitions: &PartitionSet,
        access: Access,
        applied: &Applied,
        wait: Duration,
    ) -> Result<Turn, Error> {
        let wanted = (partitions, access);
        Turn::open(Arc::clone(&self.inner), wanted, applied, wait).await
    }

    /// What a database can apply of these partitions without owning them, in
    /// order: whole transactions, known to be committed, that are at the local
    /// replica with all that comes before them. Often not the latest.
    ///
    /// # Errors
    /// [`Error::Music`], [`Error::Sites`] where the own site's node cannot be
    /// reached.
    ///
    /// # Cost
    /// Requests to the own site; no wide-area round. A log is read only where
    /// something new is known of it.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn follow(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
        applied: &Applied,
    ) -> Result<Vec<Entry>, Error> {
        let reports = self.inner.sites.refresh().await?;
        let is_new =
            |partition: &Partition| is_behind(&reports.claims(partition), applied.point(partition));
        let mut unread: BTreeSet<Partition> = partitions.into_iter().filter(is_new).collect();
        let mut readings = Readings::new();
        while !unread.is_empty() {
            let read = try_join_all(unread.iter().map(|partition| self.inner.look(partition)));
            let read = read.await?;
            readings.extend(std::mem::take(&mut unread).into_iter().zip(read));
            // Transactions there may rest on partitions that nobody spoke of.
            for (partition, reading) in &readings {
                let chain = reading.view.chain(applied.point(partition));
                let places = chain.iter().flat_map(|slot| &slot.head.places);
                let others = places.map(|place| &place.partition);
                unread.extend(
                    others
                        .filter(|other| !readings.contains_key(*other))
                        .cloned(),
                );
            }
        }
        Ok(visible(&readings, applied)?)
    }

    /// What is known of a partition.
    ///
    /// # Errors
    /// [`Error::Music`] where no majority answers.
    ///
    /// # Cost
    /// One linearizable read of the lock store, and requests to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn status(&self, partition: &Partition) -> Result<Status, Error> {
        let queue = self
            .inner
            .client
            .queue(self.inner.record(partition))
            .await?;
        let reading = self.inner.look(partition).await?;
        let reports = self.inner.sites.refresh().await?;
        let claims = reading.view.claims().chain(reports.claims(partition));
        let sizes = reading.view.sizes();
        let sites = reports
            .iter()
            .map(|(site, report)| (site.to_owned(), report.applied.point(partition)));
        Ok(Status {
            queue,
            committed: claims.max().unwrap_or_default(),
            entries: sizes.len(),
            bytes: sizes.values().sum(),
            sites: sites.collect(),
        })
    }
}

impl Inner {
    /// Notes where an error says that the database needs a snapshot.
    pub(crate) fn note<T>(&self, result: Result<T, LogFault>) -> Result<T, LogFault> {
        if let Err(fault @ LogFault::Behind { .. }) = &result {
            self.behind.note(fault);
        }
        result
    }

    /// The record of a partition's log.
    pub(crate) fn record(&self, partition: &Partition) -> RecordKey {
        RecordKey::from((self.table.as_str(), partition.name()))
    }

    /// How many entries of a turn may be under way: a part of the ring, so that
    /// what is overwritten is acknowledged.
    pub(crate) fn under_way_max(&self) -> usize {
        let count = UNDER_WAY_MAX.min(self.ring.slots / SLOTS_MIN);
        usize::try_from(count).unwrap_or(usize::MAX)
    }

    /// Reads a log at the local replica.
    pub(crate) async fn look(&self, partition: &Partition) -> Result<Reading, music_client::Error> {
        let record = self.client.fields(self.record(partition)).await?;
        let fields = record.map(|record| record.fields).unwrap_or_default();
        Ok(Reading {
            view: View::read(self.ring, partition, fields),
            is_owned: false,
            claims: self.sites.reports().claims(partition),
        })
    }

    /// Takes the books of partitions out, where turns with these tokens are
    /// granted. Returns those of logs that are as this site left them, since its
    /// turn there was the last one; and of which partitions it was the last site.
    pub(crate) fn follow_books(
        &self,
        tokens: &BTreeMap<Partition, u64>,
    ) -> (BTreeMap<Partition, Book>, BTreeSet<Partition>) {
        let mut books = self.books();
        let (mut known, mut alone) = (BTreeMap::new(), BTreeSet::new());
        for (partition, token) in tokens {
            let Some(book) = books.remove(partition) else {
                continue;
            };
            if book.is_next(*token) {
                alone.insert(partition.clone());
            }
            if let Some(book) = book.follow(*token) {
                known.insert(partition.clone(), book);
            }
        }
        (known, alone)
    }

    /// Whether this site alone had turns of these partitions lately: then it has
    /// their tickets at hand, which are not to be shared.
    pub(crate) fn is_alone(&self, partitions: &PartitionSet) -> bool {
        let books = self.books();
        let is_alone = |partition| books.get(partition).is_some_and(|book| book.is_alone);
        partitions.iter().all(is_alone)
    }

    /// Remembers logs as they are at the end of a turn.
    pub(crate) fn keep_books(&self, kept: Vec<(Partition, Book)>) {
        let mut books = self.books();
        for (partition, book) in kept {
            // One that is forgotten is read again.
            if books.len() >= BOOKS_MAX {
                books.pop_first();
            }
            books.insert(partition, book);
        }
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<Partition, Book>> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
