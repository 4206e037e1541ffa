//! No corruption: what a preempted holder wrote never comes back.
//!
//! A grant settles what is older than it. Demanded, for each grant of a token:
//! of a field, all gets of this and higher tokens that begin after the grant
//! see the same older write, or all none, unless they see one of this or a
//! higher token; and what they see had begun before the grant. So the older
//! value is the one that the section itself observed, if it did.
//!
//! Not demanded: anything of a get that a deletion of this or a higher token
//! may have hidden the older value from, and anything of gets of lower tokens:
//! a preempted holder may be told what it had read before.

use std::collections::BTreeSet;

use super::{Judge, Place, Seen, Verdict};
use crate::index::{Get, History, Key, Moment, Put};
use crate::sight::deletions;
use crate::{OpId, SectionId};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "no cell value that it wrote is ever observed by a critical get that \
    follows, in real time, the grant of a later lockRef on that key (a grant to a ticket that was \
    still in the queue), unless that grant's own observation (2) included it.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "no_corruption",
    guarantee: 4,
    sentence: SENTENCE,
    judge,
};

/// How the state was corrupted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Two gets after a grant differ in what is older than it.
    #[error(
        "after section {granted} was granted, {place} shows {one} and then {other}, both older \
         than its token"
    )]
    OlderValueChanged {
        /// Whose grant settled it.
        granted: SectionId,
        /// What was read.
        place: Place,
        /// What the first get saw.
        one: Seen,
        /// What the later one saw.
        other: Seen,
    },
    /// A get after a grant sees a write of a lower token that is younger than
    /// the grant.
    #[error(
        "put {seen} of an older token began after section {granted} was granted, and {place} \
         shows it"
    )]
    LatePutSeen {
        /// Whose grant had settled it.
        granted: SectionId,
        /// What was read.
        place: Place,
        /// What is seen.
        seen: OpId,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        let mut grants: Vec<Grant> = history
            .sections_of(key)
            .filter_map(|section| {
                Some(Grant {
                    section: section.id,
                    token: section.token(name)?,
                    at: section.granted_at()?,
                })
            })
            .collect();
        // The gets that break an earlier grant break many later ones as well:
        // each is reported once.
        grants.sort_by_key(|grant| grant.token);
        for field in &key.fields {
            let place = Place::new(name, field);
            let sights: Vec<Sight<'_>> = sights(key, field).collect();
            let mut reported = BTreeSet::new();
            for grant in &grants {
                judge_grant(grant, (&place, &sights), &mut reported, &mut verdict);
            }
        }
    }
    verdict
}

struct Grant {
    section: SectionId,
    token: u64,
    at: Moment,
}

fn judge_grant(
    grant: &Grant,
    (place, sights): (&Place, &[Sight<'_>]),
    reported: &mut BTreeSet<OpId>,
    verdict: &mut Verdict,
) {
    let after = sights.partition_point(|sight| sight.get.begun < grant.at);
    let sights = sights.iter().skip(after);
    let is_settled = |sight: &&Sight<'_>| {
        sight.get.token >= grant.token && sight.token.is_none_or(|token| token < grant.token)
    };
    let mut settled: Option<&Sight<'_>> = None;
    for sight in sights.filter(is_settled) {
        verdict.checked += 1;
        let late = sight.put.filter(|put| put.begun > grant.at);
        let first = *settled.get_or_insert(sight);
        let (one, other) = (first.seen(), sight.seen());
        let breach = if let Some(late) = late {
            Breach::LatePutSeen {
                granted: grant.section,
                place: place.clone(),
                seen: late.op,
            }
        } else if one != other {
            Breach::OlderValueChanged {
                granted: grant.section,
                place: place.clone(),
                one,
                other,
            }
        } else {
            continue;
        };
        let get = sight.get;
        if reported.insert(get.op) {
            let late = late.map(|put| put.begun);
            let moments = [grant.at, first.get.ended, get.begun, get.ended];
            verdict.found(breach, moments.into_iter().chain(late));
        }
    }
}

/// What a get saw of a field.
struct Sight<'h> {
    get: &'h Get,
    /// The put that the value comes from; `None` where there is none.
    put: Option<&'h Put>,
    /// The token of that put, or the highest of a deletion that may have hidden
    /// the value.
    token: Option<u64>,
}

impl Sight<'_> {
    fn seen(&self) -> Seen {
        Seen(self.put.map(|put| put.op))
    }
}

/// What all gets saw of a field, but for values that nobody can have written:
/// these are for another judge.
fn sights<'h>(key: &'h Key, field: &str) -> impl Iterator<Item = Sight<'h>> {
    key.gets.iter().filter_map(move |get| {
        let put = match get.seen.get(field) {
            Some(op) => Some(key.puts.get(op)?),
            None => None,
        };
        let deleted = || deletions(key, get, field).map(|put| put.token).max();
        let token = put.map(|put| put.token).or_else(deleted);
        Some(Sight { get, put, token })
    })
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    /// Section 1 has a put on its way when section 2 is granted.
    fn preempted() -> Story {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        story.begins_put(1, 11, &["x"]).unknown(11).section(2, 6)
    }

    #[test]
    fn the_older_value_stays() {
        let story = preempted().reads(2, &[("x", 10)]).releases(2);
        let story = story.section(3, 7).reads(3, &[("x", 10)]);
        story.passes("no_corruption", 3);
    }

    #[test]
    fn the_late_put_may_be_included_in_the_grant() {
        let story = preempted().reads(2, &[("x", 11)]).releases(2);
        let story = story.section(3, 7).reads(3, &[("x", 11)]);
        story.passes("no_corruption", 3);
    }

    #[test]
    fn a_late_put_that_lands_in_the_next_section_is_found() {
        let story = preempted().reads(2, &[("x", 10)]);
        story.reads(2, &[("x", 11)]).fails("no_corruption");
    }

    #[test]
    fn one_that_lands_in_the_section_after_the_next_is_found() {
        let story = preempted().reads(2, &[("x", 10)]).releases(2);
        let story = story.section(3, 7).reads(3, &[("x", 11)]);
        story.fails("no_corruption");
    }

    #[test]
    fn one_that_is_found_by_two_later_sections_is_found() {
        // Section 2 read nothing: its grant settles all the same.
        let story = preempted().releases(2).section(3, 7);
        let story = story.reads(3, &[("x", 10)]).releases(3);
        let story = story.section(4, 8).reads(4, &[("x", 11)]);
        story.fails("no_corruption");
    }

    #[test]
    fn a_value_that_appears_where_none_was_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.section(2, 6).reads(2, &[]);
        story.reads(2, &[("x", 10)]).fails("no_corruption");
    }

    #[test]
    fn a_deletion_of_the_section_may_hide_the_value_for_a_while() {
        // Never acknowledged, seen once, and lost with its section.
        let story = preempted().reads(2, &[("x", 10)]);
        let story = story.begins_deletion(2, 20).asks(3).reads(2, &[]);
        let story = story.crashes(2).granted(3, 7);
        story.reads(3, &[("x", 10)]).passes("no_corruption", 3);
    }

    #[test]
    fn a_put_of_a_preempted_holder_that_began_later_is_found() {
        let story = Story::default().section(1, 5).section(2, 6);
        let story = story.begins_put(1, 10, &["x"]);
        story.reads(2, &[("x", 10)]).fails("no_corruption");
    }

    #[test]
    fn the_preempted_holder_may_be_told_what_it_knew() {
        let story = preempted().put(2, 20, &["x"]);
        let story = story.forced(1).reads(1, &[("x", 10)]);
        story.passes("no_corruption", 0);
    }
}
