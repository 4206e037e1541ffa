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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use music_client::api::name::{FieldChanges, Fields, Value};
use music_client::{Client, Outcome, ScanOptions};

use crate::partition::Partition;
use crate::redo_log::{Applied, Point};

/// The most sites of a database.
pub const SITES_MAX: usize = 32;

/// How often a site says that there is nothing new, in microseconds.
const SAID_EVERY_US: u64 = 2_000_000;

/// The most fields that one put of MUSIC may have.
const FIELDS_MAX: usize = 256;

/// The sites of a database. All sites must have the same list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteList {
    version: u64,
    names: BTreeSet<String>,
}

impl SiteList {
    /// A list of sites. Whoever changes it gives it a higher version.
    ///
    /// # Errors
    /// [`SitesError::List`] where there is no site, there are more than
    /// [`SITES_MAX`], or a name is empty or has a comma or colon in it.
    pub fn new<N: Into<String>>(
        version: u64,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, SitesError> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains([',', ':']);
        if names.is_empty() || names.len() > SITES_MAX || !names.iter().all(is_name) {
            return Err(SitesError::List(names.into_iter().collect()));
        }
        Ok(Self { version, names })
    }

    /// The names, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// More than half of the sites.
    pub(crate) fn majority(&self) -> usize {
        self.names.len() / 2 + 1
    }

    fn to_text(&self) -> String {
        let names: Vec<&str> = self.names().collect();
        format!("{}:{}", self.version, names.join(","))
    }

    fn from_text(text: &str) -> Option<Self> {
        let (version, names) = text.split_once(':')?;
        Self::new(version.parse().ok()?, names.split(',')).ok()
    }
}

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

/// What one site has said of itself, as far as it is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What its database has applied.
    pub applied: Applied,
    /// What it knows to be committed.
    pub committed: Applied,
    /// The last eventual digest that it has sent; 0 before the first.
    pub sent: u64,
    /// Up to which of these it has deleted.
    pub collected: u64,
    /// The last eventual digest that it has applied, of each site.
    pub received: BTreeMap<String, u64>,
    /// How many values of each sequence it has given, by object id.
    pub given: BTreeMap<u32, i64>,
    /// When it said last what it has committed, in microseconds since 1970 by its
    /// clock; 0 for never.
    pub said_us: u64,
    list: Option<String>,
}

impl Report {
    fn read(fields: Fields) -> Self {
        let mut report = Self::default();
        for (name, value) in fields {
            let Value::Text(text) = value else { continue };
            report.take(&name, text);
        }
        report
    }

    fn take(&mut self, name: &str, text: String) {
        match (name, name.split_once(':')) {
            ("", _) => self.list = Some(text),
            ("s", _) => self.sent = text.parse().unwrap_or_default(),
            ("t", _) => self.said_us = text.parse().unwrap_or_default(),
            ("k", _) => self.collected = text.parse().unwrap_or_default(),
            (_, Some(("r", site))) => {
                self.received
                    .insert(site.to_owned(), text.parse().unwrap_or_default());
            }
            (_, Some(("q", sequence))) => {
                if let (Ok(sequence), Ok(given)) = (sequence.parse(), text.parse()) {
                    self.given.insert(sequence, given);
                }
            }
            (_, Some((kind, partition))) => {
                let partition = Partition::try_from(partition.to_owned());
                let (Ok(partition), Ok(point)) = (partition, text.parse()) else {
                    return;
                };
                match kind {
                    "a" => self.applied.set(partition, point),
                    "c" => self.committed.set(partition, point),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// What all sites have said, as far as it is known here.
#[derive(Clone, Debug, Default)]
pub struct Reports(BTreeMap<String, Report>);

impl Reports {
    /// What a site has said.
    pub fn of(&self, site: &str) -> Option<&Report> {
        self.0.get(site)
    }

    /// All sites, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Report)> {
        self.0.iter().map(|(site, report)| (site.as_str(), report))
    }

    /// Points of a log that are committed.
    pub(crate) fn claims(&self, partition: &Partition) -> Vec<Point> {
        let points = |report: &Report| {
            [
                report.applied.point(partition),
                report.committed.point(partition),
            ]
        };
        self.0
            .values()
            .flat_map(points)
            .filter(|point| *point != Point::START)
            .collect()
    }

    /// The highest position of a log that so many sites have applied.
    pub(crate) fn floor(&self, partition: &Partition, sites: usize) -> u64 {
        let applied = self
            .0
            .values()
            .map(|report| report.applied.point(partition).position);
        let mut applied: Vec<u64> = applied.collect();
        applied.sort_unstable();
        let place = applied.len().checked_sub(sites);
        place
            .and_then(|place| applied.get(place))
            .copied()
            .unwrap_or_default()
    }

    /// Up to when everything that other sites than this one had committed is
    /// said; none where one has said nothing yet.
    pub(crate) fn said_us(&self, own: &str) -> Option<u64> {
        let others = self.0.iter().filter(|(site, _)| *site != own);
        let said_us = others.map(|(_, report)| report.said_us).min();
        said_us.filter(|said_us| *said_us > 0)
    }

    /// The last eventual digest of a site that so many other sites have applied,
    /// or all of them where they are fewer; the highest number where there are
    /// none.
    pub(crate) fn received_by(&self, sender: &str, sites: usize) -> u64 {
        let others = self.0.iter().filter(|(site, _)| *site != sender);
        let received = others.map(|(_, report)| report.received.get(sender).copied());
        let mut received: Vec<u64> = received.map(Option::unwrap_or_default).collect();
        received.sort_unstable();
        let place = received.len().saturating_sub(sites);
        received.get(place).copied().unwrap_or(u64::MAX)
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
}

impl Sites {
    /// Says which list this site has, and reads what the others have said.
    pub(crate) async fn open(
        client: Client,
        table: String,
        own: String,
        list: SiteList,
    ) -> Result<Self, SitesError> {
        if !list.names.contains(&own) {
            return Err(SitesError::NotListed(own));
        }
        let sites = Self {
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
                .is_some_and(|other| other.version < self.list.version);
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
        let reports = self.list.names.iter().map(async |site| {
            let record = self.client.fields((self.table.as_str(), site)).await?;
            let report = record.map(|record| Report::read(record.fields));
            Ok::<_, music_client::Error>((site.clone(), report.unwrap_or_default()))
        });
        let reports = Arc::new(Reports(try_join_all(reports).await?.into_iter().collect()));
        self.agree(&reports)?;
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&reports);
        Ok(reports)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn reports(applied: &[u64]) -> (Reports, Partition) {
        let partition = Partition::of_table("t").unwrap();
        let report = |position: &u64| Report {
            applied: [(
                partition.clone(),
                Point {
                    position: *position,
                    token: 1,
                },
            )]
            .into_iter()
            .collect(),
            ..Report::default()
        };
        let sites = applied.iter().enumerate();
        let reports = sites.map(|(n, position)| (n.to_string(), report(position)));
        (Reports(reports.collect()), partition)
    }

    #[test]
    fn a_floor_is_what_so_many_sites_have_applied() {
        let (reports, partition) = reports(&[7, 2, 5]);
        let floors = [1, 2, 3, 4].map(|sites| reports.floor(&partition, sites));
        assert_eq!(floors, [7, 5, 2, 0]);
    }

    #[test]
    fn a_site_that_said_nothing_has_received_nothing() {
        let mut report = Report::default();
        report.take("r:a", "4".to_owned());
        let mut reports = Reports(BTreeMap::from([("b".to_owned(), report)]));
        assert_eq!(reports.received_by("a", 2), 4);
        reports.0.insert("c".to_owned(), Report::default());
        let received = [0, 1, 2, 3].map(|sites| reports.received_by("a", sites));
        assert_eq!(received, [u64::MAX, 4, 0, 0]);
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = SiteList::new(3, ["ohio", "oregon"]).unwrap();
        assert_eq!(SiteList::from_text(&list.to_text()), Some(list));
        assert!(SiteList::new(1, ["a,b"]).is_err());
        assert!(SiteList::new(1, Vec::<String>::new()).is_err());
    }
}
