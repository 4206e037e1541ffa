//! Who lacks what: kept until it is delivered, so that all replicas agree in
//! the end.
//!
//! Every change that is sent to another site carries an [`Undelivered`]. If
//! the change is lost, to a cut, a stop or a full link, its key is noted for
//! that pair of sites. A task a pair delivers what is noted as soon as the
//! two sites are connected. Where too much is noted, or memory was lost, it
//! compares everything instead (a full pass).
//!
//! Deletions need nothing special: they are cells as any other.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use music_core::id::{RecordId, ReplicaId};
use tokio::sync::Notify;

/// How many keys are noted for a pair before it compares everything; fewer in
/// tests, so that they get there.
const ITEMS_MAX: usize = if cfg!(test) { 1_000 } else { 65_536 };

/// Something that a replica keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Record(RecordId),
    Queue(RecordId),
}

/// What the sites owe each other.
pub(super) struct Healing {
    replicas: u8,
    /// `pairs[from * replicas + to]`.
    pairs: Vec<Pair>,
    outstanding: AtomicUsize,
    quiet: Notify,
}

#[derive(Default)]
struct Pair {
    owed: Mutex<Owed>,
    wake: Notify,
}

#[derive(Default)]
struct Owed {
    items: BTreeSet<Item>,
    pass: bool,
    /// What was taken is being delivered.
    busy: bool,
}

/// What a pair delivers next.
#[derive(Debug)]
pub(super) enum Delivery {
    Items(Vec<Item>),
    /// Everything that differs.
    Pass,
}

impl Healing {
    pub(super) fn new(replicas: u8) -> Arc<Self> {
        let pairs = usize::from(replicas).saturating_mul(usize::from(replicas));
        Arc::new(Self {
            replicas,
            pairs: (0..pairs).map(|_| Pair::default()).collect(),
            outstanding: AtomicUsize::new(0),
            quiet: Notify::new(),
        })
    }

    fn pair(&self, from: ReplicaId, to: ReplicaId) -> Option<&Pair> {
        let row = usize::from(from.0).checked_mul(usize::from(self.replicas))?;
        self.pairs.get(row.checked_add(usize::from(to.0))?)
    }

    fn with<T: Default>(
        &self,
        from: ReplicaId,
        to: ReplicaId,
        work: impl FnOnce(&mut Owed) -> T,
    ) -> T {
        let Some(pair) = self.pair(from, to) else {
            return T::default();
        };
        work(&mut pair.owed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, from: ReplicaId, to: ReplicaId, items: impl IntoIterator<Item = Item>) {
        self.with(from, to, |owed| {
            if !owed.pass {
                owed.items.extend(items);
            }
            if owed.items.len() > ITEMS_MAX {
                owed.items.clear();
                owed.pass = true;
            }
        });
        self.wake(from, to);
    }

    /// Everything is to be compared: what was noted is lost, or too much.
    pub(super) fn add_pass(&self, from: ReplicaId, to: ReplicaId) {
        self.with(from, to, |owed| {
            owed.items.clear();
            owed.pass = true;
        });
        self.wake(from, to);
    }

    /// Makes the pair's task look whether there is something to do.
    pub(super) fn wake(&self, from: ReplicaId, to: ReplicaId) {
        if let Some(pair) = self.pair(from, to) {
            pair.wake.notify_one();
        }
    }

    /// Waits for a [`Healing::wake`], also one that was before.
    pub(super) async fn woken(&self, from: ReplicaId, to: ReplicaId) {
        if let Some(pair) = self.pair(from, to) {
            pair.wake.notified().await;
        }
    }

    /// Takes what is to be delivered next, at most `max` items.
    pub(super) fn take(&self, from: ReplicaId, to: ReplicaId, max: usize) -> Option<Delivery> {
        self.with(from, to, |owed| {
            let delivery = if owed.pass {
                owed.pass = false;
                Delivery::Pass
            } else {
                let items: Vec<Item> = std::iter::from_fn(|| owed.items.pop_first())
                    .take(max)
                    .collect();
                if items.is_empty() {
                    return None;
                }
                Delivery::Items(items)
            };
            owed.busy = true;
            Some(delivery)
        })
    }

    /// Ends a delivery; what was not delivered is noted again.
    pub(super) fn finish(&self, from: ReplicaId, to: ReplicaId, failed: Option<Delivery>) {
        self.with(from, to, |owed| {
            owed.busy = false;
            match failed {
                None => {}
                Some(Delivery::Items(items)) => owed.items.extend(items),
                Some(Delivery::Pass) => owed.pass = true,
            }
        });
        self.quiet.notify_waiters();
    }

    /// Whether a pair owes nothing.
    pub(super) fn is_even(&self, from: ReplicaId, to: ReplicaId) -> bool {
        self.pair(from, to).is_none_or(|pair| {
            let owed = pair.owed.lock().unwrap_or_else(PoisonError::into_inner);
            owed.items.is_empty() && !owed.pass && !owed.busy
        })
    }

    /// Notes work that is under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Outstanding {
        self.outstanding.fetch_add(1, SeqCst);
        Outstanding(Arc::clone(self))
    }

    /// A change of `item` that `to` has not confirmed yet.
    pub(super) fn undelivered(
        self: &Arc<Self>,
        from: ReplicaId,
        to: ReplicaId,
        item: Item,
    ) -> Undelivered {
        Undelivered {
            from,
            to,
            item: Some(item),
            outstanding: self.begin(),
        }
    }

    /// Waits until `is_settled` holds and nothing is under way.
    pub(super) async fn settled(&self, is_settled: impl Fn() -> bool) {
        loop {
            let quiet = self.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.outstanding.load(SeqCst) == 0 && is_settled() {
                return;
            }
            quiet.await;
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.outstanding.load(SeqCst) == 0
    }

    /// Makes [`Healing::settled`] look again.
    pub(super) fn look_again(&self) {
        self.quiet.notify_waiters();
    }
}

/// Work under way.
pub(super) struct Outstanding(Arc<Healing>);

impl Drop for Outstanding {
    fn drop(&mut self) {
        if self.0.outstanding.fetch_sub(1, SeqCst) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

/// A change on its way to a replica: noted as owed if it gets lost.
pub(super) struct Undelivered {
    from: ReplicaId,
    to: ReplicaId,
    item: Option<Item>,
    outstanding: Outstanding,
}

impl Undelivered {
    /// The replica has it on disk, or must not have it.
    pub(super) fn delivered(mut self) {
        self.item = None;
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        if let Some(item) = self.item.take()
            && self.from != self.to
        {
            self.outstanding.0.add(self.from, self.to, [item]);
        }
    }
}

#[cfg(test)]
mod tests {
    use music_core::id::{Key, TableId};

    use super::*;

    const A: ReplicaId = ReplicaId(0);
    const B: ReplicaId = ReplicaId(1);

    fn item(number: usize) -> Item {
        let key = Key::new(number.to_string()).unwrap();
        Item::Record(RecordId {
            table: TableId(1),
            key,
        })
    }

    #[test]
    fn what_is_lost_is_noted_and_what_is_delivered_is_not() {
        let healing = Healing::new(2);
        healing.undelivered(A, B, item(1)).delivered();
        assert!(healing.is_even(A, B));
        drop(healing.undelivered(A, B, item(2)));
        assert!(!healing.is_even(A, B) && healing.is_even(B, A));
        let Some(Delivery::Items(items)) = healing.take(A, B, 9) else {
            panic!()
        };
        assert_eq!(items, [item(2)]);
        assert!(!healing.is_even(A, B));
        healing.finish(A, B, Some(Delivery::Items(items)));
        assert!(matches!(healing.take(A, B, 9), Some(Delivery::Items(_))));
        healing.finish(A, B, None);
        assert!(healing.is_even(A, B));
    }

    #[test]
    fn too_much_becomes_a_full_pass() {
        let healing = Healing::new(2);
        healing.add(A, B, (0..=ITEMS_MAX).map(item));
        assert!(matches!(healing.take(A, B, 9), Some(Delivery::Pass)));
        assert!(healing.take(A, B, 9).is_none());
    }
}
