//! A deployment under a seed: nodes, clients, late messages, suspicion.

mod clients;
mod judge;

use std::collections::BTreeMap;
use std::time::Duration;

use music_core::critical_section::{Effect, Input, OpId, Status};
use music_core::id::{RecordId, SessionId};
use music_core::lock_queue::{Command, Mode};
use music_core::record::Record;
use music_core::time::MonotonicTime;

use crate::exploration::dice::{Dice, Temper};
use crate::exploration::flight::{Flight, is_of_queue};
use crate::exploration::must;
use crate::exploration::world::{REPLICAS, World, lease};
use crate::oracle::{Floors, Oracle};

pub(in crate::exploration) const NODES: usize = 3;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// A client and the section it has now.
#[derive(Clone, Debug)]
pub(in crate::exploration) struct Client {
    pub(in crate::exploration) section: usize,
    pub(in crate::exploration) keys: Vec<&'static str>,
    /// It says nothing any more.
    pub(in crate::exploration) silent: bool,
    /// Puts that it may try again: their numbers.
    unknown: Vec<(usize, usize)>,
}

/// An operation that a client waits for.
#[derive(Clone, Debug)]
enum Asked {
    Put(usize),
    Get {
        key: RecordId,
        grants: usize,
        own: Floors,
    },
    Release,
}

/// Everything, under one seed.
pub(in crate::exploration) struct Simulation {
    pub(in crate::exploration) world: World,
    pub(in crate::exploration) dice: Dice,
    pub(in crate::exploration) oracle: Oracle,
    pub(in crate::exploration) clients: Vec<Client>,
    pub(in crate::exploration) trace: Option<Vec<String>>,
    pub(in crate::exploration) granted: usize,
    pub(in crate::exploration) lost: usize,
    pub(in crate::exploration) confirmed: usize,
    pub(in crate::exploration) gets: usize,
    pub(in crate::exploration) acknowledged: usize,
    flights: Vec<Flight>,
    /// Writes and repairs that may still arrive.
    late: Vec<(RecordId, Record)>,
    /// Commands that may still take effect, until their node's next call does.
    late_commands: Vec<(usize, RecordId, Command)>,
    /// Until when each session that ever was is valid.
    sessions: BTreeMap<SessionId, MonotonicTime>,
    next_session: u128,
    next_request: u128,
    paused: [bool; NODES],
    pub(in crate::exploration) dead: [bool; NODES],
    asked: BTreeMap<(usize, OpId), Asked>,
    /// What a section may not see less than, by key.
    own: BTreeMap<(usize, RecordId), Floors>,
    statuses: BTreeMap<usize, Status>,
    adopted_at: BTreeMap<usize, bool>,
    temper: Temper,
    /// Whether suspicion waits for leases to run out.
    pub(in crate::exploration) respects_leases: bool,
    pub(in crate::exploration) calm: bool,
}

impl Simulation {
    pub(in crate::exploration) fn new(seed: u64, traced: bool) -> Self {
        let mut dice = Dice::new(seed);
        let respects_leases = dice.percent(60);
        let mut simulation = Self {
            world: World::new(u128::try_from(NODES).unwrap()),
            oracle: Oracle::default(),
            clients: Vec::new(),
            trace: traced.then(Vec::new),
            granted: 0,
            lost: 0,
            confirmed: 0,
            gets: 0,
            acknowledged: 0,
            flights: Vec::new(),
            late: Vec::new(),
            late_commands: Vec::new(),
            sessions: BTreeMap::new(),
            next_session: 1000,
            next_request: 1,
            paused: [false; NODES],
            dead: [false; NODES],
            asked: BTreeMap::new(),
            own: BTreeMap::new(),
            statuses: BTreeMap::new(),
            adopted_at: BTreeMap::new(),
            temper: Temper::new(&mut dice),
            respects_leases,
            calm: false,
            dice,
        };
        for node in &simulation.world.nodes {
            simulation.sessions.insert(node.session, node.lease_until);
        }
        let clients = 2 + simulation.dice.below(3);
        for _ in 0..clients {
            simulation.arrive();
        }
        simulation
    }

    pub(in crate::exploration) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = format!("{:?} {}", self.world.now.since_start(), text(self));
            self.trace.get_or_insert_default().push(text);
        }
    }

    /// A new client comes and asks for a lockRef.
    fn arrive(&mut self) {
        let alive: Vec<_> = (0..NODES).filter(|node| self.is_up(*node)).collect();
        if alive.is_empty() || self.clients.len() >= 9 {
            return;
        }
        let node = alive[self.dice.below(alive.len())];
        self.raise(node);
        let single = self.dice.percent(self.temper.single);
        let mut keys: Vec<_> = KEYS.into_iter().filter(|_| self.dice.percent(50)).collect();
        if single || keys.is_empty() {
            keys = vec![KEYS[self.dice.below(2)]];
        }
        let mode = if self.dice.percent(self.temper.shares) {
            Mode::Shared
        } else {
            Mode::Exclusive
        };
        let request = self.next_request;
        self.next_request += 1;
        let section = self.world.open(node, request, mode, &keys);
        self.adopted_at.insert(section, false);
        self.note(|_| format!("client: section {section} at node {node}, {mode:?} {keys:?}"));
        self.clients.push(Client {
            section,
            keys,
            silent: false,
            unknown: Vec::new(),
        });
        self.step(section, Input::Create);
    }

    fn is_up(&self, node: usize) -> bool {
        !self.dead[node] && !self.paused[node]
    }

    fn node_of(&self, section: usize) -> usize {
        self.world.sections[section].node
    }

    /// Gives a section an event and looks at what comes of it.
    pub(in crate::exploration) fn step(&mut self, section: usize, input: Input) {
        if self.dead[self.node_of(section)] {
            return;
        }
        self.note(|_| format!("section {section} <- {input:?}"));
        let over = self.world.sections[section].ended > 0;
        let put = match &input {
            Input::Put(op, _) => Some(*op),
            _ => None,
        };
        self.world.step(section, input);
        for call in std::mem::take(&mut self.world.calls) {
            self.note(|_| format!("section {section} -> {:?}", call.effect));
            assert!(
                !over,
                "section {section} asks after its end: {:?}",
                call.effect
            );
            if let Effect::Write { id, change, .. } = &call.effect {
                must(self.oracle.wrote(id, change));
                if let Some(Asked::Put(put)) = put.and_then(|op| self.asked.get(&(section, op))) {
                    must(self.oracle.issued(*put, change.stamp_max()));
                }
            }
            self.flights.push(Flight::new(call));
        }
        self.hear(section);
        self.look_at_status(section);
        self.look_at_end(section);
    }

    /// One event of many.
    pub(in crate::exploration) fn event(&mut self) {
        let hurry = if self.dice.percent(2) { 3000 } else { 40 };
        let pass = self.dice.below(hurry);
        let pass = Duration::from_millis(u64::try_from(pass).unwrap());
        self.world.now = self.world.now.after(pass);
        if self.dice.percent(self.temper.moves) {
            self.move_on();
        }
        if self.dice.percent(self.temper.late) {
            self.land_late();
        }
        match self.dice.below(100) {
            0..55 => self.fly(),
            55..81 => self.ask(),
            81..86 => self.hint(),
            86..90 => self.wake_some(),
            90..95 => self.raise_some(),
            95..98 => self.suspect(),
            98 => self.pause(),
            _ => self.trouble(),
        }
    }

    fn trouble(&mut self) {
        match self.dice.below(12) {
            0 => {
                let node = self.dice.below(NODES);
                if self.dead.iter().filter(|dead| **dead).count() + 1 < NODES {
                    self.note(|_| format!("node {node} dies"));
                    self.dead[node] = true;
                    self.bury();
                }
            }
            1..5 => {
                let client = self.dice.below(self.clients.len());
                self.note(|_| format!("client {client} falls silent"));
                self.clients[client].silent = true;
            }
            _ => self.arrive(),
        }
    }

    /// What a dead node had sent may still arrive.
    fn bury(&mut self) {
        let dead = self.dead;
        let sections = &self.world.sections;
        let (lost, kept): (Vec<_>, _) = self
            .flights
            .drain(..)
            .partition(|flight| dead[sections[flight.call.section].node]);
        self.flights = kept;
        for flight in lost {
            let node = self.node_of(flight.call.section);
            self.give_up(node, &flight);
        }
    }

    fn give_up(&mut self, node: usize, flight: &Flight) {
        let id = flight.call.id().clone();
        if let Some(record) = flight.leftover() {
            self.late.push((id, record));
        } else if let (Effect::Apply { command, .. }, None) = (&flight.call.effect, &flight.answer)
        {
            self.late_commands.push((node, id, *command));
        }
    }

    /// Some call goes on, is answered, or is given up.
    fn fly(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.dice.below(self.flights.len());
        let node = self.node_of(self.flights[at].call.section);
        let fails = self.dice.percent(self.temper.fails) && !self.calm;
        if fails && self.is_up(node) {
            let flight = self.flights.swap_remove(at);
            let answer = flight.failure(&mut self.dice);
            let refused = matches!(&answer, answer if is_refusal(answer));
            if !refused {
                self.give_up(node, &flight);
            }
            self.step(
                flight.call.section,
                Input::Answered(flight.call.call(), answer),
            );
            return;
        }
        let ready = self.flights[at].answered();
        match ready {
            Some(answer) if self.is_up(node) && (self.calm || self.dice.percent(60)) => {
                let flight = self.flights.swap_remove(at);
                if self.dice.percent(20)
                    && let Some(record) = flight.leftover()
                {
                    self.late.push((flight.call.id().clone(), record));
                }
                self.step(
                    flight.call.section,
                    Input::Answered(flight.call.call(), answer),
                );
            }
            _ => self.progress(at),
        }
    }

    fn progress(&mut self, at: usize) {
        if is_of_queue(&self.flights[at].call.effect) && !self.flights[at].has_begun() {
            self.settle_commands(at);
        }
        self.flights[at].progress(&mut self.world, &mut self.dice);
        self.note(|simulation| format!("goes on: {:?}", simulation.flights[at].call.effect));
        let flight = &self.flights[at];
        if let Effect::Write { id, change, .. } = &flight.call.effect
            && flight.is_written()
        {
            let stamp = change.stamp_max().unwrap();
            let present = self.world.queues[id].present(stamp.holding().unwrap());
            if let Some(put) = self.oracle.put_at(id, stamp) {
                put.settled |= present;
            }
        }
    }

    /// A call of a node is about to take effect: what it gave up before at
    /// the same queue has taken effect, or never will.
    fn settle_commands(&mut self, at: usize) {
        let call = &self.flights[at].call;
        let node = self.node_of(call.section);
        let id = call.id().clone();
        self.late_commands
            .retain(|(from, key, _)| *from != node || *key != id);
    }

    fn land_late(&mut self) {
        if !self.late_commands.is_empty() && self.dice.percent(50) {
            let at = self.dice.below(self.late_commands.len());
            let (_, id, command) = self.late_commands.swap_remove(at);
            self.note(|_| format!("late: {command:?} at {id:?}"));
            let queue = self.world.queues.entry(id).or_default();
            queue.apply(command);
        } else if !self.late.is_empty() {
            let at = self.dice.below(self.late.len());
            let replica = self.dice.below(REPLICAS);
            let (id, record) = self.late[at].clone();
            self.note(|_| format!("late at replica {replica}: {record:?}"));
            self.world.replicas[replica]
                .entry(id)
                .or_default()
                .merge(&record);
            if self.dice.percent(50) {
                self.late.swap_remove(at);
            }
        }
    }

    fn open_sections(&self) -> Vec<usize> {
        let open = |section: &usize| {
            self.world.sections[*section].ended == 0 && self.is_up(self.node_of(*section))
        };
        (0..self.world.sections.len()).filter(open).collect()
    }

    fn hint(&mut self) {
        let open = self.open_sections();
        if open.is_empty() {
            return;
        }
        let section = open[self.dice.below(open.len())];
        let watched = &self.world.sections[section].watched;
        if watched.is_empty() {
            return;
        }
        let id = watched[self.dice.below(watched.len())].clone();
        let key = self.world.sections[section].machine.key_index(&id).unwrap();
        let marks = self
            .world
            .queues
            .get(&id)
            .map(music_core::lock_queue::LockQueue::marks);
        self.step(section, Input::Hint { key, marks });
    }

    pub(in crate::exploration) fn wake_some(&mut self) {
        for section in self.open_sections() {
            let machine = &self.world.sections[section].machine;
            if machine.wake_at().is_none_or(|at| at > self.world.now) {
                continue;
            }
            self.step(section, Input::Wake);
            let next = self.world.sections[section].machine.wake_at();
            assert!(
                next.is_none_or(|next| next > self.world.now),
                "{section} wakes in a loop"
            );
        }
    }

    fn raise_some(&mut self) {
        for node in 0..NODES {
            if self.dice.percent(80) {
                self.raise(node);
            }
        }
    }

    pub(in crate::exploration) fn raise(&mut self, node: usize) {
        if !self.is_up(node) {
            return;
        }
        let now = self.world.now;
        if now >= self.world.nodes[node].lease_until {
            self.next_session += 1;
            self.world.nodes[node].session = SessionId(self.next_session);
            self.note(|_| format!("node {node} takes a new session"));
        }
        let until = now.after(lease().get());
        self.world.nodes[node].lease_until = until;
        self.sessions.insert(self.world.nodes[node].session, until);
        for section in self.open_sections() {
            if self.node_of(section) == node {
                self.step(section, Input::Wake);
            }
        }
    }

    fn suspect(&mut self) {
        let open = self.open_sections();
        if open.is_empty() {
            return;
        }
        let section = open[self.dice.below(open.len())];
        let observed = std::mem::take(&mut self.world.sections[section].observed);
        for session in observed {
            let until = self.sessions[&session];
            let suspicious = until.after(lease().get() / 4);
            if !self.respects_leases && !self.calm && self.dice.percent(50)
                || self.world.now >= suspicious
            {
                self.step(section, Input::Suspect(session));
            }
        }
    }

    fn pause(&mut self) {
        let node = self.dice.below(NODES);
        self.note(|_| format!("node {node} stops or goes on"));
        self.paused[node] = !self.paused[node];
    }
}

fn is_refusal(answer: &music_core::critical_section::Answer) -> bool {
    use music_core::critical_section::{Answer, Failure};
    matches!(
        answer,
        Answer::Applied(Err(Failure::NotApplied))
            | Answer::Queue(Err(Failure::NotApplied))
            | Answer::Record(Err(Failure::NotApplied))
            | Answer::Done(Err(Failure::NotApplied))
    )
}
