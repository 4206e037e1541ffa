//! Was there an order of the operations that explains every answer?

use std::collections::HashSet;
use std::format;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use crate::lock_queue::{Command, LockQueue, Outcome};
use crate::lock_ref::Holding;

/// What a node did with one key's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Apply(Command),
    Peek,
    Release(Holding),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Applied(Outcome, Arc<LockQueue>),
    Peeked(Arc<LockQueue>),
    Released,
}

/// One operation as a node saw it.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    pub(super) began: usize,
    /// `None` where the node never heard: it may or may not have taken effect.
    pub(super) answer: Option<Answer>,
    /// When it was answered, or from when on it can no longer take effect.
    pub(super) ended: usize,
}

/// What users of a queue can tell it by.
///
/// Not the number in `released`: when a release that came too late to matter
/// is told after a higher one, an answer may show the lower number for a
/// while; the tickets that it shows are the same.
pub(super) fn visible(queue: &LockQueue) -> String {
    let tickets: Vec<_> = queue.tickets().collect();
    let marks = (queue.last(), queue.forced(), queue.synced());
    format!("{tickets:?} {marks:?}")
}

/// Whether the calls are linearizable against [`LockQueue`] itself.
pub(super) fn is_linearizable(calls: &[Call]) -> bool {
    assert!(calls.len() <= 32, "the search is exponential");
    search(calls, 0, &LockQueue::default(), &mut HashSet::new())
}

fn search(calls: &[Call], done: u32, queue: &LockQueue, seen: &mut HashSet<(u32, String)>) -> bool {
    let left = |index: &usize| done & (1 << index) == 0;
    let answered = |index: &usize| calls[*index].answer.is_some();
    if !(0..calls.len()).filter(left).any(|index| answered(&index)) {
        return true;
    }
    if !seen.insert((done, format!("{queue:?}"))) {
        return false;
    }
    // Only what began before everything left had ended may come next.
    let horizon = (0..calls.len())
        .filter(left)
        .map(|index| calls[index].ended)
        .min()
        .unwrap();
    (0..calls.len()).filter(left).any(|index| {
        let call = &calls[index];
        if call.answer.is_none() && search(calls, done | 1 << index, queue, seen) {
            return true;
        }
        let mut queue = queue.clone();
        call.began <= horizon
            && explains(&mut queue, call)
            && search(calls, done | 1 << index, &queue, seen)
    })
}

fn explains(queue: &mut LockQueue, call: &Call) -> bool {
    let outcome = match &call.operation {
        Operation::Apply(command) => Some(queue.apply(*command)),
        Operation::Peek => None,
        Operation::Release(holding) => {
            queue.release(*holding);
            None
        }
    };
    match &call.answer {
        None | Some(Answer::Released) => true,
        Some(Answer::Peeked(answer)) => visible(answer) == visible(queue),
        Some(Answer::Applied(told, answer)) => {
            Some(*told) == outcome && visible(answer) == visible(queue)
        }
    }
}
