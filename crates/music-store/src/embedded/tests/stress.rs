//! Random calls under random cuts and stops: what was acknowledged is seen by
//! every call that begins later, at every site.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_queue::{Command, LockQueue, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::conformance::{enqueue, id, put, text};
use crate::embedded::{Direction, Engine, Options, Place, Profile, Site};
use crate::table::SYSTEM_TABLE;
use crate::{Level, LockStore, StateStore};

const SITES: [&str; 3] = ["a", "b", "c"];
const ANSWERS: u32 = 80;

/// What some call was told, and every later one must see.
#[derive(Clone, Debug, Default)]
struct Known {
    last: LockRef,
    gone: BTreeSet<Holding>,
    issued: BTreeSet<LockRef>,
    /// The highest number written to the register and acknowledged.
    written: u64,
}

impl Known {
    fn check(&self, queue: &LockQueue) {
        assert!(
            queue.last() >= self.last,
            "{} < {}",
            queue.last(),
            self.last
        );
        let back = self.gone.iter().find(|holding| queue.present(**holding));
        assert_eq!(back, None, "back again");
    }
}

type Shared = Arc<Mutex<Known>>;

/// One site's random calls.
struct Caller {
    site: Site,
    key: RecordId,
    known: Shared,
    dice: StdRng,
    number: u128,
    /// A ticket that it was given.
    held: Option<Holding>,
}

impl Caller {
    async fn run(mut self) -> u32 {
        let mut answered = 0;
        let mut call = 0;
        while answered < ANSWERS {
            call += 1;
            let success = match self.dice.random_range(0..6) {
                0 | 1 => self.enqueue(call).await,
                2 => self.release().await,
                3 => self.withdraw().await,
                4 => self.peek().await,
                _ => self.register(call).await,
            };
            answered += u32::from(success);
            if !success {
                // A client's pause: else it calls a stopped site all the time.
                lasts(Duration::from_millis(1)).await;
            }
        }
        call
    }

    async fn enqueue(&mut self, call: u32) -> bool {
        let before = self.known.lock().unwrap().clone();
        let command = enqueue(self.number << 64 | u128::from(call));
        let Ok(applied) = self.site.apply(&self.key, command).await else {
            return false;
        };
        let Outcome::Done(holding) = applied.outcome else {
            panic!("{applied:?}")
        };
        before.check(&applied.queue);
        assert!(holding.lock_ref > before.last);
        let mut known = self.known.lock().unwrap();
        assert!(
            known.issued.insert(holding.lock_ref),
            "issued twice: {holding:?}"
        );
        known.last = known.last.max(holding.lock_ref);
        self.held = Some(holding);
        true
    }

    async fn release(&mut self) -> bool {
        let Some(holding) = self.held else {
            return false;
        };
        let Ok(queue) = self.site.peek(&self.key).await else {
            return false;
        };
        if !queue.is_first(holding.lock_ref) || self.site.release(&self.key, holding).await.is_err()
        {
            return false;
        }
        self.known.lock().unwrap().gone.insert(holding);
        true
    }

    async fn withdraw(&mut self) -> bool {
        let before = self.known.lock().unwrap().clone();
        let Some(holding) = self.held else {
            return false;
        };
        let command = Command::Confirm(holding);
        let Ok(applied) = self.site.apply(&self.key, command).await else {
            return false;
        };
        before.check(&applied.queue);
        assert!(!applied.queue.present(holding));
        self.known.lock().unwrap().gone.insert(holding);
        true
    }

    async fn peek(&mut self) -> bool {
        let before = self.known.lock().unwrap().clone();
        let Ok(queue) = self.site.peek(&self.key).await else {
            return false;
        };
        before.check(&queue);
        true
    }

    async fn register(&mut self, call: u32) -> bool {
        let before = self.known.lock().unwrap().written;
        if call.is_multiple_of(2) {
            let number = before + 1;
            let change = put(number, format!("{number:06}"));
            if self
                .site
                .write(&self.key, change, Level::Majority)
                .await
                .is_err()
            {
                return false;
            }
            let mut known = self.known.lock().unwrap();
            known.written = known.written.max(number);
        } else {
            let Ok(record) = self.site.read(&self.key, Level::Majority).await else {
                return false;
            };
            let read = text(&record).parse().unwrap_or(0);
            assert!(read >= before, "{read} < {before}");
            // Whatever a read returned, every later one returns too.
            let mut known = self.known.lock().unwrap();
            known.written = known.written.max(read);
        }
        true
    }
}

/// One site at a time is in trouble, so that a majority goes on.
async fn trouble(engine: Engine, mut dice: StdRng) {
    loop {
        let victim = dice.random_range(0..SITES.len());
        let other = (victim + 1) % SITES.len();
        let (victim, other) = (SITES[victim], SITES[other]);
        let pause = Duration::from_millis(dice.random_range(0..20));
        match dice.random_range(0..3) {
            0 => engine.stop(victim).unwrap(),
            1 => engine.cut(victim, other, Direction::OneWay).unwrap(),
            _ => {
                for other in SITES.iter().filter(|other| **other != victim) {
                    engine.cut(victim, other, Direction::Both).unwrap();
                }
            }
        }
        lasts(pause).await;
        engine.start(victim).unwrap();
        for other in SITES.iter().filter(|other| **other != victim) {
            engine.heal(victim, other, Direction::Both).unwrap();
        }
        lasts(pause).await;
    }
}

/// Lets a fault, or the quiet after it, last for a while; nothing is waited
/// for.
async fn lasts(time: Duration) {
    let nothing = std::future::pending::<()>();
    assert!(tokio::time::timeout(time, nothing).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_effects_are_seen_whatever_is_cut_and_stopped() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let profile = Profile::uniform(3, Duration::from_millis(1)).unwrap();
    let options = Options {
        timeout: Duration::from_millis(500),
        ..Options::default()
    };
    let engine = Engine::open(&Place::Memory, &profile, options).unwrap();
    let known = Shared::default();
    let mut callers = tokio::task::JoinSet::new();
    for (number, name) in (0..).zip(SITES) {
        let caller = Caller {
            site: engine.site(name).unwrap(),
            key: id(SYSTEM_TABLE, "key"),
            known: Arc::clone(&known),
            dice: StdRng::from_rng(&mut dice),
            number,
            held: None,
        };
        callers.spawn(caller.run());
    }
    let trouble = tokio::spawn(trouble(engine.clone(), StdRng::from_rng(&mut dice)));
    let calls: u32 = callers.join_all().await.iter().sum();
    trouble.abort();
    println!("{} of {calls} calls answered", ANSWERS * 3);
    for name in SITES {
        engine.start(name).unwrap();
        for other in SITES {
            engine.heal(name, other, Direction::Both).unwrap();
        }
    }
    engine.settled().await;
    let digests: BTreeSet<u64> = SITES
        .iter()
        .map(|site| engine.digest(site).unwrap())
        .collect();
    assert_eq!(digests.len(), 1, "replicas differ");
}
