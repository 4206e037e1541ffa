//! Sections of one key as a model: the real machines and the real queue, over
//! copies that writes reach in any order and at any time.
//!
//! ```text
//!  client ──Ask, Release──▶ CriticalSection ──Effect──▶ flight ──Perform──▶ queue
//!                                 ▲                       │ ──Acknowledge▶ copies
//!                                 └──────Answer, Lose─────┘ ◀──Copy, late──
//! ```
//!
//! The queue is one atomic object here; that replicas make one is the model of
//! `lock_store`. A majority read takes a copy from one replica, and later one
//! from another, which ends it with its repair.
//!
//! Writes merge in any order to the same copies, so when one lands shows only
//! in what is read next and in when it is answered: it lands then, or never.
//! What may still land at a grant, the judge asks itself.

use std::sync::Arc;
use std::time::Duration;

use music_core::critical_section::{CriticalSection, Status, Terms};
use music_core::id::{Key, Moves, RecordId, RequestId, TableId};
use music_core::lock_queue::LockQueue;
use music_core::lock_ref::{FencingToken, LockRef};
use music_core::record::Record;
use music_core::time::{Lease, MonotonicTime};
use stateright::{Model, Property};

use super::plan::{End, Op, Plan, Reach, Scenario, Start};
use super::state::{ALL, Flight, Progress, Section, Set, State};
use crate::oracle::{self, Guarantee, Oracle, PutFact};

/// A scenario as a model.
#[derive(Clone, Debug)]
pub struct Sections {
    pub(super) scenario: Scenario,
    pub(super) key: RecordId,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A section begins: it asks for a ticket, or takes one over.
    Begin(usize),
    /// A client goes on with its plan.
    Ask(usize),
    /// A client ends its section.
    Release(usize),
    /// A store performs a call.
    Perform(usize),
    /// A store's answer arrives.
    Answer(usize),
    /// A store's answer is lost.
    Lose(usize),
    /// A write is at these replicas, a majority, and is answered.
    Acknowledge(usize, Set),
    /// A read gets a replica's copy, after some of the writes that are on
    /// their way there have arrived.
    Copy(usize, usize, Set),
    /// A command that nobody waits for takes effect.
    ApplyLate(usize),
    /// A waiting section hears that its queue has changed.
    Hint(usize),
    /// A section tries again what failed.
    Wake(usize),
    /// A waiting section takes another's owner for dead.
    Suspect(usize, usize),
    /// The lease of a section's node runs out.
    Lapse(usize),
    /// The lease of a section's client runs out.
    Silence(usize),
}

const GUARANTEES: &[Guarantee] = &[
    Guarantee::Exclusion,
    Guarantee::LatestState,
    Guarantee::SequentialConsistency,
    Guarantee::PreemptedHolder,
    Guarantee::AcknowledgedPut,
    Guarantee::Atomicity,
    Guarantee::Stamps,
    Guarantee::Confirmation,
];

impl Model for Sections {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        for section in 0..state.sections.len() {
            self.actions_of(state, section, actions);
        }
        for (at, flight) in state.flights.iter().enumerate() {
            flight_actions(state, at, flight, actions);
        }
        for at in 0..state.late_commands.len() {
            actions.push(Action::ApplyLate(at));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.perform(&mut state, action);
        state.canonicalise();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties: Vec<_> = GUARANTEES.iter().map(|it| always(*it)).collect();
        properties.extend(self.scenario.reaches.iter().map(|it| sometimes(*it)));
        properties
    }
}

fn flight_actions(state: &State, at: usize, flight: &Flight, actions: &mut Vec<Action>) {
    let read = match &flight.progress {
        Progress::Performed(_) => {
            actions.push(Action::Answer(at));
            0
        }
        Progress::Written(done) => {
            let sets = majorities(*done).map(|set| Action::Acknowledge(at, set));
            actions.extend(sets);
            0
        }
        Progress::Read(done, _) => ALL & !done,
        Progress::Sent if flight.is_of_queue() => {
            actions.push(Action::Perform(at));
            0
        }
        Progress::Sent => ALL,
    };
    for replica in (0..3).filter(|replica| read >> replica & 1 == 1) {
        let choices = 1 << state.coming_to(replica).count();
        actions.extend((0..choices).map(|landing| Action::Copy(at, replica, landing)));
    }
    if state.faults.lost > 0 {
        actions.push(Action::Lose(at));
    }
}

/// The smallest majorities that the replicas in `done` can grow to.
fn majorities(done: Set) -> impl Iterator<Item = Set> {
    let enough = done.count_ones() >= 2;
    let sets = if enough {
        vec![done]
    } else {
        vec![0b011, 0b101, 0b110]
    };
    sets.into_iter().filter(move |set| set & done == done)
}

macro_rules! properties {
    ($kind:ident, $holds:expr, $it:expr, [$($variant:path),+ $(,)?]) => {
        match $it {
            $($variant => Property::$kind($variant.name(), |_, state| $holds(state, $variant)),)+
            #[allow(unreachable_patterns, reason = "some guarantees are for other models")]
            other => Property::$kind(other.name(), |_, _| true),
        }
    };
}

fn always(guarantee: Guarantee) -> Property<Sections> {
    fn holds(state: &State, guarantee: Guarantee) -> bool {
        let broken = state.broken.as_ref();
        broken.is_none_or(|broken| broken.guarantee != guarantee)
    }
    properties!(
        always,
        holds,
        guarantee,
        [
            Guarantee::Exclusion,
            Guarantee::LatestState,
            Guarantee::SequentialConsistency,
            Guarantee::PreemptedHolder,
            Guarantee::AcknowledgedPut,
            Guarantee::Atomicity,
            Guarantee::Stamps,
            Guarantee::Confirmation,
        ]
    )
}

fn sometimes(reach: Reach) -> Property<Sections> {
    properties!(
        sometimes,
        reached,
        reach,
        [
            Reach::Forced,
            Reach::Synchronised,
            Reach::Adopted,
            Reach::Confirmed,
            Reach::Lost,
            Reach::Together,
            Reach::AllGranted,
            Reach::Retried,
            Reach::Renumbered,
            Reach::HandedOver,
        ]
    )
}

fn reached(state: &State, reach: Reach) -> bool {
    let granted = |section: &&Section| section.status == Status::Granted;
    let sections = &state.sections;
    match reach {
        Reach::Forced => state.queue.forced() > LockRef::NONE,
        Reach::Synchronised => state.queue.synced() > LockRef::NONE,
        Reach::Adopted => sections.iter().any(|section| {
            let adopts = |other: &Section| other.moved && other.token == section.token;
            section.status == Status::Granted && !section.moved && sections.iter().any(adopts)
        }),
        Reach::Confirmed => sections.iter().any(|section| section.confirmed),
        Reach::Lost => sections
            .iter()
            .any(|section| matches!(section.status, Status::Lost(_))),
        Reach::Together => sections.iter().filter(granted).count() > 1,
        Reach::AllGranted => sections.iter().all(|section| section.was_granted),
        Reach::Retried => sections.iter().any(|section| section.retried),
        Reach::HandedOver => sections.iter().any(|section| {
            let machine = section.machine.as_ref();
            let tokens = machine.into_iter().flat_map(|machine| machine.tokens());
            let any = tokens
                .map(|(_, token)| token)
                .any(FencingToken::is_handed_over);
            any && section.was_granted
        }),
        Reach::Renumbered => {
            let moved = sections.iter().filter(|section| section.moved).count();
            let tickets = state.queue.tickets();
            let highest = tickets.map(|(_, ticket)| usize::from(ticket.incarnation.0));
            highest.max().is_some_and(|highest| highest > moved)
        }
    }
}

impl Sections {
    /// The model of a scenario.
    pub(super) fn new(scenario: Scenario) -> Self {
        let key = Key::new("k").unwrap();
        let key = RecordId {
            table: TableId(1),
            key,
        };
        Self { scenario, key }
    }

    /// Every copy holds put 0, to field x, from before the first lockRef.
    fn initial(&self) -> State {
        let mut oracle = Oracle::default();
        let touches = [Some(true), None];
        let stamp = music_core::stamp::Stamp::counter(1);
        let record: Record = oracle::change(0, touches).into_record(stamp);
        oracle.puts.push(PutFact {
            key: self.key.clone(),
            stamp: Some(stamp),
            touches,
            settled: true,
            acknowledged: true,
        });
        oracle.raise_floors(&self.key, [Some(stamp), None]);
        let record = Arc::new(record);
        let sections = self.scenario.plans.iter().enumerate();
        let sections = sections.map(|(at, plan)| Section::new(self.machine(at, plan)));
        let mut state = State {
            queue: Arc::new(LockQueue::default()),
            replicas: [0, 1, 2].map(|_| Arc::clone(&record)),
            sections: sections.collect(),
            flights: Vec::new(),
            late: Vec::new(),
            late_commands: Vec::new(),
            lapsed: vec![false; self.scenario.plans.len()],
            faults: self.scenario.faults,
            oracle: Arc::new(oracle),
            broken: None,
        };
        if let Some(left) = self.scenario.ticks_left {
            self.use_up_ticks(&mut state, left);
        }
        state
    }

    fn machine(&self, at: usize, plan: &Plan) -> CriticalSection {
        let (mut request, mut moves) = (at, 0);
        while let Start::Adopt(of) = self.scenario.plans[request].start {
            (request, moves) = (of, moves + 1);
        }
        let terms = Terms {
            request: RequestId(u128::try_from(request).unwrap()),
            mode: plan.mode,
            client_lease: Lease::MAX,
            owner: self.session(at),
            node_lease: Lease::MAX,
            moves: if plan.of_node {
                Moves::OF_NODE
            } else {
                Moves(moves)
            },
            keeps: self.next_of(at).is_some(),
        };
        let keys = vec![self.key.clone()];
        CriticalSection::new(terms, keys, MonotonicTime::default()).unwrap()
    }

    fn actions_of(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let (plan, section) = (&self.scenario.plans[at], &state.sections[at]);
        if !section.begun {
            if self.may_begin(state, at) {
                actions.push(Action::Begin(at));
            }
            return;
        }
        let Some(machine) = &section.machine else {
            return;
        };
        let client = !section.moved && !section.dismissed;
        let next = plan.ops.get(section.step);
        if client && section.status == Status::Granted && section.asked.is_empty() {
            match next {
                Some(Op::Retry) if section.unknown.is_empty() => {}
                Some(_) => actions.push(Action::Ask(at)),
                None => {}
            }
        }
        let through = match section.status {
            Status::Granted => next.is_none_or(|op| *op == Op::Retry),
            Status::Waiting => plan.gives_up,
            Status::Lost(_) => true,
            Status::Released => false,
        };
        if client && through && plan.end != End::Never {
            actions.push(Action::Release(at));
        }
        let open = matches!(section.status, Status::Waiting | Status::Granted);
        let lapsed = state.lapsed[self.node(at)];
        if machine.wake_at().is_some_and(|at| at < far()) || lapsed && open {
            actions.push(Action::Wake(at));
        }
        if self.is_blind(state, at) {
            actions.push(Action::Hint(at));
        }
        self.faults_of(state, at, actions);
    }

    fn faults_of(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let section = &state.sections[at];
        let open = matches!(section.status, Status::Waiting | Status::Granted);
        if state.faults.suspicions > 0 && section.status == Status::Waiting {
            let dead = |other: &usize| {
                let node = self.node(*other);
                // A node has one session, whichever sections it has.
                node == *other
                    && node != self.node(at)
                    && (state.lapsed[node] || !self.scenario.respects_leases)
            };
            let owners = (0..state.sections.len()).filter(dead);
            actions.extend(owners.map(|other| Action::Suspect(at, other)));
        }
        let node = self.node(at);
        if state.faults.lapses > 0 && open && !state.lapsed[node] {
            actions.push(Action::Lapse(node));
        }
        if state.faults.silences > 0 && (open || matches!(section.status, Status::Lost(_))) {
            actions.push(Action::Silence(at));
        }
    }

    /// Tickets are asked for in the order of the plans; who moves, moves with
    /// a lockRef.
    fn may_begin(&self, state: &State, at: usize) -> bool {
        match self.scenario.plans[at].start {
            Start::Create => {
                let plans = self.scenario.plans[..at].iter().zip(&state.sections);
                plans
                    .filter(|(plan, _)| plan.start == Start::Create)
                    .all(|(_, section)| section.looked.is_some())
            }
            Start::HandOver(_) => state.sections[at].kept.is_some(),
            Start::Adopt(of) => {
                let section = &state.sections[of];
                let over = section.status == Status::Released;
                // It has the lockRef from the node where it began.
                let knows = section.token > LockRef::NONE
                    || section.begun && self.scenario.plans[of].start != Start::Create;
                knows && !section.moved && !over
            }
        }
    }

    /// Whether a hint would tell a section something: a waiting one has not
    /// seen the queue as it is now, a granted one has been forced.
    fn is_blind(&self, state: &State, at: usize) -> bool {
        let section = &state.sections[at];
        let asks = |flight: &Flight| flight.section == at && flight.is_of_queue();
        let matters = match section.status {
            Status::Waiting => true,
            Status::Granted => self.scenario.tells_holders && state.queue.forced() >= section.token,
            Status::Lost(_) | Status::Released => false,
        };
        matters
            && section.looked.as_ref().is_some_and(|it| *it != state.queue)
            && !state.flights.iter().any(asks)
    }
}

/// Later than any retry of the few calls that fail, and than a kept ticket is
/// named; what is put off for longer waits for a client that has moved on.
pub(super) fn far() -> MonotonicTime {
    MonotonicTime::default().after(Duration::from_millis(1500))
}
