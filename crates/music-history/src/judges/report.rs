//! What all judges say of one history.

use std::fmt;

use super::{JUDGES, Judge, Verdict, Violation};
use crate::index::{Fault, History};

/// How much happened in a history: a report on one where little happened
/// proves little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sections that were asked for.
    pub sections: usize,
    /// Of these, granted ones.
    pub grants: usize,
    /// Of these, confirmed ones.
    pub confirmed: usize,
    /// Of the granted ones, those that their client knows it has lost.
    pub lost: usize,
    /// Critical puts that were acknowledged.
    pub puts_acknowledged: usize,
    /// Critical puts that were not.
    pub puts_other: usize,
    /// Critical gets that succeeded.
    pub gets: usize,
    /// Operations without a lock.
    pub plains: usize,
    /// Clients that crashed.
    pub crashes: usize,
    /// Times that a site was cut off.
    pub cut_offs: usize,
}

impl Counts {
    fn of(history: &History) -> Self {
        let sections = || history.sections.values();
        let puts = || history.keys.values().flat_map(|key| key.puts.values());
        let acknowledged = puts().filter(|put| put.acknowledged().is_some()).count();
        let cut_offs = history.outages.iter();
        let crashed = history.clients.values();
        Self {
            sections: sections().count(),
            grants: sections()
                .filter(|section| section.granted.is_some())
                .count(),
            confirmed: sections()
                .filter(|section| section.confirmed().is_some())
                .count(),
            lost: sections().filter(|section| section.lost.is_some()).count(),
            puts_acknowledged: acknowledged,
            puts_other: puts().count() - acknowledged,
            gets: history.keys.values().map(|key| key.gets.len()).sum(),
            plains: history.plains.len(),
            crashes: crashed.filter(|client| client.crashed.is_some()).count(),
            cut_offs: cut_offs
                .filter(|outage| outage.fault == Fault::CutOff)
                .count(),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sections, {} granted, {} confirmed, {} lost; {} puts acknowledged, {} not; \
             {} gets; {} without a lock; {} crashes; {} cut-offs",
            self.sections,
            self.grants,
            self.confirmed,
            self.lost,
            self.puts_acknowledged,
            self.puts_other,
            self.gets,
            self.plains,
            self.crashes,
            self.cut_offs
        )
    }
}

/// What all judges say of one history.
#[derive(Clone, Debug)]
pub struct Report {
    /// How much happened.
    pub counts: Counts,
    /// What each judge says, in the order of [`JUDGES`].
    pub verdicts: Vec<(Judge, Verdict)>,
}

impl Report {
    /// Asks all judges.
    pub fn of(history: &History) -> Self {
        let verdict = |judge: Judge| (judge, (judge.judge)(history));
        Self {
            counts: Counts::of(history),
            verdicts: JUDGES.map(verdict).into(),
        }
    }

    /// All that broke a guarantee.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        let verdicts = self.verdicts.iter();
        verdicts.flat_map(|(_, verdict)| &verdict.violations)
    }

    /// Whether no guarantee was broken.
    pub fn is_clean(&self) -> bool {
        self.violations().next().is_none()
    }

    /// What one judge says; `None` where there is none of that name.
    pub fn verdict(&self, name: &str) -> Option<&Verdict> {
        let mut verdicts = self.verdicts.iter();
        let named = verdicts.find(|(judge, _)| judge.name == name);
        named.map(|(_, verdict)| verdict)
    }
}

/// A line for the history, one for each judge, then the violations.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.counts)?;
        for (judge, verdict) in &self.verdicts {
            writeln!(
                f,
                "guarantee {}  {:<22} {:>7} checked {:>5} skipped {:>4} violations",
                judge.guarantee,
                judge.name,
                verdict.checked,
                verdict.skipped,
                verdict.violations.len()
            )?;
        }
        for violation in self.violations() {
            writeln!(f, "{violation}")?;
        }
        Ok(())
    }
}
