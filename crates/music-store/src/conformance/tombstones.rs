//! What is gone stays gone, whatever older facts arrive later.

use bytes::Bytes;
use music_core::id::Field;
use music_core::lock_queue::{Command, Outcome};
use music_core::lock_ref::{Holding, Incarnation, LockRef, Tick};
use music_core::record::Record;
use music_core::stamp::Stamp;

use super::{
    Harness, adopt, attempt, enqueue, field, force, give_up_at, id, key, look, table, text, ticket,
    ticket_at_last, until_known,
};
use crate::{Level, LockStore, StateStore, TableMode};

/// "A ticket (r, i) is gone when it is not in `tickets` or `released >= (r,
/// i)`", for ever: also after the queue was empty, and after later tickets.
pub async fn a_gone_ticket_stays_gone<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let key = key("key");
    let mut gone: Vec<Holding> = Vec::new();
    for round in 0..9_usize {
        let [a, b, c] = [0, 1, 2].map(|step| &sites[(round + step) % 3]);
        let holding = ticket(a, &key, round as u128).await;
        assert_eq!(holding.lock_ref.get(), round as u64 + 1);
        // An older release that lands late, of a ticket long gone.
        for old in &gone {
            b.release(&key, *old).await.unwrap();
        }
        let queue = c.peek(&key).await.unwrap();
        assert!(queue.is_first(holding.lock_ref) && queue.tickets().count() == 1);
        for old in &gone {
            for late in [
                adopt(*old),
                Command::Confirm(*old),
                Command::Synced(*old),
                Command::Withdraw(old.lock_ref),
                force(old.lock_ref),
            ] {
                let late = attempt(c, &key, late).await;
                assert!(late.is_none_or(|late| late.outcome == Outcome::Gone));
            }
        }
        let forced = b.peek(&key).await.unwrap().forced();
        assert_eq!(forced, LockRef::NONE, "a ticket that was gone was forced");
        if round % 3 == 0 {
            until_known(b, &key, Command::Withdraw(holding.lock_ref)).await;
        } else {
            b.release(&key, holding).await.unwrap();
        }
        gone.push(holding);
        assert_eq!(c.peek(&key).await.unwrap().tickets().count(), 0);
    }
}

/// An attempt that was begun before a site was cut off, or while it was, and
/// meets later facts when that is over.
pub async fn an_attempt_of_an_older_ballot_brings_no_ticket_back<H: Harness>(harness: &H) {
    let sites = harness.sites();
    for round in 0..8_u32 {
        let key = key(format!("key {round}"));
        let old = ticket_at_last(&sites[2], &key, 1).await;
        give_up_at(round, sites[2].apply(&key, adopt(old))).await;
        if !harness.set_isolated(2, true) {
            return;
        }
        give_up_at(round, sites[2].apply(&key, enqueue(2))).await;
        give_up_at(round, sites[2].apply(&key, Command::Synced(old))).await;
        // Adopted or not: gone, and others come and go.
        until_known(&sites[0], &key, Command::Withdraw(old.lock_ref)).await;
        for request in 10..14 {
            let holding = ticket_at_last(&sites[1], &key, request).await;
            if request % 2 == 0 {
                sites[0].release(&key, holding).await.unwrap();
            } else {
                until_known(&sites[0], &key, Command::Confirm(holding)).await;
            }
        }
        let left = look(&sites[0], &key).await;
        harness.set_isolated(2, false);
        let seen = look(&sites[2], &key).await;
        harness.settled().await;
        assert!(seen.last() >= left.last() && seen.synced() == left.synced());
        for site in &sites {
            let queue = look(site, &key).await;
            assert!(queue.ticket(old.lock_ref).is_none(), "round {round}");
            // The call that was given up may have been the node's last one.
            let late = queue.tickets().all(|(_, ticket)| ticket.request.0 == 2);
            assert!(
                late && queue.last() == seen.last(),
                "round {round}: {queue:?}"
            );
        }
        // Without the replicas that saw most of it.
        harness.set_isolated(0, true);
        assert!(look(&sites[1], &key).await.ticket(old.lock_ref).is_none());
        harness.set_isolated(0, false);
    }
}

/// synchronise: "a deletion of the whole key at the next tick and the fields
/// read back at the tick after it", so that a put of an older lockRef, at
/// whatever replica it lies or lands, is covered.
pub async fn a_deletion_covers_what_one_replica_kept<H: Harness>(harness: &H) {
    let sites = harness.sites();
    let table = table(&sites[0], TableMode::Critical).await;
    harness.settled().await;
    let stamp = |lock_ref, incarnation, tick| {
        let holding = Holding {
            lock_ref: LockRef::new(lock_ref).unwrap(),
            incarnation: Incarnation(incarnation),
        };
        Stamp::critical(holding, Tick::new(tick).unwrap())
    };
    for keeper in 0..sites.len() {
        let key = id(table, format!("key {keeper}"));
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        let both = [(Field::DEFAULT, value("1")), (field("a"), value("1"))];
        let first = Record::write(stamp(1, 0, 0), both);
        sites[0].write(&key, first, Level::Majority).await.unwrap();
        // A put of a holder that is preempted, at one replica only.
        harness.set_isolated(keeper, true);
        let kept = [(field("a"), value("late")), (field("b"), value("late"))];
        let kept = Record::write(stamp(1, 0, 9), kept);
        sites[keeper].write(&key, kept, Level::Local).await.unwrap();
        let other = &sites[(keeper + 1) % sites.len()];
        let covering = Record::deletion(stamp(1, 1, 0));
        other.write(&key, covering, Level::Majority).await.unwrap();
        let read_back = Record::write(stamp(1, 1, 1), [(Field::DEFAULT, value("1"))]);
        other.write(&key, read_back, Level::Majority).await.unwrap();
        harness.set_isolated(keeper, false);
        harness.settled().await;
        for (tick, site) in (20..).zip(&sites) {
            let late = [(field("b"), value("late")), (Field::DEFAULT, value("late"))];
            let late = Record::write(stamp(1, 0, tick), late);
            site.write(&key, late, Level::Majority).await.unwrap();
        }
        harness.settled().await;
        for (site, level) in sites.iter().flat_map(|site| {
            let levels = [Level::Local, Level::Majority];
            levels.map(|level| (site, level))
        }) {
            let record = site.read(&key, level).await.unwrap();
            assert_eq!(text(&record), "1");
            assert_eq!(record.fields().count(), 1, "{record:?}");
            assert_eq!(record.deleted(), Some(stamp(1, 1, 0)));
        }
    }
}
