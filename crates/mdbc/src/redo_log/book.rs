//! What a site remembers of a partition's log from one of its turns to the
//! next: its end, and what its slots hold.
//!
//! # Continuity
//! Fencing tokens grow by one where a section follows another under one ticket.
//! If the token of a turn is the last turn's and one more, no section of anybody
//! was granted in between, and if that turn ended with every put acknowledged,
//! the log is what it left. Then nothing need be read.
//!
//! # What may be overwritten
//! At any time an acknowledged entry is in the log, at a majority of replicas, or
//! in the databases of a majority of sites: only what so many have applied is
//! overwritten. What a site lacks that follows is waited for, a bounded time
//! ([`Sites::free`]). What all sites have applied is emptied before, so that a log
//! that is read holds little more than what somebody lacks.
//!
//! [`Sites::free`]: crate::sites::Sites::free
//!
//! Two puts to one slot are never under way at once, since puts of a section are
//! not ordered. An entry is put only when what its slot held is acknowledged;
//! and a slot is emptied only if the entry that will use it is so far off that
//! the emptying is acknowledged by then.

use std::collections::BTreeMap;

use crate::redo_log::point::Point;
use crate::redo_log::ring::{Ring, View};

/// How many slots are emptied at once, at least: to empty one costs a field of a
/// put.
const EMPTIED_MIN: usize = 16;

/// How many slots are emptied at once, at most: a put has 256 fields.
const EMPTIED_MAX: usize = 64;

/// How many bytes of slots are emptied though they are few.
const EMPTIED_BYTES: usize = 256 * 1024;

/// How many fencing tokens a ticket of MUSIC has.
const TOKENS_OF_A_TICKET: u64 = 65_536;

/// The most bytes of a log's slots.
pub(crate) const RING_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What is remembered of a log.
#[derive(Clone, Debug)]
pub(crate) struct Book {
    ring: Ring,
    /// The token of the turn that it is of.
    pub(crate) token: u64,
    /// The last entry.
    pub(crate) end: Point,
    /// The bytes of each position that is not empty.
    sizes: BTreeMap<u64, usize>,
    /// All of these together.
    bytes: usize,
    /// Whether no other site had a turn between this one and the one before, as
    /// far as that can be guessed.
    pub(crate) is_alone: bool,
    /// How many fields of pieces each slot has that has any.
    pieces: BTreeMap<u64, u16>,
}

/// How far the sites are, for what may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floors {
    /// What every site has applied.
    pub(crate) all: u64,
    /// What a majority of the sites has applied, and every site that is waited for.
    pub(crate) free: u64,
    /// What is acknowledged.
    pub(crate) committed: u64,
    /// How many entries may be under way.
    pub(crate) under_way: u64,
}

/// There is no room for the entry before more sites have applied the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Book {
    /// Of a log as it was read.
    pub(crate) fn new(ring: Ring, token: u64, end: Point, view: &View) -> Self {
        let mut sizes = view.sizes();
        // What a lost owner left beyond the end is overwritten as it comes.
        sizes.split_off(&end.position.saturating_add(1));
        let bytes = sizes.values().sum();
        let pieces = view.piece_counts();
        Self {
            ring,
            token,
            end,
            sizes,
            bytes,
            is_alone: false,
            pieces,
        }
    }

    /// How many entries the log holds.
    pub(crate) fn entries(&self) -> usize {
        self.sizes.len()
    }

    /// The same log in a turn that follows the last one.
    pub(crate) fn follow(mut self, token: u64) -> Option<Self> {
        let follows = self.token.checked_add(1) == Some(token);
        (self.token, self.is_alone) = (token, true);
        follows.then_some(self)
    }

    /// Whether no other site had a ticket between the turn of this book and one
    /// with that token. A guess: another process of this site may have had one.
    pub(crate) fn is_next(&self, token: u64) -> bool {
        let tickets = [self.token, token].map(|token| token / TOKENS_OF_A_TICKET);
        let [before, after] = tickets;
        before == after || before.checked_add(1) == Some(after)
    }

    /// Whether there is room for an entry of so many bytes: which positions are
    /// to be emptied together with its put.
    pub(crate) fn room(&self, bytes: usize, floors: Floors) -> Result<Vec<u64>, Full> {
        let position = self.end.position.saturating_add(1);
        let overwritten = position.saturating_sub(self.ring.slots);
        if overwritten > floors.free.min(floors.committed) {
            return Err(Full);
        }
        // The slot of these is used again before this put is sure to be
        // acknowledged.
        let soon = position
            .saturating_add(floors.under_way)
            .saturating_sub(self.ring.slots);
        let mut excess = self
            .bytes
            .saturating_add(bytes)
            .saturating_sub(RING_BYTES_MAX);
        let (mut emptied, mut freed) = (Vec::new(), 0_usize);
        for (position, size) in self.sizes.range(soon..).take(EMPTIED_MAX) {
            let is_done = *position <= floors.all.min(floors.committed);
            let may_go = *position <= floors.free.min(floors.committed);
            if !(is_done || (excess > 0 && may_go)) {
                break;
            }
            emptied.push(*position);
            freed = freed.saturating_add(*size);
            excess = excess.saturating_sub(*size);
        }
        if excess > 0 {
            return Err(Full);
        }
        let is_worth_it = emptied.len() >= EMPTIED_MIN || freed >= EMPTIED_BYTES;
        Ok(if is_worth_it { emptied } else { Vec::new() })
    }

    /// Takes the next position for an entry of so many bytes and pieces, with the
    /// positions that are emptied. Returns the fields to be emptied.
    pub(crate) fn take(&mut self, bytes: usize, pieces: u16, emptied: Vec<u64>) -> Vec<String> {
        let point = self.end.next(self.token);
        let mut fields: Vec<String> = Vec::new();
        for position in emptied {
            self.forget(position);
            fields.push(self.ring.field(position));
            fields.extend(self.drop_pieces(position, 0));
        }
        self.forget(point.position.saturating_sub(self.ring.slots));
        fields.extend(self.drop_pieces(point.position, pieces));
        if pieces > 0 {
            self.pieces.insert(self.ring.slot(point.position), pieces);
        }
        self.sizes.insert(point.position, bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.end = point;
        fields
    }

    fn forget(&mut self, position: u64) {
        let bytes = self.sizes.remove(&position).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// The fields of a position's pieces from that number on.
    fn drop_pieces(&mut self, position: u64, from: u16) -> Vec<String> {
        let count = self
            .pieces
            .remove(&self.ring.slot(position))
            .unwrap_or_default();
        (from..count)
            .map(|piece| self.ring.piece_field(position, piece))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RING: Ring = Ring { slots: 256 };

    fn book() -> Book {
        Book::new(RING, 5, Point::START, &View::empty(RING))
    }

    fn put(
        book: &mut Book,
        (bytes, pieces): (usize, u16),
        floors: Floors,
    ) -> Result<Vec<String>, Full> {
        let emptied = book.room(bytes, floors)?;
        Ok(book.take(bytes, pieces, emptied))
    }

    fn floors(all: u64, free: u64, committed: u64) -> Floors {
        Floors {
            all,
            free,
            committed,
            under_way: 64,
        }
    }

    #[test]
    fn a_book_goes_on_with_the_next_token_alone() {
        assert!(book().follow(6).is_some());
        for token in [0, 4, 5, 7, 65_536] {
            assert!(book().follow(token).is_none(), "{token}");
        }
    }

    #[test]
    fn the_next_ticket_is_that_of_a_site_alone() {
        let mut book = book();
        book.token = 2 * TOKENS_OF_A_TICKET + 7;
        let ticket = |number| number * TOKENS_OF_A_TICKET;
        let next = [ticket(2) + 9, ticket(3), ticket(4), ticket(1)];
        assert_eq!(
            next.map(|token| book.is_next(token)),
            [true, true, false, false]
        );
    }

    #[test]
    fn what_too_few_sites_have_applied_is_not_overwritten() {
        let mut book = book();
        for position in 1..=256 {
            assert_eq!(
                put(&mut book, (10, 0), floors(0, 0, position - 1)),
                Ok(Vec::new())
            );
        }
        assert_eq!(put(&mut book, (10, 0), floors(0, 0, 256)), Err(Full));
        assert_eq!(book.end.position, 256);
        assert!(put(&mut book, (10, 0), floors(0, 1, 256)).is_ok());
        assert_eq!(put(&mut book, (10, 0), floors(0, 1, 257)), Err(Full));
    }

    #[test]
    fn what_is_not_acknowledged_is_not_overwritten() {
        let mut book = book();
        for _ in 1..=256 {
            put(&mut book, (10, 0), floors(0, 0, 0)).unwrap();
        }
        assert_eq!(put(&mut book, (10, 0), floors(256, 256, 0)), Err(Full));
    }

    #[test]
    fn slots_that_all_sites_have_applied_are_emptied_some_at_a_time() {
        let mut book = book();
        for _ in 1..=20 {
            put(&mut book, (10, 0), floors(0, 0, 0)).unwrap();
        }
        assert_eq!(put(&mut book, (10, 0), floors(15, 15, 20)), Ok(Vec::new()));
        let emptied = put(&mut book, (10, 0), floors(16, 16, 20)).unwrap();
        assert_eq!((emptied.len(), emptied[0].as_str()), (16, "e1"));
        assert_eq!(book.sizes.len(), 6);
    }

    #[test]
    fn a_slot_that_is_used_again_soon_is_not_emptied_before() {
        let mut book = book();
        for _ in 1..=250 {
            put(&mut book, (10, 0), floors(0, 0, 0)).unwrap();
        }
        // 64 entries may be under way behind this one, of position 251.
        let emptied = put(&mut book, (10, 0), floors(250, 250, 250)).unwrap();
        assert_eq!(emptied[0], format!("e{}", 251 + 64 - 256));
    }

    #[test]
    fn a_slot_loses_the_pieces_that_its_next_entry_does_not_use() {
        let mut book = book();
        for position in 1..=256 {
            let pieces = if position == 1 { 3 } else { 0 };
            put(&mut book, (10, pieces), floors(0, 0, position)).unwrap();
        }
        let emptied = put(&mut book, (10, 1), floors(0, 1, 256)).unwrap();
        assert_eq!(emptied, ["e1.1", "e1.2"]);
    }

    #[test]
    fn a_log_that_has_too_many_bytes_gives_up_what_a_majority_has() {
        let mut book = book();
        put(&mut book, (RING_BYTES_MAX, 0), floors(0, 0, 0)).unwrap();
        assert_eq!(put(&mut book, (1, 0), floors(0, 0, 1)), Err(Full));
        assert_eq!(
            put(&mut book, (1, 0), floors(0, 1, 1)),
            Ok(vec!["e1".to_owned()])
        );
    }

    proptest! {
        /// No slot is emptied whose next entry may be put before the emptying
        /// is acknowledged, and nothing that some site lacks.
        #[test]
        fn emptying_never_meets_an_entry(
            steps in proptest::collection::vec((0..40_u64, 0..40_u64), 1..900),
        ) {
            let mut book = book();
            for (lag, behind) in steps {
                let committed = book.end.position.saturating_sub(lag);
                let all = committed.saturating_sub(behind);
                let floors = floors(all, committed, committed);
                let Ok(emptied) = put(&mut book, (9, 0), floors) else { continue };
                for field in emptied {
                    let slot: u64 = field[1..].parse().unwrap();
                    let end = book.end.position;
                    let position = end - (end - slot) % RING.slots;
                    prop_assert!(position <= all);
                    prop_assert!(position + RING.slots >= end + floors.under_way);
                }
                prop_assert!(book.sizes.len() <= 256);
            }
        }
    }
}
