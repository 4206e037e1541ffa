//! What this site tells of itself and of the others.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::{Inner, Replicated};
use crate::clock;
use crate::partition::Partition;
use crate::redo_log::Applied;
use crate::sites::{Report, Reports};
use crate::status::{PartitionLine, SiteLine, SiteStatus};

impl Replicated {
    /// What is known here; nobody is asked.
    pub(super) fn site_status(&self) -> SiteStatus {
        let inner = &self.inner;
        let sites = inner.log.sites();
        let (reports, own) = (sites.reports(), sites.own());
        let partitions = self.followed().unwrap_or_default();
        let applied = inner.local.applied();
        let mail = inner.local.last_mail();
        let level_us = inner.level_us.load(Ordering::Relaxed);
        let age_us = clock::wall_us().saturating_sub(level_us);
        let of_site = |(site, report): (&str, &Report)| SiteLine {
            site: site.to_owned(),
            is_here: site == own,
            said_us: i64::try_from(report.said_us).ok().filter(|said| *said > 0),
            entries_behind: entries_behind(&partitions, &reports, &report.applied),
            letters_sent: report.sent,
            letters_to_apply: if site == own {
                0
            } else {
                let here = mail.received.get(site).copied().unwrap_or_default();
                report.sent.saturating_sub(here)
            },
            letters_unapplied: if site == own {
                0
            } else {
                let there = report.received.get(own).copied().unwrap_or_default();
                mail.last.saturating_sub(there)
            },
        };
        SiteStatus {
            site: own.to_owned(),
            age_us: i64::try_from(age_us).ok().filter(|_| level_us > 0),
            behind: inner.log.behind().reason().map(str::to_owned),
            letters_written: mail.last,
            letters_sent: reports.of(own).map_or(0, |report| report.sent),
            letters_done: reports.of(own).map_or(0, |report| report.collected),
            turns: inner.ownership.turns(),
            entries_replayed: inner.local.replayed(),
            waiting: u64::try_from(inner.ownership.waiting()).unwrap_or(u64::MAX),
            sites: reports.iter().map(of_site).collect(),
            partitions: inner.partition_lines(&partitions, &reports, &applied),
        }
    }
}

impl Inner {
    fn partition_lines(
        &self,
        partitions: &BTreeSet<Partition>,
        reports: &Reports,
        applied: &Applied,
    ) -> Vec<PartitionLine> {
        let (owned, kept) = (self.ownership.owned(), self.log.kept());
        let all = self.log.sites().list().names().count();
        let line = |partition: &Partition| {
            let ownership = if owned.contains(partition) {
                Some("turn")
            } else {
                kept.contains_key(partition).then_some("kept")
            };
            let here = applied.point(partition).position;
            let committed = committed(partition, reports).max(here);
            PartitionLine {
                partition: partition.name().to_owned(),
                ownership,
                applied: here,
                committed,
                length: committed.saturating_sub(reports.floor(partition, all)),
            }
        };
        partitions.iter().map(line).collect()
    }
}

fn committed(partition: &Partition, reports: &Reports) -> u64 {
    let claims = reports.claims(partition).into_iter();
    claims.map(|point| point.position).max().unwrap_or_default()
}

fn entries_behind(partitions: &BTreeSet<Partition>, reports: &Reports, applied: &Applied) -> u64 {
    let behind = partitions.iter().map(|partition| {
        committed(partition, reports).saturating_sub(applied.point(partition).position)
    });
    behind.sum()
}
