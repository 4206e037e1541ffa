//! A deployment under a seed: nodes, clients, late messages, suspicion.

mod clients;

use std::collections::BTreeMap;
use std::time::Duration;

use music_core::critical_section::{Effect, Error, Input, Lost, OpId, Reply, Status};
use music_core::id::{RecordId, SessionId};
use music_core::lock_queue::{Command, Mode};
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::MonotonicTime;

use crate::common::{REPLICAS, World, lease};
use crate::dice::Dice;
use crate::flight::{Flight, is_of_queue};
use crate::oracle::{Oracle, Seen};

pub(crate) const NODES: usize = 3;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// A client and the section it has now.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) section: usize,
    pub(crate) keys: Vec<&'static str>,
    /// It says nothing any more.
    pub(crate) silent: bool,
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
        own: [Option<Stamp>; 2],
    },
    Release,
}

/// Everything, under one seed.
pub(crate) struct Simulation {
    pub(crate) world: World,
    pub(crate) dice: Dice,
    pub(crate) oracle: Oracle,
    pub(crate) clients: Vec<Client>,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) granted: usize,
    pub(crate) lost: usize,
    pub(crate) confirmed: usize,
    flights: Vec<Flight>,
    /// Writes and repairs that may still arrive.
    late: Vec<(RecordId, Record)>,
    /// Commands that may still take effect, until their node's next answer.
    late_commands: Vec<(usize, RecordId, Command)>,
    /// Until when each session that ever was is valid.
    sessions: BTreeMap<SessionId, MonotonicTime>,
    next_session: u128,
    next_request: u128,
    paused: [bool; NODES],
    pub(crate) dead: [bool; NODES],
    asked: BTreeMap<(usize, OpId), Asked>,
    /// What a section may not see less than, by key.
    own: BTreeMap<(usize, RecordId), [Option<Stamp>; 2]>,
    statuses: BTreeMap<usize, Status>,
    adopted_at: BTreeMap<usize, bool>,
    /// Whether suspicion waits for leases to run out.
    pub(crate) respects_leases: bool,
    pub(crate) calm: bool,
}

impl Simulation {
    pub(crate) fn new(seed: u64, traced: bool) -> Self {
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

    pub(crate) fn note(&mut self, text: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let text = format!("{:?} {}", self.world.now.since_start(), text(self));
            self.trace.as_mut().unwrap().push(text);
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
        let single = self.dice.percent(50);
        let mut keys: Vec<_> = KEYS.into_iter().filter(|_| self.dice.percent(50)).collect();
        if single || keys.is_empty() {
            keys = vec![KEYS[self.dice.below(2)]];
        }
        let mode = if self.dice.percent(30) {
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
    pub(crate) fn step(&mut self, section: usize, input: Input) {
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
                self.oracle.wrote(id, change);
                if let Some(Asked::Put(put)) = put.and_then(|op| self.asked.get(&(section, op))) {
                    self.oracle.puts[*put].stamp = change.stamp_max().unwrap();
                }
            }
            self.flights.push(Flight::new(call));
        }
        self.hear(section);
        self.look_at_status(section);
        self.look_at_end(section);
    }

    fn look_at_end(&mut self, section: usize) {
        let Some(kept) = self
            .world
            .sections
            .get(section)
            .filter(|kept| kept.ended > 0)
        else {
            return;
        };
        assert_eq!(kept.ended, 1, "section {section} ends once");
        assert!(kept.watched.is_empty(), "section {section} still watches");
        let owed = self
            .asked
            .range((section, OpId(0))..=(section, OpId(u64::MAX)))
            .next();
        assert!(owed.is_none(), "section {section} owes an answer: {owed:?}");
    }

    /// Takes in the replies to its client.
    fn hear(&mut self, section: usize) {
        for (op, reply) in std::mem::take(&mut self.world.sections[section].replies) {
            let Some(asked) = self.asked.remove(&(section, op)) else {
                panic!("nobody asked {op:?} of section {section}");
            };
            self.note(|_| format!("section {section} answers {asked:?}: {reply:?}"));
            match (asked, reply) {
                (Asked::Put(put), reply) => self.hear_put(section, put, &reply),
                (Asked::Get { key, grants, own }, Ok(Reply::Record(record))) => {
                    self.hear_get(section, &key, Oracle::seen(&record), (grants, own));
                }
                (Asked::Release, Ok(Reply::Confirmed)) => self.confirmed += 1,
                (Asked::Get { .. } | Asked::Release, _) => {}
            }
        }
    }

    fn hear_put(&mut self, section: usize, put: usize, reply: &Result<Reply, Error>) {
        let fact = self.oracle.puts[put].clone();
        if let Ok(Reply::Written(stamp)) = reply {
            assert_eq!(*stamp, fact.stamp, "a put keeps its stamp");
            self.oracle.acknowledged += 1;
            self.oracle.puts[put].acknowledged = true;
            let floors = Oracle::floors_of_put(&fact);
            self.raise_own(section, &fact.key, floors);
            if fact.settled {
                self.oracle.raise_floors(&fact.key, floors);
            } else {
                let moved = self.world.queues[&fact.key]
                    .ticket(fact.stamp.holding().unwrap().lock_ref)
                    .is_none_or(|ticket| {
                        Some(ticket.incarnation) == fact.stamp.holding().map(|h| h.incarnation)
                    });
                let elsewhere = self.was_adopted(section);
                assert!(
                    !self.respects_leases || !moved || elsewhere,
                    "acknowledged after its ticket was gone: {fact:?}"
                );
            }
        } else if reply == &Err(Error::Unknown) {
            for client in &mut self.clients {
                if client.section == section {
                    client.unknown.push((section, put));
                }
            }
        }
    }

    /// Whether a later section of another node has the same request.
    fn was_adopted(&self, section: usize) -> bool {
        let request = |section: usize| self.world.sections[section].machine.terms().request;
        (section + 1..self.world.sections.len()).any(|later| request(later) == request(section))
    }

    fn raise_own(&mut self, section: usize, key: &RecordId, floors: [Option<Stamp>; 2]) {
        let own = self.own.entry((section, key.clone())).or_default();
        for at in 0..2 {
            own[at] = own[at].max(floors[at]);
        }
    }

    fn hear_get(
        &mut self,
        section: usize,
        key: &RecordId,
        seen: Seen,
        began: (usize, [Option<Stamp>; 2]),
    ) {
        let Some(holding) = self.holding(section, key) else {
            return;
        };
        self.oracle.got(key, holding, seen, began);
        let floors = self.oracle.floors_of(seen);
        self.raise_own(section, key, floors);
        if self.world.queues[key].present(holding) {
            self.oracle.raise_floors(key, floors);
        }
    }

    /// The ticket that a section holds at a key, as it was when it looked.
    fn holding(&self, section: usize, key: &RecordId) -> Option<Holding> {
        let machine = &self.world.sections[section].machine;
        let (_, lock_ref) = machine.tokens().find(|(id, _)| *id == key)?;
        let node = self.world.sections[section].machine.terms().owner;
        let queue = self.world.queues.get(key)?;
        match queue.ticket(lock_ref) {
            Some(ticket) if ticket.owner == node => Some(Holding {
                lock_ref,
                incarnation: ticket.incarnation,
            }),
            _ => Some(Holding {
                lock_ref,
                ..Holding::default()
            }),
        }
    }

    fn look_at_status(&mut self, section: usize) {
        let status = self.world.status(section);
        if self.statuses.insert(section, status) == Some(status) {
            return;
        }
        self.note(|_| format!("section {section} is {status:?}"));
        match status {
            Status::Granted => self.look_at_grant(section),
            Status::Lost(lost) => self.look_at_loss(section, lost),
            Status::Waiting | Status::Released => {}
        }
    }

    fn look_at_grant(&mut self, section: usize) {
        self.granted += 1;
        let machine = &self.world.sections[section].machine;
        let keys: Vec<_> = machine
            .tokens()
            .map(|(id, token)| (id.clone(), token))
            .collect();
        let owner = machine.terms().owner;
        let held = |(id, token): &(RecordId, LockRef)| {
            let ticket = self.world.queues[id].ticket(*token)?;
            let holding = Holding {
                lock_ref: *token,
                incarnation: ticket.incarnation,
            };
            (ticket.owner == owner).then_some((id.clone(), holding))
        };
        // Somebody else may know already that it is over.
        let Some(held) = keys.iter().map(held).collect::<Option<Vec<_>>>() else {
            let node = self.world.nodes[self.node_of(section)].clone();
            let valid = node.session == owner && self.world.now < node.lease_until;
            assert!(valid, "granted without a valid lease");
            return;
        };
        for (id, holding) in held {
            let at_head = self.world.queues[&id].is_at_head(holding.lock_ref);
            assert!(
                at_head,
                "guarantee 1: {holding:?} of {id:?} is not at the head"
            );
            let copies: Vec<_> = (0..REPLICAS)
                .map(|replica| {
                    self.world.replicas[replica]
                        .get(&id)
                        .cloned()
                        .unwrap_or_default()
                })
                .collect();
            self.oracle.granted(&id, holding, &copies);
            let seen = self.oracle.seen_at_grant(&id, holding).unwrap();
            let floors = self.oracle.floors_of(seen);
            self.raise_own(section, &id, floors);
        }
    }

    /// A loss has a reason.
    fn look_at_loss(&mut self, section: usize, lost: Lost) {
        self.lost += 1;
        let machine = &self.world.sections[section].machine;
        let terms = machine.terms();
        let tokens: Vec<_> = machine.tokens().collect();
        let gone = tokens.iter().any(|(id, token)| {
            self.world
                .queues
                .get(id)
                .is_none_or(|queue| queue.ticket(*token).is_none())
        });
        let elsewhere = tokens.iter().any(|(id, token)| {
            let ticket = self
                .world
                .queues
                .get(id)
                .and_then(|queue| queue.ticket(*token));
            ticket.is_some_and(|ticket| ticket.owner != terms.owner)
        });
        let adopter = self.adopted_at[&section];
        match lost {
            Lost::Preempted => assert!(gone || adopter, "section {section} was not preempted"),
            Lost::Adopted => assert!(gone || elsewhere || adopter, "{section} was not adopted"),
            Lost::LockStoreBehind => panic!("the lock store never went back"),
            Lost::NodeLeaseExpired => {
                let node = &self.world.nodes[self.world.sections[section].node];
                assert!(node.session != terms.owner || self.world.now >= node.lease_until);
            }
            Lost::ClientLeaseExpired => {}
        }
    }

    /// One event of many.
    pub(crate) fn event(&mut self) {
        let hurry = if self.dice.percent(2) { 3000 } else { 40 };
        let pass = self.dice.below(hurry);
        let pass = Duration::from_millis(u64::try_from(pass).unwrap());
        self.world.now = self.world.now.after(pass);
        match self.dice.below(100) {
            0..55 => self.fly(),
            55..78 => self.ask(),
            78..82 => self.land_late(),
            82..86 => self.hint(),
            86..90 => self.wake_some(),
            90..95 => self.raise_some(),
            95..97 => self.suspect(),
            97 => self.move_on(),
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
        let fails = self.dice.percent(6) && !self.calm;
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
                if is_of_queue(&flight.call.effect) {
                    self.settle_commands(node, flight.call.id());
                }
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

    /// A node was answered: what it sent to that queue before and gave up
    /// took effect before, or never will.
    fn settle_commands(&mut self, node: usize, id: &RecordId) {
        self.late_commands
            .retain(|(from, key, _)| *from != node || key != id);
    }

    fn land_late(&mut self) {
        if !self.late_commands.is_empty() && self.dice.percent(50) {
            let at = self.dice.below(self.late_commands.len());
            let (_, id, command) = self.late_commands.swap_remove(at);
            self.note(|_| format!("late: {command:?} at {id:?}"));
            self.world.queues.entry(id).or_default().apply(command);
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
        let forced = self
            .world
            .queues
            .get(&id)
            .map(music_core::lock_queue::LockQueue::forced);
        self.step(section, Input::Hint { key, forced });
    }

    pub(crate) fn wake_some(&mut self) {
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
        let node = self.dice.below(NODES);
        self.raise(node);
    }

    pub(crate) fn raise(&mut self, node: usize) {
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
