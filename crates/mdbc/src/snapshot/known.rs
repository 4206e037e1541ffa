//! What a site is known to have, which it must not lose by a restore.

use std::collections::BTreeMap;

use super::Head;
use crate::engine::sqlite::copy::Contents;
use crate::sites::Reports;

/// What a site has said, what others have of it, and what its file holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(crate) own: String,
    /// How far each partition's log is applied.
    pub(crate) applied: BTreeMap<String, u64>,
    /// The last letter of each other site that is applied.
    pub(crate) received: BTreeMap<String, u64>,
    /// Up to which letter of this site all is deleted.
    pub(crate) collected: u64,
    /// The last letter of this site that anybody has heard of.
    pub(crate) written: u64,
    /// How many values of sequences this site has given, by their numbers.
    pub(crate) given: BTreeMap<u32, i64>,
}

impl Known {
    /// What is said.
    pub(crate) fn of(own: &str, reports: &Reports) -> Self {
        let mut known = Self {
            own: own.to_owned(),
            ..Self::default()
        };
        for (site, report) in reports.iter() {
            let received = report.received.get(own).copied().unwrap_or_default();
            known.written = known.written.max(received);
            if site == own {
                let applied = report.applied.iter();
                known.applied = applied
                    .map(|(partition, point)| (partition.name().to_owned(), point.position))
                    .collect();
                known.received.clone_from(&report.received);
                known.collected = report.collected;
                known.given.clone_from(&report.given);
                known.written = known.written.max(report.sent);
            }
        }
        known
    }

    /// With what its file holds.
    pub(crate) fn with(mut self, old: &Contents) -> Self {
        let grow = |known: &mut BTreeMap<String, u64>, old: &BTreeMap<String, u64>| {
            for (name, number) in old {
                let known = known.entry(name.clone()).or_default();
                *known = (*known).max(*number);
            }
        };
        grow(&mut self.applied, &old.positions);
        grow(&mut self.received, &old.received);
        self.written = self.written.max(old.last_letter);
        self
    }

    /// What a snapshot lacks, in words; none where it has all.
    pub(crate) fn lacking(&self, head: &Head) -> Option<String> {
        let Contents {
            positions,
            received,
            last_letter,
        } = &head.contents;
        let at = |numbers: &BTreeMap<String, u64>, name: &str| {
            numbers.get(name).copied().unwrap_or_default()
        };
        for (partition, position) in &self.applied {
            let there = at(positions, partition);
            if there < *position {
                return Some(format!(
                    "it has applied {partition} up to {there}, and this site has said {position}"
                ));
            }
        }
        for (site, number) in self.received.iter().filter(|(site, _)| **site != self.own) {
            let there = if *site == head.site {
                *last_letter
            } else {
                at(received, site)
            };
            if there < *number {
                return Some(format!(
                    "it has {there} letters of {site}, and this site has said {number}"
                ));
            }
        }
        let there = at(received, &self.own);
        (there < self.collected).then(|| {
            format!(
                "it has {there} letters of this site, and those up to {} are deleted",
                self.collected
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter()
            .map(|(name, n)| ((*name).to_owned(), *n))
            .collect()
    }

    fn head(positions: &[(&str, u64)], received: &[(&str, u64)], last_letter: u64) -> Head {
        Head {
            format: super::super::FORMAT,
            database: "music".to_owned(),
            site: "oregon".to_owned(),
            bytes: 1,
            contents: Contents {
                positions: numbers(positions),
                received: numbers(received),
                last_letter,
            },
            postgres: None,
        }
    }

    #[test]
    fn a_snapshot_must_have_all_that_the_site_has_said() {
        let known = Known {
            own: "ohio".to_owned(),
            applied: numbers(&[("t", 5)]),
            received: numbers(&[("oregon", 3), ("kansas", 2)]),
            collected: 4,
            written: 9,
            given: BTreeMap::new(),
        };
        let lacking = |head: &Head| known.lacking(head).unwrap_or_default();
        let kansas = ("kansas", 2);
        let good = head(&[("t", 5), ("u", 1)], &[("ohio", 4), kansas], 3);
        assert_eq!(lacking(&good), "");
        let cases = [
            (head(&[("t", 4)], &[("ohio", 4), kansas], 3), "t up to 4"),
            (
                head(&[("t", 5)], &[("ohio", 4), kansas], 2),
                "2 letters of oregon",
            ),
            (head(&[("t", 5)], &[("ohio", 4)], 3), "0 letters of kansas"),
            (
                head(&[("t", 5)], &[("ohio", 3), kansas], 3),
                "3 letters of this",
            ),
        ];
        for (head, wanted) in cases {
            assert!(lacking(&head).contains(wanted), "{}", lacking(&head));
        }
    }

    #[test]
    fn what_the_file_holds_counts_as_said() {
        let old = Contents {
            positions: numbers(&[("t", 7)]),
            received: numbers(&[("oregon", 1)]),
            last_letter: 6,
        };
        let known = Known {
            received: numbers(&[("oregon", 3)]),
            ..Known::default()
        };
        let known = known.with(&old);
        assert_eq!(known.applied, numbers(&[("t", 7)]));
        assert_eq!(known.received, numbers(&[("oregon", 3)]));
        assert_eq!(known.written, 6);
    }
}
