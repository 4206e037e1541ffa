//! What sites have said of themselves, as one of them knows it.

use std::collections::BTreeMap;

use music_client::api::name::{Fields, Value};

use crate::partition::Partition;
use crate::redo_log::{Applied, Point};

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
    pub(super) list: Option<String>,
}

impl Report {
    pub(super) fn read(fields: Fields) -> Self {
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
pub struct Reports(pub(super) BTreeMap<String, Report>);

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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn reports(applied: &[u64]) -> (Reports, Partition) {
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
}
