//! Nodes, queues, copies and sections: what a history is made of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use music_core::critical_section::{
    Answer, Call, Context, CriticalSection, Effect, Error, Failure, Input, OpId, Reply, Status,
    Terms,
};
use music_core::id::{Key, Moves, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{LockQueue, Mode};
use music_core::record::Record;
use music_core::time::{Lease, MonotonicTime};

/// How many replicas there are; any two are a majority.
pub(super) const REPLICAS: usize = 3;

/// A call that no store has answered yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) section: usize,
    pub(super) effect: Effect,
}

impl Pending {
    /// The name of the call, for its answer.
    pub(super) fn call(&self) -> Call {
        self.parts().0
    }

    /// The key that it is about.
    pub(super) fn id(&self) -> &RecordId {
        self.parts().1
    }

    fn parts(&self) -> (Call, &RecordId) {
        match &self.effect {
            Effect::Apply { call, id, .. }
            | Effect::Peek { call, id }
            | Effect::Release { call, id, .. }
            | Effect::Write { call, id, .. }
            | Effect::Read { call, id } => (*call, id),
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The answer that says that it failed.
    pub(super) fn failure(&self, failure: Failure) -> Answer {
        match &self.effect {
            Effect::Apply { .. } => Answer::Applied(Err(failure)),
            Effect::Peek { .. } => Answer::Queue(Err(failure)),
            Effect::Read { .. } => Answer::Record(Err(failure)),
            _ => Answer::Done(Err(failure)),
        }
    }
}

/// A node: its session, and until when that is valid.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) session: SessionId,
    pub(super) lease_until: MonotonicTime,
}

/// A section, and what it told its driver so far.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) machine: CriticalSection,
    pub(super) node: usize,
    pub(super) replies: BTreeMap<OpId, Result<Reply, Error>>,
    pub(super) asked: u64,
    pub(super) ended: usize,
    pub(super) watched: Vec<RecordId>,
    pub(super) observed: Vec<SessionId>,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) now: MonotonicTime,
    pub(super) nodes: Vec<Node>,
    pub(super) queues: BTreeMap<RecordId, LockQueue>,
    pub(super) replicas: Vec<BTreeMap<RecordId, Record>>,
    pub(super) sections: Vec<Section>,
    pub(super) calls: Vec<Pending>,
}

/// The lease of nodes and clients.
pub(super) fn lease() -> Lease {
    Lease::new(Duration::from_secs(4)).unwrap()
}

/// The key of that name.
pub(super) fn id(name: &str) -> RecordId {
    RecordId {
        table: TableId(1),
        key: Key::new(name.to_owned().into_bytes()).unwrap(),
    }
}

impl World {
    /// A world of so many nodes, each with a valid lease.
    pub(super) fn new(nodes: u128) -> Self {
        let lease_until = MonotonicTime::default().after(lease().get());
        let node = |number| Node {
            session: SessionId(100 + number),
            lease_until,
        };
        Self {
            now: MonotonicTime::default(),
            nodes: (0..nodes).map(node).collect(),
            queues: BTreeMap::new(),
            replicas: vec![BTreeMap::new(); REPLICAS],
            sections: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// A section that has not had any event yet.
    pub(super) fn open(&mut self, node: usize, request: u128, mode: Mode, keys: &[&str]) -> usize {
        let request = RequestId(request);
        // Its client has been at these nodes before.
        let before = |section: &&Section| section.machine.terms().request == request;
        let moves = self.sections.iter().filter(before).count();
        let terms = Terms {
            request,
            mode,
            client_lease: lease(),
            owner: self.nodes[node].session,
            node_lease: lease(),
            moves: Moves(u64::try_from(moves).unwrap()),
            keeps: false,
        };
        let keys = keys.iter().map(|key| id(key)).collect();
        let machine = CriticalSection::new(terms, keys, self.now).unwrap();
        self.sections.push(Section {
            machine,
            node,
            replies: BTreeMap::new(),
            asked: 0,
            ended: 0,
            watched: Vec::new(),
            observed: Vec::new(),
        });
        self.sections.len() - 1
    }

    /// Gives a section an event.
    pub(super) fn step(&mut self, section: usize, input: Input) {
        let Node {
            session,
            lease_until,
        } = self.nodes[self.sections[section].node];
        let context = Context {
            now: self.now,
            session,
            lease_until,
        };
        let mut effects = Vec::new();
        let machine = &mut self.sections[section].machine;
        machine.step(input, &context, &mut effects);
        for effect in effects {
            self.take_in(section, effect);
        }
    }

    fn take_in(&mut self, index: usize, effect: Effect) {
        let section = &mut self.sections[index];
        match effect {
            Effect::Reply { op, reply } => {
                let before = section.replies.insert(op, reply);
                assert_eq!(before, None, "{op:?} is answered once");
            }
            Effect::Changed => {}
            Effect::Watch(id) => section.watched.push(id),
            Effect::Unwatch(id) => section.watched.retain(|other| *other != id),
            Effect::Observe { session, .. } => section.observed.push(session),
            Effect::Ended => section.ended += 1,
            effect => self.calls.push(Pending {
                section: index,
                effect,
            }),
        }
    }

    pub(super) fn status(&self, section: usize) -> Status {
        self.sections[section].machine.status()
    }

    /// Lets a lock store perform a call.
    pub(super) fn perform(&mut self, call: &Pending) -> Answer {
        let queue = self.queues.entry(call.id().clone()).or_default();
        match &call.effect {
            Effect::Apply { command, .. } => {
                let outcome = queue.apply(*command);
                Answer::Applied(Ok((outcome, Arc::new(queue.clone()))))
            }
            Effect::Peek { .. } => Answer::Queue(Ok(Arc::new(queue.clone()))),
            Effect::Release { holding, .. } => {
                queue.release(*holding);
                Answer::Done(Ok(()))
            }
            other => panic!("not of a lock store: {other:?}"),
        }
    }
}
