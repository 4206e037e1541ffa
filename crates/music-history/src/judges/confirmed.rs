//! Confirmed sections: nobody else was granted in between.
//!
//! Demanded: no section with a higher token of one of its keys, unless both
//! are shared, was granted before the confirmed release began.
//!
//! Not demanded: anything of a later grant that comes while the confirmation
//! is under way, and of lower tokens. A section that lost its place may learn
//! of its own grant only after the next holder did.

use super::{Judge, Verdict};
use crate::SectionId;
use crate::index::{History, Moment, Section};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "A *confirmed* release is `confirm` instead: if the ticket was still \
    there, nobody else was granted in between and the whole section counts; if not, the client is \
    told `lost`;";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "confirmed",
    guarantee: 1,
    sentence: SENTENCE,
    judge,
};

/// How a confirmation was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Somebody else was granted.
    #[error("section {confirmed} is confirmed, but section {later} was granted {key} before it")]
    GrantedBefore {
        /// The section that is said to count.
        confirmed: SectionId,
        /// The later one.
        later: SectionId,
        /// Of which key.
        key: String,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for section in history.sections.values() {
        let Some(ending) = section.confirmed() else {
            continue;
        };
        verdict.checked += 1;
        for key in section.keys.iter().filter_map(|key| history.keys.get(key)) {
            for later in history.sections_of(key) {
                judge_pair((section, ending), later, &mut verdict);
            }
        }
    }
    verdict
}

fn judge_pair((section, ending): (&Section, Moment), later: &Section, verdict: &mut Verdict) {
    let before = later.granted_at().filter(|granted| *granted < ending);
    let Some(granted) = before.filter(|_| section.excludes(later)) else {
        return;
    };
    let is_above = |key: &&String| later.token(key) > section.token(key);
    // A pair with several keys in common is reported once.
    if let Some(key) = section.keys_in_common(later).find(is_above) {
        let breach = Breach::GrantedBefore {
            confirmed: section.id,
            later: later.id,
            key: key.clone(),
        };
        let found = verdict.violations.iter();
        if !found
            .clone()
            .any(|known| known.breach == breach.clone().into())
        {
            verdict.found(breach, [granted, ending]);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    #[test]
    fn a_grant_after_the_confirmation_is_fine() {
        let story = Story::default().section(1, 5).asks(2).confirms(1);
        story.granted(2, 6).confirms(2).passes("confirmed", 2);
    }

    #[test]
    fn a_grant_while_the_confirmation_is_under_way_is_fine() {
        let story = Story::default().section(1, 5).asks(2).ending(1, true);
        story
            .granted(2, 6)
            .ended(1, crate::EndOutcome::Confirmed)
            .passes("confirmed", 1);
    }

    #[test]
    fn a_grant_in_between_is_found() {
        let story = Story::default().section(1, 5).section(2, 6);
        story.releases(2).confirms(1).fails("confirmed");
    }

    #[test]
    fn one_in_between_at_one_of_two_keys_is_found_once() {
        let story = Story::default()
            .asks_for(1, &["k", "l"])
            .asks_for(2, &["k", "l"]);
        let story = story.granted_on(1, &[("k", 5), ("l", 9)]);
        let story = story.granted_on(2, &[("k", 6), ("l", 10)]);
        let report = story.confirms(1).report();
        assert_eq!(report.verdict("confirmed").unwrap().violations.len(), 1);
    }

    #[test]
    fn a_shared_section_is_confirmed_beside_others() {
        let story = Story::default().asks_shared(1).asks_shared(2);
        let story = story.granted(1, 5).granted(2, 6);
        story.confirms(1).confirms(2).passes("confirmed", 2);
    }

    #[test]
    fn an_exclusive_grant_in_a_shared_section_is_found() {
        let story = Story::default().asks_shared(1).granted(1, 5).section(2, 6);
        story.confirms(1).fails("confirmed");
    }
}
