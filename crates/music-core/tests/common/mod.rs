//! A world of three replicas, lock queues and sections, driven by hand.
//!
//! What a section asks of its stores waits in [`World::calls`] until a test
//! performs it, at the replicas and at the moment it likes, and answers it.

mod calls;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use music_core::critical_section::{
    Answer, Change, Context, CriticalSection, Effect, Error, Failure, Input, Kept, KeyIndex, OpId,
    Put, Reply, Status, Terms,
};
use music_core::id::{Field, IdempotencyKey, Key, Moves, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue, Mode, Outcome};
use music_core::lock_ref::{Holding, Incarnation, LockRef};
use music_core::record::Record;
use music_core::time::{Lease, MonotonicTime};

pub(crate) use calls::*;

/// How many replicas there are; any two are a majority.
pub(crate) const REPLICAS: usize = 3;

/// All replicas.
pub(crate) const ALL: &[usize] = &[0, 1, 2];

/// How an operation ended.
pub(crate) type OpResult = Result<Reply, Error>;

/// A node: its session, and until when that is valid.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) session: SessionId,
    pub(crate) lease_until: MonotonicTime,
}

/// A section, and what it told its driver so far.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) machine: CriticalSection,
    pub(crate) node: usize,
    pub(crate) replies: BTreeMap<OpId, OpResult>,
    pub(crate) asked: u64,
    pub(crate) ended: usize,
    pub(crate) watched: Vec<RecordId>,
    pub(crate) observed: Vec<SessionId>,
    /// The tickets that it left to its node.
    pub(crate) kept: Vec<Kept>,
}

/// Everything there is.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: MonotonicTime,
    pub(crate) nodes: Vec<Node>,
    pub(crate) queues: BTreeMap<RecordId, LockQueue>,
    pub(crate) replicas: Vec<BTreeMap<RecordId, Record>>,
    pub(crate) sections: Vec<Section>,
    pub(crate) calls: Vec<Pending>,
    /// Whether nodes keep tickets.
    pub(crate) keeps: bool,
}

/// The lease of nodes and clients in all tests.
pub(crate) fn lease() -> Lease {
    Lease::new(Duration::from_secs(4)).unwrap()
}

/// The key of that name in the one table of all tests.
pub(crate) fn id(name: &str) -> RecordId {
    RecordId {
        table: TableId(1),
        key: Key::new(name.to_owned().into_bytes()).unwrap(),
    }
}

/// The field of that name.
pub(crate) fn field(name: &str) -> Field {
    Field::new(name).unwrap()
}

/// Fields with values, to put together.
pub(crate) fn fields(values: &[(&str, &str)]) -> Change {
    let value =
        |(name, value): &(&str, &str)| (field(name), Some(Bytes::from(value.as_bytes().to_vec())));
    Change::Fields(values.iter().map(value).collect())
}

/// The number of a ticket.
pub(crate) fn lock_ref(number: u64) -> LockRef {
    LockRef::new(number).unwrap()
}

/// A ticket in an incarnation.
pub(crate) fn holding(number: u64, incarnation: u8) -> Holding {
    Holding {
        lock_ref: lock_ref(number),
        incarnation: Incarnation(incarnation),
    }
}

impl World {
    /// A world of so many nodes, each with a valid lease.
    pub(crate) fn new(nodes: u128) -> Self {
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
            keeps: false,
        }
    }

    /// A section that has not had any event yet.
    pub(crate) fn open(&mut self, node: usize, request: u128, mode: Mode, keys: &[&str]) -> usize {
        let terms = Terms {
            request: RequestId(request),
            mode,
            client_lease: lease(),
            owner: self.nodes[node].session,
            node_lease: lease(),
            moves: Moves::default(),
            keeps: self.keeps,
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
            kept: Vec::new(),
        });
        self.sections.len() - 1
    }

    /// An exclusive section that has asked for its tickets.
    pub(crate) fn create(&mut self, node: usize, request: u128, keys: &[&str]) -> usize {
        let section = self.open(node, request, Mode::Exclusive, keys);
        self.step(section, Input::Create);
        section
    }

    /// A section of the node itself, which no client knows.
    pub(crate) fn create_for_node(&mut self, node: usize, request: u128, keys: &[&str]) -> usize {
        let section = self.open(node, request, Mode::Exclusive, keys);
        let machine = &mut self.sections[section].machine;
        let terms = Terms {
            moves: Moves::OF_NODE,
            ..machine.terms().clone()
        };
        let keys = keys.iter().map(|key| id(key)).collect();
        *machine = CriticalSection::new(terms, keys, self.now).unwrap();
        self.step(section, Input::Create);
        section
    }

    /// A shared section that has asked for its tickets.
    pub(crate) fn share(&mut self, node: usize, request: u128, keys: &[&str]) -> usize {
        let section = self.open(node, request, Mode::Shared, keys);
        self.step(section, Input::Create);
        section
    }

    /// An exclusive section whose node has kept the ticket of one of its keys.
    pub(crate) fn create_with(
        &mut self,
        node: usize,
        request: u128,
        keys: &[&str],
        kept: Kept,
    ) -> usize {
        let section = self.open(node, request, Mode::Exclusive, keys);
        let machine = &mut self.sections[section].machine;
        let key = machine.key_index(kept.id()).unwrap();
        machine.take_kept(key, kept);
        self.step(section, Input::Create);
        section
    }

    /// The one ticket that a section left to its node.
    pub(crate) fn left(&mut self, section: usize) -> Kept {
        let kept = &mut self.sections[section].kept;
        assert_eq!(kept.len(), 1);
        kept.remove(0)
    }

    /// Tells the queue that a ticket is kept, if it may be.
    pub(crate) fn keep(&mut self, kept: Kept) -> Option<Kept> {
        let command = Command::Keep {
            holding: kept.holding(),
            owner: kept.owner(),
            name: RequestId(1000),
        };
        let queue = self.queues.entry(kept.id().clone()).or_default();
        match queue.apply(command) {
            Outcome::Done(holding) => Some(kept.known_as(holding, self.now)),
            Outcome::Gone | Outcome::Exhausted => None,
        }
    }

    /// The same section at another node, which takes it over.
    pub(crate) fn adopt(&mut self, node: usize, of: usize) -> usize {
        let terms = self.sections[of].machine.terms().clone();
        let keys: Vec<_> = self.sections[of]
            .machine
            .lock_refs()
            .map(|(id, _)| id.clone())
            .collect();
        let terms = Terms {
            owner: self.nodes[node].session,
            moves: Moves(terms.moves.0 + 1),
            ..terms
        };
        let section = self.open(node, 0, terms.mode, &["dummy"]);
        self.sections[section].machine = CriticalSection::new(terms, keys, self.now).unwrap();
        self.step(section, Input::Adopt);
        section
    }

    /// An exclusive section that is granted; all that is asked is performed.
    pub(crate) fn granted(&mut self, node: usize, request: u128, keys: &[&str]) -> usize {
        let section = self.create(node, request, keys);
        self.run();
        assert_eq!(self.status(section), Status::Granted);
        section
    }

    /// What a node knows now.
    pub(crate) fn context(&self, node: usize) -> Context {
        let Node {
            session,
            lease_until,
        } = self.nodes[node];
        Context {
            now: self.now,
            session,
            lease_until,
        }
    }

    /// Gives a section an event.
    pub(crate) fn step(&mut self, section: usize, input: Input) {
        let context = self.context(self.sections[section].node);
        let mut effects = Vec::new();
        self.sections[section]
            .machine
            .step(input, &context, &mut effects);
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
            Effect::Unwatch(id) => {
                let position = section
                    .watched
                    .iter()
                    .position(|other| *other == id)
                    .unwrap();
                section.watched.remove(position);
            }
            Effect::Observe { session, .. } => section.observed.push(session),
            Effect::Keep(kept) => section.kept.push(*kept),
            Effect::Ended => section.ended += 1,
            effect => self.calls.push(Pending {
                section: index,
                effect,
            }),
        }
    }

    pub(crate) fn status(&self, section: usize) -> Status {
        self.sections[section].machine.status()
    }

    /// The queue of a key, as the lock store has it.
    pub(crate) fn queue(&mut self, key: &str) -> &mut LockQueue {
        self.queues.entry(id(key)).or_default()
    }

    /// The numbers of the tickets in a queue.
    pub(crate) fn tickets(&mut self, key: &str) -> Vec<u64> {
        self.queue(key)
            .tickets()
            .map(|(lock_ref, _)| lock_ref.get())
            .collect()
    }

    fn op(&mut self, section: usize) -> OpId {
        self.sections[section].asked += 1;
        OpId(self.sections[section].asked)
    }

    /// Asks for a change of a key.
    pub(crate) fn change(
        &mut self,
        section: usize,
        key: &str,
        change: Change,
        identity: Option<(IdempotencyKey, u64)>,
    ) -> OpId {
        let op = self.op(section);
        let key = self.index(section, key);
        self.step(
            section,
            Input::Put(
                op,
                Put {
                    key,
                    change,
                    identity,
                },
            ),
        );
        op
    }

    /// Asks to put fields together.
    pub(crate) fn put(&mut self, section: usize, key: &str, values: &[(&str, &str)]) -> OpId {
        self.change(section, key, fields(values), None)
    }

    /// Asks to put one field, by a name for a retry.
    pub(crate) fn put_named(&mut self, section: usize, key: &str, value: &str, name: u128) -> OpId {
        let identity = Some((IdempotencyKey(name), 7));
        self.change(section, key, fields(&[("x", value)]), identity)
    }

    /// Asks for a record.
    pub(crate) fn get(&mut self, section: usize, key: &str) -> OpId {
        let op = self.op(section);
        let key = self.index(section, key);
        self.step(section, Input::Get(op, key));
        op
    }

    /// Asks for the end.
    pub(crate) fn release(&mut self, section: usize, confirm: bool) -> OpId {
        let op = self.op(section);
        self.step(section, Input::Release { op, confirm });
        op
    }

    pub(crate) fn index(&self, section: usize, key: &str) -> KeyIndex {
        self.sections[section]
            .machine
            .key_index(&id(key))
            .unwrap_or(KeyIndex(31))
    }

    /// The answer to an operation, if there is one.
    pub(crate) fn reply(&self, section: usize, op: OpId) -> Option<OpResult> {
        self.sections[section].replies.get(&op).cloned()
    }

    /// The value of a field in the answer to a get.
    pub(crate) fn value(&self, section: usize, op: OpId, name: &str) -> Option<String> {
        match self.reply(section, op) {
            Some(Ok(Reply::Record(record))) => record
                .value(&field(name))
                .map(|value| String::from_utf8(value.to_vec()).unwrap()),
            other => panic!("no record: {other:?}"),
        }
    }

    /// Takes the first call of a section that is of a kind out of those that
    /// are under way.
    pub(crate) fn take(&mut self, section: usize, kind: impl Fn(&Effect) -> bool) -> Pending {
        let found = |call: &Pending| call.section == section && kind(&call.effect);
        let Some(position) = self.calls.iter().position(found) else {
            panic!("no such call among {:?}", self.calls);
        };
        self.calls.remove(position)
    }

    /// How many calls of a section are under way.
    pub(crate) fn calls_of(&self, section: usize) -> usize {
        self.calls
            .iter()
            .filter(|call| call.section == section)
            .count()
    }

    /// Lets a write arrive at some replicas.
    pub(crate) fn land(&mut self, call: &Pending, replicas: &[usize]) {
        for replica in replicas {
            let record = self.replicas[*replica]
                .entry(call.id().clone())
                .or_default();
            record.merge(call.change());
        }
    }

    /// Performs a call, at those replicas if it is about state.
    pub(crate) fn perform(&mut self, call: &Pending, replicas: &[usize]) -> Answer {
        let id = call.id().clone();
        let queue = self.queues.entry(id.clone()).or_default();
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
            Effect::Write { .. } => {
                self.land(call, replicas);
                Answer::Done(Ok(()))
            }
            Effect::Read { .. } => Answer::Record(Ok(self.read(&id, replicas))),
            other => panic!("not a call: {other:?}"),
        }
    }

    /// A read of those replicas, which repairs them.
    pub(crate) fn read(&mut self, id: &RecordId, replicas: &[usize]) -> Record {
        let mut merged = Record::empty();
        for replica in replicas {
            merged.merge(&self.replicas[*replica].get(id).cloned().unwrap_or_default());
        }
        for replica in replicas {
            self.replicas[*replica].insert(id.clone(), merged.clone());
        }
        merged
    }

    /// Answers a call.
    pub(crate) fn answer(&mut self, call: &Pending, answer: Answer) {
        self.step(call.section, Input::Answered(call.call(), answer));
    }

    /// Performs a call at those replicas and answers it.
    pub(crate) fn succeed_at(&mut self, call: &Pending, replicas: &[usize]) {
        let answer = self.perform(call, replicas);
        self.answer(call, answer);
    }

    /// Performs a call everywhere and answers it.
    pub(crate) fn succeed(&mut self, call: &Pending) {
        self.succeed_at(call, ALL);
    }

    /// Answers that a call failed.
    pub(crate) fn fail(&mut self, call: &Pending, failure: Failure) {
        self.answer(call, call.failure(failure));
    }

    /// Performs and answers what is under way, and what comes of it.
    pub(crate) fn run(&mut self) {
        self.run_where(|_| true);
    }

    /// The same for one section.
    pub(crate) fn run_section(&mut self, section: usize) {
        self.run_where(|call| call.section == section);
    }

    fn run_where(&mut self, of: impl Fn(&Pending) -> bool) {
        for _ in 0..10_000 {
            let Some(position) = self.calls.iter().position(&of) else {
                return;
            };
            let call = self.calls.remove(position);
            self.succeed(&call);
        }
        panic!("no end: {:?}", self.calls);
    }

    /// Performs and answers so many rounds of calls; all calls that are under
    /// way together take one.
    pub(crate) fn rounds(&mut self, section: usize) -> usize {
        for round in 0.. {
            let (now, later): (Vec<_>, _) = self
                .calls
                .drain(..)
                .partition(|call| call.section == section);
            self.calls = later;
            if now.is_empty() {
                return round;
            }
            for call in now {
                self.succeed(&call);
            }
        }
        0
    }

    /// Lets time pass; the nodes prove life meanwhile.
    pub(crate) fn pass(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        for node in &mut self.nodes {
            node.lease_until = node.lease_until.max(self.now.after(lease().get()));
        }
    }

    /// Lets time pass until the section wants to be woken, and wakes it.
    pub(crate) fn wake(&mut self, section: usize) {
        let at = self.sections[section].machine.wake_at().unwrap();
        let after = at.since(self.now);
        self.pass(after);
        self.step(section, Input::Wake);
        let next = self.sections[section].machine.wake_at();
        assert!(
            next.is_none_or(|next| next > self.now),
            "it would wake again at once"
        );
    }

    /// Gives a section a hint about a key.
    pub(crate) fn hint(&mut self, section: usize, key: &str) {
        let marks = Some(self.queue(key).marks());
        let key = self.index(section, key);
        self.step(section, Input::Hint { key, marks });
    }

    /// A hint that does not tell what has changed.
    pub(crate) fn hint_of_something(&mut self, section: usize, key: &str) {
        let (key, marks) = (self.index(section, key), None);
        self.step(section, Input::Hint { key, marks });
    }

    /// Takes a node's session for dead, for one section that waits.
    pub(crate) fn suspect(&mut self, section: usize, node: usize) {
        let session = self.nodes[node].session;
        self.step(section, Input::Suspect(session));
    }
}
