//! What a put costs the core, and what an open section costs in memory.
//!
//! A put here is the step that issues it and the step that takes its answer;
//! the stores take no time. `one` puts in one section among all open ones,
//! `each` in all of them in turn, so that with many of them none is in a
//! cache. Neither may depend on how many there are but for the caches.
//!
//! `cargo bench -p music-core --bench put`

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use music_core::critical_section::{
    Answer, Change, Context, CriticalSection, Effect, Input, KeyIndex, OpId, Put, Terms,
};
use music_core::id::{Field, Key, Moves, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{LockQueue, Mode};
use music_core::time::{Lease, MonotonicTime};

const OWNER: SessionId = SessionId(1);
const OPEN: [usize; 2] = [10, 100_000];

fn context() -> Context {
    Context {
        now: MonotonicTime::default(),
        session: OWNER,
        lease_until: MonotonicTime::from_start(Duration::from_mins(1)),
    }
}

/// An open section: granted, one key of 16 bytes.
fn granted(number: usize, effects: &mut Vec<Effect>) -> Option<CriticalSection> {
    let terms = Terms {
        request: RequestId(u128::try_from(number).ok()?),
        mode: Mode::Exclusive,
        client_lease: Lease::DEFAULT,
        owner: OWNER,
        node_lease: Lease::DEFAULT,
        moves: Moves::default(),
        keeps: false,
    };
    let key = Key::new(format!("{number:016}").into_bytes()).ok()?;
    let id = RecordId {
        table: TableId(1),
        key,
    };
    let mut section = CriticalSection::new(terms, vec![id], MonotonicTime::default())?;
    section.step(Input::Create, &context(), effects);
    let mut queue = LockQueue::default();
    for effect in core::mem::take(effects) {
        if let Effect::Apply { call, command, .. } = effect {
            let outcome = queue.apply(command);
            let answer = Answer::Applied(Ok((outcome, Arc::new(queue.clone()))));
            section.step(Input::Answered(call, answer), &context(), effects);
        }
    }
    effects.clear();
    section.is_granted().then_some(section)
}

fn put(section: &mut CriticalSection, value: &Bytes, effects: &mut Vec<Effect>) {
    let change = Change::Fields(vec![(Field::DEFAULT, Some(value.clone()))]);
    let put = Put {
        key: KeyIndex(0),
        change,
        identity: None,
    };
    section.step(Input::Put(OpId(0), put), &context(), effects);
    if let Some(Effect::Write { call, .. }) = effects.pop() {
        section.step(
            Input::Answered(call, Answer::Done(Ok(()))),
            &context(),
            effects,
        );
    }
    effects.clear();
}

fn open(count: usize) -> Vec<CriticalSection> {
    let mut effects = Vec::new();
    (0..count)
        .filter_map(|number| granted(number, &mut effects))
        .collect()
}

fn puts(criterion: &mut Criterion) {
    let value = Bytes::from_static(b"a value of thirty-two characters");
    let mut group = criterion.benchmark_group("put");
    for count in OPEN {
        let mut sections = open(count);
        assert_eq!(sections.len(), count, "all are granted");
        let mut effects = Vec::with_capacity(4);
        group.bench_function(BenchmarkId::new("one", count), |bencher| {
            bencher.iter(|| {
                if let Some(section) = sections.first_mut() {
                    put(black_box(section), &value, &mut effects);
                }
            });
        });
        let mut next = 0;
        group.bench_function(BenchmarkId::new("each", count), |bencher| {
            bencher.iter(|| {
                next = (next + 7919) % count;
                if let Some(section) = sections.get_mut(next) {
                    put(black_box(section), &value, &mut effects);
                }
            });
        });
    }
    group.finish();
}

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|line| line.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or_default() * 4096
}

#[expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn memory() {
    let value = Bytes::from_static(b"a value of thirty-two characters");
    let before = resident();
    let mut sections = open(100_000);
    let granted = resident();
    let mut effects = Vec::new();
    for section in &mut sections {
        put(section, &value, &mut effects);
    }
    let put = resident();
    let per_section = |after: usize| after.saturating_sub(before) / sections.len();
    println!(
        "memory of an open section: {} bytes, {} after a put; {} of them the machine itself",
        per_section(granted),
        per_section(put),
        size_of::<CriticalSection>(),
    );
    black_box(sections);
}

fn main() {
    memory();
    let mut criterion = Criterion::default().configure_from_args();
    puts(&mut criterion);
    criterion.final_summary();
}
