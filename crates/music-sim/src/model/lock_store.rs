//! The embedded lock store as a model: the real [`Acceptor`], [`Transaction`]
//! and [`Peek`], three replicas, and requests that arrive in any order, late,
//! or whose answer is lost. Judged by a search for an order of the operations
//! that explains every answer.

use std::sync::Arc;

use music_core::id::{Moves, ReplicaId, RequestId, SessionId};
use music_core::lock_queue::{Command, LockQueue, Mode, NewTicket, Outcome};
use music_core::lock_ref::{Holding, Incarnation, LockRef};
use music_core::quorum::Tally;
use music_core::replica::acceptor::{Acceptor, Ballot, Request};
use music_core::replica::lightweight_transaction::{Step, Transaction};
use music_core::replica::peek::{Peek, PeekStep};
use music_core::time::Lease;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use stateright::{Model, Property};

use crate::oracle::Guarantee;

/// What a node asks of the lock store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A command.
    Apply(Command),
    /// A look at the queue.
    Peek,
    /// A plain release.
    Release(Holding),
}

/// What its user can tell a queue by, and what a command did.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Answer {
    outcome: Option<Outcome>,
    tickets: Vec<Holding>,
    marks: [LockRef; 3],
}

/// The queue as one object: what the replicas must look like.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reference(LockQueue);

impl SequentialSpec for Reference {
    type Op = Operation;
    type Ret = Option<Answer>;

    fn invoke(&mut self, operation: &Operation) -> Option<Answer> {
        match operation {
            Operation::Apply(command) => {
                let outcome = self.0.apply(*command);
                Some(visible(&self.0, Some(outcome)))
            }
            Operation::Peek => Some(visible(&self.0, None)),
            Operation::Release(holding) => {
                self.0.release(*holding);
                None
            }
        }
    }
}

fn visible(queue: &LockQueue, outcome: Option<Outcome>) -> Answer {
    let tickets = queue.tickets().map(|(lock_ref, ticket)| Holding {
        lock_ref,
        incarnation: ticket.incarnation,
    });
    Answer {
        outcome,
        tickets: tickets.collect(),
        marks: [queue.last(), queue.forced(), queue.synced()],
    }
}

/// What a node has under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Work {
    Transaction(Transaction),
    Peek(Peek),
    Release(Tally),
}

/// What is on its way to an acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Body {
    Request(Request),
    Read,
    Release(Holding),
}

/// A request on its way, and the operation that it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Message {
    node: usize,
    operation: usize,
    acceptor: usize,
    body: Arc<Body>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    /// How many operations it has begun.
    begun: usize,
    work: Option<Work>,
    attempts: u8,
}

/// A state of the lock store and its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replicated {
    acceptors: [Acceptor; 3],
    nodes: Vec<Node>,
    network: Vec<Message>,
    history: LinearizabilityTester<usize, Reference>,
    is_linearizable: bool,
    lost: u8,
    fast: bool,
    slow: bool,
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A node begins its next operation.
    Begin(usize),
    /// A request arrives and is answered.
    Deliver(usize),
    /// A request arrives, and the answer is lost.
    DeliverUnheard(usize),
}

/// Scripts for nodes, over a queue whose ticket 1 is at the head.
#[derive(Clone, Debug)]
pub struct LockStore {
    /// What each node does, in order.
    pub scripts: Vec<Vec<Operation>>,
    /// How many answers may be lost.
    pub lost: u8,
    /// How many attempts each node makes at an operation.
    pub attempts: Vec<u8>,
}

/// Ticket 1 in an incarnation.
pub(super) fn first(incarnation: u8) -> Holding {
    Holding {
        lock_ref: LockRef::new(1).unwrap_or_default(),
        incarnation: Incarnation(incarnation),
    }
}

/// A request for a ticket.
pub(super) fn enqueue(request: u128) -> Command {
    Command::Enqueue(NewTicket {
        owner: SessionId(request),
        mode: Mode::Exclusive,
        lease: Lease::MIN,
        request: RequestId(request),
        moves: Moves::default(),
    })
}

impl Model for LockStore {
    type State = Replicated;
    type Action = Event;

    fn init_states(&self) -> Vec<Replicated> {
        let mut acceptors = <[Acceptor; 3]>::default();
        let mut transaction = Transaction::new(ReplicaId(0), 3, vec![enqueue(100)]);
        let mut request = Some(transaction.begin(Ballot::NONE, 0));
        while let Some(sent) = request.take() {
            for (acceptor, id) in acceptors.iter_mut().zip(0..) {
                let reply = acceptor.answer(&sent);
                if let Step::Send(next) = transaction.receive(ReplicaId(id), &reply) {
                    request = Some(next);
                }
            }
        }
        let mut reference = Reference::default();
        reference.0.apply(enqueue(100));
        let node = Node {
            begun: 0,
            work: None,
            attempts: 0,
        };
        vec![Replicated {
            acceptors,
            nodes: vec![node; self.scripts.len()],
            network: Vec::new(),
            history: LinearizabilityTester::new(reference),
            is_linearizable: true,
            lost: self.lost,
            fast: false,
            slow: false,
        }]
    }

    fn actions(&self, state: &Replicated, actions: &mut Vec<Event>) {
        if !state.is_linearizable {
            return;
        }
        for (at, node) in state.nodes.iter().enumerate() {
            if node.work.is_none() && node.begun < self.scripts[at].len() {
                actions.push(Event::Begin(at));
            }
        }
        for at in 0..state.network.len() {
            actions.push(Event::Deliver(at));
            if state.lost > 0 {
                actions.push(Event::DeliverUnheard(at));
            }
        }
    }

    fn next_state(&self, last: &Replicated, event: Event) -> Option<Replicated> {
        let mut state = last.clone();
        match event {
            Event::Begin(node) => self.begin(&mut state, node),
            Event::Deliver(message) => self.deliver(&mut state, message, true),
            Event::DeliverUnheard(message) => {
                state.lost -= 1;
                self.deliver(&mut state, message, false);
            }
        }
        state.canonicalise();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(Guarantee::Linearizability.name(), |_, it: &Replicated| {
                it.is_linearizable
            }),
            Property::sometimes(
                "every operation is answered",
                |model: &Self, it: &Replicated| {
                    let done = |(node, script): (&Node, &Vec<_>)| {
                        node.work.is_none() && node.begun == script.len()
                    };
                    it.nodes.iter().zip(&model.scripts).all(done)
                },
            ),
        ];
        if self
            .scripts
            .iter()
            .flatten()
            .any(|it| *it == Operation::Peek)
        {
            properties.push(Property::sometimes(
                "a peek takes one round",
                |_, it: &Replicated| it.fast,
            ));
            properties.push(Property::sometimes(
                "a peek takes the slow form",
                |_, it: &Replicated| it.slow,
            ));
        } else {
            properties.push(Property::sometimes(
                "an attempt is interrupted",
                |_, it: &Replicated| it.nodes.iter().any(|node| node.attempts > 1),
            ));
        }
        properties
    }
}

impl Replicated {
    /// The order of what is on its way does not matter, nor does what cannot
    /// change anything any more.
    fn canonicalise(&mut self) {
        let nodes = &self.nodes;
        let acceptors = &self.acceptors;
        self.network.retain(|message| {
            let heard = nodes[message.node].work.is_some()
                && nodes[message.node].begun == message.operation;
            let acceptor = &acceptors[message.acceptor];
            let changes = match &*message.body {
                Body::Read => false,
                Body::Release(holding) => *holding > acceptor.released(),
                Body::Request(Request::Prepare(ballot)) => *ballot > acceptor.promised(),
                Body::Request(Request::Accept(ballot, _)) => *ballot >= acceptor.promised(),
            };
            heard || changes
        });
        self.network.sort_by_cached_key(super::state::number);
    }

    fn send(&mut self, node: usize, body: Body) {
        let body = Arc::new(body);
        let operation = self.nodes[node].begun;
        self.network.extend((0..3).map(|acceptor| Message {
            node,
            operation,
            acceptor,
            body: Arc::clone(&body),
        }));
    }

    fn finish(&mut self, node: usize, answer: Option<Answer>) {
        self.nodes[node].work = None;
        self.nodes[node].attempts = 0;
        let noted = self.history.on_return(node, answer).is_ok();
        self.is_linearizable = noted && self.history.is_consistent();
    }
}

impl LockStore {
    fn begin(&self, state: &mut Replicated, node: usize) {
        let operation = self.scripts[node][state.nodes[node].begun];
        state.nodes[node].begun += 1;
        state.is_linearizable &= state.history.on_invoke(node, operation).is_ok();
        match operation {
            Operation::Apply(command) => self.transact(state, node, vec![command], Ballot::NONE),
            Operation::Peek => {
                state.nodes[node].work = Some(Work::Peek(Peek::new(3)));
                state.send(node, Body::Read);
            }
            Operation::Release(holding) => {
                state.nodes[node].work = Some(Work::Release(Tally::new(3)));
                state.send(node, Body::Release(holding));
            }
        }
    }

    fn transact(&self, state: &mut Replicated, node: usize, commands: Vec<Command>, known: Ballot) {
        let site = ReplicaId(u8::try_from(node).unwrap());
        let transaction = Transaction::new(site, 3, commands);
        state.nodes[node].work = Some(Work::Transaction(transaction));
        self.again(state, node, known);
    }

    /// Begins an attempt above what the node's own site has promised.
    fn again(&self, state: &mut Replicated, node: usize, known: Ballot) {
        let promised = state.acceptors[node % 3].promised().max(known);
        let kept = &mut state.nodes[node];
        let Some(Work::Transaction(transaction)) = &mut kept.work else {
            return;
        };
        if kept.attempts < self.attempts[node] {
            kept.attempts += 1;
            let request = transaction.begin(promised, 0);
            state.send(node, Body::Request(request));
        }
    }

    fn deliver(&self, state: &mut Replicated, at: usize, heard: bool) {
        let message = state.network.remove(at);
        let acceptor = &mut state.acceptors[message.acceptor];
        let from = ReplicaId(u8::try_from(message.acceptor).unwrap());
        let node = message.node;
        let heard = heard && state.nodes[node].begun == message.operation;
        let work = state.nodes[node].work.as_mut().filter(|_| heard);
        match (&*message.body, work) {
            (Body::Request(request), work) => {
                let reply = acceptor.answer(request);
                if let Some(Work::Transaction(transaction)) = work {
                    let step = transaction.receive(from, &reply);
                    self.follow(state, node, step);
                }
            }
            (Body::Read, Some(Work::Peek(peek))) => match peek.answered(from, acceptor.clone()) {
                PeekStep::Wait => {}
                PeekStep::Agreed(queue) => {
                    state.fast = true;
                    state.finish(node, Some(visible(&queue, None)));
                }
                PeekStep::Differ { promised, .. } => {
                    state.slow = true;
                    self.transact(state, node, Vec::new(), promised);
                }
            },
            (Body::Release(holding), work) => {
                acceptor.release(*holding);
                if let Some(Work::Release(tally)) = work {
                    tally.answer(from);
                    if tally.is_majority() {
                        state.finish(node, None);
                    }
                }
            }
            (Body::Read, _) => {}
        }
    }

    fn follow(&self, state: &mut Replicated, node: usize, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(request) => state.send(node, Body::Request(request)),
            Step::Preempted => self.again(state, node, Ballot::NONE),
            Step::Done(decided) => {
                let answer = match decided.effects.first() {
                    Some((outcome, queue)) => visible(queue, Some(*outcome)),
                    None => visible(&decided.queue, None),
                };
                state.finish(node, Some(answer));
            }
        }
    }

    /// The bounds, in words.
    pub(super) fn bounds(&self) -> String {
        let operations: usize = self.scripts.iter().map(Vec::len).sum();
        format!(
            "3 acceptors, {} nodes, {operations} operations, {:?} attempts, {} lost answers",
            self.scripts.len(),
            self.attempts,
            self.lost,
        )
    }
}
