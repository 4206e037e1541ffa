//! Partitions: what a site owns as one.
//!
//! A strong table is one partition, or several: one for each declared range of
//! its primary key. Tables of a group have theirs in common. A transaction owns
//! all partitions that it reads or writes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name of a partition, in bytes: the names of a full set still fit
/// into one lockRef of MUSIC.
pub const NAME_BYTES_MAX: usize = 200;

/// The most partitions that one turn may have: a lockRef of MUSIC has no more
/// keys.
pub const PARTITIONS_MAX: usize = 32;

/// What is owned as one. Its name is the key of its record in MUSIC.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Partition(Arc<str>);

/// Why a name is no partition's, or a set none of a turn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// The name is empty or too long.
    #[error(
        "a partition's name has 1 to {NAME_BYTES_MAX} bytes, not {0}: shorten the table's name"
    )]
    Length(usize),
    /// A transaction without partitions needs no turn.
    #[error("a turn needs at least one partition")]
    Empty,
    /// More partitions than MUSIC locks together.
    #[error(
        "a turn has at most {PARTITIONS_MAX} partitions, not {0}: let the transaction touch fewer"
    )]
    TooMany(usize),
}

impl Partition {
    /// The partition of a table that is owned as a whole.
    ///
    /// # Errors
    /// [`PartitionError::Length`] where the table's name is too long.
    pub fn of_table(table: &str) -> Result<Self, PartitionError> {
        // What follows the last slash tells a table from a range of another one
        // and from a group, whatever their names are.
        Self::try_from(format!("{table}/all"))
    }

    /// The partition of one range of a table, by its number.
    ///
    /// # Errors
    /// [`PartitionError::Length`] where the table's name is too long.
    pub fn of_range(table: &str, range: u32) -> Result<Self, PartitionError> {
        Self::try_from(format!("{table}/{range}"))
    }

    /// The partition of a group of tables.
    ///
    /// # Errors
    /// [`PartitionError::Length`] where the group's name is too long.
    pub fn of_group(group: &str) -> Result<Self, PartitionError> {
        Self::try_from(format!("{group}/group"))
    }

    /// The partition of one range of a group of tables, by its number.
    ///
    /// # Errors
    /// [`PartitionError::Length`] where the group's name is too long.
    pub fn of_group_range(group: &str, range: u32) -> Result<Self, PartitionError> {
        Self::try_from(format!("{group}/group.{range}"))
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Partition {
    type Error = PartitionError;

    fn try_from(name: String) -> Result<Self, PartitionError> {
        match name.len() {
            1..=NAME_BYTES_MAX => Ok(Self(name.into())),
            length => Err(PartitionError::Length(length)),
        }
    }
}

impl From<Partition> for String {
    fn from(partition: Partition) -> Self {
        partition.0.as_ref().to_owned()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The partitions of a transaction or a turn: 1 to [`PARTITIONS_MAX`], in the
/// order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSet(BTreeSet<Partition>);

impl PartitionSet {
    /// Takes a set.
    ///
    /// # Errors
    /// Where it is empty or too large.
    pub fn new(partitions: impl IntoIterator<Item = Partition>) -> Result<Self, PartitionError> {
        let set: BTreeSet<Partition> = partitions.into_iter().collect();
        match set.len() {
            0 => Err(PartitionError::Empty),
            1..=PARTITIONS_MAX => Ok(Self(set)),
            count => Err(PartitionError::TooMany(count)),
        }
    }

    /// Both sets together.
    ///
    /// # Errors
    /// Where that is too large.
    pub fn with(&self, more: impl IntoIterator<Item = Partition>) -> Result<Self, PartitionError> {
        Self::new(self.0.iter().cloned().chain(more))
    }

    /// The partitions, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.0.iter()
    }

    /// Whether the partition is one of them.
    pub fn contains(&self, partition: &Partition) -> bool {
        self.0.contains(partition)
    }

    /// Whether all partitions of the other set are in this one.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.is_superset(&other.0)
    }

    /// Whether they have a partition in common.
    pub fn meets(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }
}

impl From<Partition> for PartitionSet {
    fn from(partition: Partition) -> Self {
        Self(BTreeSet::from([partition]))
    }
}

impl fmt::Display for PartitionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for partition in &self.0 {
            write!(f, "{separator}{partition}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_a_range_of_another_never_have_one_name() {
        let table = Partition::of_table("orders/3").unwrap();
        let range = Partition::of_range("orders", 3).unwrap();
        let all = Partition::of_table("orders").unwrap();
        assert!(table != range && range != all && all != table);
    }

    #[test]
    fn a_name_has_bounds() {
        assert_eq!(
            Partition::try_from(String::new()),
            Err(PartitionError::Length(0))
        );
        let long = "x".repeat(NAME_BYTES_MAX);
        assert!(Partition::of_table(&long).is_err());
        assert!(Partition::try_from(long).is_ok());
    }

    #[test]
    fn a_set_has_bounds_and_an_order() {
        let range = |number| Partition::of_range("t", number).unwrap();
        assert_eq!(PartitionSet::new([]), Err(PartitionError::Empty));
        let most = u32::try_from(PARTITIONS_MAX).unwrap();
        let full = PartitionSet::new((0..most).map(range)).unwrap();
        let count = PARTITIONS_MAX + 1;
        assert_eq!(
            full.with([range(most)]),
            Err(PartitionError::TooMany(count))
        );
        let pair = PartitionSet::new([range(2), range(1), range(2)]).unwrap();
        assert_eq!(pair.to_string(), "t/1, t/2");
        assert!(full.covers(&pair) && pair.meets(&full) && !pair.covers(&full));
    }
}
