//! The cells of one key, and how two copies of them merge.
//!
//! A record is a join semilattice: merging is commutative, associative and
//! idempotent, so copies that have seen the same writes are equal, in
//! whatever order and however often the writes arrived. A write is a record
//! too, with just the cells that it changes.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::Field;
use crate::stamp::Stamp;

/// A last-writer-wins register: one field of one key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cell {
    /// Orders this write among all writes of the cell.
    pub stamp: Stamp,
    /// The value; `None` where the write deleted it.
    pub value: Option<Bytes>,
}

impl Cell {
    /// Whether this write wins over `other`: the higher stamp, and at equal
    /// stamps a deletion, then the larger value.
    fn wins_over(&self, other: &Self) -> bool {
        let rank = |cell: &Self| (cell.stamp, cell.value.is_none());
        (rank(self), &self.value) > (rank(other), &other.value)
    }
}

/// The cells of one key, or a write to some of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    deleted: Option<Stamp>,
    cells: BTreeMap<Field, Cell>,
}

impl Record {
    /// No field was ever written.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A write that deletes every field, whatever fields there are.
    pub fn deletion(stamp: Stamp) -> Self {
        Self {
            deleted: Some(stamp),
            cells: BTreeMap::new(),
        }
    }

    /// A write of some fields, all or none of them; `None` deletes a field.
    pub fn write(stamp: Stamp, fields: impl IntoIterator<Item = (Field, Option<Bytes>)>) -> Self {
        let cells = fields
            .into_iter()
            .map(|(field, value)| (field, Cell { stamp, value }));
        Self {
            deleted: None,
            cells: cells.collect(),
        }
    }

    /// Takes in what `other` knows. Returns whether that changed anything.
    pub fn merge(&mut self, other: &Self) -> bool {
        let deleted_more = other.deleted > self.deleted;
        if deleted_more {
            self.deleted = other.deleted;
            self.cells
                .retain(|_, cell| Some(cell.stamp) > other.deleted);
        }
        let mut changed = deleted_more;
        for (field, cell) in &other.cells {
            changed |= self.merge_cell(field, cell);
        }
        changed
    }

    fn merge_cell(&mut self, field: &Field, cell: &Cell) -> bool {
        if Some(cell.stamp) <= self.deleted {
            return false;
        }
        match self.cells.entry(field.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(cell.clone());
                true
            }
            Entry::Occupied(mut occupied) if cell.wins_over(occupied.get()) => {
                occupied.insert(cell.clone());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// The value of a field; `None` where it is absent or deleted.
    pub fn value(&self, field: &Field) -> Option<&Bytes> {
        self.cells.get(field).and_then(|cell| cell.value.as_ref())
    }

    /// The fields that have a value, in the order of their names.
    pub fn fields(&self) -> impl Iterator<Item = (&Field, Stamp, &Bytes)> {
        self.cells
            .iter()
            .filter_map(|(field, cell)| cell.value.as_ref().map(|value| (field, cell.stamp, value)))
    }

    /// Whether some field has a value.
    pub fn exists(&self) -> bool {
        self.fields().next().is_some()
    }

    /// The highest stamp in it, deletions included.
    pub fn stamp_max(&self) -> Option<Stamp> {
        self.cells
            .values()
            .map(|cell| cell.stamp)
            .chain(self.deleted)
            .max()
    }

    /// The stamp of the last deletion of the whole key.
    pub fn deleted(&self) -> Option<Stamp> {
        self.deleted
    }

    /// The cells not covered by [`Record::deleted`], deleted ones included.
    pub fn cells(&self) -> impl Iterator<Item = (&Field, &Cell)> {
        self.cells.iter()
    }

    /// Puts a record together from an engine's cells.
    pub fn from_cells(
        deleted: Option<Stamp>,
        cells: impl IntoIterator<Item = (Field, Cell)>,
    ) -> Self {
        let mut record = Self {
            deleted,
            cells: BTreeMap::new(),
        };
        for (field, cell) in cells {
            record.merge_cell(&field, &cell);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::WallTime;

    fn stamp(number: u64) -> Stamp {
        Stamp::eventual(WallTime(number))
    }

    fn write() -> impl Strategy<Value = Record> {
        let value = proptest::option::of(proptest::collection::vec(0_u8..4, 0..2));
        let fields = proptest::collection::btree_map("[abc]", value, 0..3);
        (0_u64..6, fields, any::<bool>()).prop_map(|(number, fields, deletes)| {
            if deletes {
                return Record::deletion(stamp(number));
            }
            let fields = fields
                .into_iter()
                .map(|(field, value)| (Field::new(field).unwrap(), value.map(Bytes::from)));
            Record::write(stamp(number), fields)
        })
    }

    fn merged<'a>(writes: impl IntoIterator<Item = &'a Record>) -> Record {
        let mut record = Record::empty();
        for write in writes {
            record.merge(write);
        }
        record
    }

    proptest! {
        #[test]
        fn copies_agree_whatever_the_order_and_however_often(
            writes in proptest::collection::vec(write(), 0..8), seed in any::<usize>(),
        ) {
            let once = merged(&writes);
            let mut shuffled: std::vec::Vec<_> = writes.iter().chain(&writes).collect();
            if !shuffled.is_empty() {
                let middle = seed % shuffled.len();
                shuffled.rotate_left(middle);
                shuffled[..].reverse();
            }
            prop_assert_eq!(merged(shuffled), once);
        }

        #[test]
        fn merging_copies_equals_merging_their_writes(
            left in proptest::collection::vec(write(), 0..6),
            right in proptest::collection::vec(write(), 0..6),
        ) {
            let mut copies = merged(&left);
            copies.merge(&merged(&right));
            prop_assert_eq!(copies, merged(left.iter().chain(&right)));
        }

        #[test]
        fn merge_says_whether_it_changed_anything(
            writes in proptest::collection::vec(write(), 0..6), last in write(),
        ) {
            let before = merged(&writes);
            let mut after = before.clone();
            let changed = after.merge(&last);
            prop_assert_eq!(changed, after != before);
        }
    }

    #[test]
    fn a_deletion_covers_fields_written_before_and_at_its_stamp() {
        let field = Field::DEFAULT;
        let mut record = Record::deletion(stamp(5));
        for late in [4, 5] {
            record.merge(&Record::write(
                stamp(late),
                [(field.clone(), Some("late".into()))],
            ));
            assert_eq!(record.value(&field), None);
        }
        record.merge(&Record::write(
            stamp(6),
            [(field.clone(), Some("new".into()))],
        ));
        assert_eq!(record.value(&field), Some(&Bytes::from("new")));
    }
}
