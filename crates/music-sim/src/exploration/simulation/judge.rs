//! What the oracle is told of: replies, grants, losses, ends.

use music_core::critical_section::{Error, Lost, OpId, Reply, Status};
use music_core::id::RecordId;
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;

use super::{Asked, Simulation};
use crate::exploration::flight::Flight;
use crate::exploration::must;
use crate::oracle::{self, Floors, Guarantee, Seen, judge};

impl Simulation {
    pub(super) fn look_at_end(&mut self, section: usize) {
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
    pub(super) fn hear(&mut self, section: usize) {
        for (op, reply) in std::mem::take(&mut self.world.sections[section].replies) {
            let Some(asked) = self.asked.remove(&(section, op)) else {
                panic!("nobody asked {op:?} of section {section}");
            };
            self.note(|_| format!("section {section} answers {asked:?}: {reply:?}"));
            match (asked, reply) {
                (Asked::Put(put), reply) => self.hear_put(section, put, &reply),
                (Asked::Get { key, grants, own }, Ok(Reply::Record(record))) => {
                    self.hear_get(section, &key, oracle::seen(&record), (grants, own));
                    self.gets += 1;
                }
                (Asked::Release, Ok(Reply::Confirmed)) => self.confirmed += 1,
                (Asked::Get { .. } | Asked::Release, _) => {}
            }
        }
    }

    fn hear_put(&mut self, section: usize, put: usize, reply: &Result<Reply, Error>) {
        let fact = self.oracle.puts[put].clone();
        if let Ok(Reply::Written(stamp)) = reply {
            assert_eq!(Some(*stamp), fact.stamp, "an answer names the put's stamp");
            self.acknowledged += 1;
            self.oracle.puts[put].acknowledged = true;
            let floors = fact.floors();
            self.raise_own(section, &fact.key, floors);
            if fact.settled {
                self.oracle.raise_floors(&fact.key, floors);
            } else {
                let holding = stamp.holding().unwrap();
                let ticket = self.world.queues[&fact.key].ticket(holding.lock_ref);
                let stayed = ticket.is_none_or(|it| it.incarnation == holding.incarnation);
                let elsewhere = self.was_adopted(section);
                must(judge(
                    !self.respects_leases || !stayed || elsewhere,
                    Guarantee::AcknowledgedPut,
                    || format!("acknowledged after its ticket was gone: {fact:?}"),
                ));
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

    fn raise_own(&mut self, section: usize, key: &RecordId, floors: Floors) {
        let own = self.own.entry((section, key.clone())).or_default();
        oracle::raise(own, floors);
    }

    fn hear_get(&mut self, section: usize, key: &RecordId, seen: Seen, began: (usize, Floors)) {
        let Some(holding) = self.holding(section, key) else {
            return;
        };
        must(self.oracle.got(key, holding, seen, began));
        let floors = self.oracle.floors_of(seen);
        self.raise_own(section, key, floors);
        if self.world.queues[key].present(holding) {
            self.oracle.raise_floors(key, floors);
        }
    }

    /// The ticket that a section holds at a key, as it was when it looked.
    fn holding(&self, section: usize, key: &RecordId) -> Option<Holding> {
        let machine = &self.world.sections[section].machine;
        let (_, lock_ref) = machine.lock_refs().find(|(id, _)| *id == key)?;
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

    pub(super) fn look_at_status(&mut self, section: usize) {
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
            .lock_refs()
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
            must(judge(at_head, Guarantee::Exclusion, || {
                format!("{holding:?} of {id:?} is not at the head")
            }));
            let copy = |replica: usize| self.world.replicas[replica].get(&id).cloned();
            let copies = [0, 1, 2].map(|replica| copy(replica).unwrap_or_default());
            let late = self.on_its_way(&id);
            must(self.oracle.granted(&id, holding, &copies.each_ref(), &late));
            let seen = self.oracle.seen_at_grant(&id, holding).unwrap();
            let floors = self.oracle.floors_of(seen);
            self.raise_own(section, &id, floors);
        }
    }

    /// What may yet arrive at the replicas of a key.
    fn on_its_way(&self, key: &RecordId) -> Vec<Record> {
        let of_key = |flight: &&Flight| flight.call.id() == key;
        let flying = self
            .flights
            .iter()
            .filter(of_key)
            .filter_map(Flight::leftover);
        let late = self
            .late
            .iter()
            .filter(|(id, _)| id == key)
            .map(|(_, record)| record.clone());
        flying.chain(late).collect()
    }

    /// A loss has a reason.
    fn look_at_loss(&mut self, section: usize, lost: Lost) {
        self.lost += 1;
        let machine = &self.world.sections[section].machine;
        let terms = machine.terms();
        let tokens: Vec<_> = machine.lock_refs().collect();
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
}
