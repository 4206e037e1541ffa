//! What makes a result none: sites that do not agree, and transactions that
//! were acknowledged and are not there, or are there and were never made.

use std::collections::BTreeMap;

use super::clients::{Seen, Tally};

/// What was done on the tables of a workload, by kinds.
#[derive(Debug, Default)]
pub(super) struct Done {
    acknowledged: BTreeMap<String, u64>,
    unknown: BTreeMap<String, u64>,
}

impl Done {
    /// Adds what the clients of sites did.
    pub(super) fn add(&mut self, tallies: &[Tally]) {
        for (kind, count) in tallies.iter().flat_map(|tally| &tally.acknowledged) {
            *self.acknowledged.entry(kind.clone()).or_default() += count;
        }
        for (kind, count) in tallies.iter().flat_map(|tally| &tally.unknown) {
            *self.unknown.entry(kind.clone()).or_default() += count;
        }
    }
}

/// Kinds of which there are less than were acknowledged, or more than that and
/// those of which it is not known.
pub(super) fn lost(done: &Done, seen: &Seen) -> Vec<String> {
    let problem = |(kind, there): (&String, &u64)| {
        let of = |counts: &BTreeMap<String, u64>| counts.get(kind).copied().unwrap_or_default();
        let (acknowledged, unknown) = (of(&done.acknowledged), of(&done.unknown));
        let fits = (acknowledged..=acknowledged + unknown).contains(there);
        (!fits).then(|| {
            format!(
                "{acknowledged} transactions {kind} were acknowledged, {unknown} are unknown, \
                 and {there} are there"
            )
        })
    };
    seen.marks.iter().filter_map(problem).collect()
}

/// What a site's copy has else than it should.
pub(super) fn differing(site: &str, seen: &Seen, copy: &Seen) -> Option<String> {
    let mut tables = seen.tables.iter();
    let (table, content) =
        tables.find(|(table, content)| copy.tables.get(*table) != Some(*content))?;
    let rows = copy.tables.get(table).map_or(0, |copy| copy.rows);
    Some(format!(
        "{site} does not agree: its {table} has {rows} rows, of {} that there are, or others",
        content.rows
    ))
}

#[cfg(test)]
mod tests {
    use super::super::clients::Content;
    use super::*;

    fn seen(entries: u64, digest: &str) -> Seen {
        let content = Content {
            rows: entries,
            digest: digest.to_owned(),
        };
        Seen {
            tables: BTreeMap::from([("entry".to_owned(), content)]),
            marks: BTreeMap::from([("entry".to_owned(), entries)]),
            problems: Vec::new(),
        }
    }

    #[test]
    fn what_is_unknown_may_be_there_or_not() {
        let mut done = Done::default();
        let counts = |count| BTreeMap::from([("entry".to_owned(), count)]);
        done.add(&[Tally {
            acknowledged: counts(4),
            unknown: counts(1),
            ..Tally::default()
        }]);
        done.add(&[Tally {
            acknowledged: counts(1),
            ..Tally::default()
        }]);
        for (there, problems) in [(4, 1), (5, 0), (6, 0), (7, 1)] {
            assert_eq!(lost(&done, &seen(there, "")).len(), problems, "{there}");
        }
    }

    #[test]
    fn a_copy_with_as_many_other_rows_does_not_agree() {
        assert_eq!(differing("Ohio", &seen(2, "a"), &seen(2, "a")), None);
        let told = differing("Ohio", &seen(2, "a"), &seen(2, "b")).unwrap();
        assert!(told.contains("Ohio does not agree: its entry"), "{told}");
    }
}
