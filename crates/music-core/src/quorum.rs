//! Majority arithmetic.

use crate::id::ReplicaId;

/// The most replicas a key may have.
pub const REPLICAS_MAX: usize = 32;

/// How many of `replicas` are more than half of them.
///
/// Any two majorities share a replica. 1 of 0 and of 1: no copy is no majority.
pub const fn majority(replicas: usize) -> usize {
    (replicas / 2).saturating_add(1)
}

/// Which replicas have answered, and whether they are a majority yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tally {
    replicas: usize,
    answered: u32,
    failed: u32,
}

impl Tally {
    /// Nobody has answered yet, of `replicas` (at most [`REPLICAS_MAX`]).
    pub fn new(replicas: usize) -> Self {
        Self {
            replicas: replicas.min(REPLICAS_MAX),
            answered: 0,
            failed: 0,
        }
    }

    /// Counts an answer; a replica that answers twice counts once.
    pub fn answer(&mut self, replica: ReplicaId) {
        self.answered |= bit(replica);
    }

    /// Counts a replica that will not answer.
    pub fn fail(&mut self, replica: ReplicaId) {
        self.failed |= bit(replica);
    }

    /// Whether those that answered are a majority.
    pub fn is_majority(&self) -> bool {
        count(self.answered) >= majority(self.replicas)
    }

    /// Whether too many failed for a majority to answer still.
    pub fn is_hopeless(&self) -> bool {
        let failed = count(self.failed & !self.answered);
        self.replicas.saturating_sub(failed) < majority(self.replicas)
    }
}

fn bit(replica: ReplicaId) -> u32 {
    1_u32.checked_shl(u32::from(replica.0)).unwrap_or(0)
}

fn count(set: u32) -> usize {
    usize::try_from(set.count_ones()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_majorities_share_a_replica(replicas in 1_usize..=32) {
            prop_assert!(2 * majority(replicas) > replicas);
            prop_assert!(majority(replicas) <= replicas);
        }

        #[test]
        fn a_tally_is_a_majority_from_the_majoritys_last_answer_on(
            replicas in 1_u8..=32, answers in proptest::collection::vec(0_u8..32, 0..64),
        ) {
            let mut tally = Tally::new(usize::from(replicas));
            let mut distinct = std::collections::BTreeSet::new();
            for replica in answers.into_iter().filter(|replica| *replica < replicas) {
                tally.answer(ReplicaId(replica));
                distinct.insert(replica);
                prop_assert_eq!(
                    tally.is_majority(),
                    distinct.len() >= majority(usize::from(replicas)),
                );
            }
        }
    }

    #[test]
    fn hope_ends_when_a_majority_cannot_answer() {
        let mut tally = Tally::new(3);
        tally.fail(ReplicaId(0));
        assert!(!tally.is_hopeless());
        tally.fail(ReplicaId(2));
        assert!(tally.is_hopeless());
    }
}
