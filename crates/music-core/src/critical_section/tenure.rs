//! Site affinity: a ticket that its node keeps for several sections.
//!
//! ```text
//!  queue     ticket 7 of S1    7 of node A, named T                     8 (node B)
//!  sections  S1 ──released──▶ keep ──▶ S2 ──▶ kept ──▶ S3 ──▶ kept ──▶ released
//!            7.0.0 ..                  7.1.0 ..        7.1.5 ..
//! ```
//!
//! A section that was released cleanly leaves its ticket to its node, which may
//! release it after all, as where others wait. Before another section has it the
//! queue must know ([`Command::Keep`](crate::lock_queue::Command::Keep)): the
//! ticket takes the next incarnation, and a name that no client knows. So what the
//! client of the section that is over still asks, late or of another node, hits
//! nobody; and where another node has taken the section over meanwhile, nothing is
//! kept. A ticket that a node has asked for itself ([`Moves::OF_NODE`]) has had
//! such a name from the first.
//!
//! From then on the node's next section of the key begins at the head of the
//! queue, with the ticks that are left and what is known of the record, and asks
//! nobody. The node proves life for what it keeps as for what it holds, so a
//! kept ticket is forced out only where the node has stopped granting.
//!
//! A section under a kept ticket has no ticket of its own name that another node
//! could find. One that goes on for longer than [`NAME_AFTER`] gives it its name
//! ([`Command::Name`](crate::lock_queue::Command::Name)), and the next section has
//! it again only after the queue was asked to keep it. A node that a client has
//! moved to looks for that long; whose node dies before has lost its section.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::call::{Effect, Failure, Purpose};
use super::hold::{Hold, Phase, View};
use super::{Context, CriticalSection, KeyIndex};
use crate::id::{Moves, RecordId, SessionId};
use crate::lock_queue::{Command, Named, Outcome};
use crate::lock_ref::{FencingToken, HandOvers, Holding, LockRef, Tick};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::time::MonotonicTime;

/// The largest record that is kept with a ticket, in bytes of its values.
const VIEW_BYTES_MAX: usize = 16 * 1024;

/// How long a section has a kept ticket before the queue is told its name, and
/// between two tries of that.
pub(super) const NAME_AFTER: Duration = Duration::from_secs(1);

/// A ticket between two sections of its node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    id: RecordId,
    holding: Holding,
    owner: SessionId,
    hand_overs: HandOvers,
    known: bool,
    /// How far the queue is known to have come.
    last_seen: LockRef,
    next_tick: Tick,
    looked_at: MonotonicTime,
    view: Option<Box<View>>,
}

impl Kept {
    /// The key.
    pub fn id(&self) -> &RecordId {
        &self.id
    }

    /// The ticket.
    pub fn holding(&self) -> Holding {
        self.holding
    }

    /// The node session that keeps it.
    pub fn owner(&self) -> SessionId {
        self.owner
    }

    /// How many sections have had it, but for the first.
    pub fn hand_overs(&self) -> HandOvers {
        self.hand_overs
    }

    /// Whether the queue knows that it is kept: no client knows its name.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// Whether somebody is known to have come after it.
    pub fn is_followed(&self) -> bool {
        self.last_seen > self.holding.lock_ref
    }

    /// When its queue was looked at last.
    pub fn looked_at(&self) -> MonotonicTime {
        self.looked_at
    }

    /// The queue knows that it is kept, under this incarnation; it was looked at
    /// for that.
    #[must_use]
    pub fn known_as(self, holding: Holding, looked_at: MonotonicTime) -> Self {
        Self {
            holding,
            known: true,
            // Below are those of the incarnation before.
            next_tick: Tick::FIRST,
            looked_at,
            ..self
        }
    }
}

impl CriticalSection {
    /// Gives it a ticket that its node has kept, before its first event. It must
    /// be one of its owner's and of its key, and the queue must know.
    pub fn take_kept(&mut self, key: KeyIndex, kept: Kept) {
        let Some(hold) = self.keys.get_mut(usize::from(key.0)) else {
            return;
        };
        hold.handed_over = Some(kept.hand_overs);
        hold.holding = kept.holding;
        hold.looked_at = kept.looked_at;
        hold.see_last(kept.last_seen);
        hold.view = kept.view;
        hold.settle(Phase::AtHead);
        // Above those of all sections before.
        if !mutation::is_on(Mutation::HandOverSameTicks) {
            self.next_tick = self.next_tick.max(Some(kept.next_tick));
        }
    }

    /// The keys and their fencing tokens, in sorted order; 0 where the key has
    /// no ticket at the moment.
    pub fn tokens(&self) -> impl Iterator<Item = (&RecordId, FencingToken)> {
        self.keys.iter().map(|hold| (&hold.id, hold.token()))
    }

    /// Makes it time to tell the queues whose the kept tickets are, at the next
    /// [`Input::Wake`](super::Input::Wake): somebody asks for the section by its name.
    pub fn name_now(&mut self, now: MonotonicTime) {
        for hold in &mut self.keys {
            hold.name_at = hold.name_at.map(|_| now);
        }
    }

    /// Tells the queues whose the kept tickets are, where it is time.
    pub(super) fn name_tickets(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            let Some(at) = hold.name_at.filter(|at| *at <= context.now) else {
                continue;
            };
            // While it numbers its puts anew its incarnation is not known.
            if hold.phase == Phase::Renumbering {
                hold.name_at = Some(at.after(NAME_AFTER));
                continue;
            }
            (hold.name_at, hold.named) = (None, true);
            let command = Command::Name {
                holding: hold.holding,
                owner: self.terms.owner,
                section: Named {
                    request: self.terms.request,
                    moves: self.terms.moves,
                    hand_overs: hold.handed_over.unwrap_or_default(),
                },
            };
            let purpose = Purpose::Name(hold.holding.lock_ref);
            hold.apply(index, purpose, command, effects);
        }
    }

    pub(super) fn named(
        &mut self,
        key: KeyIndex,
        result: Result<Outcome, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, Phase::is_at_head) else {
            return;
        };
        match result {
            Ok(Outcome::Done(_)) => hold.bears_name = true,
            // It is gone, adopted, or its client waits elsewhere.
            Ok(Outcome::Gone | Outcome::Exhausted) => {
                hold.peek(key, Purpose::Check(hold.holding.lock_ref), effects);
            }
            Err(_) => hold.name_at = Some(context.now.after(NAME_AFTER)),
        }
    }

    /// What is left of a key's ticket for the next section, if it can be kept.
    /// Its release would be clean.
    pub(super) fn to_keep(&self, key: KeyIndex) -> Option<Kept> {
        let hold = self.keys.get(usize::from(key.0))?;
        let wanted = self.terms.keeps && !self.exhausted;
        if !wanted || hold.phase != Phase::Held {
            return None;
        }
        let nameless = hold.handed_over.is_some() || self.terms.moves == Moves::OF_NODE;
        let small = |view: &View| view.complete && bytes(&view.record) <= VIEW_BYTES_MAX;
        Some(Kept {
            id: hold.id.clone(),
            holding: hold.holding,
            owner: self.terms.owner,
            hand_overs: hold.handed_over.unwrap_or_default().next()?,
            known: nameless && !hold.named,
            last_seen: hold.last_seen,
            next_tick: self.next_tick?,
            looked_at: hold.looked_at,
            view: hold.view.clone().filter(|view| small(view)),
        })
    }
}

impl Hold {
    fn token(&self) -> FencingToken {
        FencingToken::new(self.holding.lock_ref, self.handed_over.unwrap_or_default())
    }
}

/// How many bytes the values of a record have.
fn bytes(record: &Record) -> usize {
    record.fields().map(|(_, _, value)| value.len()).sum()
}
