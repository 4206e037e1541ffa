//! Lines: sections that wait at one node for one key have one ticket together.
//!
//! ```text
//!  queue      [7 of site A]  [8 of B's line]  [9 of A's line]
//!                                                 │ granted
//!  A's line    S4 S5 S6 …        S4 ──released──▶ S5 ──▶ S6 … until the turn is over
//! ```
//!
//! Where a node has some sections in a queue already, further ones do not enter
//! it: they stand in the node's line, and the node asks for one ticket for all of
//! them, by a section of its own. Once that is granted its ticket goes from
//! section to section, as one that is kept does (see `tenures`), and no other site
//! is asked. So a queue has a few tickets for each node that wants the key, however
//! many clients wait there, and a hand-over costs the same.
//!
//! Others wait behind that ticket: from when the node knows of them, it goes on for
//! [`Affinity::turn_max`](super::Affinity) at most, then the line asks anew.
//!
//! A section in a line has no ticket of its name. What asks for it at another node
//! finds nothing; its client asks anew there.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_core::critical_section::{Input, Kept, KeyIndex, Status};
use music_core::id::{Moves, RecordId, RequestId};
use music_core::lock_queue::{Marks, Mode};
use music_core::lock_ref::LockRef;
use music_core::time::{Lease, MonotonicTime};

use super::sections::{Slot, only_key};
use super::{Inner, SectionRef};

/// How many sections of a node have a ticket of their own in one queue, before
/// the next ones stand in line.
const OWN_TICKETS_MAX: usize = 2;

/// The lines of a node: for each key whose ticket goes, or will go, from section
/// to section.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Mutex<HashMap<RecordId, Line>>,
}

#[derive(Debug, Default)]
struct Line {
    /// Who waits, in the order in which they came; some may have given up. There
    /// are no more than the node's sections.
    waiting: VecDeque<Arc<Slot>>,
    /// The node's own section, which waits for the line's ticket.
    asker: Option<RequestId>,
    runner: Option<Runner>,
    /// Since when others are known to wait behind which ticket.
    followed: Option<(LockRef, MonotonicTime)>,
}

/// The section that has the ticket.
#[derive(Clone, Copy, Debug)]
struct Runner {
    request: RequestId,
    /// It has it for so long that it has given it its name.
    named: bool,
}

/// Where a ticket goes that a section has left.
enum Next {
    /// Nobody stands in line.
    Nobody,
    /// Others have waited long enough.
    Others,
    Section(Arc<Slot>),
}

impl Lines {
    fn lines(&self) -> MutexGuard<'_, HashMap<RecordId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many sections stand in line for a key.
    pub(super) fn waiting(&self, id: &RecordId) -> usize {
        self.lines().get(id).map_or(0, |line| line.waiting.len())
    }

    /// A section begins with a kept ticket: those who come now wait for it.
    pub(super) fn run(&self, id: &RecordId, request: RequestId) {
        let runner = Runner {
            request,
            named: false,
        };
        self.lines().entry(id.clone()).or_default().runner = Some(runner);
    }

    fn runner(&self, id: &RecordId) -> Option<RequestId> {
        let lines = self.lines();
        let runner = lines.get(id)?.runner?;
        Some(runner.request)
    }

    /// Puts a section in line if there is one, or `begins` to be.
    fn join(&self, id: &RecordId, slot: &Arc<Slot>, begins: bool) -> bool {
        let mut lines = self.lines();
        let joins = begins || lines.contains_key(id);
        if joins {
            let line = lines.entry(id.clone()).or_default();
            line.waiting.push_back(Arc::clone(slot));
        }
        joins
    }

    /// Whether a section stands in the line of its key.
    pub(super) fn has(&self, slot: &Slot) -> bool {
        let Some(id) = only_key(slot) else {
            return false;
        };
        let lines = self.lines();
        let mut waiting = lines.get(&id).into_iter().flat_map(|line| &line.waiting);
        waiting.any(|other| other.request == slot.request)
    }

    /// How many sections stand in all lines.
    pub(super) fn len(&self) -> usize {
        self.lines().values().map(|line| line.waiting.len()).sum()
    }

    /// A section is over, or has lost what it had; whether a line waits for it.
    fn clear(&self, id: &RecordId, request: RequestId) -> bool {
        self.change(id, |line| line.clear(request)).unwrap_or(false)
    }

    /// A section gives up before it had a ticket. Returns who asks for one that
    /// nobody wants any more.
    fn step_out(&self, id: &RecordId, request: RequestId) -> Option<RequestId> {
        let step_out = |line: &mut Line| {
            line.waiting.retain(|slot| slot.request != request);
            let is_wanted = !line.waiting.is_empty();
            if is_wanted { None } else { line.asker.take() }
        };
        self.change(id, step_out).flatten()
    }

    fn change<T>(&self, id: &RecordId, change: impl FnOnce(&mut Line) -> T) -> Option<T> {
        let mut lines = self.lines();
        let line = lines.get_mut(id)?;
        let changed = change(line);
        if line.is_idle() {
            lines.remove(id);
        }
        Some(changed)
    }

    /// The section that has the ticket goes on for long.
    fn name(&self, id: &RecordId, request: RequestId) {
        self.change(id, |line| {
            let runner = line.runner.as_mut();
            if let Some(runner) = runner.filter(|runner| runner.request == request) {
                runner.named = true;
            }
        });
    }

    /// Takes note that a ticket is asked for, if a line needs one.
    fn asks(&self, id: &RecordId, asker: RequestId) -> bool {
        let asks = |line: &mut Line| {
            let served = line.runner.is_some_and(|runner| !runner.named);
            let asks = !line.waiting.is_empty() && line.asker.is_none() && !served;
            if asks {
                line.asker = Some(asker);
            }
            asks
        };
        self.change(id, asks).unwrap_or(false)
    }

    /// Who has a ticket next that a section left. It goes on for `turn_max` while
    /// others wait behind it, and not at all without.
    fn next(
        &self,
        from: RequestId,
        kept: &Kept,
        now: MonotonicTime,
        turn_max: Option<Duration>,
    ) -> Next {
        let next = |line: &mut Line| {
            // However many wait behind it, a ticket that was asked for serves one.
            let unused = line.asker == Some(from);
            line.clear(from);
            let since = line.followed_since(kept, now).filter(|_| !unused);
            let in_turn = |turn_max| since.is_none_or(|since| now < since.after(turn_max));
            if line.waiting.is_empty() {
                Next::Nobody
            } else if turn_max.is_some_and(in_turn) {
                line.take_next(kept).map_or(Next::Nobody, Next::Section)
            } else {
                Next::Others
            }
        };
        self.change(kept.id(), next).unwrap_or(Next::Nobody)
    }
}

impl Line {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.asker.is_none() && self.runner.is_none()
    }

    fn clear(&mut self, request: RequestId) -> bool {
        let runs = self.runner.is_some_and(|runner| runner.request == request);
        let asks = self.asker == Some(request);
        if runs {
            self.runner = None;
        }
        if asks {
            self.asker = None;
        }
        runs || asks
    }

    fn followed_since(&mut self, kept: &Kept, now: MonotonicTime) -> Option<MonotonicTime> {
        if !kept.is_followed() {
            return None;
        }
        let lock_ref = kept.holding().lock_ref;
        let known = self.followed.filter(|(of, _)| *of == lock_ref);
        let (_, since) = *self.followed.insert(known.unwrap_or((lock_ref, now)));
        Some(since)
    }

    fn take_next(&mut self, kept: &Kept) -> Option<Arc<Slot>> {
        while let Some(slot) = self.waiting.pop_front() {
            let machine = slot.lock();
            let own = machine.section.terms().owner == kept.owner();
            let waits = own && machine.section.status() == Status::Waiting;
            drop(machine);
            if waits {
                self.runner = Some(Runner {
                    request: slot.request,
                    named: false,
                });
                return Some(slot);
            }
        }
        None
    }
}

impl Inner {
    /// Puts a new section in line, where it is to have no ticket of its own yet.
    pub(super) fn stand_in_line(self: &Arc<Self>, section: &SectionRef, slot: &Arc<Slot>) -> bool {
        let [id] = section.keys.as_slice() else {
            return false;
        };
        // Of a client that has moved a ticket may be there.
        let moved = section.moves != Moves::default();
        if self.affinity().is_none() || section.mode != Mode::Exclusive || moved {
            return false;
        }
        let begins = self.watches.sections_at(id) >= OWN_TICKETS_MAX;
        let joined = self.lines.join(id, slot, begins);
        if joined {
            self.attend(id);
        }
        joined
    }

    /// Asks for a ticket if a line needs one.
    fn attend(self: &Arc<Self>, id: &RecordId) {
        let request = self.clock.request_id();
        let serves = self.lease_is_valid() && !self.closing.load(Ordering::Relaxed);
        if !serves || !self.lines.asks(id, request) {
            return;
        }
        let section = SectionRef {
            request,
            keys: vec![id.clone()],
            mode: Mode::Exclusive,
            lease: Lease::MAX,
            moves: Moves::OF_NODE,
        };
        let owner = self.liveness.session().0;
        let slot = self.slot_for(&section, owner, &[]);
        if let Some(Ok(slot)) = slot.map(|slot| self.sections.insert(slot)) {
            self.step(&slot, Input::Create);
        }
    }

    /// A section has left its ticket to the node.
    pub(super) fn left(self: &Arc<Self>, slot: &Arc<Slot>, kept: Kept) {
        let may_go_on = kept.is_known() && self.may_hand_over(&kept);
        let turn_max = may_go_on.then_some(self.config.affinity.turn_max);
        let now = self.clock.now();
        match self.lines.next(slot.request, &kept, now, turn_max) {
            Next::Nobody => self.keep(kept),
            Next::Section(next) => self.hand_on(&next, kept),
            Next::Others => {
                let id = kept.id().clone();
                self.give_back(kept);
                self.attend(&id);
            }
        }
    }

    fn hand_on(self: &Arc<Self>, slot: &Arc<Slot>, kept: Kept) {
        let mut machine = slot.lock();
        if machine.section.status() != Status::Waiting {
            drop(machine);
            return self.left(slot, kept);
        }
        machine.section.take_kept(KeyIndex(0), kept.clone());
        let silent = machine.section.is_silent(self.clock.now());
        let effects = self.step_locked(slot, &mut machine, Input::Create);
        drop(machine);
        self.perform(slot, effects);
        if silent && kept.is_followed() {
            // Its client may have gone to another node, and wait there.
            let (key, marks) = (KeyIndex(0), None);
            self.step(slot, Input::Hint { key, marks });
        }
        self.hand_over(slot, &[(KeyIndex(0), kept)]);
    }

    /// A section of the node itself has nothing to do but to leave its ticket; one
    /// that has lost it leaves the line without.
    pub(super) fn see_to_line(self: &Arc<Self>, slot: &Arc<Slot>) {
        let (status, own) = {
            let section = &slot.lock().section;
            (section.status(), section.terms().moves == Moves::OF_NODE)
        };
        let lost = matches!(status, Status::Lost(_));
        if own && (lost || status == Status::Granted) {
            self.dismiss(slot);
        }
        // What is released may be on its way to the next one.
        if lost {
            self.leave_line(slot);
        }
    }

    /// A section is over.
    pub(super) fn leave_line(self: &Arc<Self>, slot: &Arc<Slot>) {
        let Some(id) = only_key(slot) else { return };
        let is_nobody = |(_, lock_ref): (_, LockRef)| lock_ref == LockRef::NONE;
        if slot.lock().section.lock_refs().all(is_nobody) {
            let asker = self.lines.step_out(&id, slot.request);
            if let Some(asker) = asker.and_then(|asker| self.sections.get(asker)) {
                self.dismiss(&asker);
            }
        }
        if self.lines.clear(&id, slot.request) {
            self.attend(&id);
        }
    }

    /// Tells who has a key's kept ticket by now how far its queue has come: the
    /// section that looked may have left it.
    pub(super) fn tell_keeper(self: &Arc<Self>, id: &RecordId, marks: Marks) {
        let runner = self.lines.runner(id);
        if let Some(slot) = runner.and_then(|request| self.sections.get(request)) {
            let (key, marks) = (KeyIndex(0), Some(marks));
            self.step(&slot, Input::Hint { key, marks });
        }
        self.hint_kept(id, Some(marks));
    }

    /// The section that has the ticket goes on for long: those behind it ask for
    /// one.
    pub(super) fn run_long(self: &Arc<Self>, id: &RecordId, request: RequestId) {
        self.lines.name(id, request);
        self.attend(id);
    }
}
