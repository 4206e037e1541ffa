//! What clients do, and how everything comes to rest.

use std::time::Duration;

use music_core::critical_section::{Input, OpId, Put, Status};
use music_core::id::{IdempotencyKey, RequestId};
use music_core::lock_queue::Mode;

use super::{Asked, Client, KEYS, NODES, Simulation};
use crate::exploration::dice::Dice;
use crate::exploration::world::{id, lease};
use crate::oracle::{self, PutFact};

impl Simulation {
    /// Some client does something.
    pub(super) fn ask(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let client = self.dice.below(self.clients.len());
        let section = self.clients[client].section;
        if self.clients[client].silent
            || !self.is_up(self.node_of(section))
            || self.world.sections[section].ended > 0
        {
            return;
        }
        match self.world.status(section) {
            Status::Waiting if self.dice.percent(self.temper.gives_up) => {
                self.release(section, false);
            }
            Status::Waiting => self.step(section, Input::Renew),
            Status::Granted => match self.dice.below(10) {
                0..4 => self.put(client),
                4..7 => self.get(client),
                7 => self.retry(client),
                8 => self.step(section, Input::Renew),
                _ => {
                    let confirm = self.dice.percent(40);
                    self.release(section, confirm);
                }
            },
            Status::Lost(_) if self.dice.percent(30) => {
                let confirm = self.dice.percent(50);
                self.release(section, confirm);
            }
            Status::Lost(_) => self.get(client),
            Status::Released => {
                let again = self.dice.percent(30);
                let confirm = self.dice.percent(70);
                if again {
                    self.release(section, confirm);
                }
            }
        }
    }

    fn op(&mut self, section: usize, asked: Asked) -> OpId {
        self.world.sections[section].asked += 1;
        let op = OpId(self.world.sections[section].asked);
        self.asked.insert((section, op), asked);
        op
    }

    pub(in crate::exploration) fn release(&mut self, section: usize, confirm: bool) {
        let op = self.op(section, Asked::Release);
        self.step(section, Input::Release { op, confirm });
    }

    fn put(&mut self, client: usize) {
        let section = self.clients[client].section;
        let keys = &self.clients[client].keys;
        let name = keys[self.dice.below(keys.len())];
        let touch = |dice: &mut Dice| match dice.below(5) {
            0 => Some(false),
            1..4 => Some(true),
            _ => None,
        };
        let mut touches = [touch(&mut self.dice), touch(&mut self.dice)];
        if touches == [None; 2] {
            touches = [Some(false); 2];
        }
        let number = self.oracle.puts.len();
        self.oracle.puts.push(PutFact {
            key: id(name),
            stamp: None,
            touches,
            settled: false,
            acknowledged: false,
        });
        self.send_put(section, number);
    }

    fn send_put(&mut self, section: usize, number: usize) {
        let fact = self.oracle.puts[number].clone();
        let key = self.world.sections[section]
            .machine
            .key_index(&fact.key)
            .unwrap();
        let change = oracle::change(number, fact.touches);
        let name = u128::try_from(number).unwrap();
        // Half of the puts have no name.
        let identity = number
            .is_multiple_of(2)
            .then_some((IdempotencyKey(name), 1));
        let op = self.op(section, Asked::Put(number));
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
    }

    /// A put is tried again by its name.
    fn retry(&mut self, client: usize) {
        let section = self.clients[client].section;
        let named = |(at, put): &(usize, usize)| *at == section && put.is_multiple_of(2);
        let unknown = &self.clients[client].unknown;
        let Some((_, put)) = unknown.iter().copied().find(named) else {
            return;
        };
        self.clients[client]
            .unknown
            .retain(|(_, other)| *other != put);
        self.send_put(section, put);
    }

    fn get(&mut self, client: usize) {
        let section = self.clients[client].section;
        let keys = &self.clients[client].keys;
        let key = id(keys[self.dice.below(keys.len())]);
        let index = self.world.sections[section]
            .machine
            .key_index(&key)
            .unwrap();
        let own = self
            .own
            .get(&(section, key.clone()))
            .copied()
            .unwrap_or_default();
        let grants = self.oracle.grants_at(&key);
        let op = self.op(section, Asked::Get { key, grants, own });
        self.step(section, Input::Get(op, index));
    }

    /// A client goes to another node with its lockRef.
    pub(super) fn move_on(&mut self) {
        let client = self.dice.below(self.clients.len());
        let from = self.clients[client].section;
        let node = self.dice.below(NODES);
        let terms = self.world.sections[from].machine.terms().clone();
        let here = (0..self.world.sections.len()).any(|section| {
            let other = &self.world.sections[section];
            other.machine.terms().request == terms.request && other.node == node
        });
        let over = matches!(self.world.status(from), Status::Released);
        let lapsed = self.world.now >= self.world.nodes[node].lease_until;
        if here || over || lapsed || self.clients[client].silent || !self.is_up(node) {
            return;
        }
        let keys = self.clients[client].keys.clone();
        let RequestId(request) = terms.request;
        let section = self.world.open(node, request, terms.mode, &keys);
        // It may not know that it has been queued already.
        let input = if self.dice.percent(15) {
            Input::Create
        } else {
            Input::Adopt
        };
        self.adopted_at.insert(section, true);
        self.note(|_| format!("client {client} moves from {from} to {section} at node {node}"));
        self.clients[client].section = section;
        self.step(section, input);
    }

    /// Faults stop; everything must come to rest.
    pub(in crate::exploration) fn rest(&mut self) {
        self.note(|_| "no more faults".to_owned());
        self.calm = true;
        self.paused = [false; NODES];
        for round in 0..4000 {
            if self.is_at_rest() {
                self.note(|_| "at rest".to_owned());
                return;
            }
            self.rest_round(round);
        }
        self.note(|it| format!("{:?}", it.world.sections));
        self.note(|it| format!("{:?}", it.world.queues));
        self.note(|it| format!("{:?}", it.flights));
        panic!("6 liveness: no rest");
    }

    fn is_at_rest(&self) -> bool {
        self.flights.is_empty() && self.open_sections().is_empty()
    }

    fn rest_round(&mut self, round: usize) {
        for node in 0..NODES {
            self.raise(node);
        }
        for _ in 0..self.flights.len() * 4 {
            self.fly();
        }
        self.land_late();
        for client in 0..self.clients.len() {
            let Client {
                section, silent, ..
            } = self.clients[client];
            if silent || self.dead[self.node_of(section)] || self.world.sections[section].ended > 0
            {
                continue;
            }
            match self.world.status(section) {
                Status::Waiting => self.step(section, Input::Renew),
                Status::Granted | Status::Lost(_) => self.release(section, round.is_multiple_of(2)),
                Status::Released => {}
            }
        }
        for section in self.open_sections() {
            let observed = std::mem::take(&mut self.world.sections[section].observed);
            for session in observed {
                if self.world.now >= self.sessions[&session].after(lease().get() / 4) {
                    self.step(section, Input::Suspect(session));
                } else {
                    self.world.sections[section].observed.push(session);
                }
            }
        }
        self.world.now = self.world.now.after(Duration::from_millis(200));
        self.wake_some();
    }

    /// A last client must be granted everything, and leaves nothing behind.
    pub(in crate::exploration) fn probe(&mut self) {
        let node = (0..NODES).find(|node| !self.dead[*node]).unwrap();
        self.raise(node);
        while !self.late_commands.is_empty() {
            self.land_late();
        }
        self.next_request += 1;
        let section = self
            .world
            .open(node, self.next_request, Mode::Exclusive, &KEYS);
        self.adopted_at.insert(section, false);
        let client = Client {
            section,
            keys: KEYS.to_vec(),
            silent: false,
            unknown: Vec::new(),
        };
        self.clients.push(client);
        let before = self.granted;
        self.step(section, Input::Create);
        self.rest();
        assert_eq!(
            self.granted,
            before + 1,
            "6 liveness: the last client is granted"
        );
        for (id, queue) in &self.world.queues {
            assert_eq!(
                queue.tickets().count(),
                0,
                "6 liveness: a ticket is left in {id:?}: {queue:?}"
            );
        }
    }
}
