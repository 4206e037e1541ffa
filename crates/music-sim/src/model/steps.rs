//! What each action of the model of sections does, and what the judge is told.

use std::sync::Arc;
use std::time::Duration;

use music_core::critical_section::{
    Answer, Change, Context, CriticalSection, Effect, Input, KeyIndex, OpId, Put, Status,
};
use music_core::id::{IdempotencyKey, ReplicaId};
use music_core::lock_ref::{LockRef, Tick};
use music_core::record::Record;
use music_core::replica::register::{MajorityRead, ReadStep};
use music_core::stamp::Stamp;
use music_core::time::{Lease, MonotonicTime};

use super::plan::{End, Op, Start};
use super::sections::{Action, Sections};
use super::state::{self, Asked, Flight, Progress, State, session};
use super::tenure;
use crate::oracle::{self, PutFact, Verdict};

impl Sections {
    /// Lets something happen; what breaks is noted in the state.
    pub(super) fn perform(&self, state: &mut State, action: Action) {
        if let Err(broken) = self.try_perform(state, action) {
            state.broken.get_or_insert(broken);
        }
    }

    fn try_perform(&self, state: &mut State, action: Action) -> Verdict {
        match action {
            Action::Begin(at) => self.begin(state, at),
            Action::Ask(at) => self.ask(state, at),
            Action::Release(at) => {
                let confirm = self.scenario.plans[at].end == End::Confirm;
                let confirm = confirm && state.sections[at].status == Status::Granted;
                state.sections[at].dismissed = true;
                let op = state.op(at, Asked::Release);
                self.step(state, at, Input::Release { op, confirm })
            }
            Action::Perform(flight) => self.perform_call(state, flight),
            Action::Answer(flight) => self.answer(state, flight),
            Action::Lose(flight) => self.lose(state, flight),
            Action::Acknowledge(flight, set) => self.acknowledge(state, flight, set),
            Action::Copy(flight, replica, landing) => {
                state.land(replica, landing);
                copy(state, flight, replica);
                Ok(())
            }
            Action::ApplyLate(late) => {
                let (_, command) = state.late_commands.remove(late);
                Arc::make_mut(&mut state.queue).apply(command);
                Ok(())
            }
            Action::Hint(at) => {
                let marks = Some(state.queue.marks());
                let key = KeyIndex(0);
                self.step(state, at, Input::Hint { key, marks })
            }
            Action::Wake(at) => {
                if !state.sections[at].moved {
                    self.step(state, at, Input::Renew)?;
                }
                self.step(state, at, Input::Wake)
            }
            Action::Suspect(at, other) => self.suspect(state, at, other),
            Action::Lapse(at) => {
                state.faults.lapses -= 1;
                state.lapsed[at] = true;
                Ok(())
            }
            Action::Silence(at) => {
                state.faults.silences -= 1;
                let now = MonotonicTime::default().after(Lease::MAX.get());
                self.step_at(state, at, Input::Wake, now)
            }
        }
    }

    fn begin(&self, state: &mut State, at: usize) -> Verdict {
        state.sections[at].begun = true;
        match self.scenario.plans[at].start {
            Start::Create => self.step(state, at, Input::Create),
            Start::Adopt(of) => {
                state.sections[of].moved = true;
                self.step(state, at, Input::Adopt)
            }
            Start::HandOver(_) => {
                let section = &mut state.sections[at];
                if let (Some(machine), Some(kept)) = (&mut section.machine, section.kept.take()) {
                    Arc::make_mut(machine).take_kept(KeyIndex(0), kept);
                }
                self.step(state, at, Input::Create)
            }
        }
    }

    fn ask(&self, state: &mut State, at: usize) -> Verdict {
        let op = self.scenario.plans[at].ops[state.sections[at].step];
        state.sections[at].step += 1;
        match op {
            Op::Get => {
                let own = state.sections[at].own;
                let grants = state.oracle.grants_at(&self.key);
                let op = state.op(at, Asked::Get { grants, own });
                self.step(state, at, Input::Get(op, KeyIndex(0)))
            }
            Op::Put(touches) => {
                let put = state.oracle.puts.len();
                Arc::make_mut(&mut state.oracle).puts.push(PutFact {
                    key: self.key.clone(),
                    stamp: None,
                    touches,
                    settled: false,
                    acknowledged: false,
                });
                state.sections[at].puts.push(put);
                self.send_put(state, at, put)
            }
            Op::Retry => {
                let put = state.sections[at].unknown.remove(0);
                state.sections[at].retried = true;
                self.send_put(state, at, put)
            }
        }
    }

    fn send_put(&self, state: &mut State, at: usize, put: usize) -> Verdict {
        let change = oracle::change(put, state.oracle.puts[put].touches);
        let names = self.scenario.plans[at].ops.contains(&Op::Retry);
        let name = IdempotencyKey(u128::try_from(put).unwrap());
        let asked = Put {
            key: KeyIndex(0),
            change,
            identity: names.then_some((name, 1)),
        };
        let op = state.op(at, Asked::Put(put));
        self.step(state, at, Input::Put(op, asked))
    }

    fn suspect(&self, state: &mut State, at: usize, other: usize) -> Verdict {
        let before = state.sections[at].machine.clone();
        self.step(state, at, Input::Suspect(self.session(other)))?;
        if state.sections[at].machine != before {
            state.faults.suspicions -= 1;
        }
        Ok(())
    }

    fn perform_call(&self, state: &mut State, flight: usize) -> Verdict {
        let Flight {
            section, effect, ..
        } = state.flights[flight].clone();
        // What its node gave up before has taken effect, or never will.
        state.late_commands.retain(|(node, _)| *node != section);
        let answer = match &*effect {
            Effect::Apply { command, .. } => {
                let outcome = Arc::make_mut(&mut state.queue).apply(*command);
                Answer::Applied(Ok((outcome, Arc::clone(&state.queue))))
            }
            Effect::Keep(kept) => {
                let command = tenure::command(section, kept);
                let outcome = Arc::make_mut(&mut state.queue).apply(command);
                Answer::Applied(Ok((outcome, Arc::clone(&state.queue))))
            }
            Effect::Peek { .. } => Answer::Queue(Ok(Arc::clone(&state.queue))),
            Effect::Release { holding, .. } => {
                Arc::make_mut(&mut state.queue).release(*holding);
                Answer::Done(Ok(()))
            }
            _ => return Ok(()),
        };
        state.sections[section].looked = Some(Arc::clone(&state.queue));
        state.flights[flight].progress = Progress::Performed(Arc::new(state::Reply(answer)));
        if matches!(
            state.sections[section].status,
            Status::Released | Status::Lost(_)
        ) {
            // When it hears that it is out of the queue changes nothing.
            return self.answer(state, flight);
        }
        Ok(())
    }

    fn answer(&self, state: &mut State, flight: usize) -> Verdict {
        let flight = state.flights.remove(flight);
        if let Effect::Keep(kept) = &*flight.effect {
            Self::kept(state, flight.section, kept, flight.answer().as_ref());
            return Ok(());
        }
        let (Some(call), Some(answer)) = (flight.call(), flight.answer()) else {
            return Ok(());
        };
        state.late.extend(flight.leftover());
        self.step(state, flight.section, Input::Answered(call, answer))
    }

    fn lose(&self, state: &mut State, flight: usize) -> Verdict {
        state.faults.lost -= 1;
        let flight = state.flights.remove(flight);
        let Some(call) = flight.call() else {
            // A node asks again until it knows.
            state.late_commands.extend(flight.late_command());
            let progress = Progress::Sent;
            state.flights.push(Flight { progress, ..flight });
            return Ok(());
        };
        state.late.extend(flight.leftover());
        state.late_commands.extend(flight.late_command());
        let failed = Input::Answered(call, flight.failure());
        let now = usual_time(state, flight.section).max(ms(1));
        self.step_at(state, flight.section, failed, now)
    }

    fn acknowledge(&self, state: &mut State, at: usize, set: state::Set) -> Verdict {
        let flight = &mut state.flights[at];
        let Some(change) = flight.change().cloned() else {
            return Ok(());
        };
        flight.progress = Progress::Written(set);
        for (replica, copy) in state.replicas.iter_mut().enumerate() {
            if set >> replica & 1 == 1 {
                Arc::make_mut(copy).merge(&change);
            }
        }
        let stamp = change.stamp_max();
        let holding = stamp.and_then(Stamp::holding).unwrap_or_default();
        if state.queue.present(holding)
            && let Some(stamp) = stamp
            && let Some(put) = Arc::make_mut(&mut state.oracle).put_at(&self.key, stamp)
        {
            put.settled = true;
        }
        self.answer(state, at)
    }

    /// Gives a section an event and looks at what comes of it.
    fn step(&self, state: &mut State, at: usize, input: Input) -> Verdict {
        let retry = match (&input, &state.sections[at].machine) {
            (Input::Wake | Input::Renew, Some(machine)) => machine.wake_at(),
            _ => None,
        };
        let retry = retry.filter(|at| *at < super::sections::far());
        let now = retry.unwrap_or_else(|| usual_time(state, at));
        self.step_at(state, at, input, now)
    }

    fn step_at(&self, state: &mut State, at: usize, input: Input, now: MonotonicTime) -> Verdict {
        let lease = if state.lapsed[self.node(at)] {
            MonotonicTime::default()
        } else {
            now.after(Lease::MAX.get())
        };
        let context = Context {
            now,
            session: self.session(at),
            lease_until: lease,
        };
        let put = match &input {
            Input::Put(op, _) => state.put_of(at, *op),
            _ => None,
        };
        let Some(machine) = &mut state.sections[at].machine else {
            return Ok(());
        };
        let mut effects = Vec::new();
        let machine = Arc::make_mut(machine);
        machine.step(input, &context, &mut effects);
        let status = machine.status();
        let token = machine.lock_refs().next().map(|(_, token)| token);
        let section = &mut state.sections[at];
        section.token = token
            .filter(|it| *it > LockRef::NONE)
            .unwrap_or(section.token);
        let before = std::mem::replace(&mut section.status, status);
        for effect in effects {
            self.take_in(state, at, put, effect)?;
        }
        if status == Status::Granted && before != Status::Granted {
            state.sections[at].was_granted = true;
            self.look_at_grant(state, at)?;
        }
        Ok(())
    }

    fn take_in(&self, state: &mut State, at: usize, put: Option<usize>, effect: Effect) -> Verdict {
        let progress = match &effect {
            Effect::Reply { op, reply } => return self.hear(state, at, *op, reply),
            Effect::Write { change, .. } => {
                let oracle = Arc::make_mut(&mut state.oracle);
                oracle.wrote(&self.key, change)?;
                if let Some(put) = put {
                    oracle.issued(put, change.stamp_max())?;
                }
                Progress::Written(0)
            }
            Effect::Ended => {
                state.sections[at].machine = None;
                return Ok(());
            }
            Effect::Keep(kept) => {
                self.keep(state, at, kept);
                return Ok(());
            }
            Effect::Changed | Effect::Watch(_) | Effect::Unwatch(_) | Effect::Observe { .. } => {
                return Ok(());
            }
            Effect::Apply { .. }
            | Effect::Peek { .. }
            | Effect::Release { .. }
            | Effect::Read { .. } => Progress::Sent,
        };
        state.flights.push(Flight {
            section: at,
            effect: Arc::new(effect),
            progress,
        });
        Ok(())
    }

    /// Takes the first section to where its ticks are used up but for some.
    pub(super) fn use_up_ticks(&self, state: &mut State, left: u32) {
        for action in [Action::Begin(0), Action::Perform(0), Action::Answer(0)] {
            self.perform(state, action);
        }
        let oracle = Arc::make_mut(&mut state.oracle);
        let (put, touches) = (oracle.puts.len(), [Some(true), None]);
        let change = oracle::change(put, touches);
        let mut record = None;
        if let Some(machine) = &mut state.sections[0].machine {
            let machine = Arc::make_mut(machine);
            for _ in left..=Tick::MAX.get() {
                record = put_at_once(machine, change.clone()).or(record);
            }
        }
        let Some(record) = record else { return };
        let stamp = record.stamp_max();
        for replica in &mut state.replicas {
            Arc::make_mut(replica).merge(&record);
        }
        let fact = PutFact {
            key: self.key.clone(),
            stamp,
            touches,
            settled: true,
            acknowledged: true,
        };
        oracle.raise_floors(&self.key, fact.floors());
        state.sections[0].own = fact.floors();
        oracle.puts.push(fact);
    }
}

/// The time of a step that no clock has a part in: after a client has moved
/// on, later than all that it said before, tries again included.
fn usual_time(state: &State, at: usize) -> MonotonicTime {
    ms(if state.sections[at].moved { 500 } else { 0 })
}

fn ms(ms: u64) -> MonotonicTime {
    MonotonicTime::default().after(Duration::from_millis(ms))
}

/// A put that is acknowledged the moment it is issued; gives its write.
fn put_at_once(machine: &mut CriticalSection, change: Change) -> Option<Record> {
    let context = Context {
        now: MonotonicTime::default(),
        session: session(0),
        lease_until: super::sections::far(),
    };
    let put = Put {
        key: KeyIndex(0),
        change,
        identity: None,
    };
    let mut effects = Vec::new();
    machine.step(Input::Put(OpId(u64::MAX), put), &context, &mut effects);
    let mut written = None;
    for effect in effects {
        if let Effect::Write { call, change, .. } = effect {
            let answer = Input::Answered(call, Answer::Done(Ok(())));
            machine.step(answer, &context, &mut Vec::new());
            written = Some(change);
        }
    }
    written
}

/// A read gets a copy; the second of them ends it, with its repair.
fn copy(state: &mut State, at: usize, replica: usize) {
    let copy = Arc::clone(&state.replicas[replica]);
    let flight = &mut state.flights[at];
    let Progress::Read(first, before) = &flight.progress else {
        flight.progress = Progress::Read(1 << replica, copy);
        return;
    };
    let other = first.trailing_zeros() as usize;
    let id = |replica: usize| ReplicaId(u8::try_from(replica).unwrap());
    let mut read = MajorityRead::new(3);
    read.answered(id(other), Record::clone(before));
    let mut step = read.answered(id(replica), Record::clone(&copy));
    if let ReadStep::Repair { record, lacking } = step.clone() {
        for at in [other, replica] {
            if lacking.contains(&id(at)) {
                Arc::make_mut(&mut state.replicas[at]).merge(&record);
                step = read.repaired(id(at));
            }
        }
    }
    if let ReadStep::Done(record) = step {
        let answer = state::Reply(Answer::Record(Ok(record)));
        state.flights[at].progress = Progress::Performed(Arc::new(answer));
    }
}
