//! What traces say of a node: a span for each section, each operation of one,
//! and each call to an engine, with the rounds that it costs.
//!
//! A call is below the operation that made it. One that follows from an
//! answer, a hint or a timer is below its section: no operation is under way
//! then, as this task sees it.

use std::fmt::Display;

use music_core::critical_section::{Answer, Effect, Failure, Status};
use music_core::id::{Key, RecordId, RequestId};
use music_core::lock_queue::{Command, Mode};
use music_store::StateStore as _;
use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use super::sections::Slot;
use super::{Error, Inner, SectionRef};
use crate::trace::{TARGET, is_wanted};

/// How much of a key a span shows, in characters.
const KEY_CHARACTERS_MAX: usize = 64;

/// How many keys of a section a span shows.
const KEYS_SHOWN_MAX: usize = 8;

/// A call that needs a majority, by its name.
fn call(effect: &Effect) -> Option<(&'static str, &RecordId)> {
    Some(match effect {
        Effect::Apply { id, command, .. } => (command_name(command), id),
        Effect::Peek { id, .. } => ("engine peek", id),
        Effect::Release { id, .. } => ("engine release", id),
        Effect::Write { id, .. } => ("engine majority write", id),
        Effect::Read { id, .. } => ("engine majority read", id),
        Effect::Reply { .. }
        | Effect::Keep(_)
        | Effect::Changed
        | Effect::Watch(_)
        | Effect::Unwatch(_)
        | Effect::Observe { .. }
        | Effect::Ended => return None,
    })
}

pub(super) fn command_name(command: &Command) -> &'static str {
    match command {
        Command::Enqueue(_) | Command::EnqueueWithin { .. } => "engine enqueue",
        Command::Withdraw(_) => "engine withdraw",
        Command::Force { .. } | Command::ForceSection(_) => "engine force",
        Command::Adopt { .. } => "engine adopt",
        Command::Keep { .. } => "engine keep",
        Command::Name { .. } => "engine name",
        Command::Confirm(_) => "engine confirm",
        Command::Synced(_) => "engine synced",
    }
}

/// What an operation is about.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    section: Option<RequestId>,
    id: Option<&'a RecordId>,
    puts: Option<usize>,
}

impl<'a> About<'a> {
    /// A section.
    pub(super) fn section(request: RequestId) -> Self {
        Self {
            section: Some(request),
            ..Self::default()
        }
    }

    /// Also so many puts at once.
    pub(super) fn puts(self, puts: usize) -> Self {
        Self {
            puts: Some(puts),
            ..self
        }
    }

    /// Also a key.
    pub(super) fn at(self, id: &'a RecordId) -> Self {
        Self {
            id: Some(id),
            ..self
        }
    }
}

impl Inner {
    fn rounds(&self, effect: &Effect) -> Option<u8> {
        match effect {
            Effect::Apply { .. } => Some(self.locks.command_rounds()),
            _ => call(effect).map(|_| 1),
        }
    }

    fn table(&self, id: &RecordId) -> String {
        match self.state.table_by_id(id.table) {
            Some(table) => table.name.to_string(),
            None => id.table.0.to_string(),
        }
    }

    /// The span of a section, below the operation that begins it.
    pub(super) fn section_span(&self, section: &SectionRef) -> Span {
        if !is_wanted() {
            return Span::none();
        }
        let keys: Vec<String> = section
            .keys
            .iter()
            .take(KEYS_SHOWN_MAX)
            .map(|id| format!("{}/{}", self.table(id), key_text(&id.key)))
            .collect();
        let mode = match section.mode {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        };
        tracing::info_span!(
            target: TARGET,
            "critical section",
            music.section = %section_text(section.request),
            music.keys = keys.join(" "),
            music.keys_count = section.keys.len(),
            music.mode = mode,
            music.outcome = Empty,
            otel.status_code = Empty,
        )
    }

    /// Does an operation in a span of its own, which says how it ended.
    pub(super) async fn operation<T>(
        &self,
        name: &'static str,
        about: About<'_>,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        within(self.operation_span(name, about), work).await
    }

    fn operation_span(&self, name: &'static str, about: About<'_>) -> Span {
        if !is_wanted() {
            return Span::none();
        }
        let section = about.section.map(section_text);
        tracing::info_span!(
            target: TARGET,
            "operation",
            otel.name = name,
            otel.status_code = Empty,
            music.section = section.map(display),
            music.table = about.id.map(|id| self.table(id)),
            music.key = about.id.map(|id| key_text(&id.key)),
            music.puts = about.puts,
            music.outcome = Empty,
            music.rounds = Empty,
        )
    }

    /// Notes what the operation under way costs: nothing, where the section
    /// answers it by itself.
    pub(super) fn note_cost(&self, answered: bool, effects: &[Effect]) {
        if !is_wanted() {
            return;
        }
        let dearest = effects.iter().filter_map(|effect| self.rounds(effect));
        if let Some(rounds) = if answered { Some(0) } else { dearest.max() } {
            Span::current().record("music.rounds", rounds);
        }
    }

    /// The span of a call that a section asks for.
    pub(super) fn call_span(&self, slot: &Slot, effect: &Effect) -> Span {
        if !is_wanted() {
            return Span::none();
        }
        match (call(effect), self.rounds(effect)) {
            (Some((name, id)), Some(rounds)) => self.named_call_span(slot, name, id, rounds),
            _ => Span::none(),
        }
    }

    /// The span of a write that several puts have together.
    pub(super) fn write_span(&self, slot: &Slot, id: &RecordId, puts: usize) -> Span {
        if !is_wanted() {
            return Span::none();
        }
        let span = self.named_call_span(slot, "engine majority write", id, 1);
        span.record("music.puts", puts);
        span
    }

    fn named_call_span(&self, slot: &Slot, name: &str, id: &RecordId, rounds: u8) -> Span {
        // Entered only for the moment: what is made now is below it.
        let _section = Span::current().is_none().then(|| slot.span.enter());
        let span = self.alone_span(name, id, rounds);
        span.record("music.section", display(section_text(slot.request)));
        span
    }

    /// Makes a call that no section asks for, in a span of its own.
    pub(super) async fn call_alone<T>(
        &self,
        (name, id): (&'static str, &RecordId),
        rounds: u8,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        within(self.alone_span(name, id, rounds), work).await
    }

    /// The span of a call that no section asks for, below what is under way.
    pub(super) fn alone_span(&self, name: &str, id: &RecordId, rounds: u8) -> Span {
        if !is_wanted() {
            return Span::none();
        }
        tracing::info_span!(
            target: TARGET,
            "call",
            otel.name = name,
            otel.kind = "client",
            otel.status_code = Empty,
            music.section = Empty,
            music.table = self.table(id),
            music.key = key_text(&id.key),
            music.rounds = rounds,
            music.puts = Empty,
            music.outcome = Empty,
        )
    }
}

/// Does something in a span, which says how it ended.
pub(super) async fn within<T>(
    span: Span,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let result = work.instrument(span.clone()).await;
    end(&span, result.as_ref().err());
    result
}

/// Says how a call ended.
pub(super) fn answered(span: &Span, answer: &Answer) {
    let failure = match answer {
        Answer::Applied(result) => result.as_ref().err(),
        Answer::Queue(result) => result.as_ref().err(),
        Answer::Done(result) => result.as_ref().err(),
        Answer::Record(result) => result.as_ref().err(),
    };
    end(
        span,
        failure.map(|failure| match failure {
            Failure::NotApplied => "failed without effect",
            Failure::Unknown => "effect unknown",
        }),
    );
}

/// Says where a section stands, as an event of its span.
pub(super) fn changed(slot: &Slot) {
    if slot.span.is_disabled() {
        return;
    }
    let text = match slot.lock().section.status() {
        Status::Waiting => "waiting",
        Status::Granted => "granted",
        Status::Lost(_) => "lost",
        Status::Released => "released",
    };
    tracing::info!(target: TARGET, parent: &slot.span, "{text}");
}

/// Says how a section ended.
pub(super) fn ended(slot: &Slot, status: Status) {
    let lost = match status {
        Status::Lost(lost) => Some(format!("lost: {lost:?}")),
        Status::Waiting | Status::Granted | Status::Released => None,
    };
    end(&slot.span, lost);
}

fn end(span: &Span, failure: Option<impl Display>) {
    if span.is_disabled() {
        return;
    }
    match failure {
        None => span.record("music.outcome", "ok"),
        Some(failure) => span
            .record("music.outcome", display(failure))
            .record("otel.status_code", "ERROR"),
    };
}

fn section_text(request: RequestId) -> String {
    format!("{:032x}", request.0)
}

fn key_text(key: &Key) -> String {
    let text = String::from_utf8_lossy(key.as_bytes());
    let safe = text.chars().take(KEY_CHARACTERS_MAX);
    safe.collect()
}
