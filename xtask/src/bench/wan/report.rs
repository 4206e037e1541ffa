//! What was measured, as it is kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::SITES;
use super::drive::Done;
use super::latency::Latencies;
use super::meter::{Cost, count};
use super::probe::Emulation;
use super::scenario::Case;
use super::system::System;
use crate::torture::Link;

/// Sections of one kind at one site.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    pub(super) site: String,
    /// Which of them, where they are not all alike.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) what: String,
    pub(super) sections: u64,
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) sections_per_second: f64,
    /// The median in round trips to the site's nearest majority.
    pub(super) rounds: f64,
}

impl Row {
    fn text(&self) -> String {
        let Self { site, what, .. } = self;
        let (sections, median, p99) = (self.sections, self.median_ms, self.p99_ms);
        let (rate, rounds) = (self.sections_per_second, self.rounds);
        format!(
            "  {site:<14} {what:<18} {sections:>5} sections  median {median:>8.1} ms  \
             p99 {p99:>8.1} ms  {rate:>7.1}/s  {rounds:>5.2} rounds"
        )
    }
}

/// A case, measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) system: System,
    #[serde(flatten)]
    pub(super) case: Case,
    pub(super) rows: Vec<Row>,
    /// Of one section.
    pub(super) cost: Cost,
    /// The longest time without the end of any section.
    pub(super) longest_gap_ms: f64,
    /// Sections that failed, and why the first did.
    pub(super) failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    pub(super) emulation: Emulation,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// All of a run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: String,
    pub(super) profile: String,
    pub(super) measured: Vec<Measured>,
}

impl Report {
    /// What is to be said where results are refused.
    pub(super) fn refused(&self) -> Option<String> {
        let (all, is_refused) = (&self.measured, |measured: &&Measured| {
            measured.refused.is_some()
        });
        let refused = all.iter().filter(is_refused).count();
        let of = all.len();
        (refused > 0)
            .then(|| format!("{refused} of {of} results are refused, each for what is said above"))
    }
}

/// A site, and how long a round trip to its nearest majority is.
pub(super) struct Site {
    name: &'static str,
    round_ms: f64,
}

impl Site {
    /// The site of that number: of three, a majority is itself and the nearest.
    pub(super) fn of(number: usize, links: &[Link]) -> Self {
        let own = links
            .iter()
            .filter(|link| [link.ends.0, link.ends.1].contains(&number));
        Self {
            name: SITES.get(number).copied().unwrap_or_default(),
            round_ms: own.map(|link| link.rtt_ms).fold(f64::INFINITY, f64::min),
        }
    }
}

/// The rows of sections that ended within a window. Their rate is that of the
/// window, or of the time until the last one ended.
pub(super) fn rows(
    sites: &[Site],
    done: &[Done],
    window: &Range<u64>,
    is_of_rate: bool,
) -> Vec<Row> {
    let mut kinds: BTreeMap<(usize, &str), (Latencies, u64)> = BTreeMap::new();
    // A site of which none ended in time has a row too.
    for done in done {
        let kind = kinds.entry((done.site, done.what.as_str()));
        let (latencies, last) = kind.or_insert_with(|| (Latencies::new(), 0));
        if window.contains(&done.ended_ns) {
            latencies.add(done.latency);
            *last = done.ended_ns.max(*last);
        }
    }
    let row = |((site, what), (latencies, last)): ((usize, &str), (Latencies, u64))| {
        let site = sites.get(site)?;
        let end = if is_of_rate { window.end } else { last };
        let seconds = Duration::from_nanos(end.saturating_sub(window.start)).as_secs_f64();
        let median_ms = latencies.quantile_ms(0.5);
        Some(Row {
            site: site.name.to_owned(),
            what: what.to_owned(),
            sections: latencies.len(),
            median_ms,
            p99_ms: latencies.quantile_ms(0.99),
            sections_per_second: count(latencies.len()) / seconds.max(1e-9),
            rounds: median_ms / site.round_ms.max(1e-9),
        })
    };
    kinds.into_iter().filter_map(row).collect()
}

/// The longest time in a window in which no section ended.
pub(super) fn longest_gap_ms(done: &[Done], window: &Range<u64>) -> f64 {
    let ended = done.iter().map(|done| done.ended_ns);
    let mut times: Vec<u64> = ended.filter(|at| window.contains(at)).collect();
    times.extend([window.start, window.end]);
    times.sort_unstable();
    let gaps = times.iter().zip(times.iter().skip(1));
    let longest = gaps.map(|(from, to)| to - from).max().unwrap_or_default();
    Duration::from_nanos(longest).as_secs_f64() * 1e3
}

impl Measured {
    /// The mean over the rows of what is chosen; of the rows with that name.
    pub(super) fn mean(&self, what: &str, of: impl Fn(&Row) -> f64) -> Option<f64> {
        let rows: Vec<f64> = self.rows_of(what).map(of).collect();
        let number = u32::try_from(rows.len())
            .ok()
            .filter(|number| *number > 0)?;
        Some(rows.iter().sum::<f64>() / f64::from(number))
    }

    /// Sections a second, of all sites together.
    pub(super) fn per_second(&self, what: &str) -> f64 {
        self.rows_of(what).map(|row| row.sections_per_second).sum()
    }

    fn rows_of(&self, what: &str) -> impl Iterator<Item = &Row> {
        let is_meant = move |row: &&Row| row.what == what;
        self.rows.iter().filter(is_meant)
    }

    /// A line for each row, and one for what it cost.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.system.name(), self.case.title())];
        lines.extend(self.rows.iter().map(Row::text));
        lines.push(format!(
            "  {}; longest gap {:.0} ms",
            self.cost, self.longest_gap_ms
        ));
        if let Some(failure) = &self.failure {
            lines.push(format!("  {} failed: {failure}", self.failed));
        }
        if let Some(refused) = &self.refused {
            lines.push(format!("  REFUSED: {refused}"));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(site: usize, ms: u64, ended_ns: u64) -> Done {
        Done {
            site,
            what: String::new(),
            latency: Duration::from_millis(ms),
            ended_ns,
        }
    }

    #[test]
    fn rows_are_by_site_and_in_its_rounds() {
        let sites = [("a", 10.0), ("b", 20.0)].map(|(name, round_ms)| Site { name, round_ms });
        let all = [done(1, 40, 1), done(0, 40, 2), done(1, 40, 3)];
        let rows = rows(&sites, &all, &(0..2_000_000_000), true);
        let of: Vec<_> = rows
            .iter()
            .map(|row| (row.site.as_str(), row.sections, row.rounds.round()))
            .collect();
        assert_eq!(of, [("a", 1, 4.0), ("b", 2, 2.0)]);
        assert!((rows[1].sections_per_second - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_site_of_which_none_ended_in_time_is_told() {
        let links = crate::torture::links("lUs").unwrap();
        let sites = [0, 1, 2].map(|site| Site::of(site, &links));
        let rows = rows(&sites, &[done(2, 40, 1), done(0, 900, 50)], &(0..10), true);
        let counts: Vec<_> = rows.iter().map(|row| row.sections).collect();
        assert_eq!(counts, [0, 1]);
    }

    #[test]
    fn a_round_reaches_the_nearest_site() {
        let links = crate::torture::links("lUs").unwrap();
        let rounds = [0, 1, 2].map(|site| Site::of(site, &links).round_ms.to_string());
        assert_eq!(rounds, ["53.79", "24.2", "24.2"]);
    }

    #[test]
    fn the_ends_of_the_window_are_part_of_gaps() {
        let window = 0..10_000_000;
        let gap = |all: &[Done]| longest_gap_ms(all, &window).to_string();
        assert_eq!(gap(&[]), "10");
        assert_eq!(gap(&[done(0, 1, 1_000_000), done(0, 1, 7_000_000)]), "6");
        assert_eq!(gap(&[done(0, 1, 1_000_000), done(0, 1, 2_000_000)]), "8");
    }
}
