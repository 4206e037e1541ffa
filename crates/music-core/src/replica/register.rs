//! A replica's record of one key, and the majority read that repairs it.
//!
//! A replica keeps one [`Record`] a key and merges every write into it. A
//! majority write is answered when a majority merged it ([`Tally`] counts);
//! a majority read is [`MajorityRead`]:
//!
//! ```text
//!   read ──► A  B  C        A, B answered: merge their copies.
//!        ◄── a  b           a = b: a majority holds it, done in one round.
//!   merge(a, b) ──► B  C    a ≠ b: whoever lacks something gets all of it;
//!            ok ◄── B       done when those who hold it are a majority.
//! ```
//!
//! Invariant: what a read returns is at a majority before it is returned,
//! all fields of the key, so no later read returns less. The worst failure
//! survived: a put that reached one replica, was seen by one read, and whose
//! writer and replica are gone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::id::ReplicaId;
use crate::mutation::{self, Mutation};
use crate::quorum::Tally;
use crate::record::Record;

/// A majority read of one record under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MajorityRead {
    replicas: u8,
    copies: BTreeMap<ReplicaId, Record>,
    answered: Tally,
    repairing: Option<Repair>,
}

/// The second round: what is being made known to a majority.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Repair {
    record: Record,
    holders: Tally,
}

/// What a [`MajorityRead`] asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// More answers.
    Wait,
    /// A write of `record` to each of `lacking`; their acknowledgements go to
    /// [`MajorityRead::repaired`].
    Repair {
        /// All that the copies of a majority know together.
        record: Record,
        /// Who is not known to hold that.
        lacking: Vec<ReplicaId>,
    },
    /// The answer.
    Done(Record),
}

impl MajorityRead {
    /// Begins: ask each of `replicas` (numbered from 0) for its copy.
    pub fn new(replicas: u8) -> Self {
        Self {
            replicas,
            copies: BTreeMap::new(),
            answered: Tally::new(usize::from(replicas)),
            repairing: None,
        }
    }

    /// Takes in a replica's copy.
    pub fn answered(&mut self, from: ReplicaId, copy: Record) -> ReadStep {
        if let Some(repair) = &mut self.repairing {
            // A late answer may show that a repair is not needed any more.
            if copy == repair.record {
                repair.holders.answer(from);
            }
            return repair.step();
        }
        self.copies.insert(from, copy);
        self.answered.answer(from);
        if self.answered.is_majority() {
            self.compare()
        } else {
            ReadStep::Wait
        }
    }

    fn compare(&mut self) -> ReadStep {
        let mut record = Record::empty();
        for copy in self.copies.values() {
            record.merge(copy);
        }
        let mut holders = Tally::new(usize::from(self.replicas));
        let mut lacking = Vec::new();
        for replica in (0..self.replicas).map(ReplicaId) {
            if self.copies.get(&replica) == Some(&record) {
                holders.answer(replica);
            } else {
                lacking.push(replica);
            }
        }
        self.copies.clear();
        if mutation::is_on(Mutation::ReadWithoutRepair) {
            return ReadStep::Done(record);
        }
        let repair = self.repairing.insert(Repair { record, holders });
        match repair.step() {
            ReadStep::Done(record) => ReadStep::Done(record),
            ReadStep::Wait | ReadStep::Repair { .. } => ReadStep::Repair {
                record: repair.sent(),
                lacking,
            },
        }
    }

    /// Takes in that a replica merged the repair.
    pub fn repaired(&mut self, from: ReplicaId) -> ReadStep {
        let Some(repair) = &mut self.repairing else {
            return ReadStep::Wait;
        };
        repair.holders.answer(from);
        repair.step()
    }
}

impl Repair {
    /// What those get who lack something: all of it.
    fn sent(&self) -> Record {
        if mutation::is_on(Mutation::RepairOneField) {
            let cells = self.record.cells().take(1);
            let cells = cells.map(|(field, cell)| (field.clone(), cell.clone()));
            return Record::from_cells(self.record.deleted(), cells);
        }
        self.record.clone()
    }

    fn step(&self) -> ReadStep {
        if self.holders.is_majority() {
            ReadStep::Done(self.record.clone())
        } else {
            ReadStep::Wait
        }
    }
}
