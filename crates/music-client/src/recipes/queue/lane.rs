//! One lane of a queue: a bounded list of items under a lock of its own.

use music_api::name::Value;
use serde::{Deserialize, Serialize};

use crate::mutation::{Mutation, is_on};
use crate::recipes::document::Step;
use crate::recipes::refusal::Refusal;

/// How many items a lane has at most.
pub(super) const ITEMS_MAX: usize = 32;
/// How many bytes the items of a lane have at most, as JSON has them.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// The items of a lane, in the order in which they were pushed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lane {
    /// How often it was changed.
    pub(super) version: u64,
    /// The highest number of an item.
    last: u64,
    pub(super) items: Vec<Entry>,
}

/// An item.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its number in its lane.
    pub(super) number: u64,
    /// When it was pushed, in microseconds since 1970; grows within a lane.
    pub(super) pushed_us: u64,
    /// Not to be taken before.
    pub(super) due_us: u64,
    pub(super) priority: u8,
    /// How often it was taken.
    pub(super) deliveries: u32,
    /// Who has it, if somebody has.
    pub(super) claim: Option<Claim>,
    pub(super) value: Value,
    /// What it counts of the lane's bytes.
    bytes: usize,
}

/// The right to an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The fencing token of the section in which it was taken.
    pub(super) token: u64,
    /// When it lapses, in microseconds since 1970.
    pub(super) until_us: u64,
}

/// An item that is to be pushed.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) value: Value,
    pub(super) bytes: usize,
    pub(super) priority: u8,
    pub(super) due_us: u64,
}

impl Entry {
    /// When it may be taken.
    pub(super) fn ready_at(&self) -> u64 {
        self.claim.map_or(self.due_us, |claim| claim.until_us)
    }

    /// Whether it is the item of that number, claimed under that token.
    fn is_held(&self, (number, token): (u64, u64)) -> bool {
        let is_named = |claim: Claim| claim.token == token || is_on(Mutation::ClaimIgnored);
        self.number == number && self.claim.is_some_and(is_named)
    }

    /// Where it stands among those that may be taken: the lowest goes first.
    pub(super) fn rank(&self) -> (u8, u64) {
        (u8::MAX - self.priority, self.pushed_us)
    }
}

impl Lane {
    /// Adds as many items as there is room for, and answers their numbers.
    pub(super) fn push(mut self, items: &[NewEntry], now_us: u64) -> Step<Self, Vec<u64>> {
        let mut numbers = Vec::new();
        for item in items {
            if !self.has_room(item.bytes) {
                break;
            }
            self.last += 1;
            numbers.push(self.last);
            let before = self.items.last().map_or(0, |entry| entry.pushed_us);
            self.items.push(Entry {
                number: self.last,
                pushed_us: now_us.max(before + 1),
                due_us: item.due_us,
                priority: item.priority,
                deliveries: 0,
                claim: None,
                value: item.value.clone(),
                bytes: item.bytes,
            });
        }
        if numbers.is_empty() {
            return Step::Keep(numbers);
        }
        self.changed(numbers)
    }

    fn changed<T>(mut self, answer: T) -> Step<Self, T> {
        self.version += 1;
        Step::Change(self, answer)
    }

    /// Whether an item of that size would fit.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        let used: usize = self.items.iter().map(|entry| entry.bytes).sum();
        self.items.len() < ITEMS_MAX && used + bytes <= BYTES_MAX
    }

    /// Claims the first items that may be taken, and answers under which token.
    pub(super) fn take(mut self, most: usize, now_us: u64, claim: Claim) -> Step<Self, u64> {
        let ready = self.items.iter_mut();
        let mut ready: Vec<_> = ready.filter(|entry| entry.ready_at() <= now_us).collect();
        if ready.is_empty() {
            return Step::Keep(claim.token);
        }
        ready.sort_by_key(|entry| entry.rank());
        for entry in ready.into_iter().take(most) {
            entry.claim = Some(claim);
            entry.deliveries = entry.deliveries.saturating_add(1);
        }
        self.changed(claim.token)
    }

    /// Does something to an item that is claimed under that token.
    ///
    /// # Errors
    /// [`Refusal::ClaimLost`].
    pub(super) fn settle<T>(
        lane: Option<Self>,
        (number, token): (u64, u64),
        settle: impl FnOnce(&mut Self, usize) -> T,
    ) -> Result<Step<Self, T>, Refusal> {
        let mut lane = lane.ok_or(Refusal::ClaimLost)?;
        let held = |entry: &Entry| entry.is_held((number, token));
        let at = lane.items.iter().position(held).ok_or(Refusal::ClaimLost)?;
        let answer = settle(&mut lane, at);
        Ok(lane.changed(answer))
    }

    /// Removes the items that are claimed under those tokens, and answers the
    /// numbers and tokens that are no more.
    pub(super) fn finish(mut self, named: &[(u64, u64)]) -> Step<Self, Vec<(u64, u64)>> {
        let is_held = |name: &&(u64, u64)| self.items.iter().any(|entry| entry.is_held(**name));
        let (held, lost): (Vec<_>, Vec<_>) = named.iter().partition(is_held);
        if held.is_empty() {
            return Step::Keep(lost);
        }
        self.items
            .retain(|entry| !held.iter().any(|name| entry.is_held(*name)));
        self.changed(lost)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new(bytes: usize, priority: u8, due_us: u64) -> NewEntry {
        NewEntry {
            value: Value::Text(String::new()),
            bytes,
            priority,
            due_us,
        }
    }

    fn changed<T>(step: Step<Lane, T>) -> (Lane, T) {
        match step {
            Step::Change(lane, answer) => (lane, answer),
            Step::Keep(_) | Step::Announce(..) => panic!("nothing was changed"),
        }
    }

    fn claim(token: u64, until_us: u64) -> Claim {
        Claim { token, until_us }
    }

    fn claimed(lane: &Lane, token: u64) -> Vec<u64> {
        let held = |entry: &&Entry| entry.claim.is_some_and(|claim| claim.token == token);
        lane.items
            .iter()
            .filter(held)
            .map(|entry| entry.number)
            .collect()
    }

    #[test]
    fn the_most_urgent_goes_first_and_then_the_oldest() {
        let items = [new(1, 0, 0), new(1, 5, 0), new(1, 5, 0), new(1, 9, 50)];
        let (lane, numbers) = changed(Lane::default().push(&items, 10));
        assert_eq!(numbers, [1, 2, 3, 4]);
        let (lane, token) = changed(lane.take(1, 20, claim(7, 100)));
        assert_eq!(claimed(&lane, token), [2]);
        let (lane, token) = changed(lane.take(1, 60, claim(8, 100)));
        assert_eq!(claimed(&lane, token), [4], "it is due now");
        let (lane, token) = changed(lane.take(9, 60, claim(9, 100)));
        assert_eq!(claimed(&lane, token), [1, 3]);
        assert!(matches!(lane.take(9, 99, claim(10, 200)), Step::Keep(10)));
    }

    #[test]
    fn a_lapsed_claim_is_taken_again_and_the_old_one_is_refused() {
        let (lane, _) = changed(Lane::default().push(&[new(1, 0, 0)], 10));
        let (lane, _) = changed(lane.take(1, 20, claim(7, 100)));
        let (lane, _) = changed(lane.take(1, 100, claim(8, 200)));
        assert_eq!(lane.items[0].deliveries, 2);
        let remove = |lane: &mut Lane, at| drop(lane.items.remove(at));
        let late = Lane::settle(Some(lane.clone()), (1, 7), remove);
        assert!(matches!(late, Err(Refusal::ClaimLost)));
        let (lane, ()) = changed(Lane::settle(Some(lane), (1, 8), remove).unwrap());
        assert!(lane.items.is_empty());
        assert!(Lane::settle(Some(lane), (1, 8), remove).is_err());
    }

    #[test]
    fn of_items_that_are_done_together_those_with_a_lost_claim_are_told() {
        let items = [new(1, 0, 0), new(1, 0, 0), new(1, 0, 0)];
        let (lane, _) = changed(Lane::default().push(&items, 10));
        let (lane, _) = changed(lane.take(2, 20, claim(7, 100)));
        let (lane, _) = changed(lane.take(1, 100, claim(8, 200)));
        let (lane, lost) = changed(lane.finish(&[(1, 7), (2, 7), (9, 7)]));
        assert_eq!(lost, [(1, 7), (9, 7)]);
        let left: Vec<u64> = lane.items.iter().map(|entry| entry.number).collect();
        assert_eq!(left, [1, 3]);
        assert!(matches!(lane.finish(&[(3, 7)]), Step::Keep(lost) if lost == [(3, 7)]));
    }

    proptest! {
        #[test]
        fn a_lane_never_outgrows_its_bounds(
            sizes in proptest::collection::vec(1..BYTES_MAX, 1..80),
        ) {
            let items: Vec<_> = sizes.iter().map(|bytes| new(*bytes, 0, 0)).collect();
            let (lane, numbers) = match Lane::default().push(&items, 1) {
                Step::Change(lane, numbers) => (lane, numbers),
                Step::Keep(_) | Step::Announce(..) => return Err(TestCaseError::fail("empty")),
            };
            prop_assert_eq!(lane.items.len(), numbers.len());
            prop_assert!(lane.items.len() <= ITEMS_MAX);
            prop_assert!(lane.items.iter().map(|entry| entry.bytes).sum::<usize>() <= BYTES_MAX);
            prop_assert!(lane.items.is_sorted_by(|a, b| a.pushed_us < b.pushed_us));
            let next = sizes.get(numbers.len());
            prop_assert!(next.is_none_or(|bytes| !lane.has_room(*bytes)));
        }
    }
}
