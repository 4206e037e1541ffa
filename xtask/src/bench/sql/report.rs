//! What was measured, as it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::clients::Tally;
use super::system::System;
use super::workload::Case;
use super::{of_case, site_name};
use crate::bench::wan::probe::Emulation;

/// Transactions at one site.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) site: &'static str,
    /// Their kind, where they are not all counted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) kind: String,
    pub(super) transactions: usize,
    pub(super) mean_ms: f64,
    pub(super) median_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) per_second: f64,
}

/// What shows that servers are what they are to be.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Evidence {
    pub(super) system: System,
    pub(super) site: &'static str,
    pub(super) rows: Vec<String>,
}

/// A case, measured.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) system: System,
    #[serde(flatten)]
    pub(super) case: Case,
    /// How its tables are owned; `None` where it does not take such.
    pub(super) form: Option<String>,
    pub(super) rows: Vec<Row>,
    /// Tries that failed and were made again, by the code of the error.
    pub(super) again: BTreeMap<String, u64>,
    /// Transactions of which it is not known whether they were done.
    pub(super) unknown: u64,
    /// Those not tried again, because time was over.
    pub(super) given_up: u64,
    /// Those that failed for good, and why the first did.
    pub(super) failed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    /// How long after its end all sites had everything.
    pub(super) agreed_after_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) emulation: Option<Emulation>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
    /// Why there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) skipped: Option<String>,
}

/// All of a run.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) command: String,
    pub(super) machine: String,
    pub(super) profile: String,
    pub(super) evidence: Vec<Evidence>,
    pub(super) measured: Vec<Measured>,
}

impl Row {
    fn of(site: &'static str, kind: &str, mut took_us: Vec<u64>, time: Duration) -> Self {
        took_us.sort_unstable();
        let ms = |us: u64| Duration::from_micros(us).as_secs_f64() * 1e3;
        let at = |part: usize| {
            let place = (took_us.len() * part).div_ceil(100).saturating_sub(1);
            took_us.get(place).copied().map_or(0.0, ms)
        };
        let count = number(took_us.len());
        Self {
            site,
            kind: kind.to_owned(),
            transactions: took_us.len(),
            mean_ms: ms(took_us.iter().sum()) / count.max(1.0),
            median_ms: at(50),
            p99_ms: at(99),
            per_second: count / time.as_secs_f64().max(1e-9),
        }
    }

    fn text(&self) -> String {
        let Self {
            site,
            kind,
            transactions,
            mean_ms,
            median_ms,
            p99_ms,
            per_second,
        } = self;
        format!(
            "  {site:<14} {kind:<16} {transactions:>6} transactions  mean {mean_ms:>8.1} ms  \
             median {median_ms:>8.1} ms  p99 {p99_ms:>8.1} ms  {per_second:>7.1}/s"
        )
    }
}

/// A row for all transactions of a site, and one for each kind where there are
/// several.
fn rows(site: &'static str, tally: &Tally, time: Duration) -> Vec<Row> {
    let all: Vec<u64> = tally.took_us.values().flatten().copied().collect();
    let mut rows = vec![Row::of(site, "", all, time)];
    if tally.took_us.len() > 1 {
        let kinds = tally.took_us.iter();
        rows.extend(kinds.map(|(kind, took_us)| Row::of(site, kind, took_us.clone(), time)));
    }
    rows
}

impl Measured {
    /// What the clients of all sites did.
    pub(super) fn of(
        system: System,
        (case, form): (Case, &str),
        tallies: &[Tally],
        time: Duration,
    ) -> Self {
        let sites = tallies.iter().enumerate();
        let mut again = BTreeMap::new();
        for (code, count) in tallies.iter().flat_map(|tally| &tally.again) {
            *again.entry(code.clone()).or_default() += count;
        }
        let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum();
        Self {
            rows: sites
                .flat_map(|(site, tally)| rows(site_name(site), tally, time))
                .collect(),
            again,
            unknown: sum(|tally| tally.unknown.values().sum()),
            given_up: sum(|tally| tally.given_up),
            failed: sum(|tally| tally.failed),
            failure: tallies.iter().find_map(|tally| tally.failure.clone()),
            form: Some(form.to_owned()),
            ..Self::skipped(system, case, "")
        }
    }

    /// What could not be done.
    pub(super) fn skipped(system: System, case: Case, why: &str) -> Self {
        Self {
            system,
            case,
            form: None,
            rows: Vec::new(),
            again: BTreeMap::new(),
            unknown: 0,
            given_up: 0,
            failed: 0,
            failure: None,
            agreed_after_ms: 0.0,
            emulation: None,
            refused: None,
            skipped: (!why.is_empty()).then(|| why.to_owned()),
        }
    }

    /// The same, with what was found of it.
    pub(super) fn judged(
        mut self,
        agreed_after: Duration,
        mut problems: Vec<String>,
        emulation: Emulation,
    ) -> Self {
        problems.extend(emulation.late.clone());
        if self.failed > 0 {
            let why = self.failure.as_deref().unwrap_or_default();
            problems.push(format!("{} transactions failed: {why}", self.failed));
        }
        self.agreed_after_ms = agreed_after.as_secs_f64() * 1e3;
        self.emulation = Some(emulation);
        self.refused = (!problems.is_empty()).then(|| problems.join("; "));
        self
    }

    /// Whether it may be shown.
    pub(super) fn counts(&self) -> bool {
        self.refused.is_none() && self.skipped.is_none()
    }

    /// The rows of all transactions, one a site.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.kind.is_empty())
    }

    /// Transactions a second, of all sites together.
    pub(super) fn per_second(&self) -> f64 {
        self.sites().map(|row| row.per_second).sum()
    }

    /// The mean of the sites' means, of those where any transaction ended.
    pub(super) fn mean_ms(&self) -> f64 {
        let means = self
            .sites()
            .filter(|row| row.transactions > 0)
            .map(|row| row.mean_ms);
        let means: Vec<f64> = means.collect();
        means.iter().sum::<f64>() / number(means.len()).max(1.0)
    }

    /// Tries that failed, of a hundred that were made.
    fn again_per_cent(&self) -> f64 {
        let again: u64 = self.again.values().sum();
        let again = number(usize::try_from(again).unwrap_or(usize::MAX));
        let done = number(self.sites().map(|row| row.transactions).sum());
        100.0 * again / (again + done).max(1.0)
    }

    /// A line for each row, and what is to be known of it.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("{}: {}", self.system.name(), self.case.title())];
        if let Some(skipped) = &self.skipped {
            lines.push(format!("  skipped: {skipped}"));
            return lines.join("\n");
        }
        lines.extend(self.rows.iter().map(Row::text));
        let again: Vec<String> = self
            .again
            .iter()
            .map(|(code, count)| format!("{count} × {code}"))
            .collect();
        lines.push(format!(
            "  {:.1}/s; {}; tried again: {}; unknown: {}; given up: {}; all agreed after {:.0} ms",
            self.per_second(),
            self.form.as_deref().unwrap_or_default(),
            if again.is_empty() {
                "none".to_owned()
            } else {
                again.join(", ")
            },
            self.unknown,
            self.given_up,
            self.agreed_after_ms
        ));
        if let Some(refused) = &self.refused {
            lines.push(format!("  REFUSED: {refused}"));
        }
        lines.join("\n")
    }

    /// Means at the sites, and the rate.
    fn cell(&self) -> String {
        if !self.counts() {
            return if self.skipped.is_some() {
                "–"
            } else {
                "refused"
            }
            .to_owned();
        }
        let mean = |row: &Row| match row.transactions {
            0 => "–".to_owned(),
            _ => short(row.mean_ms),
        };
        let means: Vec<String> = self.sites().map(mean).collect();
        let again = self.again_per_cent();
        let again = if again < 1.0 {
            String::new()
        } else {
            format!(", {again:.0} % again")
        };
        format!(
            "{} ms, {}/s{again}",
            means.join(" / "),
            short(self.per_second())
        )
    }
}

impl Evidence {
    pub(super) fn text(&self) -> String {
        format!(
            "  {} at {}: {}",
            self.system.name(),
            self.site,
            self.rows.join("; ")
        )
    }
}

impl Report {
    /// What is to be said where results are refused.
    pub(super) fn refused(&self) -> Option<String> {
        let refused = self
            .measured
            .iter()
            .filter(|measured| measured.refused.is_some())
            .count();
        let of = self.measured.len();
        (refused > 0)
            .then(|| format!("{refused} of {of} results are refused, each for what is said above"))
    }

    /// The systems, in their order.
    pub(super) fn systems(&self) -> Vec<System> {
        let mut systems: Vec<System> = self.measured.iter().map(|one| one.system).collect();
        systems.sort();
        systems.dedup();
        systems
    }

    /// The cases, in their order.
    pub(super) fn cases(&self) -> Vec<Case> {
        let mut cases: Vec<Case> = self.measured.iter().map(|measured| measured.case).collect();
        cases.sort();
        cases.dedup();
        cases
    }

    /// A table in Markdown: a line a case, a column a system.
    pub(super) fn table(&self) -> String {
        let systems = self.systems();
        let names: Vec<String> = systems.iter().map(|system| system.name()).collect();
        let sites: Vec<&str> = (0..3).map(site_name).collect();
        let head = format!(
            "| mean in ms, {}; transactions a second of all | {} |\n|{}",
            sites.join(" / "),
            names.join(" | "),
            "---|".repeat(systems.len() + 1)
        );
        let line = |case: Case| {
            let cell = |system: &System| {
                let mut all = of_case(&self.measured, case);
                all.find(|one| one.system == *system)
                    .map_or_else(String::new, Measured::cell)
            };
            let cells: Vec<String> = systems.iter().map(cell).collect();
            format!("| {} | {} |", case.title(), cells.join(" | "))
        };
        let lines = self.cases().into_iter().map(line);
        std::iter::once(head)
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// To three digits or so.
fn short(value: f64) -> String {
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$}")
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::super::workload::Workload;
    use super::*;

    const CASE: Case = Case {
        workload: Workload::Own,
        clients: 1,
    };

    fn measured(system: System) -> Measured {
        let took_us = BTreeMap::from([("entry".to_owned(), vec![10_000, 20_000, 60_000])]);
        let again = BTreeMap::from([("40001".to_owned(), 1)]);
        let tally = Tally {
            took_us,
            again,
            ..Tally::default()
        };
        Measured::of(system, (CASE, "tables"), &[tally], Duration::from_secs(2))
    }

    #[test]
    fn a_row_tells_of_those_that_ended_in_time() {
        let row = measured(System::Mdbc).rows.remove(0);
        let numbers = [row.mean_ms, row.median_ms, row.p99_ms, row.per_second];
        assert_eq!(
            numbers.map(|number| number.to_string()),
            ["30", "20", "60", "1.5"]
        );
        assert_eq!((row.site, row.transactions), ("Ohio", 3));
    }

    #[test]
    fn a_table_has_a_column_for_each_system() {
        let mut skipped = Measured::skipped(System::Galera, CASE, "no such tables");
        let report = |measured| Report {
            command: String::new(),
            machine: String::new(),
            profile: String::new(),
            evidence: Vec::new(),
            measured,
        };
        let table = report(vec![measured(System::Mdbc), skipped.clone()]).table();
        assert!(
            table.contains("| 30.0 ms, 1.50/s, 25 % again | – |"),
            "{table}"
        );
        skipped.skipped = None;
        skipped.refused = Some("late".to_owned());
        let report = report(vec![skipped]);
        assert!(report.table().contains("| refused |"));
        assert!(report.refused().unwrap().starts_with("1 of 1"));
    }

    #[test]
    fn what_was_lost_or_failed_is_no_result() {
        let judge = |measured: Measured, problems| {
            measured.judged(Duration::ZERO, problems, Emulation::default())
        };
        assert!(judge(measured(System::Mdbc), Vec::new()).counts());
        assert!(!judge(measured(System::Mdbc), vec!["lost".to_owned()]).counts());
        let failed = Measured {
            failed: 1,
            ..measured(System::Mdbc)
        };
        assert!(!judge(failed, Vec::new()).counts());
    }
}
