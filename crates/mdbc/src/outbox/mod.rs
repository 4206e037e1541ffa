//! Eventual tables: what a site committed, told to the others.
//!
//! ```text
//!  table mdbc_<database>_outbox (eventual)
//!  key = <site>/<sequence>     default field: checksum | head | digest
//!                              fields p<k>: the digest in pieces, if it is large
//! ```
//!
//! A transaction on eventual tables commits at once. In the same local
//! transaction the database keeps its digest under the next number of the
//! site's *sequence*: 1, 2, 3 … The digest is then [sent](Outbox::send): put at
//! the local replica, from where MUSIC carries it. The put may be made again at
//! any time; it is the same record.
//!
//! Other sites [receive](Outbox::receive) the digests of each site in the order of
//! its sequence, without gaps, and apply each in one local transaction with its
//! number. Rows carry [stamps](Stamp); the highest wins.
//!
//! *Invariant*: a digest is kept until every site of the list has applied it, so
//! a site may be away for long. Beyond [`LETTERS_MAX`] digests, those that a
//! majority of the sites has applied, the sender one of them, are given up; a site
//! that lacks one finds that out by name. A digest leaves the outbox only by
//! [`Outbox::collect`].
//!
//! *The worst failure survived*: the sender stops between its commit and the put
//! (it sends again when it starts), or the local replica is lost before it told
//! the others (the same).

mod clock;
mod codec;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt as _};
use music_client::api::table::TableMode;
use music_client::{Cell, Client, RecordKey};

pub use clock::Stamp;

use crate::outbox::clock::StampClock;
use crate::outbox::codec::{decode, encode, take, whole};
use crate::redo_log::RedoLog;
use crate::redo_log::entry::{DIGEST_BYTES_MAX, pieces};
use crate::sites::{News, Sites, SitesError};

/// How many digests of a site are received, told to be lacked or collected by one
/// call.
pub const BATCH_MAX: u64 = 32;

/// How many bytes of digests are enough for a batch, however few they are.
pub(crate) const BATCH_BYTES_MAX: usize = 8 << 20;

/// How many digests of a site are read at once.
const READ_AT_ONCE: usize = 4;

/// How many digests of a site are kept for sites that are away: several days of
/// ten transactions a second.
pub const LETTERS_MAX: u64 = 10_000_000;

/// A digest on its way to the other sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The sender.
    pub site: String,
    /// Its number in the sender's sequence, from 1.
    pub sequence: u64,
    /// The stamp of its rows.
    pub stamp: Stamp,
    /// What it changed; only the database knows what the bytes mean.
    pub digest: Bytes,
}

/// Digests that have come.
#[derive(Debug, Default)]
pub struct Arrivals {
    /// In the order of each sender's sequence.
    pub letters: Vec<Letter>,
    /// Senders of whom more was sent than has come, and the number that is
    /// missing first.
    pub missing: BTreeMap<String, u64>,
    /// Why nothing more is received of a sender:
    /// [`Damaged`](OutboxError::Damaged) where its next digest cannot be read,
    /// [`Behind`](OutboxError::Behind) where it is given up.
    pub refused: Vec<OutboxError>,
}

/// Why the outbox fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The digest is too large. Nothing was sent.
    #[error("the changes have {0} bytes, more than {DIGEST_BYTES_MAX}: change fewer rows")]
    TooLarge(usize),
    /// A record that is no digest. It is not applied, nor what follows it.
    #[error(
        "digest {sequence} of site {site} cannot be read: something else than this version of \
         mdbc has written its table"
    )]
    Damaged {
        /// The sender.
        site: String,
        /// The number.
        sequence: u64,
    },
    /// This site was away for too long: a digest that it lacks is given up.
    #[error(
        "digest {sequence} of site {site} is deleted, and this site has not applied it: restore \
         its database from a snapshot of another site"
    )]
    Behind {
        /// The sender.
        site: String,
        /// The number.
        sequence: u64,
    },
    /// The sites cannot be told.
    #[error(transparent)]
    Sites(#[from] SitesError),
    /// MUSIC failed. A digest may or may not be sent: send it again.
    #[error("the outbox cannot be reached")]
    Music(#[from] music_client::Error),
}

impl OutboxError {
    /// Whether the same call may succeed later. All calls may be made again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TooLarge(_) | Self::Damaged { .. } | Self::Behind { .. } => false,
            Self::Sites(error) => error.is_retryable(),
            Self::Music(error) => error.is_retryable(),
        }
    }
}

/// The outbox of a database, as one site has it.
#[derive(Debug)]
pub struct Outbox {
    client: Client,
    table: String,
    sites: Arc<Sites>,
    clock: StampClock,
}

impl Outbox {
    /// Opens the outbox, creating its table if there is none.
    ///
    /// # Errors
    /// [`OutboxError::Music`] where MUSIC cannot be reached.
    ///
    /// # Cost
    /// One consensus where the table is new.
    ///
    /// # Cancel safety
    /// The table may or may not be created.
    pub async fn open(client: Client, database: &str, log: &RedoLog) -> Result<Self, OutboxError> {
        let table = format!("mdbc_{database}_outbox");
        client.create_table(&table, TableMode::Eventual).await?;
        let sites = Arc::clone(log.sites());
        Ok(Self {
            client,
            table,
            sites,
            clock: StampClock::default(),
        })
    }

    /// A stamp for the rows of a transaction: higher than all that this site has
    /// given or [seen](Self::observe).
    pub fn stamp(&self) -> Stamp {
        Stamp {
            at_us: self.clock.next_us(),
            site: self.sites.own().to_owned(),
        }
    }

    /// Notes the time of a stamp, in microseconds since 1970: at the start, the
    /// highest one in the database.
    pub fn observe(&self, at_us: u64) {
        self.clock.observe(at_us);
    }

    /// The last digest that this site is known to have sent; 0 for none.
    pub fn sent(&self) -> u64 {
        let reports = self.sites.reports();
        reports.of(self.sites.own()).map_or(0, |report| report.sent)
    }

    /// Up to which these are deleted, as every site has applied them.
    pub fn collected(&self) -> u64 {
        let reports = self.sites.reports();
        reports
            .of(self.sites.own())
            .map_or(0, |report| report.collected)
    }

    /// Sends digests of this site, in the order of its sequence; again, if they
    /// were sent before. Those before them must have been sent.
    ///
    /// # Errors
    /// [`OutboxError::TooLarge`]; [`OutboxError::Music`], after which any of them
    /// may or may not be sent.
    ///
    /// # Cost
    /// Two requests to the own site, one after the other: the digests go at
    /// once, more requests for large ones; no wide-area round.
    ///
    /// # Cancel safety
    /// Any of them may or may not be sent: send them again.
    pub async fn send(&self, letters: &[Letter]) -> Result<(), OutboxError> {
        try_join_all(letters.iter().map(|letter| self.put(letter))).await?;
        let sent = letters.last().map_or(0, |letter| letter.sequence);
        let news = News {
            sent,
            ..News::default()
        };
        Ok(self.sites.say(news).await?)
    }

    async fn put(&self, letter: &Letter) -> Result<(), OutboxError> {
        let digest = &letter.digest;
        if digest.len() > DIGEST_BYTES_MAX {
            return Err(OutboxError::TooLarge(digest.len()));
        }
        let record = self.record(self.sites.own(), letter.sequence);
        for (number, piece) in pieces(digest).enumerate() {
            let cell = Cell {
                record: record.clone(),
                field: format!("p{number}"),
            };
            self.client.put(cell, digest.slice_ref(piece)).await?;
        }
        self.client
            .put(record, encode(&letter.stamp, digest))
            .await?;
        Ok(())
    }

    /// The digests of other sites that have come here, each sender's from the
    /// one after the last applied on.
    ///
    /// # Errors
    /// [`OutboxError::Music`], [`OutboxError::Sites`]. What is wrong with one
    /// sender is in [`Arrivals::refused`].
    ///
    /// # Cost
    /// Requests to the own site, one for each digest; no wide-area round.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn receive(&self, applied: &BTreeMap<String, u64>) -> Result<Arrivals, OutboxError> {
        let reports = self.sites.refresh().await?;
        let mut arrivals = Arrivals::default();
        for (site, report) in reports.iter().filter(|(site, _)| *site != self.sites.own()) {
            let first = applied
                .get(site)
                .copied()
                .unwrap_or_default()
                .saturating_add(1);
            if report.collected >= first {
                let (site, sequence) = (site.to_owned(), first);
                arrivals
                    .refused
                    .push(OutboxError::Behind { site, sequence });
                continue;
            }
            let last = report.sent.min(first.saturating_add(BATCH_MAX - 1));
            self.receive_from(site, first..=last, &mut arrivals).await?;
        }
        Ok(arrivals)
    }

    async fn receive_from(
        &self,
        site: &str,
        numbers: RangeInclusive<u64>,
        arrivals: &mut Arrivals,
    ) -> Result<(), OutboxError> {
        let mut bytes = 0_usize;
        let read = numbers.clone().map(|sequence| self.read(site, sequence));
        let mut read = pin!(stream::iter(read).buffered(READ_AT_ONCE));
        for sequence in numbers {
            let Some(letter) = read.next().await else {
                break;
            };
            match letter {
                Ok(Some(letter)) => {
                    self.observe(letter.stamp.at_us);
                    bytes = bytes.saturating_add(letter.digest.len());
                    arrivals.letters.push(letter);
                    if bytes >= BATCH_BYTES_MAX {
                        break;
                    }
                }
                Ok(None) => {
                    arrivals.missing.insert(site.to_owned(), sequence);
                    break;
                }
                Err(error @ OutboxError::Damaged { .. }) => {
                    arrivals.refused.push(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Says what this site's database has applied of the others: only what is on
    /// its disk.
    ///
    /// # Errors
    /// [`OutboxError::Sites`].
    ///
    /// # Cost
    /// A request to the own site; none where nothing is new.
    ///
    /// # Cancel safety
    /// It may or may not be said.
    pub async fn publish_received(
        &self,
        received: BTreeMap<String, u64>,
    ) -> Result<(), OutboxError> {
        Ok(self
            .sites
            .say(News {
                received,
                ..News::default()
            })
            .await?)
    }

    /// The digests of this site that some site has not applied, the first
    /// [`BATCH_MAX`] of them: to be [sent](Self::send) again where a replica has
    /// lost digests, or never got them.
    ///
    /// # Errors
    /// [`OutboxError::Sites`].
    ///
    /// # Cost
    /// As [`Sites::refresh`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn lacked(&self) -> Result<RangeInclusive<u64>, OutboxError> {
        let own = self.sites.own();
        let reports = self.sites.refresh().await?;
        let first = reports.received_by(own, usize::MAX).saturating_add(1);
        let sent = reports.of(own).map_or(0, |report| report.sent);
        Ok(first..=sent.min(first.saturating_add(BATCH_MAX - 1)))
    }

    /// Deletes digests of this site that every other site has applied, and of more
    /// than [`LETTERS_MAX`] those that a majority has. Returns how many.
    ///
    /// # Errors
    /// [`OutboxError::Music`], [`OutboxError::Sites`].
    ///
    /// # Cost
    /// Requests to the own site, one for each digest.
    ///
    /// # Cancel safety
    /// Some may be deleted.
    pub async fn collect(&self) -> Result<u64, OutboxError> {
        let own = self.sites.own();
        let reports = self.sites.refresh().await?;
        let report = reports.of(own).cloned().unwrap_or_default();
        let by_all = reports.received_by(own, usize::MAX);
        // The sender is one of the majority.
        let by_most = reports.received_by(own, self.sites.list().majority().saturating_sub(1));
        let excess = report.sent.saturating_sub(LETTERS_MAX).min(by_most);
        let done = by_all.max(excess).min(report.sent);
        let last = done.min(report.collected.saturating_add(BATCH_MAX));
        let deleted = (report.collected.saturating_add(1)..=last)
            .map(|sequence| self.client.delete(self.record(own, sequence)));
        for deleted in join_all(deleted).await {
            deleted?;
        }
        // Said last: after a crash in between they are deleted again.
        let news = News {
            collected: last,
            ..News::default()
        };
        self.sites.say(news).await?;
        Ok(last.saturating_sub(report.collected))
    }

    /// What is deleted of another site's digests though this site, which has applied
    /// that many, lacks it.
    pub(crate) fn gone(&self, applied: &BTreeMap<String, u64>) -> Option<OutboxError> {
        let reports = self.sites.reports();
        let mut others = reports.iter().filter(|(site, _)| *site != self.sites.own());
        others.find_map(|(site, report)| {
            let last = applied.get(site).copied().unwrap_or_default();
            let (site, sequence) = (site.to_owned(), last.saturating_add(1));
            (report.collected > last).then_some(OutboxError::Behind { site, sequence })
        })
    }

    /// How many values of sequences this site has said that it has given.
    pub(crate) fn given(&self) -> BTreeMap<u32, i64> {
        let reports = self.sites.reports();
        let own = reports.of(self.sites.own());
        own.map(|report| report.given.clone()).unwrap_or_default()
    }

    /// A digest that this site has sent; none where it is not at its replica.
    ///
    /// # Errors
    /// [`OutboxError::Music`], [`OutboxError::Damaged`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(crate) async fn own(&self, sequence: u64) -> Result<Option<Letter>, OutboxError> {
        self.read(self.sites.own(), sequence).await
    }

    fn record(&self, site: &str, sequence: u64) -> RecordKey {
        let key = format!("{site}/{sequence:020}");
        RecordKey::from((self.table.as_str(), &key))
    }

    /// A digest, where all of it has come here.
    async fn read(&self, site: &str, sequence: u64) -> Result<Option<Letter>, OutboxError> {
        let record = self.client.fields(self.record(site, sequence)).await?;
        let mut fields = record.map(|record| record.fields).unwrap_or_default();
        let Some(value) = take(&mut fields, "") else {
            return Ok(None);
        };
        let site = site.to_owned();
        let Some((head, inline)) = decode(&value) else {
            return Err(OutboxError::Damaged { site, sequence });
        };
        let Some(digest) = whole(&head, inline, fields) else {
            return Ok(None);
        };
        let stamp = head.stamp;
        Ok(Some(Letter {
            site,
            sequence,
            stamp,
            digest,
        }))
    }
}
