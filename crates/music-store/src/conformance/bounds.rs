//! The largest numbers, names and queues.

use std::collections::BTreeMap;

use bytes::Bytes;
use music_core::id::{Field, KEY_BYTES_MAX, RecordId};
use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::{Holding, Incarnation, LockRef, Tick};
use music_core::record::Record;
use music_core::stamp::Stamp;
use tokio::task::JoinSet;

use super::{
    Harness, adopt, force, id, key, look, release_at_last, table, text, ticket, ticket_at_last,
    until_known,
};
use crate::{Level, LockStore, StateStore, TableMode};

/// Names that differ little, or look like something else to an engine.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    names.push((0..=255).collect());
    for byte in [0, b'/', b'a', 255] {
        names.push(vec![byte; KEY_BYTES_MAX]);
        names.push(vec![byte; KEY_BYTES_MAX - 1]);
    }
    let texts = [
        "..", "a/", "/a", "a/b", "a//b", "%2f", "%00", "00", "A'", "a-b", "refused",
    ];
    names.extend(texts.map(|text| text.as_bytes().to_vec()));
    names
}

/// The name of a key is "any bytes", 1 to 1,024 of them, of a queue too.
pub async fn every_name_that_a_key_may_have_has_a_queue_of_its_own<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let names = names();
    let mut tasks = JoinSet::new();
    for (index, site) in sites.iter().cloned().enumerate() {
        let other = sites[(index + 1) % sites.len()].clone();
        let own = names
            .iter()
            .cloned()
            .enumerate()
            .skip(index)
            .step_by(sites.len());
        let own: Vec<_> = own.collect();
        tasks.spawn(async move {
            for (request, name) in own {
                let holding = ticket(&site, &key(name.clone()), request as u128).await;
                assert_eq!(holding.lock_ref.get(), 1, "{name:?}");
                let queue = other.peek(&key(name.clone())).await.unwrap();
                let requests = queue.tickets().map(|(_, ticket)| ticket.request.0);
                assert_eq!(requests.collect::<Vec<_>>(), [request as u128], "{name:?}");
            }
        });
    }
    tasks.join_all().await;
    let longest = key(vec![255; KEY_BYTES_MAX]);
    let mut hints = sites[1].hints();
    sites[1].watch(&longest);
    until_known(
        &sites[0],
        &longest,
        Command::Withdraw(LockRef::new(1).unwrap()),
    )
    .await;
    assert_eq!(hints.recv().await.unwrap().id, longest);
    for (request, name) in names.into_iter().enumerate() {
        let queue = look(&sites[2], &key(name.clone())).await;
        let tickets = queue.tickets().count();
        assert_eq!(tickets, usize::from(key(name) != longest), "{request}");
    }
}

/// "34 bits of lockRef": order, stamps, adoption, release, `forced` and
/// `synced` on both sides of 2^31, 2^32 and 2^33.
pub async fn sections_past_32_bits_are_as_any_other<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let record = id(table(&sites[0], TableMode::Critical).await, "key");
    let key = key("key");
    for bits in [31_u32, 32, 33] {
        if !harness
            .advance(&key, LockRef::new((1 << bits) - 3).unwrap())
            .await
        {
            return;
        }
        let request = u128::from(bits) * 10;
        let (a, b, c) = (&sites[0], &sites[1], &sites[2]);
        let before = ticket(a, &key, request).await;
        let last = ticket(b, &key, request + 1).await;
        let first = ticket(c, &key, request + 2).await;
        let numbers = [before, last, first].map(|holding| holding.lock_ref.get());
        assert_eq!(numbers, [(1 << bits) - 2, (1 << bits) - 1, 1 << bits]);
        let queue = b.peek(&key).await.unwrap();
        let order: Vec<_> = queue.tickets().map(|(number, _)| number.get()).collect();
        assert_eq!(order, numbers);
        // An adopter's writes win over those of the one before it.
        let adopted = Holding {
            incarnation: Incarnation(1),
            ..before
        };
        until_known(c, &key, adopt(before)).await;
        for (holding, site) in [(first, a), (adopted, b), (last, c), (before, a)] {
            let stamp = Stamp::critical(holding, Tick::MAX);
            let value = Bytes::from(format!("{holding:?}"));
            let change = Record::write(stamp, [(Field::DEFAULT, Some(value))]);
            site.write(&record, change, Level::Majority).await.unwrap();
        }
        let read = b.read(&record, Level::Majority).await.unwrap();
        assert_eq!(text(&read), format!("{first:?}"));
        assert_eq!(read.stamp_max().unwrap().holding(), Some(first));
        // A late release of (r, 0), then that of (r, 1).
        a.release(&key, before).await.unwrap();
        assert!(b.peek(&key).await.unwrap().present(adopted));
        c.release(&key, adopted).await.unwrap();
        assert!(a.peek(&key).await.unwrap().is_first(last.lock_ref));
        let forced = until_known(a, &key, force(last.lock_ref)).await;
        assert_eq!(forced.queue.forced(), last.lock_ref);
        assert!(b.peek(&key).await.unwrap().needs_synchronization());
        let synced = until_known(c, &key, Command::Synced(first)).await;
        assert_eq!(synced.outcome, Outcome::Done(first));
        let queue = b.peek(&key).await.unwrap();
        assert!(!queue.needs_synchronization() && queue.synced() == first.lock_ref);
        c.release(&key, first).await.unwrap();
        let queue = a.peek(&key).await.unwrap();
        assert_eq!((queue.released(), queue.tickets().count()), (first, 0));
    }
}

/// How many callers a site has at once.
const CALLERS: usize = 64;
/// How many of the waiters leave one by one.
const IN_ORDER: usize = 30;

/// Each caller of each site, with the requests that are its.
fn callers<S: Clone>(sites: &[S], count: usize) -> impl Iterator<Item = (S, Vec<u128>)> {
    let callers = sites.len() * CALLERS;
    (0..callers).map(move |number| {
        let requests = (number..count).step_by(callers);
        let requests = requests.map(|request| request as u128).collect();
        (sites[number % sites.len()].clone(), requests)
    })
}

/// "Every waiting lockRef is granted in queue order", however many there are.
pub async fn many_waiters_keep_their_order_and_leave<H: Harness>(harness: &H) {
    let (sites, count) = (harness.sites(), harness.waiters());
    let key = key("key");
    let mut hints: Vec<_> = sites.iter().map(LockStore::hints).collect();
    for site in &sites {
        site.watch(&key);
    }
    let waiting = all_enqueue(&sites, &key, count).await;
    assert_eq!(waiting.len(), count);
    for site in &sites {
        let queue = look(site, &key).await;
        let order = queue
            .tickets()
            .map(|(number, ticket)| (number.get(), ticket.request.0));
        assert!(order.eq(waiting.iter().map(|(number, request)| (*number, *request))));
    }
    let head = |number: usize| Holding {
        lock_ref: LockRef::new(number as u64).unwrap(),
        incarnation: Incarnation(0),
    };
    for number in 1..=IN_ORDER.min(count) {
        let (site, other) = (&sites[number % 3], &sites[(number + 1) % 3]);
        assert!(look(site, &key).await.is_first(head(number).lock_ref));
        release_at_last(other, &key, head(number)).await;
    }
    all_leave(&sites, &key, count).await;
    for (site, hints) in sites.iter().zip(&mut hints) {
        let queue = look(site, &key).await;
        assert_eq!(
            (queue.tickets().count(), queue.last().get()),
            (0, count as u64)
        );
        while hints.try_recv().is_ok() {}
    }
    // Afterwards the key is as good as new.
    let holding = ticket_at_last(&sites[1], &key, u128::MAX).await;
    assert_eq!(holding, head(count + 1));
    for hints in &mut hints {
        assert_eq!(hints.recv().await.unwrap().id, key);
    }
}

/// All requests enqueue, those of a caller one after the other. Returns their
/// numbers, which are distinct and dense.
async fn all_enqueue<S: LockStore>(
    sites: &[S],
    key: &RecordId,
    count: usize,
) -> BTreeMap<u64, u128> {
    let mut tasks = JoinSet::new();
    for (site, requests) in callers(sites, count) {
        let key = key.clone();
        tasks.spawn(async move {
            let mut tickets = Vec::new();
            for request in requests {
                let number = ticket_at_last(&site, &key, request).await.lock_ref.get();
                tickets.push((number, request));
            }
            assert!(tickets.is_sorted(), "a later request has an earlier place");
            tickets
        });
    }
    let tickets: BTreeMap<u64, u128> = tasks.join_all().await.into_iter().flatten().collect();
    assert!(tickets.keys().copied().eq(1..=count as u64));
    tickets
}

/// All requests that are still there leave, at another site than they came.
async fn all_leave<S: LockStore>(sites: &[S], key: &RecordId, count: usize) {
    let mut tasks = JoinSet::new();
    for (site, requests) in callers(sites, count) {
        let key = key.clone();
        tasks.spawn(async move {
            for request in requests {
                let lock_ref = LockRef::new(u64::try_from(request).unwrap() + 1).unwrap();
                until_known(&site, &key, Command::Withdraw(lock_ref)).await;
            }
        });
    }
    tasks.join_all().await;
}
