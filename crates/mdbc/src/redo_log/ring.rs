//! The ring of slots that a log is, and what a reading of it shows.
//!
//! Position `n` is in slot `n mod slots`. So nothing is ever deleted in a log:
//! what is not needed any more is overwritten, by a later entry or by an empty
//! value.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use music_client::Content;
use music_client::api::name::Fields;

use crate::partition::Partition;
use crate::redo_log::entry::{Malformed, Slot};
use crate::redo_log::point::Point;

/// How many slots a log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ring {
    pub(crate) slots: u64,
}

impl Ring {
    /// The slot of a position.
    pub(crate) fn slot(self, position: u64) -> u64 {
        position.checked_rem(self.slots).unwrap_or_default()
    }

    /// The field of a position's entry.
    pub(crate) fn field(self, position: u64) -> String {
        format!("e{}", self.slot(position))
    }

    /// The field of a piece of a position's digest.
    pub(crate) fn piece_field(self, position: u64, piece: u16) -> String {
        format!("{}.{piece}", self.field(position))
    }
}

/// A slot's number and, where the field is one of a piece, that one's.
fn parse(field: &str) -> Option<(u64, Option<u16>)> {
    let name = field.strip_prefix('e')?;
    match name.split_once('.') {
        Some((slot, piece)) => Some((slot.parse().ok()?, Some(piece.parse().ok()?))),
        None => Some((name.parse().ok()?, None)),
    }
}

/// What a reading of a log shows.
#[derive(Clone, Debug)]
pub(crate) struct View {
    ring: Ring,
    /// By position.
    slots: BTreeMap<u64, Slot>,
    /// Slots that hold something else than an entry.
    damaged: BTreeSet<u64>,
    /// By slot and number.
    pieces: BTreeMap<(u64, u16), Bytes>,
}

impl View {
    /// Of a log that was not read, or never written.
    pub(crate) fn empty(ring: Ring) -> Self {
        Self {
            ring,
            slots: BTreeMap::new(),
            damaged: BTreeSet::new(),
            pieces: BTreeMap::new(),
        }
    }

    /// Of the fields of a partition's record, all of them or some.
    pub(crate) fn read(ring: Ring, partition: &Partition, fields: Fields) -> Self {
        let mut view = Self::empty(ring);
        for (name, value) in fields {
            let Some((slot, piece)) = parse(&name) else {
                continue;
            };
            let value = Content::from_value(value).map(|content| content.bytes);
            match (value, piece) {
                (Ok(value), _) if value.is_empty() => {}
                (Ok(value), Some(piece)) => {
                    view.pieces.insert((slot, piece), value);
                }
                (Ok(value), None) => view.take(partition, slot, &value),
                (Err(_), _) => {
                    view.damaged.insert(slot);
                }
            }
        }
        view
    }

    fn take(&mut self, partition: &Partition, number: u64, value: &Bytes) {
        let slot = Slot::decode(value).ok();
        let position = slot
            .as_ref()
            .and_then(|slot| slot.head.place())
            .and_then(|place| {
                let position = place.point.position;
                let is_here = place.partition == *partition && self.ring.slot(position) == number;
                is_here.then_some(position)
            });
        match (slot, position) {
            (Some(slot), Some(position)) => {
                self.slots.insert(position, slot);
            }
            _ => {
                self.damaged.insert(number);
            }
        }
    }

    /// The slot that holds this position.
    pub(crate) fn slot(&self, position: u64) -> Option<&Slot> {
        self.slots.get(&position)
    }

    /// Whether the slot of this position holds something else than an entry.
    pub(crate) fn is_damaged(&self, position: u64) -> bool {
        self.damaged.contains(&self.ring.slot(position))
    }

    /// The digest of a slot.
    pub(crate) fn digest(&self, slot: &Slot) -> Result<Bytes, Malformed> {
        let number = slot
            .head
            .place()
            .map(|place| self.ring.slot(place.point.position));
        let number = number.ok_or(Malformed)?;
        slot.digest(|piece| self.pieces.get(&(number, piece)).cloned())
    }

    /// Up to where the entries say that the log is committed: true of the log,
    /// whether they count themselves or not.
    pub(crate) fn claims(&self) -> impl Iterator<Item = Point> {
        self.slots.values().map(|slot| slot.head.committed)
    }

    /// The entries from one point on, each the successor of the one before.
    pub(crate) fn chain(&self, from: Point) -> Vec<&Slot> {
        let mut chain = Vec::new();
        let mut at = from;
        while let Some(slot) = self.slots.get(&at.position.saturating_add(1)) {
            match slot.head.place() {
                Some(place) if place.before() == at => at = place.point,
                _ => break,
            }
            chain.push(slot);
        }
        chain
    }

    /// The entries from one point to another, where all are there.
    pub(crate) fn chain_to(&self, from: Point, to: Point) -> Option<Vec<&Slot>> {
        let count = usize::try_from(to.position.checked_sub(from.position)?).ok()?;
        let mut chain = self.chain(from);
        chain.truncate(count);
        let end = chain.last().and_then(|slot| slot.head.place());
        (end.map_or(from, |place| place.point) == to).then_some(chain)
    }

    /// The positions that hold something, and how many bytes.
    pub(crate) fn sizes(&self) -> BTreeMap<u64, usize> {
        let mut sizes: BTreeMap<u64, usize> = self
            .slots
            .iter()
            .map(|(position, slot)| (*position, slot.bytes))
            .collect();
        for (position, bytes) in &mut sizes {
            let slot = self.ring.slot(*position);
            let pieces = self.pieces.range((slot, 0)..=(slot, u16::MAX));
            *bytes += pieces.map(|(_, piece)| piece.len()).sum::<usize>();
        }
        sizes
    }

    /// How many fields of pieces each slot has.
    pub(crate) fn piece_counts(&self) -> BTreeMap<u64, u16> {
        let mut counts = BTreeMap::new();
        for (slot, piece) in self.pieces.keys() {
            counts.insert(*slot, piece.saturating_add(1));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_as_it_is_named() {
        let ring = Ring { slots: 8 };
        assert_eq!(
            (ring.field(19), parse("e3")),
            ("e3".to_owned(), Some((3, None)))
        );
        assert_eq!(parse(&ring.piece_field(8, 12)), Some((0, Some(12))));
        for other in ["", "x3", "e", "e-1", "e3.", "e3.x", "e3.4.5"] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
