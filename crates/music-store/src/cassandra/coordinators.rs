//! Through which data centre a transaction goes.
//!
//! A transaction of Cassandra is lost where another begins between its promise
//! and its proposal, which is a round of its coordinator to a majority. Beside
//! two sites that are near to each other, one that is far needs longer for
//! that round, and loses to theirs again and again. So a transaction that has
//! collided is coordinated at the data centre that is nearest to a majority: it
//! takes about as long, as the client's way there is a part of the round that
//! is saved, and it is open no longer than those of the others.
//!
//! So is what is done next with the same key. And whoever has got a ticket of such
//! a key lets the others go first, for a moment: he who has just won is the
//! quickest to come again, while those who have lost wait the longer the more
//! often they have. Those tell it by a plain write ([`pleas`](super::pleas)), and the
//! moment is longer.
//!
//! Which one that is, is measured when it is wanted first: what a read at a
//! majority takes there beyond one of its own replica.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_core::id::RecordId;
use tokio::time::Instant;

use super::session::{Access, Cql, Via};
use crate::Level;

/// How often each read is done: the fastest counts.
const PROBES: usize = 3;
/// How long what was measured is relied on.
const MEASURED_FOR: Duration = Duration::from_mins(5);
/// How much of the own data centre's round another's may take to be preferred,
/// in hundredths: one that is as near saves nothing.
const SHARE_MAX: u32 = 75;

/// How long a key is taken for one that several sites want at once.
const COLLIDED_FOR: Duration = Duration::from_secs(10);
/// Of how many keys that is remembered.
const COLLIDED_MAX: usize = 10_000;

/// The keys whose transactions have collided a short time ago.
#[derive(Debug, Default)]
pub(super) struct Collisions {
    keys: Mutex<BTreeMap<RecordId, Collided>>,
}

/// A key that several sites want at once.
#[derive(Clone, Copy, Debug)]
struct Collided {
    at: Instant,
    /// Until when this node lets others go first.
    rests_until: Instant,
    /// How often this node has wanted it in vain since it got it last.
    lost: u32,
}

impl Collisions {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<RecordId, Collided>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, id: &RecordId) {
        let (mut keys, now) = (self.keys(), Instant::now());
        if keys.len() >= COLLIDED_MAX {
            keys.retain(|_, key| key.at.elapsed() < COLLIDED_FOR);
        }
        if let Some(key) = keys.get_mut(id) {
            key.at = now;
        } else if keys.len() < COLLIDED_MAX {
            let rests_until = now;
            let collided = Collided {
                at: now,
                rests_until,
                lost: 0,
            };
            keys.insert(id.clone(), collided);
        }
    }

    /// Whether transactions of a key have collided a short time ago.
    pub(super) fn is_noted(&self, id: &RecordId) -> bool {
        let keys = self.keys();
        keys.get(id)
            .is_some_and(|key| key.at.elapsed() < COLLIDED_FOR)
    }

    /// Who is to coordinate the next transaction of a key.
    pub(super) fn via(&self, id: &RecordId) -> Via {
        if self.is_noted(id) {
            Via::Nearest
        } else {
            Via::Own
        }
    }

    /// This node has got what it wanted of a key, and lets others go first so long.
    pub(super) fn note_won(&self, id: &RecordId, rest: Duration) {
        if let Some(key) = self.keys().get_mut(id) {
            key.rests_until = Instant::now() + rest;
            key.lost = 0;
        }
    }

    /// This node has wanted a key in vain; how often, one after the other.
    pub(super) fn note_lost(&self, id: &RecordId) -> u32 {
        let mut keys = self.keys();
        let Some(key) = keys.get_mut(id) else {
            return 0;
        };
        key.lost = key.lost.saturating_add(1);
        key.lost
    }

    /// Until when others go first.
    pub(super) fn rests_until(&self, id: &RecordId) -> Option<Instant> {
        let keys = self.keys();
        let key = keys.get(id).filter(|key| key.at.elapsed() < COLLIDED_FOR);
        key.map(|key| key.rests_until)
    }
}

/// Which data centre coordinates what has collided.
#[derive(Debug, Default)]
pub(super) struct Coordinators {
    measured: Mutex<Option<Measured>>,
    is_measuring: AtomicBool,
}

#[derive(Clone, Debug)]
struct Measured {
    /// None where the own one is as near as any.
    nearest: Option<String>,
    at: Instant,
}

impl Coordinators {
    /// The data centre that is to be preferred to the own one.
    pub(super) fn nearest(&self) -> Option<String> {
        self.measured().as_ref()?.nearest.clone()
    }

    #[cfg(test)]
    pub(super) fn prefer(&self, datacentre: &str) {
        *self.measured() = Some(Measured {
            nearest: Some(datacentre.to_owned()),
            at: Instant::now(),
        });
    }

    /// It does not answer: the own one is asked, until this is measured anew.
    pub(super) fn forget(&self) {
        if let Some(measured) = &mut *self.measured() {
            measured.nearest = None;
        }
    }

    fn is_due(&self) -> bool {
        let is_new = |measured: &Measured| measured.at.elapsed() < MEASURED_FOR;
        !self.measured().as_ref().is_some_and(is_new)
    }

    fn measured(&self) -> MutexGuard<'_, Option<Measured>> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures in the background, if that is due; what is wanted meanwhile is
    /// answered from what was measured before.
    pub(super) fn refresh(cql: &Arc<Cql>) {
        let own = &cql.coordinators;
        if !own.is_due() || own.is_measuring.swap(true, Ordering::Relaxed) {
            return;
        }
        let cql = Arc::clone(cql);
        // Ends by itself: each request is bounded.
        tokio::spawn(async move {
            let nearest = nearest(&cql).await;
            let measured = Measured {
                nearest,
                at: Instant::now(),
            };
            let own = &cql.coordinators;
            *own.measured() = Some(measured);
            own.is_measuring.store(false, Ordering::Relaxed);
        });
    }
}

async fn nearest(cql: &Cql) -> Option<String> {
    let own = round(cql, cql.datacentre()).await?;
    let mut others = Vec::new();
    for datacentre in cql.datacentres() {
        if datacentre != cql.datacentre()
            && let Some(round) = round(cql, datacentre).await
        {
            others.push((datacentre.to_owned(), round));
        }
    }
    tracing::debug!(?own, ?others, "how near majorities are");
    choose(own, others)
}

/// The data centre with the shortest round, if it is well below the own one.
fn choose(own: Duration, others: Vec<(String, Duration)>) -> Option<String> {
    let most = own.saturating_mul(SHARE_MAX) / 100;
    let near = others.into_iter().filter(|(_, round)| *round < most);
    let nearest = near.min_by_key(|(_, round)| *round);
    nearest.map(|(datacentre, _)| datacentre)
}

/// What a round to a majority takes for a coordinator in that data centre; none
/// where it does not answer.
pub(super) async fn round(cql: &Cql, datacentre: &str) -> Option<Duration> {
    let way = fastest(cql, datacentre, Level::Local).await?;
    let all = fastest(cql, datacentre, Level::Majority).await?;
    Some(all.saturating_sub(way))
}

async fn fastest(cql: &Cql, datacentre: &str, level: Level) -> Option<Duration> {
    let text = format!(
        "SELECT version FROM {}.registers WHERE table_id = 0 AND key = 0x00",
        cql.keyspace()
    );
    let mut fastest = Duration::MAX;
    for _ in 0..PROBES {
        let began = Instant::now();
        let read = cql.execute_at(datacentre, text.clone(), Access::Plain(level), ());
        read.await.ok()?;
        fastest = fastest.min(began.elapsed());
    }
    Some(fastest)
}

#[cfg(test)]
mod tests {
    use music_core::id::{Key, TableId};

    use super::*;

    #[test]
    fn a_far_site_goes_through_the_nearest_majority_and_a_near_one_through_its_own() {
        let ms = Duration::from_millis;
        let rounds = |rounds: &[(&str, u64)]| {
            let round = |(name, round): &(&str, u64)| ((*name).to_owned(), ms(*round));
            rounds.iter().map(round).collect::<Vec<_>>()
        };
        let far = choose(ms(54), rounds(&[("california", 25), ("oregon", 24)]));
        assert_eq!(far.as_deref(), Some("oregon"));
        let near = choose(ms(25), rounds(&[("ohio", 54), ("oregon", 24)]));
        assert_eq!(near, None);
        assert_eq!(choose(ms(54), Vec::new()), None);
    }

    #[tokio::test]
    async fn one_that_does_not_answer_is_asked_no_more() {
        let coordinators = Coordinators::default();
        coordinators.prefer("oregon");
        assert_eq!(coordinators.nearest().as_deref(), Some("oregon"));
        coordinators.forget();
        assert_eq!(coordinators.nearest(), None);
        assert!(!coordinators.is_due(), "not measured again at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_has_collided_is_remembered_for_a_while() {
        let collisions = Collisions::default();
        let id = |key: &str| RecordId {
            table: TableId(1),
            key: Key::new(key.as_bytes().to_vec()).unwrap(),
        };
        collisions.note(&id("a"));
        assert_eq!(collisions.via(&id("a")), Via::Nearest);
        assert_eq!(collisions.via(&id("b")), Via::Own);
        tokio::time::advance(COLLIDED_FOR).await;
        assert_eq!(collisions.via(&id("a")), Via::Own);
        assert_eq!(collisions.rests_until(&id("a")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_won_lets_others_go_first() {
        let collisions = Collisions::default();
        let id = RecordId {
            table: TableId(1),
            key: Key::new(b"a".to_vec()).unwrap(),
        };
        let length = Duration::from_millis(200);
        collisions.note_won(&id, length);
        assert_eq!(collisions.rests_until(&id), None, "nobody else wants it");
        collisions.note(&id);
        collisions.note_won(&id, length);
        let rest = collisions.rests_until(&id).unwrap() - Instant::now();
        assert_eq!(rest, length);
        // To collide again is no reason to go first.
        collisions.note(&id);
        let again = collisions.rests_until(&id).unwrap() - Instant::now();
        assert_eq!(again, rest);
    }
}
