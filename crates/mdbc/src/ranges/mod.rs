//! Ranges of a table, and the groups of tables that are owned together.
//!
//! ```text
//!  music_ranges = 'w_id: 10, 20'      below 10 │ 10 to 19 │ 20 on
//!                           numbers       0    │     1    │   2
//! ```
//!
//! A statement is understood once and run with many parameters. What it says of
//! columns is kept as facts about the rows that it touches ([`plan::Plan`]), and
//! which ranges these rows can be in is worked out when it runs. A fact that is
//! not understood is left out, and that only makes the ranges more: what cannot
//! be told is all of them.

mod domain;
pub(crate) mod plan;

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::partition::{PARTITIONS_MAX, Partition, PartitionError};
use crate::types::{Base, Class, SqlType, Value};

/// The most ranges of a table.
pub(crate) const RANGES_MAX: usize = 15;

// Two tables in all their ranges fit into one turn, and the schema beside them:
// so a table can be renamed.
const _: () = assert!(2 * RANGES_MAX + 1 < PARTITIONS_MAX);

/// A value of a column that may have ranges, in the order of the column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Key {
    Integer(i64),
    Text(String),
}

impl Key {
    /// The key that a stored value is; none for one of another type.
    pub(crate) fn of(value: Value) -> Option<Self> {
        match value {
            Value::Integer(number) => Some(Self::Integer(number)),
            Value::Text(text) => Some(Self::Text(text)),
            Value::Null | Value::Real(_) | Value::Blob(_) => None,
        }
    }
}

/// Whether values of a type are stored in their order, as keys.
pub(crate) fn is_ordered(ty: SqlType) -> bool {
    is_kin(ty, ty)
}

/// Whether equal values of both types are stored alike, in one order.
pub(crate) fn is_kin(left: SqlType, right: SqlType) -> bool {
    let is_integer = |ty: SqlType| matches!(ty.base, Base::Int2 | Base::Int4 | Base::Int8);
    let is_text = |ty: SqlType| matches!(ty.base, Base::Text | Base::Varchar);
    let is_same =
        left.base == right.base && (left.base == Base::Date || left.base.class() == Class::Uuid);
    let is_kin =
        is_integer(left) && is_integer(right) || is_text(left) && is_text(right) || is_same;
    is_kin && !left.is_array && !right.is_array
}

/// The ranges of a table, by one column of its primary key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ranges {
    /// The number of the column.
    pub(crate) column: i16,
    /// Where each range but the first begins, ascending.
    pub(crate) bounds: Vec<Key>,
}

impl Ranges {
    /// The range that a value is in.
    pub(crate) fn number(&self, key: &Key) -> u32 {
        let before = self.bounds.partition_point(|bound| bound <= key);
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    /// The numbers of all ranges.
    pub(crate) fn all(&self) -> BTreeSet<u32> {
        let last = u32::try_from(self.bounds.len()).unwrap_or(u32::MAX);
        (0..=last).collect()
    }
}

/// What of a table is owned as one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    /// The tables that it is owned with.
    pub(crate) group: Option<String>,
    /// By what its rows are owned apart.
    pub(crate) ranges: Option<Ranges>,
}

impl Owned {
    /// The partitions of a table: those of some ranges, or all.
    pub(crate) fn partitions(
        &self,
        table: &str,
        numbers: Option<&BTreeSet<u32>>,
    ) -> Result<BTreeSet<Partition>, PartitionError> {
        let Some(ranges) = &self.ranges else {
            return Ok(BTreeSet::from([self.partition(table, None)?]));
        };
        let numbers = numbers.map_or_else(|| Cow::Owned(ranges.all()), Cow::Borrowed);
        let of = |number: &u32| self.partition(table, Some(*number));
        numbers.iter().map(of).collect()
    }

    /// The partition of a table, or of one of its ranges.
    fn partition(&self, table: &str, number: Option<u32>) -> Result<Partition, PartitionError> {
        match (&self.group, number) {
            (None, None) => Partition::of_table(table),
            (None, Some(number)) => Partition::of_range(table, number),
            (Some(group), None) => Partition::of_group(group),
            (Some(group), Some(number)) => Partition::of_group_range(group, number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_the_first_of_its_range() {
        let bounds = [10, 20].map(Key::Integer).to_vec();
        let ranges = Ranges { column: 1, bounds };
        let number = |number| ranges.number(&Key::Integer(number));
        let numbers = [i64::MIN, 9, 10, 19, 20, i64::MAX].map(number);
        assert_eq!(numbers, [0, 0, 1, 1, 2, 2]);
        assert_eq!(ranges.all(), BTreeSet::from([0, 1, 2]));
    }

    #[test]
    fn tables_of_a_group_have_the_same_partitions_and_others_have_not() {
        let ranges = Some(Ranges {
            column: 1,
            bounds: vec![Key::Integer(1)],
        });
        let group = Some("g".to_owned());
        let owned = |group: &Option<String>, ranges: &Option<Ranges>| Owned {
            group: group.clone(),
            ranges: ranges.clone(),
        };
        let all = |owned: Owned, table: &str| owned.partitions(table, None).unwrap();
        let grouped = owned(&group, &ranges);
        assert_eq!(all(grouped.clone(), "a"), all(grouped.clone(), "b"));
        let some = grouped.partitions("a", Some(&BTreeSet::from([1])));
        assert!(all(grouped.clone(), "b").is_superset(&some.unwrap()));
        let apart = [
            all(grouped, "g"),
            all(owned(&group, &None), "g"),
            all(owned(&None, &ranges), "g"),
            all(owned(&None, &None), "g"),
        ];
        let distinct: BTreeSet<&Partition> = apart.iter().flatten().collect();
        assert_eq!(distinct.len(), 2 + 1 + 2 + 1);
    }
}
