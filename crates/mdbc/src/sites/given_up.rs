//! Sites that a full log does not wait for any more.
//!
//! A site that follows the log lacks nothing for long: what it lacks is not
//! overwritten as long as it goes on. One that is away, or does not go on, is
//! given up after a wait, so that it holds up nobody twice, and waited for again
//! once it has gone on: until then it may come to need a snapshot.

use std::collections::BTreeMap;

use super::report::Reports;
use crate::partition::Partition;
use crate::redo_log::Point;

/// Each such site, and what it had applied of the log that was full.
#[derive(Debug)]
pub(super) struct GivenUp {
    /// The site that waits: its database is never far behind what it writes.
    own: String,
    sites: BTreeMap<String, (Partition, Point)>,
}

impl GivenUp {
    pub(super) fn new(own: String) -> Self {
        let sites = BTreeMap::new();
        Self { own, sites }
    }

    fn is_waited_for(&self, site: &str) -> bool {
        site != self.own && !self.sites.contains_key(site)
    }

    /// Waits again for those that have gone on.
    pub(super) fn note(&mut self, reports: &Reports) {
        self.sites.retain(|site, (partition, point)| {
            let report = reports.of(site);
            report.is_some_and(|report| report.applied.point(partition) <= *point)
        });
    }

    /// What of a log a majority of so many sites has applied, and every site that
    /// is waited for.
    pub(super) fn free(&self, reports: &Reports, partition: &Partition, majority: usize) -> u64 {
        let waited_for = reports.iter().filter(|(site, _)| self.is_waited_for(site));
        let applied = waited_for.map(|(_, report)| report.applied.point(partition).position);
        let floor = reports.floor(partition, majority);
        applied.fold(floor, u64::min)
    }

    /// Gives up those that lack what a majority has. Whether there were any.
    pub(super) fn give_up(
        &mut self,
        reports: &Reports,
        partition: &Partition,
        majority: usize,
    ) -> bool {
        let floor = reports.floor(partition, majority);
        let before = self.sites.len();
        for (site, report) in reports.iter() {
            let point = report.applied.point(partition);
            if point.position < floor && self.is_waited_for(site) {
                tracing::warn!(site, %partition, "the log does not wait for a site any more");
                self.sites
                    .insert(site.to_owned(), (partition.clone(), point));
            }
        }
        self.sites.len() > before
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::reports;
    use super::*;

    #[test]
    fn a_site_that_stands_still_is_waited_for_once() {
        let (mut given_up, majority) = (GivenUp::new("0".to_owned()), 2);
        let (said, partition) = reports(&[7, 2, 5]);
        assert_eq!(given_up.free(&said, &partition, majority), 2);
        assert!(given_up.give_up(&said, &partition, majority));
        assert!(!given_up.give_up(&said, &partition, majority));
        given_up.note(&said);
        assert_eq!(given_up.free(&said, &partition, majority), 5);
        let (said, _) = reports(&[8, 3, 6]);
        given_up.note(&said);
        assert_eq!(given_up.free(&said, &partition, majority), 3);
    }

    #[test]
    fn what_a_majority_lacks_is_never_free() {
        let mut given_up = GivenUp::new("1".to_owned());
        let (said, partition) = reports(&[7, 0, 0]);
        assert!(!given_up.give_up(&said, &partition, 2));
        assert_eq!(given_up.free(&said, &partition, 2), 0);
    }
}
