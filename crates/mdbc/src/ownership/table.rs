//! Which transaction of a site joins which turn: a pure table.
//!
//! The turns of a site are disjoint. A transaction joins an open turn that owns
//! all that it needs. Where it needs more, the turns that it meets are *closed*:
//! they take no more transactions, and end when the last one is done. Then it
//! opens a turn of its own, unless somebody that came before it waits for one of
//! the same partitions: so nobody starves, and nobody waits for a later comer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::partition::{Partition, PartitionSet};
use crate::redo_log::Access;

/// Names a turn, within a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TurnId(u64);

/// Names a transaction that waits, within a table; earlier ones are lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaiterId(u64);

/// What a waiting transaction does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// It is in this turn now, as one of its users.
    Joined(TurnId, Arc<T>),
    /// It opens this turn.
    Open(TurnId),
    /// It waits until something changes.
    Wait,
}

/// The turns of a site, and who waits.
#[derive(Debug)]
pub(super) struct Table<T> {
    last: u64,
    seats: BTreeMap<TurnId, Seat<T>>,
    waiters: BTreeMap<WaiterId, Wish>,
}

/// What a transaction needs.
#[derive(Clone, Debug)]
struct Wish {
    partitions: PartitionSet,
    access: Access,
}

#[derive(Debug)]
struct Seat<T> {
    /// What the turn owns, and every user may use.
    partitions: PartitionSet,
    /// What it is about to own as well.
    claimed: Option<PartitionSet>,
    /// `None` while it is being opened, and while it is being ended.
    turn: Option<Arc<T>>,
    users: usize,
    /// Whether it is for those alone who only read.
    is_shared: bool,
    /// Whether it takes no more transactions.
    is_closed: bool,
    /// Whether what it is opened with is not what the local database has.
    is_spoiled: bool,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            last: 0,
            seats: BTreeMap::new(),
            waiters: BTreeMap::new(),
        }
    }
}

impl<T> Seat<T> {
    fn serves(&self, wish: &Wish) -> bool {
        let may = !self.is_shared || wish.access == Access::Read;
        may && self.partitions.covers(&wish.partitions)
    }

    fn meets(&self, wanted: &PartitionSet) -> bool {
        let claimed = self.claimed.as_ref();
        self.partitions.meets(wanted) || claimed.is_some_and(|claimed| claimed.meets(wanted))
    }
}

impl<T> Table<T> {
    /// A transaction begins to wait.
    pub(super) fn wait(&mut self, partitions: PartitionSet, access: Access) -> WaiterId {
        self.last += 1;
        let waiter = WaiterId(self.last);
        self.waiters.insert(waiter, Wish { partitions, access });
        waiter
    }

    /// How many transactions wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// What open turns own.
    pub(super) fn owned(&self) -> BTreeSet<Partition> {
        let open = self.seats.values().filter(|seat| seat.turn.is_some());
        open.flat_map(|seat| seat.partitions.iter().cloned())
            .collect()
    }

    /// A transaction waits no more.
    pub(super) fn leave(&mut self, waiter: WaiterId) {
        self.waiters.remove(&waiter);
    }

    /// What a waiting transaction does next. If it is not to wait, it leaves.
    pub(super) fn next(&mut self, waiter: WaiterId) -> Next<T> {
        let Some(wish) = self.waiters.get(&waiter).cloned() else {
            return Next::Wait;
        };
        let wanted = &wish.partitions;
        let mut is_free = true;
        for (id, seat) in &mut self.seats {
            if !seat.meets(wanted) {
                continue;
            }
            is_free = false;
            match &seat.turn {
                Some(turn) if !seat.is_closed && seat.serves(&wish) => {
                    seat.users += 1;
                    let joined = Next::Joined(*id, Arc::clone(turn));
                    self.waiters.remove(&waiter);
                    return joined;
                }
                _ if !seat.serves(&wish) => seat.is_closed = true,
                _ => {}
            }
        }
        let mut earlier = self.waiters.range(..waiter);
        if !is_free || earlier.any(|(_, other)| other.partitions.meets(wanted)) {
            return Next::Wait;
        }
        self.waiters.remove(&waiter);
        self.last += 1;
        let id = TurnId(self.last);
        let seat = Seat {
            partitions: wish.partitions,
            claimed: None,
            turn: None,
            users: 1,
            is_shared: false,
            is_closed: false,
            is_spoiled: false,
        };
        self.seats.insert(id, seat);
        Next::Open(id)
    }

    /// The turn is open, for the transaction that opened it and for others. It
    /// may own more than was wanted: what is not another turn's. Whether it is
    /// good, and was not spoiled meanwhile.
    pub(super) fn opened(
        &mut self,
        id: TurnId,
        (turn, is_shared): (Arc<T>, bool),
        owned: &PartitionSet,
    ) -> bool {
        self.widen(id, owned);
        let seat = self.seats.get_mut(&id);
        seat.is_some_and(|seat| {
            (seat.turn, seat.is_shared) = (Some(turn), is_shared);
            !seat.is_spoiled
        })
    }

    /// The local database lacks what turns over these partitions rest on: closes
    /// them. Those that are open.
    pub(super) fn spoil(&mut self, partitions: &PartitionSet) -> Vec<Arc<T>> {
        let seats = self.seats.values_mut();
        let met = seats.filter(|seat| seat.meets(partitions));
        met.filter_map(|seat| {
            (seat.is_closed, seat.is_spoiled) = (true, true);
            seat.turn.clone()
        })
        .collect()
    }

    /// The turn owns so much from now on, but what another turn has.
    pub(super) fn widen(&mut self, id: TurnId, owned: &PartitionSet) {
        let mut others = self.seats.iter().filter(|(other, _)| **other != id);
        let is_apart = others.all(|(_, seat)| !seat.meets(owned));
        if let (true, Some(seat)) = (is_apart, self.seats.get_mut(&id)) {
            seat.partitions = owned.clone();
        }
    }

    /// Makes sure that no other turn has these partitions, as far as that can
    /// be done now: others are closed. Whether it is so; then none gets them
    /// before the claim is given up.
    pub(super) fn claim(&mut self, id: TurnId, wanted: &PartitionSet) -> bool {
        let others = self.seats.iter_mut().filter(|(other, _)| **other != id);
        let mut is_free = true;
        for (_, seat) in others.filter(|(_, seat)| seat.meets(wanted)) {
            seat.is_closed = true;
            is_free = false;
        }
        let seat = self
            .seats
            .get_mut(&id)
            .filter(|seat| is_free && seat.claimed.is_none());
        let is_claimed = seat.is_some();
        if let Some(seat) = seat {
            seat.claimed = Some(wanted.clone());
        }
        is_claimed
    }

    /// Gives a claim up; what the turn owns by now it keeps.
    pub(super) fn unclaim(&mut self, id: TurnId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.claimed = None;
        }
    }

    /// A user of the turn is done.
    pub(super) fn left(&mut self, id: TurnId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.users = seat.users.saturating_sub(1);
        }
    }

    /// Takes no more transactions into the turn.
    pub(super) fn close(&mut self, id: TurnId) {
        if let Some(seat) = self.seats.get_mut(&id) {
            seat.is_closed = true;
        }
    }

    /// Whether nobody uses the turn, and whether it is closed.
    pub(super) fn is_idle(&self, id: TurnId) -> (bool, bool) {
        let seat = self.seats.get(&id);
        seat.map_or((true, true), |seat| (seat.users == 0, seat.is_closed))
    }

    /// Takes the turn out where nobody uses it: it is being ended. Until it is
    /// [`ended`](Self::ended) its partitions are not free.
    pub(super) fn take(&mut self, id: TurnId) -> Option<Arc<T>> {
        let seat = self.seats.get_mut(&id).filter(|seat| seat.users == 0)?;
        seat.is_closed = true;
        seat.turn.take()
    }

    /// The turn is over, or could not be opened.
    pub(super) fn ended(&mut self, id: TurnId) {
        self.seats.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &str) -> PartitionSet {
        let partition = |name: char| Partition::try_from(name.to_string()).unwrap();
        PartitionSet::new(names.chars().map(partition)).unwrap()
    }

    fn open(table: &mut Table<&'static str>, names: &'static str) -> TurnId {
        let waiter = table.wait(set(names), Access::Write);
        let Next::Open(id) = table.next(waiter) else {
            panic!("{names} is free")
        };
        table.opened(id, (Arc::new(names), false), &set(names));
        id
    }

    #[test]
    fn a_transaction_joins_a_turn_that_has_all_that_it_needs() {
        let mut table = Table::default();
        let id = open(&mut table, "ab");
        let waiter = table.wait(set("b"), Access::Write);
        assert_eq!(table.next(waiter), Next::Joined(id, Arc::new("ab")));
        assert_eq!(table.waiting(), 0);
        table.left(id);
        assert_eq!(table.take(id), None, "one is in it still");
        table.left(id);
        assert_eq!(table.take(id), Some(Arc::new("ab")));
    }

    #[test]
    fn one_that_needs_more_waits_for_the_end_and_comes_before_later_ones() {
        let mut table = Table::default();
        let id = open(&mut table, "a");
        let (more, same) = (
            table.wait(set("ab"), Access::Write),
            table.wait(set("a"), Access::Write),
        );
        assert_eq!(table.next(more), Next::Wait);
        assert_eq!(table.next(same), Next::Wait, "the turn is closed");
        let apart = table.wait(set("c"), Access::Write);
        assert!(matches!(table.next(apart), Next::Open(_)));
        table.left(id);
        table.take(id);
        assert_eq!(table.next(more), Next::Wait, "it is being ended");
        table.ended(id);
        assert_eq!(table.next(same), Next::Wait, "another came before");
        let Next::Open(wide) = table.next(more) else {
            panic!("it is free")
        };
        table.opened(wide, (Arc::new("ab"), false), &set("ab"));
        assert_eq!(table.next(same), Next::Joined(wide, Arc::new("ab")));
    }

    #[test]
    fn a_turn_is_spoiled_though_it_is_being_opened() {
        let mut table = Table::default();
        let (a, b) = (open(&mut table, "a"), open(&mut table, "b"));
        let waiter = table.wait(set("c"), Access::Write);
        let Next::Open(c) = table.next(waiter) else {
            panic!("it is free")
        };
        assert_eq!(table.spoil(&set("ac")), [Arc::new("a")]);
        assert!(!table.opened(c, (Arc::new("c"), false), &set("c")));
        let closed = [a, b, c].map(|id| table.is_idle(id).1);
        assert_eq!(closed, [true, false, true]);
    }

    #[test]
    fn a_waiter_that_leaves_holds_up_nobody() {
        let mut table: Table<()> = Table::default();
        let (first, second) = (
            table.wait(set("ab"), Access::Write),
            table.wait(set("b"), Access::Write),
        );
        assert_eq!(table.next(second), Next::Wait);
        table.leave(first);
        assert!(matches!(table.next(second), Next::Open(_)));
    }

    #[test]
    fn a_claim_closes_other_turns_and_keeps_later_ones_out() {
        let mut table = Table::default();
        let (a, b) = (open(&mut table, "a"), open(&mut table, "b"));
        assert!(!table.claim(a, &set("b")));
        assert_eq!(table.is_idle(b), (false, true), "it is closed");
        table.left(b);
        table.take(b);
        table.ended(b);
        assert!(table.claim(a, &set("b")));
        let waiter = table.wait(set("b"), Access::Write);
        assert_eq!(
            table.next(waiter),
            Next::Wait,
            "the turn does not own it yet"
        );
        table.widen(a, &set("ab"));
        table.unclaim(a);
        let other = table.wait(set("ab"), Access::Write);
        assert_eq!(
            table.next(other),
            Next::Wait,
            "it was closed for the other one"
        );
    }

    #[test]
    fn those_who_only_read_share_a_turn_that_writers_wait_for() {
        let mut table = Table::default();
        let (first, second) = (
            table.wait(set("a"), Access::Read),
            table.wait(set("a"), Access::Read),
        );
        let Next::Open(id) = table.next(first) else {
            panic!("it is free")
        };
        table.opened(id, (Arc::new("a"), true), &set("a"));
        assert!(matches!(table.next(second), Next::Joined(..)));
        let writer = table.wait(set("a"), Access::Write);
        assert_eq!(table.next(writer), Next::Wait);
        let late = table.wait(set("a"), Access::Read);
        assert_eq!(table.next(late), Next::Wait, "the writer came before");
    }

    /// Transactions that come, join, open, finish, and turns that end.
    #[derive(Default)]
    struct Site {
        table: Table<()>,
        waiting: Vec<WaiterId>,
        inside: Vec<TurnId>,
        open: Vec<TurnId>,
        served: usize,
    }

    impl Site {
        fn come(&mut self, bits: u8) {
            let names: String = "abcd"
                .chars()
                .enumerate()
                .filter(|(n, _)| bits & (1 << n) != 0)
                .map(|(_, name)| name)
                .collect();
            let access = if bits & 16 == 0 {
                Access::Write
            } else {
                Access::Read
            };
            if !names.is_empty() {
                self.waiting.push(self.table.wait(set(&names), access));
            }
        }

        fn step(&mut self, index: usize) {
            let waiter = self.waiting[index];
            match self.table.next(waiter) {
                Next::Wait => return,
                Next::Joined(id, _) => self.inside.push(id),
                Next::Open(id) => {
                    let seat = &self.table.seats[&id];
                    let (partitions, shared) = (seat.partitions.clone(), index.is_multiple_of(2));
                    self.table.opened(id, (Arc::new(()), shared), &partitions);
                    self.inside.push(id);
                    self.open.push(id);
                }
            }
            self.waiting.remove(index);
            self.served += 1;
        }

        /// The first that is in a turn is done; turns without users end.
        fn finish(&mut self) {
            if !self.inside.is_empty() {
                self.table.left(self.inside.remove(0));
            }
            let table = &mut self.table;
            self.open.retain(|id| {
                let is_over = table.take(*id).is_some();
                if is_over {
                    table.ended(*id);
                }
                !is_over
            });
        }

        fn check(&self) {
            let seats: Vec<_> = self.table.seats.values().collect();
            for (n, seat) in seats.iter().enumerate() {
                assert!(
                    seats[..n]
                        .iter()
                        .all(|other| !other.partitions.meets(&seat.partitions))
                );
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn turns_are_disjoint_and_everybody_is_served(
            steps in proptest::collection::vec((0..3_u8, proptest::prelude::any::<u8>()), 0..80),
        ) {
            let mut site = Site::default();
            let mut came = 0;
            for (kind, bits) in steps {
                match kind {
                    0 => {
                        site.come(bits);
                        came = site.served + site.waiting.len();
                    }
                    1 if !site.waiting.is_empty() => {
                        site.step(usize::from(bits) % site.waiting.len());
                    }
                    _ => site.finish(),
                }
                site.check();
            }
            // Everybody tries, and somebody finishes, as often as there are.
            for _ in 0..=2 * came {
                for index in (0..site.waiting.len()).rev() {
                    site.step(index);
                }
                site.check();
                site.finish();
            }
            assert_eq!((site.waiting.len(), site.served), (0, came));
        }
    }

    #[test]
    fn a_turn_takes_no_partition_that_another_has() {
        let mut table = Table::default();
        let (a, b) = (open(&mut table, "a"), open(&mut table, "b"));
        table.widen(a, &set("ab"));
        let waiter = table.wait(set("ab"), Access::Write);
        assert_eq!(table.next(waiter), Next::Wait);
        assert_eq!(
            (table.is_idle(a), table.is_idle(b)),
            ((false, true), (false, true))
        );
    }
}
