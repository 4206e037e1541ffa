//! What was acknowledged survives `kill -9`.
//!
//! This program starts itself again as its own victim: the victim writes, and
//! prints what was acknowledged; it is killed at a random moment, over and
//! over; then everything that it printed must be there, at the same site, and
//! no lockRef may have been issued twice.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "all of it is a test, helpers included"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use music_core::id::{Field, Key, Moves, RecordId, RequestId, SessionId};
use music_core::lock_queue::{self, Mode, NewTicket, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::{Lease, WallTime};
use music_store::embedded::{Engine, Options, Place, Profile, Site};
use music_store::table::SYSTEM_TABLE;
use music_store::{Level, LockStore, StateStore};

/// The victim's data directory; set in its environment only.
const DIRECTORY: &str = "MUSIC_KILL_DIRECTORY";
/// Which life of the victim this is.
const LIFE: &str = "MUSIC_KILL_LIFE";
/// A seed to run again.
const SEED: &str = "MUSIC_KILL_SEED";

const KILLS_MAX: u64 = 400;
const TIME_MAX: Duration = Duration::from_secs(100);
/// A victim is killed after so many acknowledgements at most.
const ACKNOWLEDGEMENTS_MAX: u64 = 60;

fn id(key: String) -> RecordId {
    RecordId {
        table: SYSTEM_TABLE,
        key: Key::new(key).unwrap(),
    }
}

fn open(directory: &Path) -> Engine {
    let profile = Profile::uniform(3, Duration::ZERO).unwrap();
    let place = Place::Directory(directory.to_owned());
    Engine::open(&place, &profile, Options::default()).unwrap()
}

fn say(line: &str) {
    // One write a line: a line is in the pipe whole, or not at all.
    std::io::stdout()
        .write_all(format!("\nack {line}\n").as_bytes())
        .unwrap();
}

/// Does nothing unless it runs as the victim; then it writes until killed.
#[test]
fn victim() {
    let (Ok(directory), Ok(life)) = (std::env::var(DIRECTORY), std::env::var(LIFE)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let engine = open(Path::new(&directory));
        say("open");
        let mut writers = tokio::task::JoinSet::new();
        for name in engine.sites() {
            for level in [Level::Local, Level::Majority] {
                writers.spawn(write(engine.site(name).unwrap(), life.clone(), level));
            }
            writers.spawn(lock(engine.site(name).unwrap(), life.clone()));
        }
        writers.join_all().await;
    });
}

async fn write(site: Site, life: String, level: Level) {
    for number in 0_u64.. {
        let key = format!("{level:?} {} {life} {number}", site.name());
        let field = (Field::DEFAULT, Some(Bytes::from(key.clone())));
        let change = Record::write(Stamp::eventual(WallTime(1)), [field]);
        site.write(&id(key.clone()), change, level).await.unwrap();
        say(&format!("write {key}"));
    }
}

async fn lock(site: Site, life: String) {
    let life = life.parse::<u128>().unwrap();
    for number in 0_u128.. {
        let key = format!("queue {}", number % 2);
        let place = site.name().bytes().next().map_or(0, u128::from);
        let request = RequestId(life << 64 | place << 32 | number);
        let lease = Lease::MIN;
        let ticket = NewTicket {
            owner: SessionId(life),
            mode: Mode::Exclusive,
            lease,
            request,
            moves: Moves::default(),
        };
        let enqueue = lock_queue::Command::Enqueue(ticket);
        let applied = site.apply(&id(key.clone()), enqueue).await.unwrap();
        let Outcome::Done(holding) = applied.outcome else {
            panic!("{applied:?}")
        };
        say(&format!("ticket {key} {}", holding.lock_ref));
        if number % 3 == 0 {
            site.release(&id(key.clone()), holding).await.unwrap();
            say(&format!("release {key} {}", holding.lock_ref));
        } else {
            let withdraw = lock_queue::Command::Withdraw(holding.lock_ref);
            site.apply(&id(key.clone()), withdraw).await.unwrap();
            say(&format!("gone {key} {}", holding.lock_ref));
        }
    }
}

/// What the victims were told.
#[derive(Default)]
struct Acknowledged {
    /// Keys of writes.
    writes: BTreeSet<String>,
    /// All lockRefs of a queue, and those that ended.
    tickets: BTreeMap<String, BTreeSet<u64>>,
    gone: BTreeMap<String, BTreeSet<u64>>,
}

impl Acknowledged {
    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("ack ") else {
            return;
        };
        let Some((kind, rest)) = line.split_once(' ') else {
            return;
        };
        if kind == "write" {
            self.writes.insert(rest.to_owned());
            return;
        }
        let (key, number) = rest.rsplit_once(' ').unwrap();
        let number = number.parse().unwrap();
        let numbers = if kind == "ticket" {
            &mut self.tickets
        } else {
            &mut self.gone
        };
        let new = numbers.entry(key.to_owned()).or_default().insert(number);
        assert!(new, "{kind} {number} of {key} was acknowledged twice");
    }

    async fn check(&self, engine: &Engine) {
        for key in &self.writes {
            let (level, site) = match key.split(' ').collect::<Vec<_>>()[..] {
                ["Local", site, ..] => (Level::Local, site),
                _ => (Level::Majority, "a"),
            };
            let site = engine.site(site).unwrap();
            let record = site.read(&id(key.clone()), level).await.unwrap();
            let value = record.value(&Field::DEFAULT);
            assert_eq!(value, Some(&Bytes::from(key.clone())), "lost: {key}");
        }
        for (key, numbers) in &self.tickets {
            let queue = engine
                .site("b")
                .unwrap()
                .peek(&id(key.clone()))
                .await
                .unwrap();
            assert!(queue.last().get() >= *numbers.last().unwrap());
            for number in self.gone.get(key).into_iter().flatten() {
                let lock_ref = LockRef::new(*number).unwrap();
                let holding = Holding {
                    lock_ref,
                    ..Holding::default()
                };
                assert!(!queue.present(holding), "back again: {number} of {key}");
            }
        }
    }
}

/// Lets a victim live until it has acknowledged so much; returns what it did.
fn one_life(directory: &Path, life: u64, acknowledgements: u64) -> Vec<String> {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let mut heard = Vec::new();
    let mut left = acknowledgements;
    while left > 0 {
        let line = lines.next().expect("the victim died by itself").unwrap();
        if line.starts_with("ack ") {
            left -= 1;
        }
        heard.push(line);
    }
    victim.kill().unwrap();
    // What it said before it died, and we had not read yet.
    heard.extend(lines.map_while(Result::ok));
    victim.wait().unwrap();
    heard
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("seed {seed} (set {SEED} to run it again)");
    let mut dice = seed | 1;
    let mut draw = |end: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        (dice >> 20) % end
    };
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let start = Instant::now();
    let mut all = Acknowledged::default();
    let mut kills = 0;
    while kills < KILLS_MAX && start.elapsed() < TIME_MAX {
        // None at all: killed while it opens what the one before left behind.
        let acknowledgements = draw(ACKNOWLEDGEMENTS_MAX);
        let lines = one_life(directory.path(), kills, acknowledgements);
        kills += 1;
        let mut last = Acknowledged::default();
        for line in &lines {
            all.hear(line);
            last.hear(line);
        }
        if draw(8) == 0 {
            runtime.block_on(async {
                let engine = open(directory.path());
                last.check(&engine).await;
                engine.close().await;
            });
        }
    }
    runtime.block_on(async {
        let engine = open(directory.path());
        all.check(&engine).await;
        engine.settled().await;
        let digests = engine
            .sites()
            .iter()
            .map(|site| engine.digest(site).unwrap());
        assert_eq!(digests.collect::<BTreeSet<_>>().len(), 1, "replicas differ");
        engine.close().await;
    });
    let tickets: usize = all.tickets.values().map(BTreeSet::len).sum();
    println!(
        "{kills} kills, {} writes, {tickets} lockRefs",
        all.writes.len()
    );
    assert!(kills >= 20, "only {kills} kills in {TIME_MAX:?}");
}
