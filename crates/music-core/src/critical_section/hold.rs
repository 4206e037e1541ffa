//! One key of a section: its ticket, and the call that it is waiting for.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::call::{Call, Effect, Failure, Purpose};
use super::{KeyIndex, Status, Terms};
use crate::id::{RecordId, SessionId};
use crate::lock_queue::{Command, NewTicket};
use crate::lock_ref::{HandOvers, Holding, Incarnation, LockRef};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::time::MonotonicTime;

/// Before a failed call is tried again: this long after the first failure,
/// twice as long after each further one.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// The longest wait before a failed call is tried again.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// Before a call whose answer may be another in a moment is made again.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How often such a call is made again.
const ASKED_AGAIN_MAX: u32 = 8;

/// Where a key stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// No ticket is in the queue, and none is asked for.
    Out,
    /// A ticket is asked for.
    Entering,
    /// Taking over: the ticket is looked for.
    Finding,
    /// Taking over: there is no ticket of this section.
    Missing,
    /// Taking over: the ticket is being adopted.
    Adopting,
    /// The queue is looked at, before anything else of the set goes on.
    Looking,
    /// Others are ahead.
    Waiting {
        /// The ticket that must go first.
        blocker: LockRef,
        /// The session that keeps it alive.
        owner: SessionId,
    },
    /// The ticket ahead is taken for dead and being forced out.
    Evicting {
        /// That ticket.
        blocker: LockRef,
        /// Its owner; if it was adopted meanwhile, it stays.
        owner: SessionId,
    },
    /// At the head; other keys of the set are not there yet.
    AtHead,
    /// Synchronising: reading the record.
    SyncReading,
    /// Synchronising: writing the record back.
    SyncWriting,
    /// Synchronising: a stamp above this section's lockRef was read.
    SyncChecking(LockRef),
    /// Synchronising: recording that it is done.
    SyncMarking,
    /// Held, and settled at a majority.
    Held,
    /// Held; taking the next incarnation for more ticks.
    Renumbering,
    /// A waiting ticket is being taken back.
    Withdrawing,
    /// The section is over and this key's ticket on its way out.
    Leaving(Exit),
    /// Nothing of the section is left in the queue.
    Gone,
}

/// How a ticket leaves its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Exit {
    /// `release(r, i)`: a clean end of an exclusive holder.
    Release,
    /// `withdraw(r)`: a waiter or a shared holder.
    Withdraw,
    /// `force(r)`: something may still be on its way.
    Force,
    /// `confirm(r, i)`: a clean end that asks whether it counted.
    Confirm,
}

impl Phase {
    /// Whether the key's place in the queue is not known yet.
    pub(super) fn is_entering(&self) -> bool {
        matches!(
            self,
            Self::Entering | Self::Finding | Self::Adopting | Self::Looking | Self::Withdrawing
        )
    }

    /// Whether a ticket of another node is being taken over.
    pub(super) fn is_taking_over(&self) -> bool {
        matches!(self, Self::Finding | Self::Adopting)
    }

    /// Whether the ticket heads its queue, as far as this section knows.
    pub(super) fn is_at_head(&self) -> bool {
        matches!(
            self,
            Self::AtHead
                | Self::SyncReading
                | Self::SyncWriting
                | Self::SyncChecking(_)
                | Self::SyncMarking
                | Self::Held
                | Self::Renumbering
        )
    }
}

/// What the section knows of the record: what it read or had acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct View {
    /// The cells; they only get newer.
    pub(super) record: Record,
    /// Whether a whole read is in it, so that gets need not ask.
    pub(super) complete: bool,
    /// Grows when a put ends that did not go into the view: what a read found
    /// that began before may lack it.
    pub(super) epoch: u32,
}

/// One key of a section.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own, any of which may hold in any phase"
)]
pub(super) struct Hold {
    pub(super) id: RecordId,
    pub(super) phase: Phase,
    /// The ticket; [`LockRef::NONE`] while there is none.
    pub(super) holding: Holding,
    /// How many sections had the ticket before, where it was kept for this one.
    pub(super) handed_over: Option<HandOvers>,
    /// When the queue is to be told whose the kept ticket is.
    pub(super) name_at: Option<MonotonicTime>,
    /// The queue was told that, and may know.
    pub(super) named: bool,
    /// The queue has said that it knows.
    pub(super) bears_name: bool,
    /// How far the queue is known to have come: a hint may be faster than the
    /// answer that brings the ticket.
    pub(super) last_seen: LockRef,
    /// When the queue was looked at last.
    pub(super) looked_at: MonotonicTime,
    /// When the phase's call is to be made (again).
    pub(super) retry_at: Option<MonotonicTime>,
    /// The phase's call was made and is not answered yet.
    pub(super) under_way: bool,
    failures: u32,
    /// When the phase's call failed last.
    pub(super) failed_at: MonotonicTime,
    /// Some failed call of this phase may have taken effect.
    pub(super) uncertain: bool,
    /// The key must be settled before it is held.
    pub(super) must_synchronize: bool,
    /// A write was issued that may land at any time, and that nobody will try
    /// again under its own stamp.
    pub(super) unacknowledged: bool,
    /// A later shared ticket up to which stamps in the record are in order.
    pub(super) neighbour: LockRef,
    /// A peek of a waiting key is under way.
    pub(super) looking: bool,
    /// A hint came that no peek has followed yet.
    pub(super) look_again: bool,
    pub(super) watched: bool,
    pub(super) view: Option<Box<View>>,
}

impl Hold {
    pub(super) fn new(id: RecordId) -> Self {
        Self {
            id,
            phase: Phase::Out,
            holding: Holding::default(),
            handed_over: None,
            name_at: None,
            named: false,
            bears_name: false,
            last_seen: LockRef::NONE,
            looked_at: MonotonicTime::default(),
            retry_at: None,
            under_way: false,
            failures: 0,
            failed_at: MonotonicTime::default(),
            uncertain: false,
            must_synchronize: false,
            unacknowledged: false,
            neighbour: LockRef::NONE,
            looking: false,
            look_again: false,
            watched: false,
            view: None,
        }
    }

    /// Goes to a phase and makes its call.
    pub(super) fn enter(
        &mut self,
        phase: Phase,
        index: KeyIndex,
        terms: &Terms,
        effects: &mut Vec<Effect>,
    ) {
        self.settle(phase);
        if self.phase.is_entering() {
            // Before the queue is read: what changes between the read and its
            // answer would go unnoticed until the slow poll.
            self.watch(effects);
        }
        self.call(index, terms, effects);
    }

    /// Goes to a phase that makes no call.
    pub(super) fn settle(&mut self, phase: Phase) {
        self.phase = phase;
        self.retry_at = None;
        self.under_way = false;
        self.failures = 0;
        self.uncertain = false;
    }

    /// The phase's call failed: it will be made again.
    pub(super) fn fail(&mut self, failure: Failure, now: MonotonicTime) {
        self.under_way = false;
        self.uncertain |= failure == Failure::Unknown;
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let delay = RETRY_DELAY_MIN.saturating_mul(doubled).min(RETRY_DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
        self.retry_at = Some(now.after(delay));
    }

    /// Whether the queue may have a ticket of it that does not bear the section's
    /// name: one that its node had kept.
    pub(super) fn is_nameless(&self) -> bool {
        let has_ticket = !matches!(self.phase, Phase::Out | Phase::Missing | Phase::Gone);
        has_ticket && self.handed_over.is_some() && !self.bears_name
    }

    /// Whether a ticket may yet come to be, or one without the section's name is on
    /// its way out.
    pub(super) fn is_loose(&self) -> bool {
        let again = self.retry_at.is_some();
        if self.phase == Phase::Entering {
            return self.under_way || self.uncertain && again;
        }
        let leaves = matches!(self.phase, Phase::Withdrawing | Phase::Leaving(_));
        leaves && self.is_nameless() && (self.under_way || again)
    }

    /// Gives a ticket up that nobody else finds by the section's name.
    pub(super) fn leave_nameless(
        &mut self,
        status: Status,
        index: KeyIndex,
        terms: &Terms,
        effects: &mut Vec<Effect>,
    ) {
        // Nothing was put under it before the grant.
        let exit = if status == Status::Waiting {
            Exit::Withdraw
        } else {
            Exit::Force
        };
        self.unwatch(effects);
        self.enter(Phase::Leaving(exit), index, terms, effects);
    }

    /// The phase's call is not to be made again yet.
    pub(super) fn postpone(&mut self, now: MonotonicTime) {
        self.retry_at = Some(now.after(RETRY_DELAY_MAX));
    }

    /// The phase's call may be answered otherwise in a moment: whether it is
    /// made again, which it is not for ever.
    pub(super) fn ask_again(&mut self, now: MonotonicTime) -> bool {
        let asks = self.failures < ASKED_AGAIN_MAX;
        if asks {
            self.under_way = false;
            self.failures = self.failures.saturating_add(1);
            self.retry_at = Some(now.after(ASK_AGAIN));
        }
        asks
    }

    /// Sees to it that the phase's call is made, now or at its next try.
    pub(super) fn pursue(&mut self, index: KeyIndex, terms: &Terms, effects: &mut Vec<Effect>) {
        if !self.under_way && self.retry_at.is_none() {
            self.call(index, terms, effects);
        }
    }

    /// The ticket was taken back; another one may be asked for later.
    pub(super) fn withdraw(&mut self, effects: &mut Vec<Effect>) {
        self.settle(Phase::Out);
        self.holding = Holding::default();
        self.handed_over = None;
        self.name_at = None;
        self.named = false;
        self.bears_name = false;
        self.view = None;
        self.must_synchronize = false;
        // A peek under way is about the ticket that is gone.
        self.looking = false;
        self.look_again = false;
        self.unwatch(effects);
    }

    /// Nothing of the section is left in this queue.
    pub(super) fn leave(&mut self, effects: &mut Vec<Effect>) {
        self.settle(Phase::Gone);
        self.name_at = None;
        self.view = None;
        self.unwatch(effects);
    }

    /// Its section had a kept ticket at the node that it comes from, and keeps
    /// its fencing token. The ticket bears its name.
    pub(super) fn take_hand_overs(&mut self, before: HandOvers) {
        self.named = before > HandOvers::default();
        self.bears_name = self.named;
        self.handed_over = self.named.then_some(before);
    }

    /// Takes in how far the queue has come.
    pub(super) fn see_last(&mut self, last: LockRef) {
        self.last_seen = self.last_seen.max(last);
    }

    pub(super) fn watch(&mut self, effects: &mut Vec<Effect>) {
        if !self.watched {
            self.watched = true;
            effects.push(Effect::Watch(self.id.clone()));
        }
    }

    pub(super) fn unwatch(&mut self, effects: &mut Vec<Effect>) {
        if self.watched {
            self.watched = false;
            effects.push(Effect::Unwatch(self.id.clone()));
        }
    }

    /// Makes the call that the phase waits for, if it waits for one.
    pub(super) fn call(&mut self, index: KeyIndex, terms: &Terms, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            self.retry_at = None;
            self.under_way = true;
        }
        let adopt = Command::Adopt {
            holding: self.holding,
            owner: terms.owner,
            lease: terms.node_lease,
            moves: terms.moves,
        };
        match self.phase {
            Phase::Entering => {
                let Terms {
                    request,
                    mode,
                    owner,
                    node_lease: lease,
                    moves,
                    ..
                } = *terms;
                let ticket = NewTicket {
                    owner,
                    mode,
                    lease,
                    request,
                    moves,
                };
                self.apply(index, Purpose::Enqueue, Command::Enqueue(ticket), effects);
            }
            Phase::Finding => self.peek(index, Purpose::Find, effects),
            Phase::Adopting => self.apply(index, Purpose::Adopt, adopt, effects),
            Phase::Looking => self.peek(index, Purpose::Recheck, effects),
            Phase::Waiting { .. } => self.look(index, effects),
            Phase::Evicting { blocker, owner } => {
                let any = mutation::is_on(Mutation::EvictAnyOwner);
                let command = Command::Force {
                    lock_ref: blocker,
                    owner: (!any).then_some(owner),
                };
                self.apply(index, Purpose::Evict, command, effects);
            }
            Phase::SyncReading => {
                let call = Call {
                    key: index,
                    purpose: Purpose::SyncRead,
                };
                effects.push(Effect::Read {
                    call,
                    id: self.id.clone(),
                });
            }
            Phase::SyncChecking(_) => self.peek(index, Purpose::SyncCheck, effects),
            Phase::SyncMarking => {
                let command = Command::Synced(self.holding);
                self.apply(index, Purpose::Synced, command, effects);
            }
            Phase::Renumbering => self.apply(index, Purpose::Renumber, adopt, effects),
            Phase::Withdrawing => {
                self.apply(index, Purpose::Withdraw, self.withdrawal(), effects);
            }
            Phase::Leaving(exit) => self.call_exit(exit, index, terms, effects),
            Phase::Out
            | Phase::Missing
            | Phase::AtHead
            | Phase::SyncWriting
            | Phase::Held
            | Phase::Gone => {}
        }
    }

    fn call_exit(&mut self, exit: Exit, index: KeyIndex, terms: &Terms, effects: &mut Vec<Effect>) {
        let lock_ref = self.holding.lock_ref;
        let command = match exit {
            Exit::Release => {
                let call = Call {
                    key: index,
                    purpose: Purpose::End,
                };
                let id = self.id.clone();
                let mut holding = self.holding;
                if mutation::is_on(Mutation::SilentClientReleased) {
                    holding.incarnation = Incarnation(u8::MAX);
                }
                effects.push(Effect::Release { call, id, holding });
                return;
            }
            Exit::Withdraw => self.withdrawal(),
            Exit::Force => Command::Force {
                lock_ref,
                owner: (!mutation::is_on(Mutation::ForceAnyOwner)).then_some(terms.owner),
            },
            Exit::Confirm => Command::Confirm(self.holding),
        };
        self.apply(index, Purpose::End, command, effects);
    }

    /// Takes the ticket back, but only in the incarnation that is known here:
    /// another node may have adopted it meanwhile, and be granted with it.
    fn withdrawal(&self) -> Command {
        Command::Confirm(self.holding)
    }

    /// Looks at the queue of a waiting key; once more if it is looking now.
    pub(super) fn look(&mut self, index: KeyIndex, effects: &mut Vec<Effect>) {
        if self.looking {
            self.look_again = true;
            return;
        }
        self.looking = true;
        self.look_again = false;
        self.peek(index, Purpose::Look(self.holding.lock_ref), effects);
    }

    pub(super) fn peek(&self, key: KeyIndex, purpose: Purpose, effects: &mut Vec<Effect>) {
        effects.push(Effect::Peek {
            call: Call { key, purpose },
            id: self.id.clone(),
        });
    }

    pub(super) fn apply(
        &self,
        key: KeyIndex,
        purpose: Purpose,
        command: Command,
        effects: &mut Vec<Effect>,
    ) {
        let call = Call { key, purpose };
        effects.push(Effect::Apply {
            call,
            id: self.id.clone(),
            command,
        });
    }
}
