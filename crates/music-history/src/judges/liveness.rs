//! Liveness: once faults stop, everybody who waits is served, in order.
//!
//! Demanded by the end of a history with a calm in it: each section whose
//! client lives, and did not give up, was granted or refused; one that was
//! asked for when the effects of faults were over was not refused; and of two
//! that exclude each other, asked for then, the lower token is granted first.
//!
//! Not demanded: anything of a waiter behind a section that its client holds
//! to the end; that sections are queued in the order in which they were asked
//! for, because an enqueue takes its time; nor any time within a history, whose
//! `End` says when waiting should have been over.

use super::{Judge, Verdict};
use crate::SectionId;
use crate::index::{History, Moment, Section};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "if a majority is connected and holders release or are forced, every \
    waiting lockRef is granted in queue order.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "liveness",
    guarantee: 6,
    sentence: SENTENCE,
    judge,
};

/// How liveness was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A section waits at the end.
    #[error("section {section} was asked for, and is never granted")]
    NeverGranted {
        /// Which section.
        section: SectionId,
    },
    /// A section is refused, and no fault explains it.
    #[error("without faults, section {section} is refused")]
    Refused {
        /// Which section.
        section: SectionId,
    },
    /// A section lost its place.
    #[error("without faults, section {section} is lost")]
    Lost {
        /// Which section.
        section: SectionId,
    },
    /// A section overtook another.
    #[error("without faults, section {overtaken} of {key} is granted after section {later}")]
    Overtaken {
        /// The one with the lower token.
        overtaken: SectionId,
        /// The one with the higher.
        later: SectionId,
        /// Of which key.
        key: String,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    if let Some(end) = history.calm.and(history.end) {
        for section in history.sections.values() {
            waiter(history, section, end, &mut verdict);
        }
    }
    for section in history.sections.values() {
        calm_section(history, section, &mut verdict);
    }
    for (name, key) in &history.keys {
        let mut granted: Vec<(u64, &Section)> = history
            .sections_of(key)
            .filter_map(|section| Some((section.token(name)?, section)))
            .collect();
        granted.sort_by_key(|(token, _)| *token);
        in_order(history, name, &granted, &mut verdict);
    }
    verdict
}

fn waiter(history: &History, section: &Section, end: Moment, verdict: &mut Verdict) {
    if section.granted.is_some() || section.refused.is_some() {
        verdict.checked += 1;
        return;
    }
    let gave_up = section.ending.is_some() || section.lost.is_some();
    if gave_up || history.is_crashed(section.client) {
        return;
    }
    if is_blocked(history, section) {
        verdict.skipped += 1;
        return;
    }
    verdict.checked += 1;
    let breach = Breach::NeverGranted {
        section: section.id,
    };
    verdict.found(breach, [section.asked, end]);
}

/// Whether a client that lives holds one of the keys to the end.
fn is_blocked(history: &History, section: &Section) -> bool {
    let keys = section.keys.iter().filter_map(|key| history.keys.get(key));
    let mut others = keys.flat_map(|key| history.sections_of(key));
    others.any(|other| {
        let holds = other.granted.is_some() && other.ending.is_none() && other.lost.is_none();
        holds && other.excludes(section) && !history.is_crashed(other.client)
    })
}

/// Nothing can go wrong with a section that knew no fault.
fn calm_section(history: &History, section: &Section, verdict: &mut Verdict) {
    if !history.is_settled(section.asked) {
        return;
    }
    if let Some(refused) = section.refused {
        let breach = Breach::Refused {
            section: section.id,
        };
        verdict.found(breach, [section.asked, refused]);
    }
    if let Some(lost) = section.lost.filter(|_| section.forced.is_none()) {
        let breach = Breach::Lost {
            section: section.id,
        };
        verdict.found(breach, [section.asked, lost]);
    }
}

/// Going up in tokens, `granted` is in that order: none that knew no fault is
/// granted after one with a higher token.
fn in_order(history: &History, key: &str, granted: &[(u64, &Section)], verdict: &mut Verdict) {
    for (at, (_, lower)) in granted.iter().enumerate() {
        if !history.is_undisturbed(lower) {
            continue;
        }
        verdict.checked += 1;
        let mut later = granted.iter().skip(at + 1).map(|(_, later)| later);
        let overtaker =
            later.find(|later| lower.excludes(later) && later.granted_at() < lower.granted_at());
        if let Some(later) = overtaker {
            let breach = Breach::Overtaken {
                overtaken: lower.id,
                later: later.id,
                key: key.to_owned(),
            };
            let moments = later.granted_at().into_iter().chain(lower.granted_at());
            verdict.found(breach, moments);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    #[test]
    fn waiters_that_are_served_in_order_are_fine() {
        let story = Story::default().calm().settles().asks(1).asks(2);
        let story = story.granted(1, 5).releases(1).granted(2, 6).releases(2);
        story.end().passes("liveness", 4);
    }

    #[test]
    fn a_waiter_that_is_never_granted_is_found() {
        let story = Story::default().section(1, 5).asks(2).crashes(1).calm();
        story.end().fails("liveness");
    }

    #[test]
    fn one_that_gave_up_is_fine() {
        let story = Story::default().section(1, 5).asks(2).calm();
        let story = story.releases(2).releases(1);
        story.end().passes("liveness", 1);
    }

    #[test]
    fn one_whose_client_crashed_is_fine() {
        let story = Story::default().asks(1).crashes(1).calm();
        story.end().passes("liveness", 0);
    }

    #[test]
    fn one_behind_a_holder_that_never_ends_is_not_judged() {
        let story = Story::default().section(1, 5).asks(2).calm().end();
        let report = story.report();
        assert!(report.is_clean());
        assert_eq!(report.verdict("liveness").unwrap().skipped, 1);
    }

    #[test]
    fn a_waiter_that_overtakes_is_found() {
        let story = Story::default().calm().settles().asks(1).asks(2);
        let story = story.granted(2, 6).releases(2).granted(1, 5);
        story.releases(1).end().fails("liveness");
    }

    #[test]
    fn shared_sections_are_granted_in_any_order() {
        let story = Story::default().calm().settles();
        let story = story.asks_shared(1).asks_shared(2);
        let story = story.granted(2, 6).granted(1, 5).releases(1).releases(2);
        story.end().passes("liveness", 4);
    }

    #[test]
    fn a_refusal_without_faults_is_found() {
        let story = Story::default().calm().settles().asks(1);
        story.refused(1).fails("liveness");
    }

    #[test]
    fn a_refusal_just_after_the_faults_is_fine() {
        let story = Story::default().calm().asks(1).refused(1);
        story.end().passes("liveness", 1);
    }

    #[test]
    fn a_loss_without_faults_is_found() {
        let story = Story::default().calm().settles().section(1, 5);
        story.lost(1).fails("liveness");
    }
}
