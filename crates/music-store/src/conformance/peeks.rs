//! What a peek sees: "A peek of one replica, or of a majority without repair,
//! is not enough."

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};

use music_core::id::{RecordId, RequestId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use tokio::task::JoinSet;

use super::{
    Harness, adopt, attempt, force, key, look, release_at_last, ticket, ticket_at_last, until_known,
};
use crate::LockStore;

/// Linearizable: what one site was answered, a peek at another site sees.
pub async fn what_was_answered_at_one_site_is_seen_at_every_other<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    for round in 0..12_usize {
        let (site, other) = (&sites[round % 3], &sites[(round + 1) % 3]);
        let holder = ticket(site, &key, round as u128 * 10).await;
        let waiter = ticket(other, &key, round as u128 * 10 + 1).await;
        let commands = [
            Command::Synced(holder),
            Command::Withdraw(waiter.lock_ref),
            adopt(holder),
        ];
        for (index, command) in commands.into_iter().enumerate() {
            let at = &sites[(round + index) % 3];
            let Some(applied) = attempt(at, &key, command).await else {
                continue;
            };
            for site in &sites {
                assert_eq!(look(site, &key).await, applied.queue, "{command:?}");
            }
        }
        let request = RequestId(round as u128 * 10);
        let holding = look(site, &key).await.holding_of(request).unwrap();
        if round % 2 == 0 {
            release_at_last(other, &key, holding).await;
        } else {
            until_known(other, &key, force(holding.lock_ref)).await;
        }
        for site in &sites {
            let queue = look(site, &key).await;
            assert!(queue.ticket(holding.lock_ref).is_none(), "round {round}");
        }
    }
}

/// The least that a peek may see which begins now.
#[derive(Default)]
struct Floor {
    /// Below it no ticket is left.
    head: AtomicU64,
    last: AtomicU64,
    forced: AtomicU64,
    synced: AtomicU64,
}

/// What only grows in a queue: its head, or the number that the next ticket
/// gets, and what the protocol says.
fn heights(queue: &LockQueue) -> [u64; 4] {
    let first = queue.tickets().next().map(|(first, _)| first.get());
    let head = first.unwrap_or(queue.last().get() + 1);
    [
        head,
        queue.last().get(),
        queue.forced().get(),
        queue.synced().get(),
    ]
}

impl Floor {
    fn all(&self) -> [&AtomicU64; 4] {
        [&self.head, &self.last, &self.forced, &self.synced]
    }

    fn raise(&self, queue: &LockQueue) {
        for (floor, height) in self.all().into_iter().zip(heights(queue)) {
            floor.fetch_max(height, SeqCst);
        }
    }

    fn released(&self, holding: Holding) {
        self.head.fetch_max(holding.lock_ref.get() + 1, SeqCst);
    }

    /// A peek, which sees no less than what was answered before it began.
    async fn peek(&self, store: &impl LockStore, key: &RecordId) {
        let least = self.all().map(|floor| floor.load(SeqCst));
        let queue = look(store, key).await;
        for (least, seen) in least.into_iter().zip(heights(&queue)) {
            assert!(seen >= least, "{least} was seen before: {queue:?}");
        }
        self.raise(&queue);
    }
}

/// Ends a ticket in one of the ways there are.
async fn end(store: &impl LockStore, key: &RecordId, holding: Holding, floor: &Floor) {
    let command = match holding.lock_ref.get() % 4 {
        // Only the holder releases: "exclusive and at the head".
        0 | 1 if look(store, key).await.is_first(holding.lock_ref) => {
            release_at_last(store, key, holding).await;
            return floor.released(holding);
        }
        0 => Command::Withdraw(holding.lock_ref),
        1 => Command::Confirm(holding),
        2 => force(holding.lock_ref),
        _ => Command::Synced(holding),
    };
    if let Some(applied) = attempt(store, key, command).await {
        floor.raise(&applied.queue);
    }
    until_known(store, key, Command::Withdraw(holding.lock_ref)).await;
}

/// "No later peek or command sees less", at whatever site: the head, `last`,
/// `forced` and `synced` never go back, nor does an acknowledged release.
pub async fn no_peek_goes_back_while_all_sites_write<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let floor = Arc::new(Floor::default());
    let writing = Arc::new(AtomicUsize::new(sites.len()));
    let mut tasks = JoinSet::new();
    for (number, site) in sites.into_iter().enumerate() {
        let (store, floor, writing) = (site.clone(), Arc::clone(&floor), Arc::clone(&writing));
        let others = (site, Arc::clone(&floor), Arc::clone(&writing));
        tasks.spawn(async move {
            for round in 0..12 {
                let request = round * 10 + number as u128;
                let holding = ticket_at_last(&store, &key("key"), request).await;
                floor.last.fetch_max(holding.lock_ref.get(), SeqCst);
                end(&store, &key("key"), holding, &floor).await;
            }
            writing.fetch_sub(1, SeqCst);
        });
        tasks.spawn(async move {
            let (store, floor, writing) = others;
            while writing.load(SeqCst) > 0 {
                floor.peek(&store, &key("key")).await;
                // An engine in memory does not wait: others must get a turn.
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
    for site in harness.sites() {
        floor.peek(&site, &key("key")).await;
        assert_eq!(look(&site, &key("key")).await.tickets().count(), 0);
    }
}
