//! Acceptors, nodes and a network that loses, repeats and reorders.

use std::sync::Arc;
use std::vec::Vec;

use super::history::{Answer, Call, Operation};
use crate::id::ReplicaId;
use crate::lock_queue::Command;
use crate::lock_ref::Holding;
use crate::quorum::Tally;
use crate::replica::acceptor::{Acceptor, Ballot, Reply, Request};
use crate::replica::lightweight_transaction::{Step, Transaction};
use crate::replica::peek::{Peek, PeekStep};

/// Numbers from a seed (xorshift); the same seed, the same run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
enum Body {
    Request(Request),
    Reply(Reply),
    Read,
    Copy(Acceptor),
    Release(Holding),
    Released,
}

#[derive(Clone, Debug)]
struct Message {
    node: usize,
    acceptor: usize,
    call: usize,
    body: Body,
}

/// What a node has under way for its current call.
enum Work {
    Transaction(Transaction),
    Peek(Peek),
    Release(Tally),
}

#[derive(Default)]
struct Node {
    script: Vec<Operation>,
    /// The current call in the history, and what is under way for it.
    work: Option<(usize, Work)>,
    /// Calls that it gave up since its last answer.
    given_up: Vec<usize>,
    /// The head of the queue in its last answer.
    head: Option<Holding>,
}

/// How unkind the network is: one message in so many.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    pub(super) lost: usize,
    pub(super) repeated: usize,
    /// A node gives its call up, once in so many steps.
    pub(super) given_up: usize,
}

pub(super) struct World {
    pub(super) acceptors: Vec<Acceptor>,
    nodes: Vec<Node>,
    network: Vec<Message>,
    pub(super) calls: Vec<Call>,
    pub(super) fast_peeks: usize,
    dice: Dice,
    faults: Faults,
    clock: usize,
}

impl World {
    pub(super) fn new(acceptors: usize, scripts: Vec<Vec<Operation>>, dice: Dice) -> Self {
        let nodes = scripts
            .into_iter()
            .map(|mut script| {
                script.reverse();
                Node {
                    script,
                    ..Node::default()
                }
            })
            .collect();
        Self {
            acceptors: (0..acceptors).map(|_| Acceptor::default()).collect(),
            nodes,
            network: Vec::new(),
            calls: Vec::new(),
            fast_peeks: 0,
            dice,
            faults: Faults {
                lost: usize::MAX,
                repeated: usize::MAX,
                given_up: usize::MAX,
            },
            clock: 0,
        }
    }

    /// Runs until every script is through and the network is empty, or
    /// `steps` are over.
    pub(super) fn run(&mut self, faults: Faults, steps: usize) {
        self.faults = faults;
        for _ in 0..steps {
            self.clock += 1;
            let node = self.dice.below(self.nodes.len());
            if self.nodes[node].work.is_none() {
                self.begin(node);
            } else if self.dice.one_in(self.faults.given_up) {
                self.give_up(node);
            } else if self.network.is_empty() || self.is_impatient() {
                self.retry(node);
            }
            self.deliver();
            let idle = |node: &Node| node.work.is_none() && node.script.is_empty();
            if self.network.is_empty() && self.nodes.iter().all(idle) {
                return;
            }
        }
    }

    /// Drivers give up waiting early, now and then, where messages get lost.
    fn is_impatient(&mut self) -> bool {
        self.faults.lost != usize::MAX && self.dice.one_in(40)
    }

    fn begin(&mut self, node: usize) {
        let Some(mut operation) = self.nodes[node].script.pop() else {
            return;
        };
        // A release is of a ticket that was seen at the head, if long ago.
        if let (Operation::Release(holding), Some(head)) = (&mut operation, self.nodes[node].head) {
            *holding = head;
        }
        if matches!(operation, Operation::Release(holding) if holding == Holding::default()) {
            operation = Operation::Peek;
        }
        let call = self.calls.len();
        let began = self.clock;
        self.calls.push(Call {
            operation: operation.clone(),
            began,
            answer: None,
            ended: usize::MAX,
        });
        self.start(node, call, &operation);
    }

    fn start(&mut self, node: usize, call: usize, operation: &Operation) {
        let replicas = self.acceptors.len();
        let (work, body) = match operation {
            Operation::Apply(command) => {
                return self.transact(node, call, std::vec![*command], self.known(node));
            }
            Operation::Peek => (Work::Peek(Peek::new(replicas)), Body::Read),
            Operation::Release(holding) => {
                (Work::Release(Tally::new(replicas)), Body::Release(*holding))
            }
        };
        self.nodes[node].work = Some((call, work));
        self.broadcast(node, call, &body);
    }

    fn transact(&mut self, node: usize, call: usize, commands: Vec<Command>, known: Ballot) {
        let site = ReplicaId(u8::try_from(node).unwrap());
        let mut transaction = Transaction::new(site, self.acceptors.len(), commands);
        let request = transaction.begin(known, 0);
        self.nodes[node].work = Some((call, Work::Transaction(transaction)));
        self.broadcast(node, call, &Body::Request(request));
    }

    /// A node looks at its own site's acceptor before it begins.
    fn known(&self, node: usize) -> Ballot {
        self.acceptors[node % self.acceptors.len()].promised()
    }

    fn broadcast(&mut self, node: usize, call: usize, body: &Body) {
        for acceptor in 0..self.acceptors.len() {
            self.network.push(Message {
                node,
                acceptor,
                call,
                body: body.clone(),
            });
        }
    }

    fn give_up(&mut self, node: usize) {
        let (call, _) = self.nodes[node].work.take().unwrap();
        self.nodes[node].given_up.push(call);
    }

    /// What a driver does when it waited for too long.
    fn retry(&mut self, node: usize) {
        let known = self.known(node);
        let lead = u64::try_from(self.dice.below(3)).unwrap();
        let Some((call, work)) = &mut self.nodes[node].work else {
            return;
        };
        let call = *call;
        match work {
            Work::Transaction(transaction) => {
                let request = transaction.begin(known, lead);
                self.broadcast(node, call, &Body::Request(request));
            }
            Work::Peek(_) => self.transact(node, call, Vec::new(), known),
            Work::Release(_) => {
                let Operation::Release(holding) = self.calls[call].operation else {
                    return;
                };
                self.broadcast(node, call, &Body::Release(holding));
            }
        }
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let index = self.dice.below(self.network.len());
        let message = if self.dice.one_in(self.faults.repeated) {
            self.network[index].clone()
        } else {
            self.network.swap_remove(index)
        };
        if self.dice.one_in(self.faults.lost) {
            return;
        }
        let acceptor = &mut self.acceptors[message.acceptor];
        let answer = match &message.body {
            Body::Request(request) => Body::Reply(acceptor.answer(request)),
            Body::Read => Body::Copy(acceptor.clone()),
            Body::Release(holding) => {
                acceptor.release(*holding);
                Body::Released
            }
            Body::Reply(_) | Body::Copy(_) | Body::Released => return self.receive(&message),
        };
        self.network.push(Message {
            body: answer,
            ..message
        });
    }

    fn receive(&mut self, message: &Message) {
        let Message { node, call, .. } = *message;
        let from = ReplicaId(u8::try_from(message.acceptor).unwrap());
        let Some((current, work)) = &mut self.nodes[node].work else {
            return;
        };
        if *current != call {
            return;
        }
        match (work, &message.body) {
            (Work::Transaction(transaction), Body::Reply(reply)) => {
                let step = transaction.receive(from, reply);
                self.follow(node, call, step);
            }
            (Work::Peek(peek), Body::Copy(copy)) => match peek.answered(from, copy.clone()) {
                PeekStep::Wait => {}
                PeekStep::Agreed(queue) => {
                    self.fast_peeks += 1;
                    self.finish(node, Answer::Peeked(queue));
                }
                PeekStep::Differ { promised, .. } => {
                    self.transact(node, call, Vec::new(), promised);
                }
            },
            (Work::Release(tally), Body::Released) => {
                tally.answer(from);
                if tally.is_majority() {
                    self.finish(node, Answer::Released);
                }
            }
            _ => {}
        }
    }

    fn follow(&mut self, node: usize, call: usize, step: Step) {
        match step {
            Step::Wait => {}
            Step::Send(request) => self.broadcast(node, call, &Body::Request(request)),
            Step::Preempted => self.retry(node),
            Step::Done(decided) => {
                let answer = match decided.effects.first() {
                    Some((outcome, queue)) => Answer::Applied(*outcome, Arc::clone(queue)),
                    None => Answer::Peeked(decided.queue),
                };
                self.finish(node, answer);
            }
        }
    }

    fn finish(&mut self, node: usize, answer: Answer) {
        let (call, _) = self.nodes[node].work.take().unwrap();
        // What the port promises: what this node gave up before has taken
        // effect by now, or never will. A release may land later still.
        let decides = answer != Answer::Released;
        if let Answer::Applied(_, queue) | Answer::Peeked(queue) = &answer {
            let head = queue.tickets().next();
            self.nodes[node].head = head.map(|(lock_ref, ticket)| Holding {
                lock_ref,
                incarnation: ticket.incarnation,
            });
        }
        self.calls[call].answer = Some(answer);
        self.calls[call].ended = self.clock;
        if decides {
            for earlier in std::mem::take(&mut self.nodes[node].given_up) {
                if !matches!(self.calls[earlier].operation, Operation::Release(_)) {
                    self.calls[earlier].ended = self.clock;
                }
            }
        }
    }
}
