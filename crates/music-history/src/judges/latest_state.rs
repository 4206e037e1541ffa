//! Latest state: what a section first reads misses no acknowledged put.
//!
//! Demanded: of each field, the first get of a section sees a write that is
//! not older than any put of a lower token that was acknowledged. This holds
//! even where the acknowledgement reaches its client after the later grant:
//! a node acknowledges only while its lease is valid, so before anybody may
//! suspect it, and the put is at a majority by then.
//!
//! Not demanded: that puts survive which were acknowledged after their section
//! was being forced out by hand, or by a node that their client had left
//! meanwhile ([`History::is_firm`]).

use super::{Judge, Place, Seen, Verdict};
use crate::index::{Get, History, Key, Put};
use crate::sight::{reaches, sources};
use crate::{OpId, SectionId};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "when acquire(lockRef) returns granted, a majority of replicas of \
    every key in the set holds the value that the critical section now observes, and that value \
    is the one of the last acknowledged critical put, or a later unacknowledged one.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "latest_state",
    guarantee: 2,
    sentence: SENTENCE,
    judge,
};

/// How the latest state was missed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// An acknowledged put is not seen.
    #[error(
        "section {section} reads {place} and sees {seen}, older than acknowledged put {missed}"
    )]
    AcknowledgedPutMissed {
        /// Which section reads.
        section: SectionId,
        /// What it reads.
        place: Place,
        /// What it sees.
        seen: Seen,
        /// What it should see at least.
        missed: OpId,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        let firm: Vec<(u64, &Put)> = firm(history, key);
        for get in first_gets(key) {
            verdict.checked += 1;
            for field in &key.fields {
                let floor = firm.iter().rev().map(|(_, put)| *put);
                let mut floor = floor
                    .filter(|put| put.token < get.token)
                    .filter(|put| put.touch(field).is_some());
                let sources = sources(key, get, field);
                let Some((floor, sources)) = floor.next().zip(sources) else {
                    continue;
                };
                if !reaches(&sources, floor) {
                    let breach = Breach::AcknowledgedPutMissed {
                        section: get.section,
                        place: Place::new(name, field),
                        seen: Seen(get.seen.get(field).copied()),
                        missed: floor.op,
                    };
                    let acknowledged = floor.acknowledged().map(|(at, _)| at);
                    verdict.found(
                        breach,
                        acknowledged.into_iter().chain([get.begun, get.ended]),
                    );
                }
            }
        }
    }
    verdict
}

/// The puts that are promised to last, the oldest first.
fn firm<'h>(history: &History, key: &'h Key) -> Vec<(u64, &'h Put)> {
    let firm = key.puts.values().filter(|put| history.is_firm(put));
    let mut firm: Vec<_> = firm
        .filter_map(|put| Some((put.acknowledged()?.1, put)))
        .collect();
    firm.sort_by_key(|(stamp, put)| (put.token, *stamp));
    firm
}

/// The first get of each section: the later ones may not go back behind it.
fn first_gets(key: &Key) -> impl Iterator<Item = &Get> {
    let is_first = |(at, get): &(usize, &Get)| {
        let before = key.gets.iter().take(*at);
        !before
            .rev()
            .any(|other| other.section == get.section && other.ended < get.begun)
    };
    let gets = key.gets.iter().enumerate();
    gets.filter(is_first).map(|(_, get)| get)
}

#[cfg(test)]
mod tests {
    use crate::story::Story;

    #[test]
    fn the_last_acknowledged_put_is_seen() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.put(1, 11, &["x"]).releases(1).section(2, 6);
        story.reads(2, &[("x", 11)]).passes("latest_state", 1);
    }

    #[test]
    fn a_later_put_that_was_not_acknowledged_may_be_seen() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.begins_put(1, 11, &["x"]).unknown(11).crashes(1);
        let story = story.section(2, 6);
        story.reads(2, &[("x", 11)]).passes("latest_state", 1);
    }

    #[test]
    fn an_acknowledged_put_that_is_missed_is_found() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.put(1, 11, &["x"]).releases(1).section(2, 6);
        story.reads(2, &[("x", 10)]).fails("latest_state");
    }

    #[test]
    fn a_value_that_is_gone_without_a_deletion_is_found() {
        let story = Story::default()
            .section(1, 5)
            .put(1, 10, &["x"])
            .releases(1);
        story.section(2, 6).reads(2, &[]).fails("latest_state");
    }

    #[test]
    fn a_deletion_that_is_undone_is_found() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.deletes(1, 11).releases(1).section(2, 6);
        story.reads(2, &[("x", 10)]).fails("latest_state");
    }

    #[test]
    fn a_deletion_may_explain_that_nothing_is_there() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.begins_deletion(1, 11).crashes(1).section(2, 6);
        story.reads(2, &[]).passes("latest_state", 1);
    }

    #[test]
    fn an_older_deletion_does_not_explain_it() {
        let story = Story::default().section(1, 5).deletes(1, 9);
        let story = story.put(1, 10, &["x"]).releases(1).section(2, 6);
        story.reads(2, &[]).fails("latest_state");
    }

    #[test]
    fn a_false_acknowledgement_after_the_next_grant_is_found() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.section(2, 6).reads(2, &[]).acknowledged(10);
        story.fails("latest_state");
    }

    #[test]
    fn what_is_acknowledged_while_forced_by_hand_may_be_lost() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.forced(1).acknowledged(10).section(2, 6);
        story.reads(2, &[]).passes("latest_state", 1);
    }

    #[test]
    fn what_was_acknowledged_before_may_not() {
        let story = Story::default().section(1, 5).put(1, 10, &["x"]);
        let story = story.forced(1).section(2, 6);
        story.reads(2, &[]).fails("latest_state");
    }

    #[test]
    fn what_the_node_acknowledges_that_was_left_may_be_lost() {
        let story = Story::default().section(1, 5).begins_put(1, 10, &["x"]);
        let story = story.moved(1).acknowledged(10).releases(1);
        let story = story.section(2, 6);
        story.reads(2, &[]).passes("latest_state", 1);
    }
}
