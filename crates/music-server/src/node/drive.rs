//! The driver: steps a section and does what it asks.
//!
//! Each call to an engine is a task of the node; its answer is the section's
//! next step. Nothing is locked but the section itself, and never across an
//! await.

use std::sync::Arc;

use music_core::critical_section::{
    Answer, Call, Context, Effect, Error, Failure, Input, Reply, Status,
};
use music_core::id::RecordId;
use music_core::lock_queue::Command;
use music_core::lock_ref::Holding;
use music_core::record::Record;
use music_store::error::Outcome;
use music_store::{Level, LockStore, StateStore};
use tracing::{Instrument as _, Span};

use super::sections::{Machine, OpResult, Slot, only_key};
use super::{Inner, spans};

impl Inner {
    /// What the node knows right now.
    pub(super) fn context(&self) -> Context {
        let (session, lease_until) = self.liveness.session();
        Context {
            now: self.clock.now(),
            session,
            lease_until,
        }
    }

    /// Gives a section an event and does what it asks.
    pub(super) fn step(self: &Arc<Self>, slot: &Arc<Slot>, input: Input) {
        let mut machine = slot.lock();
        let effects = self.step_locked(slot, &mut machine, input);
        drop(machine);
        self.perform(slot, effects);
    }

    /// The part of a step that needs the section's lock; what it returns is
    /// to be performed without.
    pub(super) fn step_locked(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        machine: &mut Machine,
        input: Input,
    ) -> Vec<Effect> {
        let (effects, replied) = self.step_unnoted(slot, machine, input);
        self.note_cost(replied, &effects);
        effects
    }

    /// The same for one step of many, whose cost is noted together; also,
    /// whether an operation was answered.
    pub(super) fn step_unnoted(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        machine: &mut Machine,
        input: Input,
    ) -> (Vec<Effect>, bool) {
        let answered = matches!(input, Input::Answered(..));
        let mut effects = Vec::new();
        machine.section.step(input, &self.context(), &mut effects);
        let mut replied = false;
        effects.retain_mut(|effect| match effect {
            Effect::Reply { op, reply } => {
                replied = true;
                self.remember_verdict(slot, machine, reply);
                machine.reply(*op, reply.clone());
                false
            }
            _ => true,
        });
        if answered && !machine.section.is_granted() {
            slot.changed.notify_waiters();
        }
        if let Some(at) = machine.section.wake_at()
            && machine.wake_at.is_none_or(|scheduled| at < scheduled)
        {
            machine.wake_at = Some(at);
            self.timers.wake(at, slot.request);
        }
        (effects, replied)
    }

    /// Does what a step asked for.
    pub(super) fn perform(self: &Arc<Self>, slot: &Arc<Slot>, effects: Vec<Effect>) {
        for effect in effects {
            let span = self.call_span(slot, &effect);
            let made = |call| (call, span);
            match effect {
                Effect::Apply { call, id, command } => {
                    if matches!(command, Command::Name { .. }) {
                        self.run_long(&id, slot.request);
                    }
                    self.answer(slot, made(call), Self::apply(self.clone(), id, command));
                }
                Effect::Peek { call, id } => {
                    self.answer(slot, made(call), Self::peek(self.clone(), id));
                }
                Effect::Release { call, id, holding } => {
                    self.note_release(&id, holding.lock_ref);
                    self.answer(
                        slot,
                        made(call),
                        Self::release_at(self.clone(), id, holding),
                    );
                }
                Effect::Write { call, id, change } => {
                    self.answer(slot, made(call), Self::write(self.clone(), id, change));
                }
                Effect::Read { call, id } => {
                    self.answer(slot, made(call), Self::read(self.clone(), id));
                }
                Effect::Keep(kept) => self.left(slot, *kept),
                // Handed over while the section was locked.
                Effect::Reply { .. } => {}
                Effect::Changed => {
                    spans::changed(slot);
                    slot.changed.notify_waiters();
                    self.see_to_line(slot);
                }
                Effect::Watch(id) => self.watches.add(&self.locks, id, slot.request),
                Effect::Unwatch(id) => self.watches.remove(&self.locks, &id, slot.request),
                Effect::Observe { id, session, lease } => {
                    self.liveness
                        .observe(session, lease, slot.request, self.clock.now());
                    self.want(session, id);
                }
                Effect::Ended => self.forget(slot),
            }
        }
    }

    /// Keeps the answer of a confirmed release for a client that did not hear
    /// it: no other operation of a released section is answered like that.
    fn remember_verdict(&self, slot: &Slot, machine: &Machine, reply: &OpResult) {
        let verdict = matches!(reply, Ok(Reply::Confirmed) | Err(Error::Lost(_)));
        if verdict && machine.section.status() == Status::Released {
            self.sections.remember(slot.request, reply.clone());
        }
    }

    /// Drops a section that is over, but for how it ended.
    fn forget(self: &Arc<Self>, slot: &Arc<Slot>) {
        let status = slot.lock().section.status();
        match status {
            Status::Lost(lost) => self.sections.remember(slot.request, Err(Error::Lost(lost))),
            _ => self.sections.remember(slot.request, Ok(Reply::Released)),
        }
        spans::ended(slot, status);
        self.sections.remove(slot);
        self.leave_line(slot);
        slot.changed.notify_waiters();
    }

    /// Makes a call as a task of its own and steps the section with its answer.
    fn answer<F>(self: &Arc<Self>, slot: &Arc<Slot>, (call, span): (Call, Span), answer: F)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (node, slot) = (self.clone(), slot.clone());
        self.spawn(async move {
            let answer = answer.instrument(span.clone()).await;
            spans::answered(&span, &answer);
            drop(span);
            // An answer that comes while the node is suspended is not seen
            // before it goes on.
            node.gate.pass().await;
            let marks = match &answer {
                Answer::Queue(Ok(queue)) => Some(queue.marks()),
                _ => None,
            };
            node.step(&slot, Input::Answered(call, answer));
            if let Some((id, marks)) = only_key(&slot).zip(marks) {
                node.tell_keeper(&id, marks);
            }
        });
    }

    async fn apply(self: Arc<Self>, id: RecordId, command: Command) -> Answer {
        let applied = self.within(self.command(&id, command)).await;
        let removes = matches!(
            command,
            Command::Withdraw(_) | Command::Confirm(_) | Command::Force { .. }
        );
        if removes && applied.is_ok() {
            self.tell_askers(&id);
        }
        Answer::Applied(applied.map(|applied| (applied.outcome, applied.queue)))
    }

    async fn peek(self: Arc<Self>, id: RecordId) -> Answer {
        Answer::Queue(self.peek_together(&id).await)
    }

    async fn release_at(self: Arc<Self>, id: RecordId, holding: Holding) -> Answer {
        let released = self.within(self.locks.release(&id, holding)).await;
        if released.is_ok() {
            self.tell_askers(&id);
        }
        Answer::Done(released)
    }

    pub(super) async fn write(self: Arc<Self>, id: RecordId, change: Record) -> Answer {
        Answer::Done(
            self.within(self.state.write(&id, change, Level::Majority))
                .await,
        )
    }

    async fn read(self: Arc<Self>, id: RecordId) -> Answer {
        Answer::Record(self.within(self.state.read(&id, Level::Majority)).await)
    }

    /// Bounds a call in time; a call without an answer has an unknown effect.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T, music_store::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.config.call_timeout, call).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a call to the engine failed");
                Err(match error.outcome() {
                    Outcome::NotApplied => Failure::NotApplied,
                    Outcome::Unknown => Failure::Unknown,
                })
            }
            Err(_elapsed) => Err(Failure::Unknown),
        }
    }
}
