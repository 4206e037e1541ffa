//! The promises of recipes, each judged from what clients were told.
//!
//! | judge | whose promise |
//! |---|---|
//! | `handed_on` | mutex, reader-writer lock, multi-key lock, active-passive: the state |
//! | `tokens` | all that is held: fencing tokens |
//! | `election` | what observers see |
//! | `barrier` | barrier, double barrier |
//! | `latch`, `counter`, `register` | changes that are made once |
//! | `queue` | items |
//! | `once` | steps |
//! | `rest` | group, and all that must succeed in the end |

mod barrier;
mod counter;
mod election;
mod handed_on;
mod latch;
mod once;
mod queue;
mod register;
mod rest;
mod tokens;
#[cfg(test)]
mod told;

use super::log::{self, Line, Op};

/// How many counts a latch is made for.
pub const LATCH_COUNT: u64 = 6;
/// How many permits the semaphore has.
pub const PERMITS: u64 = 2;
/// How many replicas are active at a time.
pub const ACTIVE: u64 = 2;
/// By how much a client's wall clock is ahead or behind at most.
pub const SKEW_US_MAX: u64 = 2_000_000;

/// What one judge demands.
struct Judge {
    name: &'static str,
    judge: fn(&[Op]) -> Vec<String>,
}

const JUDGES: [Judge; 10] = [
    Judge {
        name: "handed on",
        judge: handed_on::judge,
    },
    Judge {
        name: "tokens",
        judge: tokens::judge,
    },
    Judge {
        name: "election",
        judge: election::judge,
    },
    Judge {
        name: "barrier",
        judge: barrier::judge,
    },
    Judge {
        name: "latch",
        judge: latch::judge,
    },
    Judge {
        name: "counter",
        judge: counter::judge,
    },
    Judge {
        name: "register",
        judge: register::judge,
    },
    Judge {
        name: "queue",
        judge: queue::judge,
    },
    Judge {
        name: "once",
        judge: once::judge,
    },
    Judge {
        name: "rest",
        judge: rest::judge,
    },
];

/// What is wrong with what clients were told; nothing where all promises were
/// kept.
pub fn verdict(lines: &[Line]) -> Vec<String> {
    let ops = log::ops(lines);
    let breaches = JUDGES.iter().flat_map(|judge| {
        let breaches = (judge.judge)(&ops).into_iter();
        breaches.map(|breach| format!("{}: {breach}", judge.name))
    });
    breaches.collect()
}
