//! The judges: one a guarantee of PROTOCOL.md, each in a file of its own.
//!
//! | judge | guarantee | what it demands |
//! |---|---|---|
//! | [`exclusion`] | 1 | no token twice; tokens grow in real time; without faults, no overlap |
//! | [`confirmed`] | 1 | nobody is granted before a confirmed section ends |
//! | [`latest_state`] | 2 | the first get of a section misses no acknowledged put |
//! | [`linearizability`] | 2 | each field is a register, over all sections |
//! | [`sequential_consistency`] | 3 | inside a section gets never miss, tear or go back |
//! | [`stamps`] | 3 | each put has its own stamp, higher than those before it |
//! | [`no_corruption`] | 4 | after a grant, all agree on what is older than it |
//! | [`availability`] | 5 | a site alone serves what is local, and nothing else |
//! | [`liveness`] | 6 | without faults every waiter is granted, in order |
//! | [`modes`] | 7 | what a table's mode forbids is refused |
//!
//! [`strict_serializability`] judges histories of another kind: transactions of
//! a database over MUSIC.
//!
//! They see what clients saw, and no more. So they demand nothing where two
//! outcomes look the same from outside, and each file says what that is.
//! They never demand that sections do not overlap in real time while there
//! are faults: a preempted holder may go on unaware.

pub mod availability;
pub mod confirmed;
pub mod exclusion;
pub mod latest_state;
pub mod linearizability;
pub mod liveness;
pub mod modes;
pub mod no_corruption;
pub mod sequential_consistency;
pub mod stamps;
pub mod strict_serializability;

mod report;

use std::fmt;

pub use report::{Counts, Report};

use super::OpId;
use super::index::{History, Limits, Malformed, Moment};
use crate::Event;

/// A judge, as it introduces itself.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Its name: that of its file.
    pub name: &'static str,
    /// The number of the guarantee that it judges.
    pub guarantee: u8,
    /// What PROTOCOL.md promises there, word for word.
    pub sentence: &'static str,
    /// Judges a history.
    pub judge: fn(&History) -> Verdict,
}

/// All judges, in the order of the guarantees.
pub const JUDGES: [Judge; 10] = [
    exclusion::JUDGE,
    confirmed::JUDGE,
    latest_state::JUDGE,
    linearizability::JUDGE,
    sequential_consistency::JUDGE,
    stamps::JUDGE,
    no_corruption::JUDGE,
    availability::JUDGE,
    liveness::JUDGE,
    modes::JUDGE,
];

/// Judges a history by all guarantees.
///
/// # Errors
///
/// The first event that cannot follow those before it: then the list is no
/// history, and nothing can be said of the deployment.
pub fn judge(events: &[Event], limits: Limits) -> Result<Report, Malformed> {
    History::read(events, limits).map(|history| Report::of(&history))
}

/// What a judge says of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// How many things it checked: none means that it proves nothing.
    pub checked: usize,
    /// How many it had to leave alone, because their number or the faults of
    /// the history allow no judgement.
    pub skipped: usize,
    /// What broke the guarantee.
    pub violations: Vec<Violation>,
}

impl Verdict {
    fn found(&mut self, breach: impl Into<Breach>, moments: impl IntoIterator<Item = Moment>) {
        let breach = breach.into();
        let mut moments: Vec<Moment> = moments.into_iter().collect();
        moments.sort_unstable();
        moments.dedup();
        self.violations.push(Violation { breach, moments });
    }
}

/// A guarantee that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// How.
    pub breach: Breach,
    /// By which events, in their order.
    pub moments: Vec<Moment>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judge {
            name, guarantee, ..
        } = self.breach.judge();
        write!(f, "guarantee {guarantee}, {name}: {}", self.breach)?;
        let mut separator = "\n  ";
        for moment in &self.moments {
            write!(f, "{separator}{moment}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl std::error::Error for Violation {}

/// How a guarantee was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Breach {
    /// Guarantee 1.
    #[error(transparent)]
    Exclusion(#[from] exclusion::Breach),
    /// Guarantee 1, of confirmed sections.
    #[error(transparent)]
    Confirmed(#[from] confirmed::Breach),
    /// Guarantee 2.
    #[error(transparent)]
    LatestState(#[from] latest_state::Breach),
    /// Guarantee 2, over all sections.
    #[error(transparent)]
    Linearizability(#[from] linearizability::Breach),
    /// Guarantee 3.
    #[error(transparent)]
    SequentialConsistency(#[from] sequential_consistency::Breach),
    /// Guarantee 3, of the numbers that it rests on.
    #[error(transparent)]
    Stamps(#[from] stamps::Breach),
    /// Guarantee 4.
    #[error(transparent)]
    NoCorruption(#[from] no_corruption::Breach),
    /// Guarantee 5.
    #[error(transparent)]
    Availability(#[from] availability::Breach),
    /// Guarantee 6.
    #[error(transparent)]
    Liveness(#[from] liveness::Breach),
    /// Guarantee 7.
    #[error(transparent)]
    Modes(#[from] modes::Breach),
}

impl Breach {
    /// Who found it.
    pub fn judge(&self) -> Judge {
        match self {
            Self::Exclusion(_) => exclusion::JUDGE,
            Self::Confirmed(_) => confirmed::JUDGE,
            Self::LatestState(_) => latest_state::JUDGE,
            Self::Linearizability(_) => linearizability::JUDGE,
            Self::SequentialConsistency(_) => sequential_consistency::JUDGE,
            Self::Stamps(_) => stamps::JUDGE,
            Self::NoCorruption(_) => no_corruption::JUDGE,
            Self::Availability(_) => availability::JUDGE,
            Self::Liveness(_) => liveness::JUDGE,
            Self::Modes(_) => modes::JUDGE,
        }
    }
}

/// A field of a record, in messages. The default field has no name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The key of the record.
    pub key: String,
    /// The field.
    pub field: String,
}

impl Place {
    fn new(key: &str, field: &str) -> Self {
        Self {
            key: key.to_owned(),
            field: field.to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            return f.write_str(&self.key);
        }
        write!(f, "{}.{}", self.key, self.field)
    }
}

/// What is seen of a field, in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen(pub Option<OpId>);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(put) => write!(f, "put {put}"),
            None => f.write_str("no value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::story::Story;

    #[test]
    fn every_guarantee_has_a_judge() {
        let guarantees = JUDGES.map(|judge| judge.guarantee);
        assert!(guarantees.is_sorted());
        assert_eq!(BTreeSet::from(guarantees), (1..=7).collect());
    }

    #[test]
    fn a_violation_names_its_guarantee_and_its_events() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let report = story.releases(1).section(2, 6).reads(2, &[]).report();
        let found = report.verdict("latest_state").unwrap().violations.first();
        assert_eq!(
            found.unwrap().to_string(),
            "guarantee 2, latest_state: section 2 reads k.x and sees no value, older than \
             acknowledged put 10\n  line 5 at 50us, line 11 at 110us, line 12 at 120us"
        );
    }

    #[test]
    fn a_report_shows_what_was_checked() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let report = story.reads(1, &[("x", 10)]).confirms(1).report();
        let text = report.to_string();
        assert!(text.starts_with(
            "1 sections, 1 granted, 1 confirmed, 0 lost; 1 puts acknowledged, 0 not; 1 gets; "
        ));
        assert_eq!(text.lines().count(), 1 + JUDGES.len());
    }

    #[test]
    fn what_is_no_history_is_not_judged() {
        let story = Story::default().section(1, 5).unknown(10);
        assert!(judge(&story.events(), Limits::default()).is_err());
    }
}
