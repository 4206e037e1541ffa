//! Which entries count: a pure function of what was read.
//!
//! ```text
//!  a/all   1 ── 2 ── 3p ── 4        p: prepared, its commit point is b/all 2
//!  b/all   1 ── 2c                  if b/all 2 is another entry, a/all ends at 2
//! ```
//!
//! # What an owner makes sure of
//! An owner puts an entry's slot of the commit point only when all that comes
//! before the entry, in all its partitions and in those that it only read, is
//! acknowledged; and when all its prepared slots are. An entry of one partition
//! alone may be put before its predecessors there are acknowledged: it names
//! its predecessor, and does not count without it. So may one whose predecessor
//! in each of its partitions is one entry, of the same partitions: whoever reads
//! any of its logs finds that one before it, with its commit point in the same
//! log. (With another commit point, or of more partitions, somebody could find
//! this one whole, and the other one not.)
//!
//! # What follows
//! Let a log be read by its owner, by critical get. An entry counts if and only
//! if its predecessor does, and
//! - it is of one partition, or this is its commit point; or
//! - it is prepared, and its commit point's slot holds it; or a later point of
//!   this log is known to be committed.
//!
//! What counts so is at a majority, and counts for ever: the critical get that
//! saw it has repaired it. What does not count never will: the reader holds the
//! lock, so a put of an earlier owner that lands later loses to what is there
//! (guarantee 4 of MUSIC), and the position is written anew under another
//! token. Hence an entry at a position beyond the end of the chain, left by an
//! owner that is lost, is never taken for a successor: its predecessor's token is
//! another.
//!
//! *The worst failure survived*: an owner dies with many puts under way, any of
//! them landed at any replicas, none acknowledged, in several partitions, and
//! puts of it land after the next owner was granted.
//!
//! # Whole transactions
//! A database applies an entry in all its partitions at once. So the owner of one
//! partition may need entries of another, up to a known point. These are
//! committed, and no lock is needed to read them: the local replica will do where
//! it has all of them, which the chain proves. If not, the reader must own that
//! partition as well.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::partition::Partition;
use crate::redo_log::entry::{Entry, Place, Slot};
use crate::redo_log::point::{Applied, Point, Step};
use crate::redo_log::ring::View;

/// What is known of one partition's log.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// What was read.
    pub(crate) view: View,
    /// Whether by its owner, at a majority; otherwise at one replica.
    pub(crate) is_owned: bool,
    /// Points that are committed, as sites say.
    pub(crate) claims: Vec<Point>,
}

/// What is known of some partitions' logs.
pub(crate) type Readings = BTreeMap<Partition, Reading>;

/// What follows from readings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All that is to be applied, in an order that each log agrees with, and
    /// the end of each owned log.
    Settled {
        entries: Vec<Entry>,
        ends: BTreeMap<Partition, Point>,
    },
    /// It rests on these partitions, too: their local replicas may do.
    Look(BTreeSet<Partition>),
    /// It rests on these partitions, and only their owner can tell.
    Own(BTreeSet<Partition>),
}

/// A log that is not what it must be, or a database that does not fit it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogFault {
    /// The log does not hold any more what the database has still to apply.
    #[error(
        "the database has applied {partition} up to {applied}, and the log does not hold what \
         follows any more: restore the database from a snapshot of another site"
    )]
    Behind {
        /// Whose log.
        partition: Partition,
        /// What the database has applied.
        applied: u64,
    },
    /// The database has applied an entry that is not in the log.
    #[error(
        "the database has applied another entry of {partition} at {position} than the log holds: \
         it is of another history, or was changed by hand; restore it from a snapshot of \
         another site"
    )]
    Forked {
        /// Whose log.
        partition: Partition,
        /// Where.
        position: u64,
    },
    /// An entry that is known to be committed is not in the log.
    #[error(
        "the log of {partition} breaks at {position}, which is known to be committed: something \
         else than mdbc has written its table, or the state was restored from a backup"
    )]
    Gap {
        /// Whose log.
        partition: Partition,
        /// Where.
        position: u64,
    },
    /// A slot holds something else than an entry.
    #[error(
        "the log of {partition} holds no readable entry at {position}: something else than this \
         version of mdbc has written its table"
    )]
    Damaged {
        /// Whose log.
        partition: Partition,
        /// Where.
        position: u64,
    },
    /// The logs of several partitions contradict each other.
    #[error(
        "the entry of {partition} at {position} does not fit the logs of the other partitions \
         that it names: something else than mdbc has written them, or the database"
    )]
    Contradiction {
        /// Whose log.
        partition: Partition,
        /// Where.
        position: u64,
    },
}

/// Decides what the owner of some partitions has to apply.
pub(crate) fn settle(readings: &Readings, applied: &Applied) -> Result<Verdict, LogFault> {
    let mut case = Case::new(readings, applied);
    for (partition, reading) in readings.iter().filter(|(_, reading)| reading.is_owned) {
        case.check(partition, reading)?;
        case.count(partition, reading);
    }
    case.close();
    if !case.own.is_empty() {
        return Ok(Verdict::Own(case.own));
    }
    if !case.look.is_empty() {
        return Ok(Verdict::Look(case.look));
    }
    let ends = case.ends();
    let (entries, left) = case.order()?;
    match left {
        Some(place) => Err(LogFault::Contradiction {
            partition: place.partition,
            position: place.point.position,
        }),
        None => Ok(Verdict::Settled { entries, ends }),
    }
}

/// What of these logs can be applied without owning them: whole transactions
/// that are known to be committed, with all that comes before them.
pub(crate) fn visible(readings: &Readings, applied: &Applied) -> Result<Vec<Entry>, LogFault> {
    let mut case = Case::new(readings, applied);
    for (partition, reading) in readings {
        let from = applied.point(partition);
        let claims: BTreeSet<Point> = all_claims(reading).collect();
        // A local replica may lack entries that a claim covers, but hold enough
        // for an earlier one.
        let mut claims = claims.into_iter().rev();
        let chain = claims.find_map(|claim| reading.view.chain_to(from, claim));
        case.chains
            .insert(partition.clone(), chain.unwrap_or_default());
    }
    Ok(case.order()?.0)
}

/// Whether these claims say that more is committed than is applied.
pub(crate) fn is_behind(claims: &[Point], applied: Point) -> bool {
    claims.iter().any(|claim| claim.position > applied.position)
}

fn all_claims(reading: &Reading) -> impl Iterator<Item = Point> {
    reading.view.claims().chain(reading.claims.iter().copied())
}

/// A decision under way.
struct Case<'a> {
    readings: &'a Readings,
    applied: &'a Applied,
    /// What counts of each log, from what is applied on.
    chains: BTreeMap<Partition, Vec<&'a Slot>>,
    look: BTreeSet<Partition>,
    own: BTreeSet<Partition>,
}

/// Whether a prepared entry counts.
enum Decision {
    Counts,
    Never,
    AskOwnerOf(Partition),
}

impl<'a> Case<'a> {
    fn new(readings: &'a Readings, applied: &'a Applied) -> Self {
        Self {
            readings,
            applied,
            chains: BTreeMap::new(),
            look: BTreeSet::new(),
            own: BTreeSet::new(),
        }
    }

    /// Whether the database fits an owned log, and the log is whole.
    fn check(&self, partition: &Partition, reading: &Reading) -> Result<(), LogFault> {
        let from = self.applied.point(partition);
        let partition = partition.clone();
        let here = reading
            .view
            .slot(from.position)
            .and_then(|slot| slot.head.place());
        if here.is_some_and(|place| place.point != from) {
            let position = from.position;
            return Err(LogFault::Forked {
                partition,
                position,
            });
        }
        let chain = reading.view.chain(from);
        let points = chain.iter().filter_map(|slot| slot.head.place());
        let end = points.clone().next_back().map_or(from, |place| place.point);
        let position = end.position.saturating_add(1);
        if reading.view.is_damaged(position) {
            return Err(LogFault::Damaged {
                partition,
                position,
            });
        }
        let claimed = all_claims(reading).max().unwrap_or_default();
        if claimed.position > end.position {
            let applied = from.position;
            return Err(if chain.is_empty() {
                LogFault::Behind { partition, applied }
            } else {
                LogFault::Gap {
                    partition,
                    position,
                }
            });
        }
        let fork = |place: &&Place| {
            place.point.position == claimed.position && place.point.token != claimed.token
        };
        match points.clone().find(fork) {
            Some(place) => Err(LogFault::Gap {
                partition,
                position: place.point.position,
            }),
            None => Ok(()),
        }
    }

    /// Finds what counts of an owned log.
    fn count(&mut self, partition: &Partition, reading: &'a Reading) {
        let claimed = all_claims(reading).max().unwrap_or_default();
        let mut chain = Vec::new();
        for slot in reading.view.chain(self.applied.point(partition)) {
            let is_claimed = slot
                .head
                .place()
                .is_some_and(|place| place.point.position <= claimed.position);
            if slot.head.is_prepared() && !is_claimed {
                match self.decide(slot) {
                    Decision::Counts => {}
                    Decision::Never => break,
                    Decision::AskOwnerOf(other) => {
                        self.own.insert(other);
                        break;
                    }
                }
            }
            chain.push(slot);
        }
        self.chains.insert(partition.clone(), chain);
    }

    /// Whether the commit point of a prepared entry holds it.
    fn decide(&self, slot: &Slot) -> Decision {
        let Some(commit) = slot.head.commit_point() else {
            return Decision::Never;
        };
        // It would have been applied here at the same time as there.
        if self.applied.point(&commit.partition).position >= commit.point.position {
            return Decision::Never;
        }
        let reading = self.readings.get(&commit.partition);
        let Some(reading) = reading.filter(|reading| reading.is_owned) else {
            return Decision::AskOwnerOf(commit.partition.clone());
        };
        let there = reading.view.slot(commit.point.position);
        match there.and_then(|slot| slot.head.place()) {
            Some(place) if place.point == commit.point => Decision::Counts,
            _ => Decision::Never,
        }
    }

    /// Adds the entries of other partitions that what counts rests on.
    fn close(&mut self) {
        let mut unread: Vec<&'a Slot> = self.chains.values().flatten().copied().collect();
        while let Some(slot) = unread.pop() {
            for (at, place) in slot.head.places.iter().enumerate() {
                let reading = self.readings.get(&place.partition);
                if reading.is_some_and(|reading| reading.is_owned) {
                    continue;
                }
                // The digest is at the commit point.
                let to = if at == 0 { place.point } else { place.before() };
                unread.extend(self.need(place, to));
            }
        }
    }

    /// Adds the entries of a partition up to that point. Returns those that are
    /// new.
    fn need(&mut self, place: &Place, to: Point) -> Vec<&'a Slot> {
        let from = self.applied.point(&place.partition);
        let known = self.chains.get(&place.partition).map_or(0, Vec::len);
        let end = usize::try_from(to.position.saturating_sub(from.position)).unwrap_or(usize::MAX);
        if end <= known {
            return Vec::new();
        }
        let Some(reading) = self.readings.get(&place.partition) else {
            self.look.insert(place.partition.clone());
            return Vec::new();
        };
        let Some(chain) = reading.view.chain_to(from, to) else {
            self.own.insert(place.partition.clone());
            return Vec::new();
        };
        // The pieces of a digest may not have come to this replica yet.
        let lacks_digest =
            |slot: &&&Slot| !slot.head.is_prepared() && reading.view.digest(slot).is_err();
        if chain.iter().any(|slot| lacks_digest(&slot)) {
            self.own.insert(place.partition.clone());
            return Vec::new();
        }
        let new = chain.iter().skip(known).copied().collect();
        self.chains.insert(place.partition.clone(), chain);
        new
    }

    fn ends(&self) -> BTreeMap<Partition, Point> {
        let owned = self.readings.iter().filter(|(_, reading)| reading.is_owned);
        let end = |partition: &Partition| {
            let last = self.chains.get(partition).and_then(|chain| chain.last());
            let place = last.and_then(|slot| slot.head.place());
            place.map_or(self.applied.point(partition), |place| place.point)
        };
        owned
            .map(|(partition, _)| (partition.clone(), end(partition)))
            .collect()
    }

    /// The entries in an order that each log agrees with, as far as there is
    /// one; and a place where it ends before the logs do.
    fn order(&self) -> Result<(Vec<Entry>, Option<Place>), LogFault> {
        let mut lanes: Vec<_> = self
            .chains
            .values()
            .map(|chain| chain.iter().peekable())
            .collect();
        let mut applied = self.applied.clone();
        let mut entries = Vec::new();
        loop {
            let before = entries.len();
            for lane in &mut lanes {
                while let Some(slot) = lane.peek() {
                    let Some(entry) = self.entry(slot)? else {
                        break;
                    };
                    match applied.step(&entry) {
                        Step::Next => {
                            applied.advance(&entry);
                            entries.push(entry);
                        }
                        // By way of another of its partitions.
                        Step::Done => {}
                        Step::Gap => break,
                    }
                    lane.next();
                }
            }
            if entries.len() == before {
                break;
            }
        }
        let left = lanes.iter_mut().find_map(|lane| lane.peek().copied());
        Ok((entries, left.and_then(|slot| slot.head.place()).cloned()))
    }

    /// The entry of a slot, where its digest is known.
    fn entry(&self, slot: &Slot) -> Result<Option<Entry>, LogFault> {
        let Some(commit) = slot.head.commit_point() else {
            return Ok(None);
        };
        let Some(digest) = self.digest(commit)? else {
            return Ok(None);
        };
        Ok(Some(Entry {
            places: slot.head.places.clone(),
            digest,
        }))
    }

    fn digest(&self, commit: &Place) -> Result<Option<Bytes>, LogFault> {
        let Some(reading) = self.readings.get(&commit.partition) else {
            return Ok(None);
        };
        let slot = reading.view.slot(commit.point.position);
        let is_it = |slot: &&Slot| {
            slot.head
                .place()
                .is_some_and(|place| place.point == commit.point)
        };
        let Some(slot) = slot.filter(is_it) else {
            return Ok(None);
        };
        match reading.view.digest(slot) {
            Ok(digest) => Ok(Some(digest)),
            // Pieces may not have come to this replica yet.
            Err(_) if !reading.is_owned => Ok(None),
            Err(_) => Err(LogFault::Damaged {
                partition: commit.partition.clone(),
                position: commit.point.position,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
