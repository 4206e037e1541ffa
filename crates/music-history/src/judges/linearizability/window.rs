//! Cuts the operations on a register where its value is known.

use crate::OpId;
use crate::index::Moment;

/// An operation on a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) op: OpId,
    pub(super) begun: Moment,
    /// `None` for a write that may take effect at any time, or never.
    pub(super) ended: Option<Moment>,
    pub(super) action: Action,
}

/// What an operation does: the value is that of a put, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Write(Option<OpId>),
    Read(Option<OpId>),
}

impl Action {
    fn value(self) -> Option<OpId> {
        match self {
            Self::Write(value) | Self::Read(value) => value,
        }
    }
}

/// What a register holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// The value of that put, or none.
    Known(Option<OpId>),
    /// One of several.
    Unknown,
}

/// Operations that all end before those of the next window begin.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) steps: Vec<Step>,
    /// When the last of them ends.
    end: Option<Moment>,
}

impl Window {
    /// The writes that may be needed to explain what was read here, of those
    /// that may take effect at any time. They are in the order in which they
    /// began.
    ///
    /// One deletion is as good as another that began later, and each read of no
    /// value needs one at most.
    pub(super) fn shown(&self, writes: &[Step]) -> Vec<Step> {
        let shown = writes.iter().filter(|write| self.shows(write)).copied();
        let (mut shown, deletions): (Vec<Step>, Vec<Step>) =
            shown.partition(|write| write.action.value().is_some());
        let is_read = |step: &&Step| step.action == Action::Read(None);
        let reads = self.steps.iter().filter(is_read).count();
        shown.extend(deletions.into_iter().take(reads));
        shown
    }

    /// Whether a read may come from that write.
    fn shows(&self, write: &Step) -> bool {
        let value = write.action.value();
        let mut reads = self.steps.iter();
        self.end.is_some_and(|end| write.begun < end)
            && reads.any(|step| step.action == Action::Read(value))
    }

    pub(super) fn writes(&self) -> usize {
        let is_write = |step: &&Step| matches!(step.action, Action::Write(_));
        self.steps.iter().filter(is_write).count()
    }

    /// Whether that write must have taken effect by the end of the window. Of
    /// a deletion this is never certain: there may be others.
    pub(super) fn settles(&self, write: &Step) -> bool {
        write.action.value().is_some() && self.shows(write)
    }

    /// What the register holds afterwards, which is known of an operation that
    /// no other overlaps.
    ///
    /// A write that may take effect at any time may do so just then. It is
    /// counted to the window that shows it.
    pub(super) fn leaves(&self) -> State {
        match self.steps.as_slice() {
            [.., last] if self.is_alone(last) => State::Known(last.action.value()),
            _ => State::Unknown,
        }
    }

    fn is_alone(&self, last: &Step) -> bool {
        let others = self.steps.iter().filter(|other| other.op != last.op);
        others
            .map(|other| other.ended)
            .all(|ended| ended < Some(last.begun))
    }
}

/// Cuts complete operations, in the order in which they began, after each one
/// that no other overlaps.
pub(super) fn windows(steps: Vec<Step>) -> Vec<Window> {
    let mut windows = Vec::new();
    let mut window = Window::default();
    let mut steps = steps.into_iter().peekable();
    while let Some(step) = steps.next() {
        window.end = window.end.max(step.ended);
        window.steps.push(step);
        let is_past = steps
            .peek()
            .is_none_or(|next| window.end < Some(next.begun));
        if is_past && window.is_alone(&step) {
            windows.push(std::mem::take(&mut window));
        }
    }
    if !window.steps.is_empty() {
        windows.push(window);
    }
    windows
}
