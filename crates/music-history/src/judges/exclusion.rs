//! Exclusion, by the tokens that sections hold.
//!
//! Demanded: no two sections are granted the same token of a key; a section
//! that is granted before another is asked for has the lower token; a shared
//! section writes nothing; and once faults and their effects are over, two
//! sections that exclude each other do not overlap.
//!
//! Not demanded: that sections do not overlap while there are faults. The
//! client of a preempted holder may learn of it much later.

use super::{Judge, Verdict};
use crate::SectionId;
use crate::index::{History, Key, Section};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "in the lock store's order, at most one exclusive lockRef (or any \
    number of adjacent shared ones) heads a key's queue.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "exclusion",
    guarantee: 1,
    sentence: SENTENCE,
    judge,
};

/// How exclusion was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Two sections hold one lockRef.
    #[error("sections {one} and {other} are both granted token {token} of {key}")]
    TokenTwice {
        /// One of them.
        one: SectionId,
        /// The other.
        other: SectionId,
        /// Their token.
        token: u64,
        /// Of which key.
        key: String,
    },
    /// A lockRef that was issued later is lower.
    #[error(
        "section {later} was asked for when section {earlier} was granted, and its token of {key} \
         is lower"
    )]
    TokenGoesBack {
        /// The one that was granted.
        earlier: SectionId,
        /// The one that was asked for then.
        later: SectionId,
        /// Of which key.
        key: String,
    },
    /// A shared section wrote.
    #[error("a put of shared section {section} on {key} is acknowledged")]
    SharedPut {
        /// Which section.
        section: SectionId,
        /// Which key.
        key: String,
    },
    /// Two sections overlap, and no fault explains it.
    #[error("without faults, section {later} of {key} is granted while section {holder} holds it")]
    Overlap {
        /// The one with the lower token.
        holder: SectionId,
        /// The one with the higher.
        later: SectionId,
        /// Of which key.
        key: String,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        let mut granted: Vec<(u64, &Section)> = history
            .sections_of(key)
            .filter_map(|section| Some((section.token(name)?, section)))
            .collect();
        verdict.checked += granted.len();
        granted.sort_by_key(|(token, section)| (*token, section.granted_at()));
        tokens(name, &granted, &mut verdict);
        real_time(name, &granted, &mut verdict);
        shared_puts(history, name, key, &mut verdict);
        for (at, (_, holder)) in granted.iter().enumerate() {
            let later = granted.iter().skip(at + 1).map(|(_, later)| *later);
            overlaps(history, (name, holder), later, &mut verdict);
        }
    }
    verdict
}

/// `granted` is in the order of tokens.
fn tokens(key: &str, granted: &[(u64, &Section)], verdict: &mut Verdict) {
    for ((token, one), (next, other)) in granted.iter().zip(granted.iter().skip(1)) {
        if token == next {
            let breach = Breach::TokenTwice {
                one: one.id,
                other: other.id,
                token: *token,
                key: key.to_owned(),
            };
            verdict.found(
                breach,
                one.granted_at().into_iter().chain(other.granted_at()),
            );
        }
    }
}

/// Going down in tokens, keeps the first grant so far: none may be before the
/// question of a section with a lower token.
fn real_time(key: &str, granted: &[(u64, &Section)], verdict: &mut Verdict) {
    let mut first: Option<(u64, &Section)> = None;
    for (token, later) in granted.iter().rev() {
        let breached = first.filter(|(above, earlier)| {
            above > token && earlier.granted_at().is_some_and(|at| at < later.asked)
        });
        if let Some((_, earlier)) = breached {
            let breach = Breach::TokenGoesBack {
                earlier: earlier.id,
                later: later.id,
                key: key.to_owned(),
            };
            let moments = earlier.granted_at().into_iter().chain(later.granted_at());
            verdict.found(breach, moments.chain([later.asked]));
        }
        if first.is_none_or(|(_, known)| later.granted_at() < known.granted_at()) {
            first = Some((*token, later));
        }
    }
}

fn shared_puts(history: &History, name: &str, key: &Key, verdict: &mut Verdict) {
    for put in key.puts.values() {
        let section = history.sections.get(&put.section);
        let acknowledged = put.acknowledged();
        if let Some((at, _)) = acknowledged.filter(|_| section.is_some_and(|of| of.shared)) {
            let breach = Breach::SharedPut {
                section: put.section,
                key: name.to_owned(),
            };
            verdict.found(breach, [put.begun, at]);
        }
    }
}

fn overlaps<'h>(
    history: &History,
    (key, holder): (&str, &Section),
    later: impl Iterator<Item = &'h Section>,
    verdict: &mut Verdict,
) {
    if !history.is_undisturbed(holder) {
        return;
    }
    for later in later.filter(|later| holder.excludes(later)) {
        let is_inside = later.granted_at().filter(|at| {
            holder.granted_at() < Some(*at) && holder.ending.is_none_or(|ending| *at < ending)
        });
        if let Some(at) = is_inside {
            let breach = Breach::Overlap {
                holder: holder.id,
                later: later.id,
                key: key.to_owned(),
            };
            let ending = holder.granted_at().into_iter().chain(holder.ending);
            verdict.found(breach, ending.chain([at]));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::EndOutcome;
    use crate::story::Story;

    #[test]
    fn sections_one_after_the_other_are_fine() {
        let story = Story::default().section(1, 5).releases(1).section(2, 6);
        story.releases(2).passes("exclusion", 2);
    }

    #[test]
    fn a_preempted_holder_may_go_on_unaware() {
        let story = Story::default().section(1, 5).section(2, 6);
        let story = story.put(2, 20, &["x"]).releases(2);
        story
            .reads(1, &[("x", 20)])
            .ends(1, EndOutcome::Lost)
            .passes("exclusion", 2);
    }

    #[test]
    fn a_token_held_twice_is_found() {
        let story = Story::default().asks(1).asks(2);
        story.granted(1, 5).granted(2, 5).fails("exclusion");
    }

    #[test]
    fn one_held_twice_in_turn_is_found_once() {
        let story = Story::default().section(1, 5).releases(1).section(2, 5);
        let verdict = story.report().verdict("exclusion").cloned().unwrap();
        assert_eq!(verdict.violations.len(), 1);
    }

    #[test]
    fn a_token_below_that_of_an_earlier_section_is_found() {
        let story = Story::default().section(1, 5).releases(1).section(2, 4);
        story.fails("exclusion");
    }

    #[test]
    fn sections_that_wait_together_may_be_served_in_any_order() {
        let story = Story::default().asks(1).asks(2).granted(2, 4).releases(2);
        story.granted(1, 5).passes("exclusion", 2);
    }

    #[test]
    fn a_put_of_a_shared_section_is_found() {
        let story = Story::default().asks_shared(1).granted(1, 5);
        story.put(1, 10, &["x"]).fails("exclusion");
    }

    #[test]
    fn without_faults_an_overlap_is_found() {
        let story = Story::default()
            .calm()
            .settles()
            .section(1, 5)
            .section(2, 6);
        story.releases(1).releases(2).fails("exclusion");
    }

    #[test]
    fn a_section_that_is_forced_by_hand_may_be_overlapped() {
        let story = Story::default().calm().settles().section(1, 5).forced(1);
        let story = story.section(2, 6).ends(1, EndOutcome::Lost);
        story.releases(2).passes("exclusion", 2);
    }

    #[test]
    fn shared_sections_overlap() {
        let story = Story::default().calm().settles();
        let story = story.asks_shared(1).asks_shared(2);
        let story = story.granted(1, 5).granted(2, 6);
        story.releases(1).releases(2).passes("exclusion", 2);
    }
}
