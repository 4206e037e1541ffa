//! What the judge of a scenario is told: replies and grants.

use std::sync::Arc;

use music_core::critical_section::{Error, OpId, Reply};
use music_core::lock_ref::Holding;
use music_core::record::Record;

use super::sections::Sections;
use super::state::{Asked, State};
use crate::oracle::{self, Floors, Guarantee, Verdict, judge};

impl Sections {
    /// Takes in the answer to a client's operation.
    pub(super) fn hear(
        &self,
        state: &mut State,
        at: usize,
        op: OpId,
        reply: &Result<Reply, Error>,
    ) -> Verdict {
        let asked = &mut state.sections[at].asked;
        let Some(place) = asked.iter().position(|(other, _)| *other == op) else {
            return Ok(());
        };
        match (asked.remove(place).1, reply) {
            (Asked::Put(put), Ok(_)) => self.hear_written(state, at, put),
            (Asked::Put(put), Err(Error::Unknown)) => {
                state.sections[at].unknown.push(put);
                Ok(())
            }
            (Asked::Get { grants, own }, Ok(Reply::Record(record))) => {
                self.hear_record(state, at, record, (grants, own))
            }
            (Asked::Release, Ok(Reply::Confirmed)) => confirmed(state, at),
            (Asked::Put(_) | Asked::Get { .. } | Asked::Release, _) => Ok(()),
        }
    }

    fn hear_written(&self, state: &mut State, at: usize, put: usize) -> Verdict {
        let oracle = Arc::make_mut(&mut state.oracle);
        oracle.puts[put].acknowledged = true;
        let fact = oracle.puts[put].clone();
        oracle::raise(&mut state.sections[at].own, fact.floors());
        if fact.settled {
            oracle.raise_floors(&self.key, fact.floors());
            return Ok(());
        }
        // A client that has moved on asks elsewhere what became of its puts.
        let fine = !self.scenario.respects_leases || state.sections[at].moved;
        judge(fine, Guarantee::AcknowledgedPut, || {
            format!("put {put} was acknowledged after its ticket was gone")
        })
    }

    fn hear_record(
        &self,
        state: &mut State,
        at: usize,
        record: &Record,
        began: (usize, Floors),
    ) -> Verdict {
        let seen = oracle::seen(record);
        let holding = self.held(state, at);
        state.oracle.got(&self.key, holding, seen, began)?;
        let floors = state.oracle.floors_of(seen);
        oracle::raise(&mut state.sections[at].own, floors);
        if state.queue.present(holding) {
            Arc::make_mut(&mut state.oracle).raise_floors(&self.key, floors);
        }
        Ok(())
    }

    /// A section is granted; where its ticket is gone, or another's by now,
    /// it is preempted and does not know.
    pub(super) fn look_at_grant(&self, state: &mut State, at: usize) -> Verdict {
        let token = state.sections[at].token;
        let ticket = state.queue.ticket(token);
        let Some(ticket) = ticket.filter(|ticket| ticket.owner == self.session(at)) else {
            return Ok(());
        };
        let holding = Holding {
            lock_ref: token,
            incarnation: ticket.incarnation,
        };
        judge(state.queue.is_at_head(token), Guarantee::Exclusion, || {
            format!("{holding:?} is granted and not at the head")
        })?;
        let [one, two, three] = &state.replicas;
        let flying = state.flights.iter().filter_map(|flight| flight.change());
        let late = state.late.iter().map(|late| &*late.change).chain(flying);
        let oracle = Arc::make_mut(&mut state.oracle);
        oracle.granted(&self.key, holding, &[one, two, three], late)?;
        let seen = oracle.seen_at_grant(&self.key, holding).unwrap_or_default();
        let floors = oracle.floors_of(seen);
        oracle::raise(&mut state.sections[at].own, floors);
        Ok(())
    }

    /// The ticket that a section holds, or held.
    fn held(&self, state: &State, at: usize) -> Holding {
        let lock_ref = state.sections[at].token;
        let ticket = state.queue.ticket(lock_ref);
        let own = ticket.filter(|ticket| ticket.owner == self.session(at));
        Holding {
            lock_ref,
            incarnation: own.map(|ticket| ticket.incarnation).unwrap_or_default(),
        }
    }
}

/// Its puts count: each that was acknowledged, while its ticket was there.
fn confirmed(state: &mut State, at: usize) -> Verdict {
    state.sections[at].confirmed = true;
    let puts = state.sections[at].puts.iter();
    let lost = puts.copied().find(|put| {
        let fact = &state.oracle.puts[*put];
        fact.acknowledged && !fact.settled
    });
    judge(lost.is_none(), Guarantee::Confirmation, || {
        format!("put {lost:?} of a confirmed section came after its ticket")
    })
}
