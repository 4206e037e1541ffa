//! How far the logs are applied, written behind.
//!
//! A transaction of this site is committed with its id, and its positions are
//! noted here. They are written when those before them are: in each partition
//! one after the other, and of an entry all at once. With them the ids that they
//! have passed are removed.

use std::collections::BTreeMap;

use super::digest::Id;
use crate::engine::Position;

/// A transaction of this site that is committed here.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    pub(super) id: Id,
    pub(super) positions: BTreeMap<String, Position>,
}

/// What is to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) positions: BTreeMap<String, Position>,
    /// Ids that the positions have passed.
    pub(super) passed: Vec<Id>,
}

/// What can be written behind what is.
pub(super) fn plan(written: &BTreeMap<String, Position>, noted: &[Noted]) -> Plan {
    let mut plan = Plan::default();
    let mut left: Vec<&Noted> = noted.iter().collect();
    loop {
        let before = left.len();
        left.retain(|noted| !plan.take(written, noted));
        if left.len() == before {
            return plan;
        }
    }
}

/// Goes on to positions that are further on, and tells which these are.
pub(super) fn advance(
    reached: &mut BTreeMap<String, Position>,
    positions: &BTreeMap<String, Position>,
) -> BTreeMap<String, Position> {
    let is_new = |(partition, position): &(&String, &Position)| {
        let reached = reached.get(*partition).map_or(0, |at| at.position);
        reached < position.position
    };
    let new = positions.iter().filter(is_new);
    let new: BTreeMap<String, Position> = new.map(|(p, at)| (p.clone(), at.clone())).collect();
    reached.extend(new.clone());
    new
}

impl Plan {
    fn take(&mut self, written: &BTreeMap<String, Position>, noted: &Noted) -> bool {
        let reached = |partition: &String| {
            let position = self.positions.get(partition).or(written.get(partition));
            position.map_or(0, |position| position.position)
        };
        let is_next = |(partition, position): (&String, &Position)| {
            position.position <= reached(partition).saturating_add(1)
        };
        if !noted.positions.iter().all(is_next) {
            return false;
        }
        let new: Vec<(String, Position)> = noted
            .positions
            .iter()
            .filter(|(partition, position)| position.position > reached(partition))
            .map(|(partition, position)| (partition.clone(), position.clone()))
            .collect();
        self.positions.extend(new);
        self.passed.push(noted.id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(position: u64) -> Position {
        Position {
            position,
            id: Vec::new(),
        }
    }

    fn noted(positions: &[(&str, u64)]) -> Noted {
        let at = |(partition, position): &(&str, u64)| ((*partition).to_owned(), at(*position));
        Noted {
            id: Id::draw(),
            positions: positions.iter().map(at).collect(),
        }
    }

    fn reached(plan: &Plan) -> Vec<(&str, u64)> {
        let positions = plan.positions.iter();
        positions
            .map(|(name, at)| (name.as_str(), at.position))
            .collect()
    }

    #[test]
    fn positions_are_written_one_after_the_other() {
        let written = BTreeMap::from([("a".to_owned(), at(4))]);
        let (five, six, eight) = (noted(&[("a", 5)]), noted(&[("a", 6)]), noted(&[("a", 8)]));
        let plan = plan(&written, &[six.clone(), eight, five.clone()]);
        assert_eq!(reached(&plan), [("a", 6)]);
        assert_eq!(plan.passed, [five.id, six.id]);
    }

    #[test]
    fn those_of_an_entry_are_written_at_once() {
        let written = BTreeMap::from([("a".to_owned(), at(4))]);
        let both = noted(&[("a", 5), ("b", 2)]);
        let alone = std::slice::from_ref(&both);
        assert_eq!(plan(&written, alone), Plan::default());
        let first = noted(&[("b", 1)]);
        let plan = plan(&written, &[both, first]);
        assert_eq!(reached(&plan), [("a", 5), ("b", 2)]);
    }

    #[test]
    fn what_is_passed_already_is_removed() {
        let written = BTreeMap::from([("a".to_owned(), at(4))]);
        let three = noted(&[("a", 3)]);
        let plan = plan(&written, std::slice::from_ref(&three));
        assert_eq!(reached(&plan), []);
        assert_eq!(plan.passed, [three.id]);
    }
}
