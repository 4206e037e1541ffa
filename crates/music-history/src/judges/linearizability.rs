//! Linearizability: each field is a register, over all sections.
//!
//! Asks an independent checker, stateright's, whether all acknowledged puts
//! and all gets of a field fit on one line of time, and so covers what the
//! other judges say of pairs. Puts that are not acknowledged may be on the line
//! anywhere after they began, or not at all.
//!
//! The line is cut into windows at operations that overlap no other: these
//! leave a value that is known. A window of more than [`WINDOW_MAX`] operations
//! or [`WRITES_MAX`] puts is skipped, because the search is exponential.
//!
//! Not demanded, where the register of a preempted holder is another:
//!
//! - of gets that show an unacknowledged put, or may show such a deletion, of
//!   the reader's own token or a higher one: it may vanish when the next holder
//!   synchronises. After a confirmed section it may not;
//! - of gets of a section that is being forced by hand: its node answers from
//!   what the section has read before.

mod window;

use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use window::{Action, State, Step, windows};

use super::{Judge, Place, Verdict};
use crate::OpId;
use crate::index::{Get, History, Key, Put};
use crate::sight::{Source, sources};

/// The most operations of one window.
pub const WINDOW_MAX: usize = 20;

/// The most puts of one window. Their orders are what the search tries: gets
/// only cut it short.
pub const WRITES_MAX: usize = 6;

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "that value is the one of the last acknowledged critical put, or a \
    later unacknowledged one.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "linearizability",
    guarantee: 2,
    sentence: SENTENCE,
    judge,
};

/// How a field is not a register.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Some operations fit on no line of time.
    #[error("the operations on {place} fit on no line of time: {ops:?}")]
    NotLinearizable {
        /// Of which field.
        place: Place,
        /// Which operations, in the order in which they began.
        ops: Vec<OpId>,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        for field in &key.fields {
            let place = Place::new(name, field);
            judge_field(history, key, &place, &mut verdict);
        }
    }
    verdict
}

fn judge_field(history: &History, key: &Key, place: &Place, verdict: &mut Verdict) {
    let steps = steps(history, key, place);
    let (mut pending, completed): (Vec<Step>, Vec<Step>) =
        steps.into_iter().partition(|step| step.ended.is_none());
    let mut before = State::Known(None);
    for window in windows(completed) {
        let shown = window.shown(&pending);
        pending.retain(|write| !window.settles(write));
        let from = std::mem::replace(&mut before, window.leaves());
        let is_short = window.steps.len() + shown.len() <= WINDOW_MAX
            && window.writes() + shown.len() <= WRITES_MAX;
        let (State::Known(from), true) = (from, is_short) else {
            verdict.skipped += 1;
            continue;
        };
        verdict.checked += 1;
        if !is_linearizable(from, &window.steps, &shown) {
            let breach = Breach::NotLinearizable {
                place: place.clone(),
                ops: window.steps.iter().map(|step| step.op).collect(),
            };
            verdict.found(breach, window.steps.iter().map(|step| step.begun));
        }
    }
}

/// All that the line must hold, in the order in which it began, and the
/// puts that it may hold.
fn steps(history: &History, key: &Key, place: &Place) -> Vec<Step> {
    let put = |put: &Put| {
        let sets = put.touch(&place.field)?;
        let ended = put.acknowledged().map(|(at, _)| at);
        let step = Step {
            op: put.op,
            begun: put.begun,
            ended: ended.filter(|_| history.is_firm(put)),
            action: Action::Write(sets.then_some(put.op)),
        };
        let may_show = history.last.is_some_and(|last| put.may_show_before(last));
        may_show.then_some(step)
    };
    let get = |get: &Get| {
        let step = Step {
            op: get.op,
            begun: get.begun,
            ended: Some(get.ended),
            action: Action::Read(get.seen.get(&place.field).copied()),
        };
        is_lasting(history, key, (get, place)).then_some(step)
    };
    let puts = key.puts.values().filter_map(put);
    let mut steps: Vec<Step> = puts.chain(key.gets.iter().filter_map(get)).collect();
    steps.sort_by_key(|step| step.begun);
    steps
}

/// Whether what a get saw cannot vanish again.
fn is_lasting(history: &History, key: &Key, (get, place): (&Get, &Place)) -> bool {
    let Some(section) = history.sections.get(&get.section) else {
        return false;
    };
    if section.forced.is_some_and(|forced| forced < get.ended) {
        return false;
    }
    let was_holder = section.confirmed().is_some();
    let is_lasting = |source: Source<'_>| match source {
        Source::Never => true,
        Source::Put(put) => was_holder || put.token < get.token || history.is_firm(put),
    };
    // A value that nobody wrote is for another judge.
    let sources = sources(key, get, &place.field);
    sources.is_some_and(|sources| sources.into_iter().all(is_lasting))
}

fn is_linearizable(from: Option<OpId>, steps: &[Step], pending: &[Step]) -> bool {
    let mut tester = LinearizabilityTester::new(Register(from));
    // Each operation is a thread of its own. The checker tries threads in
    // order: first what is complete, in the order in which it began, which is
    // nearly always the line.
    let completed = steps.iter().enumerate();
    let pending = (steps.len()..).zip(pending);
    let mut marks = Vec::new();
    for (thread, step) in completed.chain(pending) {
        marks.push((step.begun, thread, step, true));
        marks.extend(step.ended.map(|ended| (ended, thread, step, false)));
    }
    marks.sort_by_key(|(at, ..)| *at);
    for (_, thread, step, begins) in marks {
        let told = match (step.action, begins) {
            (Action::Write(value), true) => tester.on_invoke(thread, RegisterOp::Write(value)),
            (Action::Read(_), true) => tester.on_invoke(thread, RegisterOp::Read),
            (Action::Write(_), false) => tester.on_return(thread, RegisterRet::WriteOk),
            (Action::Read(value), false) => tester.on_return(thread, RegisterRet::ReadOk(value)),
        };
        if told.is_err() {
            return false;
        }
    }
    tester.is_consistent()
}

#[cfg(test)]
mod tests;
