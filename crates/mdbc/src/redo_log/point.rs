//! Positions in logs, and how far a database has applied them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::partition::Partition;
use crate::redo_log::entry::Entry;

/// An entry's place in one log, and who wrote it: the entry's id there.
///
/// One section writes one entry at a position at most, so two entries with the
/// same id are one. Ordered by position first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Point {
    /// From 1; 0 before the first entry.
    pub position: u64,
    /// The fencing token of the section that wrote it; 0 before the first entry.
    pub token: u64,
}

impl Point {
    /// Before the first entry of every log.
    pub const START: Self = Self {
        position: 0,
        token: 0,
    };

    /// The next position.
    pub(crate) fn next(self, token: u64) -> Self {
        Self {
            position: self.position.saturating_add(1),
            token,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.position, self.token)
    }
}

impl std::str::FromStr for Point {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (position, token) = text.split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self {
            position: number(position)?,
            token: number(token)?,
        })
    }
}

/// How far a database has applied each log: the last entry of each, kept in the
/// same local transaction as the data.
///
/// A database applies whole transactions in an order that each of their logs
/// agrees with. So all that precedes a point of it is applied, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied(BTreeMap<Partition, Point>);

/// What an entry is to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is the next one: apply it.
    Next,
    /// It is applied already: leave it out.
    Done,
    /// Entries before it are not applied, or others in its place: apply nothing.
    Gap,
}

impl Applied {
    /// The last entry applied of a partition.
    pub fn point(&self, partition: &Partition) -> Point {
        self.0.get(partition).copied().unwrap_or(Point::START)
    }

    /// Notes the last entry applied of a partition.
    pub fn set(&mut self, partition: Partition, point: Point) {
        self.0.insert(partition, point);
    }

    /// All points, in the order of the partitions' names.
    pub fn iter(&self) -> impl Iterator<Item = (&Partition, Point)> {
        self.0.iter().map(|(partition, point)| (partition, *point))
    }

    /// What an entry is to a database that has applied so much.
    pub fn step(&self, entry: &Entry) -> Step {
        let mut steps = entry.places.iter().map(|place| {
            let applied = self.point(&place.partition);
            match applied {
                _ if applied == place.before() => Step::Next,
                _ if applied.position >= place.point.position => Step::Done,
                _ => Step::Gap,
            }
        });
        let first = steps.next().unwrap_or(Step::Gap);
        if steps.all(|step| step == first) {
            first
        } else {
            Step::Gap
        }
    }

    /// Notes that an entry is applied, in all its partitions.
    pub fn advance(&mut self, entry: &Entry) {
        for place in &entry.places {
            self.set(place.partition.clone(), place.point);
        }
    }
}

impl FromIterator<(Partition, Point)> for Applied {
    fn from_iter<I: IntoIterator<Item = (Partition, Point)>>(points: I) -> Self {
        Self(points.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::redo_log::entry::Place;

    fn partition(name: &str) -> Partition {
        Partition::try_from(name.to_owned()).unwrap()
    }

    fn entry(places: &[(&str, u64)]) -> Entry {
        let place = |(name, position): &(&str, u64)| Place {
            partition: partition(name),
            point: Point {
                position: *position,
                token: 9,
            },
            token_before: if *position == 1 { 0 } else { 9 },
        };
        Entry {
            places: places.iter().map(place).collect(),
            digest: Bytes::new(),
        }
    }

    #[test]
    fn a_database_applies_each_entry_once_and_in_order() {
        let mut applied = Applied::default();
        let (first, second) = (entry(&[("a", 1)]), entry(&[("a", 2), ("b", 1)]));
        assert_eq!(applied.step(&second), Step::Gap);
        assert_eq!(applied.step(&first), Step::Next);
        applied.advance(&first);
        assert_eq!(
            (applied.step(&first), applied.step(&second)),
            (Step::Done, Step::Next)
        );
        applied.advance(&second);
        assert_eq!(applied.step(&second), Step::Done);
    }

    #[test]
    fn an_entry_that_is_half_applied_or_of_another_chain_is_a_gap() {
        let mut applied = Applied::default();
        applied.set(
            partition("a"),
            Point {
                position: 1,
                token: 8,
            },
        );
        assert_eq!(applied.step(&entry(&[("a", 2)])), Step::Gap);
        assert_eq!(applied.step(&entry(&[("a", 1), ("b", 1)])), Step::Gap);
    }

    proptest! {
        #[test]
        fn a_point_is_read_as_it_was_written(position in any::<u64>(), token in any::<u64>()) {
            let point = Point { position, token };
            prop_assert_eq!(point.to_string().parse(), Ok(point));
        }
    }
}
