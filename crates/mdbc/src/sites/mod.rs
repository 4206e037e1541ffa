//! What the sites tell each other of themselves, in the eventual table
//! `mdbc_<database>_sites`: a record a site, written by that site alone.
//!
//! | field | content |
//! |---|---|
//! | default | the list of sites as this site has it, with its version |
//! | `a:<partition>` | the last entry that the site's database has applied |
//! | `c:<partition>` | the last entry that the site knows to be committed |
//! | `s` | the last eventual digest that the site has sent |
//! | `k` | up to which of these it has deleted |
//! | `t` | a time by the site's clock: what it had committed by then, it has said |
//! | `r:<site>` | the last eventual digest that it has applied of that site |
//! | `q:<object id>` | how many values of a sequence it has given |
//!
//! All of these only grow, and all are true when they are written: what is read
//! late at another site is a lower bound. So nothing but speed rests on how soon
//! they arrive.

mod given_up;
mod list;
mod report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;
use music_client::api::name::{FieldChanges, Value};
use music_client::{Client, Outcome, ScanOptions};

use self::given_up::GivenUp;
pub use self::list::{SITES_MAX, SiteList};
pub use self::report::{Report, Reports};
use crate::partition::Partition;
use crate::redo_log::Applied;

/// How often a site says that there is nothing new, in microseconds.
const SAID_EVERY_US: u64 = 2_000_000;

/// The most fields that one put of MUSIC may have.
const FIELDS_MAX: usize = 256;
/// Why a site cannot take part. Nothing was changed but what it says of itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SitesError {
    /// A list that cannot be one.
    #[error("a list of 1 to {SITES_MAX} sites with names without commas and colons, not {0:?}")]
    List(Vec<String>),
    /// The site is not in its own list.
    #[error("site {0} is not in the list of sites: add it there")]
    NotListed(String),
    /// Another site has another list.
    #[error(
        "site {site} has another list of sites, {theirs}, than this one, {ours}: give the right \
         one to all, with the same version, higher than both where both are wrong"
    )]
    Disagree {
        /// The other site.
        site: String,
        /// Its list.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// MUSIC failed.
    #[error("the table of the sites cannot be reached")]
    Music(#[from] music_client::Error),
}

impl SitesError {
    /// Whether anything may have happened. What a site says of itself is true,
    /// so it does no harm.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Music(error) => error.outcome(),
            _ => Outcome::NotApplied,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Music(error) if error.is_retryable())
    }
}

/// What is to be said anew.
#[derive(Clone, Debug, Default)]
pub(crate) struct News {
    pub(crate) applied: Applied,
    pub(crate) committed: Applied,
    pub(crate) sent: u64,
    pub(crate) collected: u64,
    pub(crate) received: BTreeMap<String, u64>,
    pub(crate) given: BTreeMap<u32, i64>,
    pub(crate) said_us: u64,
}

/// The sites of a database, as one of them sees them.
#[derive(Debug)]
pub struct Sites {
    client: Client,
    table: String,
    own: String,
    list: SiteList,
    /// What this site has said. Held while it speaks: of two puts at once, the
    /// older could win.
    said: tokio::sync::Mutex<Report>,
    reports: Mutex<Arc<Reports>>,
    given_up: Mutex<GivenUp>,
}

impl Sites {
    /// Says which list this site has, and reads what the others have said.
    pub(crate) async fn open(
        client: Client,
        table: String,
        own: String,
        list: SiteList,
    ) -> Result<Self, SitesError> {
        if !list.contains(&own) {
            return Err(SitesError::NotListed(own));
        }
        let sites = Self {
            given_up: Mutex::new(GivenUp::new(own.clone())),
            client,
            table,
            own,
            list,
            said: tokio::sync::Mutex::default(),
            reports: Mutex::default(),
        };
        sites.agree(&sites.everybody().await?)?;
        let reports = sites.refresh().await?;
        let mut said = sites.said.lock().await;
        *said = reports.of(&sites.own).cloned().unwrap_or_default();
        let text = sites.list.to_text();
        if said.list.as_ref() != Some(&text) {
            let fields = FieldChanges::from([(String::new(), Some(Value::Text(text)))]);
            sites.put(fields).await?;
        }
        drop(said);
        Ok(sites)
    }

    /// What all sites have said that are in the table, listed or not.
    async fn everybody(&self) -> Result<Reports, SitesError> {
        let page = self
            .client
            .scan_page(&self.table, &ScanOptions::default())
            .await?;
        let reports = page.records.into_iter().filter_map(|record| {
            let name = String::from_utf8(record.key.to_bytes().ok()?).ok()?;
            Some((name, Report::read(record.fields)))
        });
        Ok(Reports(reports.collect()))
    }

    fn agree(&self, reports: &Reports) -> Result<(), SitesError> {
        for (site, report) in reports.iter().filter(|(site, _)| *site != self.own) {
            let Some(theirs) = &report.list else { continue };
            let other = SiteList::from_text(theirs);
            let is_older = other
                .as_ref()
                .is_some_and(|other| other.is_before(&self.list));
            if other.as_ref() != Some(&self.list) && !is_older {
                return Err(SitesError::Disagree {
                    site: site.to_owned(),
                    theirs: theirs.clone(),
                    ours: self.list.to_text(),
                });
            }
        }
        Ok(())
    }

    /// The name of this site.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// The list of sites.
    pub fn list(&self) -> &SiteList {
        &self.list
    }

    /// What the sites had said when it was looked at last.
    pub fn reports(&self) -> Arc<Reports> {
        Arc::clone(&self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at what the sites have said, at the local replica.
    ///
    /// # Errors
    /// [`SitesError::Music`] where the own site's node cannot be reached;
    /// [`SitesError::Disagree`] where a site has another list by now.
    ///
    /// # Cost
    /// A request to the own site for each site; no wide-area round.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn refresh(&self) -> Result<Arc<Reports>, SitesError> {
        let reports = self.list.names().map(async |site| {
            let record = self.client.fields((self.table.as_str(), site)).await?;
            let report = record.map(|record| Report::read(record.fields));
            Ok::<_, music_client::Error>((site.to_owned(), report.unwrap_or_default()))
        });
        let reports = Arc::new(Reports(try_join_all(reports).await?.into_iter().collect()));
        self.agree(&reports)?;
        self.given_up().note(&reports);
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&reports);
        Ok(reports)
    }

    fn given_up(&self) -> MutexGuard<'_, GivenUp> {
        let given_up = self.given_up.lock();
        given_up.unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to where a log may be overwritten: a majority of the sites has applied
    /// that, and every site that is waited for.
    pub(crate) fn free(&self, partition: &Partition) -> u64 {
        let majority = self.list.majority();
        let reports = self.reports();
        self.given_up().free(&reports, partition, majority)
    }

    /// Waits no more for sites that lack what is in the way of a log, until they go
    /// on. Whether there are any that a majority does without.
    pub(crate) fn give_up(&self, partition: &Partition) -> bool {
        let majority = self.list.majority();
        let reports = self.reports();
        self.given_up().give_up(&reports, partition, majority)
    }

    /// Says what this site's database has applied: only what is on its disk, and
    /// what it had on `said_us`, in microseconds since 1970. On that, others
    /// overwrite what is in the log, and tell how old theirs is.
    ///
    /// # Errors
    /// [`SitesError::Music`] where the own site's node cannot be reached.
    ///
    /// # Cost
    /// A request to the own site; no wide-area round. None where nothing is new
    /// but the time, and that was said less than 2 s before.
    ///
    /// # Cancel safety
    /// It may or may not be said.
    pub async fn publish_applied(&self, applied: &Applied, said_us: u64) -> Result<(), SitesError> {
        let applied = applied.clone();
        self.say(News {
            applied,
            said_us,
            ..News::default()
        })
        .await
    }

    /// Says what is new, and leaves out what is not.
    pub(crate) async fn say(&self, news: News) -> Result<(), SitesError> {
        let mut said = self.said.lock().await;
        let mut next = said.clone();
        let mut fields = Vec::new();
        let mut grow = |kind: &str, said: &mut Applied, news: &Applied| {
            for (partition, point) in news.iter() {
                if point > said.point(partition) {
                    said.set(partition.clone(), point);
                    fields.push((format!("{kind}:{partition}"), point.to_string()));
                }
            }
        };
        grow("a", &mut next.applied, &news.applied);
        grow("c", &mut next.committed, &news.committed);
        if news.sent > next.sent {
            next.sent = news.sent;
            fields.push(("s".to_owned(), news.sent.to_string()));
        }
        if news.collected > next.collected {
            next.collected = news.collected;
            fields.push(("k".to_owned(), news.collected.to_string()));
        }
        if news.said_us >= next.said_us.saturating_add(SAID_EVERY_US) {
            next.said_us = news.said_us;
            fields.push(("t".to_owned(), news.said_us.to_string()));
        }
        for (site, sequence) in news.received {
            let known = next.received.entry(site.clone()).or_default();
            if sequence > *known {
                *known = sequence;
                fields.push((format!("r:{site}"), sequence.to_string()));
            }
        }
        for (sequence, given) in news.given {
            let known = next.given.entry(sequence).or_default();
            if given > *known {
                *known = given;
                fields.push((format!("q:{sequence}"), given.to_string()));
            }
        }
        for fields in fields.chunks(FIELDS_MAX) {
            let text = |text: &String| Some(Value::Text(text.clone()));
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), text(value)));
            self.put(fields.collect()).await?;
        }
        *said = next;
        Ok(())
    }

    async fn put(&self, fields: FieldChanges) -> Result<(), SitesError> {
        let record = (self.table.as_str(), &self.own);
        self.client.put_fields(record, fields).await?;
        Ok(())
    }
}
