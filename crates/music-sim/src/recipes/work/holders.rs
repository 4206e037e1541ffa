//! What is held: locks with a state, permits, the right to be active.

use std::time::Duration;

use music_client::api::name::Key;
use music_client::recipes::{
    Active, ActivePassive, Guard, MultiLock, Mutex, Permit, Policy, ReadGuard, Replica, RwLock,
    Semaphore, Standby,
};
use music_client::{Content, Error, Stored};
use tokio::time::timeout;

use super::hand::Hand;
use crate::recipes::judges::{ACTIVE, PERMITS};
use crate::recipes::log::{Answer, Ask, Call};

/// The keys of which a multi-key lock takes two.
const KEYS: [&str; 3] = ["a", "b", "c"];
/// The table of locks.
const LOCKS: &str = "locks";

/// Something that is held, with a state.
enum Held<'a> {
    Guard(&'a Guard, &'static str),
    Reader(&'a ReadGuard),
    Active(&'a Active),
}

impl Held<'_> {
    async fn load(&self) -> Result<Option<Stored>, Error> {
        match self {
            Self::Guard(guard, key) => guard.get((LOCKS, *key)).await,
            Self::Reader(guard) => guard.load().await,
            Self::Active(active) => active.state().await,
        }
    }

    async fn store(&self, value: u64) -> Result<(), Error> {
        let value = Content::from(value.to_string());
        match self {
            Self::Guard(guard, key) => guard.put((LOCKS, *key), value).await.map(drop),
            Self::Active(active) => active.save(value).await,
            Self::Reader(_) => Ok(()),
        }
    }

    fn is_reader(&self) -> bool {
        matches!(self, Self::Reader(_))
    }
}

/// What a state says.
fn value(stored: Option<&Stored>) -> Answer {
    let number = |stored: &Stored| stored.content.text().and_then(|text| text.parse().ok());
    // What cannot be read is a value that nobody stored.
    Answer::Value(stored.map(|stored| number(stored).unwrap_or(u64::MAX)))
}

impl Hand<'_> {
    /// Uses the state of something that is held.
    async fn use_state(&mut self, hold: Call, thing: &str, held: Held<'_>) {
        let thing = || thing.to_owned();
        for _ in 0..=self.below(4) {
            if held.is_reader() || self.percent(50) {
                let thing = thing();
                let ask = Ask::Load { hold, thing };
                let loaded = self.call(ask, held.load(), |stored| value(stored.as_ref()));
                loaded.await;
            } else {
                let (thing, value) = (thing(), self.board().log.number());
                let ask = Ask::Store { hold, thing, value };
                self.call(ask, held.store(value), |()| Answer::Done).await;
            }
            self.nap().await;
        }
    }

    /// Asks for a guard, with or without a limit.
    async fn guard<G>(
        &mut self,
        (of, shared): (&'static str, bool),
        asks: impl Future<Output = Result<Option<G>, Error>>,
        held: impl FnOnce(&G) -> Vec<(String, u64)>,
    ) -> Option<(Call, G)> {
        let answer = |guard: &Option<G>| match guard {
            Some(guard) => Answer::Held(held(guard)),
            None => Answer::Nothing,
        };
        let asked = self.call(Ask::Hold { of, shared }, asks, answer).await;
        asked.and_then(|(call, guard)| Some((call, guard?)))
    }

    async fn let_go(&mut self, guard: Guard) {
        self.saw_loss(guard.is_lost());
        // Dropped now and then: then it is released in the background.
        if self.percent(70) {
            let _whether_it_was_lost = guard.unlock().await;
        }
    }

    fn wait(&mut self) -> Duration {
        let longest = if self.works() { 6000 } else { 60_000 };
        self.ms(0..longest)
    }
}

fn text(key: &Key) -> Option<String> {
    match key {
        Key::Text(text) => Some(text.clone()),
        Key::Bytes { .. } => None,
    }
}

fn one(thing: &str, token: u64) -> Vec<(String, u64)> {
    vec![(thing.to_owned(), token)]
}

pub(super) async fn mutex(mut hand: Hand<'_>) {
    let mutex = Mutex::new(&hand.worker.client, "m");
    while hand.works() {
        let wait = hand.wait();
        let asks = mutex.lock_within(wait);
        let asked = hand.guard(("mutex", false), asks, |guard| one("mutex", guard.token()));
        if let Some((hold, guard)) = asked.await {
            hand.touch_at_once("mutex", guard.token()).await;
            hand.use_state(hold, "mutex", Held::Guard(&guard, "m"))
                .await;
            hand.touch("mutex", guard.token()).await;
            hand.let_go(guard).await;
        }
        hand.nap().await;
    }
    hand.rest().await;
    last_load(&mut hand, "mutex", mutex.lock(), "m").await;
}

/// Once more, when all has come to rest.
async fn last_load(
    hand: &mut Hand<'_>,
    thing: &'static str,
    lock: impl Future<Output = Result<Guard, Error>>,
    key: &'static str,
) {
    let asks = async { lock.await.map(Some) };
    let asked = hand.guard((thing, false), asks, |guard: &Guard| {
        one(thing, guard.token())
    });
    let held = asked.await;
    hand.demand("a lock is granted", held.is_some());
    if let Some((hold, guard)) = held {
        let held = Held::Guard(&guard, key);
        let (ask, thing) = (held.load(), thing.to_owned());
        let loaded = hand.call(Ask::Load { hold, thing }, ask, |stored| {
            value(stored.as_ref())
        });
        loaded.await;
        hand.must("a lock is released", guard.unlock()).await;
    }
}

pub(super) async fn rw_lock(mut hand: Hand<'_>) {
    let lock = RwLock::new(&hand.worker.client, "rw");
    while hand.works() {
        let wait = hand.wait();
        if hand.percent(60) {
            let asks = lock.read_within(wait);
            let asked = hand.guard(("rw", true), asks, |guard| one("rw", guard.token()));
            if let Some((hold, guard)) = asked.await {
                hand.use_state(hold, "rw", Held::Reader(&guard)).await;
            }
        } else {
            let asks = lock.write_within(wait);
            let asked = hand.guard(("rw", false), asks, |guard| one("rw", guard.token()));
            if let Some((hold, guard)) = asked.await {
                hand.touch_at_once("rw", guard.token()).await;
                hand.use_state(hold, "rw", Held::Guard(&guard, "rw")).await;
                hand.touch("rw", guard.token()).await;
                hand.let_go(guard).await;
            }
        }
        hand.nap().await;
    }
    hand.rest().await;
    last_load(&mut hand, "rw", lock.write(), "rw").await;
}

pub(super) async fn multi_lock(mut hand: Hand<'_>) {
    while hand.works() {
        // Any two, in any order.
        let mut keys = KEYS.to_vec();
        for _ in 0..hand.below(3) {
            keys.rotate_left(1);
        }
        if hand.percent(50) {
            keys.reverse();
        }
        keys.truncate(2);
        let wait = hand.wait();
        let lock = MultiLock::new(&hand.worker.client, keys.iter().copied());
        let held = |guard: &Guard| {
            let tokens = guard.tokens().iter();
            tokens
                .filter_map(|token| Some((text(&token.key.key)?, token.token)))
                .collect()
        };
        let asks = lock.lock_within(wait);
        if let Some((hold, guard)) = hand.guard(("multi", false), asks, held).await {
            for key in keys {
                hand.use_state(hold, key, Held::Guard(&guard, key)).await;
            }
            hand.let_go(guard).await;
        }
        hand.nap().await;
    }
    hand.rest().await;
    let all = MultiLock::new(&hand.worker.client, KEYS);
    last_load(&mut hand, "a", all.lock(), "a").await;
}

pub(super) async fn semaphore(mut hand: Hand<'_>) {
    let Ok(semaphore) = Semaphore::new(&hand.worker.client, "s", PERMITS) else {
        return;
    };
    // Of several permits only the first one's token is told.
    let held = |permit: &Permit| {
        let first = permit.numbers().first().copied().unwrap_or_default();
        one(&format!("permit/{first}"), permit.token())
    };
    while hand.works() {
        let (wait, many) = (hand.wait(), 1 + u64::from(hand.percent(15)));
        let asks = semaphore.acquire_within(many, wait);
        if let Some((_, permit)) = hand.guard(("semaphore", false), asks, held).await {
            let thing = held(&permit);
            for _ in 0..=hand.below(3) {
                hand.nap().await;
                for (thing, token) in &thing {
                    hand.touch(thing, *token).await;
                }
            }
            hand.saw_loss(permit.is_lost());
            if hand.percent(70) {
                let _whether_it_was_lost = permit.release().await;
            }
        }
        hand.nap().await;
    }
    hand.rest().await;
    let asks = async { semaphore.acquire().await.map(Some) };
    let held = hand.guard(("semaphore", false), asks, held).await;
    hand.demand("a permit is granted", held.is_some());
    if let Some((_, permit)) = held {
        hand.must("a permit is released", permit.release()).await;
    }
}

pub(super) async fn active_passive(mut hand: Hand<'_>) {
    let worker = hand.worker;
    let Ok(service) = ActivePassive::new(&worker.client, "service", ACTIVE) else {
        return;
    };
    let service = service.policy(Policy::sites(["s1", "s0"]));
    let mut standby: Standby = loop {
        let replica = Replica::new(format!("r{}", worker.id), worker.site.clone());
        match service.join(replica).await {
            Ok(standby) => break standby,
            Err(_) => hand.nap().await,
        }
    };
    let held = |active: &Active| one(&format!("slot/{}", active.slot()), active.token());
    while hand.works() {
        let wait = hand.ms(500..9000);
        let asks = async {
            let asked = timeout(wait, standby.activate()).await;
            asked.map_or(Ok(None), |active| active.map(Some))
        };
        if let Some((hold, active)) = hand.guard(("active", false), asks, held).await {
            let thing = format!("slot/{}", active.slot());
            hand.touch_at_once(&thing, active.token()).await;
            hand.use_state(hold, &thing, Held::Active(&active)).await;
            hand.touch(&thing, active.token()).await;
            hand.saw_loss(active.is_lost());
            if hand.percent(70) {
                let _whether_it_was_lost = active.step_down().await;
            }
            let _said = standby.stand_by().await;
        }
        hand.nap().await;
    }
    hand.rest().await;
    let asks = async { standby.activate().await.map(Some) };
    let held = hand.guard(("active", false), asks, held).await;
    hand.demand("a replica is active", held.is_some());
    if let Some((hold, active)) = held {
        let thing = format!("slot/{}", active.slot());
        hand.use_state(hold, &thing, Held::Active(&active)).await;
        hand.must("a replica steps down", active.step_down()).await;
        hand.must("a replica stands by", standby.stand_by()).await;
    }
}
