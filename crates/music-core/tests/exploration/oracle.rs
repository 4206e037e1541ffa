//! Judges a history by the guarantees of PROTOCOL.md.
//!
//! Every put writes values of its own, so that an observed value names the
//! put it comes from, whoever wrote it back since.

use std::collections::BTreeMap;

use bytes::Bytes;
use music_core::critical_section::Change;
use music_core::id::RecordId;
use music_core::lock_ref::Holding;
use music_core::record::Record;
use music_core::stamp::Stamp;

use crate::common::field;

/// The fields of every key.
pub(crate) const FIELDS: [&str; 2] = ["x", "y"];

/// What is seen of a record: for each of [`FIELDS`] the put it comes from.
pub(crate) type Seen = [Option<usize>; 2];

/// A put, as its client issued it.
#[derive(Clone, Debug)]
pub(crate) struct PutFact {
    pub(crate) key: RecordId,
    pub(crate) stamp: Stamp,
    /// For each field: untouched, deleted (`Some(false)`), or written.
    pub(crate) touches: [Option<bool>; 2],
    /// A majority had it while its ticket was in the queue.
    pub(crate) settled: bool,
    pub(crate) acknowledged: bool,
}

/// A grant while the ticket was in the queue.
#[derive(Clone, Debug)]
struct Grant {
    holding: Holding,
    seen: Seen,
}

/// What is known to have happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) puts: Vec<PutFact>,
    grants: BTreeMap<RecordId, Vec<Grant>>,
    /// The newest put of each field that nobody may miss any more.
    floors: BTreeMap<RecordId, [Option<Stamp>; 2]>,
    writes: BTreeMap<(RecordId, Stamp), Record>,
    pub(crate) gets: usize,
    pub(crate) acknowledged: usize,
}

impl Oracle {
    /// The change of put number `number`, by which fields it touches.
    pub(crate) fn change(number: usize, touches: [Option<bool>; 2]) -> Change {
        if touches == [Some(false); 2] {
            return Change::Delete;
        }
        let fields = FIELDS.iter().zip(touches).filter_map(|(name, touch)| {
            let value = touch?.then(|| Bytes::from(number.to_string()));
            Some((field(name), value))
        });
        Change::Fields(fields.collect())
    }

    /// Which puts a record shows.
    pub(crate) fn seen(record: &Record) -> Seen {
        FIELDS.map(|name| {
            let value = record.value(&field(name))?;
            std::str::from_utf8(value).unwrap().parse().ok()
        })
    }

    /// Two different writes never carry one stamp.
    pub(crate) fn wrote(&mut self, key: &RecordId, change: &Record) {
        let stamp = change.stamp_max().unwrap();
        let before = self
            .writes
            .entry((key.clone(), stamp))
            .or_insert_with(|| change.clone());
        assert_eq!(before, change, "two writes under {stamp:?}");
    }

    /// The put with that stamp.
    pub(crate) fn put_at(&mut self, key: &RecordId, stamp: Stamp) -> Option<&mut PutFact> {
        self.puts
            .iter_mut()
            .find(|put| put.stamp == stamp && put.key == *key)
    }

    /// Whether what is seen of a field is not older than `floor`.
    fn reaches(&self, key: &RecordId, at: usize, seen: Option<usize>, floor: Stamp) -> bool {
        match seen {
            Some(put) => self.puts[put].stamp >= floor,
            None => self
                .puts
                .iter()
                .any(|put| put.key == *key && put.touches[at] == Some(false) && put.stamp >= floor),
        }
    }

    fn check_floors(&self, key: &RecordId, seen: Seen, floors: [Option<Stamp>; 2], why: &str) {
        for at in 0..2 {
            let Some(floor) = floors[at] else { continue };
            let reaches = self.reaches(key, at, seen[at], floor);
            assert!(
                reaches,
                "{why}: {key:?} {} shows {:?}, below {floor:?}",
                FIELDS[at], seen[at]
            );
        }
    }

    /// The floors that an observation sets.
    pub(crate) fn floors_of(&self, seen: Seen) -> [Option<Stamp>; 2] {
        seen.map(|put| Some(self.puts[put?].stamp))
    }

    /// The floors that a put sets.
    pub(crate) fn floors_of_put(put: &PutFact) -> [Option<Stamp>; 2] {
        put.touches.map(|touch| touch.map(|_| put.stamp))
    }

    /// What is the value of a key, by the copies of a majority, is the same
    /// by those of any other, and is the latest state; and nothing changes it
    /// that is on its way.
    pub(crate) fn granted(
        &mut self,
        key: &RecordId,
        holding: Holding,
        copies: &[Record],
        late: &[Record],
    ) {
        let majorities = [(0, 1), (1, 2), (0, 2)].map(|(one, other)| {
            let mut merged = copies[one].clone();
            merged.merge(&copies[other]);
            Self::seen(&merged)
        });
        let [seen, others @ ..] = majorities;
        assert_eq!(
            others, [seen; 2],
            "guarantee 2: majorities differ at the grant {holding:?}"
        );
        for late in late {
            let mut merged = copies[0].clone();
            for copy in copies[1..].iter().chain([late]) {
                merged.merge(copy);
            }
            let after = Self::seen(&merged);
            assert_eq!(
                after, seen,
                "guarantee 4: {late:?} may land after {holding:?} is granted"
            );
        }
        let floors = self.floors.get(key).copied().unwrap_or_default();
        self.check_floors(key, seen, floors, "guarantee 2");
        self.grants
            .entry(key.clone())
            .or_default()
            .push(Grant { holding, seen });
    }

    /// How many grants there were at a key so far.
    pub(crate) fn grants_at(&self, key: &RecordId) -> usize {
        self.grants.get(key).map_or(0, Vec::len)
    }

    /// What the holder saw when it was granted.
    pub(crate) fn seen_at_grant(&self, key: &RecordId, holding: Holding) -> Option<Seen> {
        let grants = self.grants.get(key)?;
        grants
            .iter()
            .rfind(|grant| grant.holding <= holding)
            .map(|grant| grant.seen)
    }

    /// From now on nobody may see less.
    pub(crate) fn raise_floors(&mut self, key: &RecordId, floors: [Option<Stamp>; 2]) {
        let known = self.floors.entry(key.clone()).or_default();
        for at in 0..2 {
            known[at] = known[at].max(floors[at]);
        }
    }

    /// A get of `holding` that began when `own` were its own floors and
    /// `grants` grants had happened.
    pub(crate) fn got(
        &mut self,
        key: &RecordId,
        holding: Holding,
        seen: Seen,
        began: (usize, [Option<Stamp>; 2]),
    ) {
        let (grants, own) = began;
        self.gets += 1;
        self.check_floors(key, seen, own, "guarantee 3");
        self.check_atomic(key, seen);
        let before = self.grants.get(key).into_iter().flatten().take(grants);
        for grant in before.filter(|grant| grant.holding <= holding) {
            for at in 0..2 {
                let fine = self.is_included(key, at, seen[at], grant);
                assert!(
                    fine,
                    "guarantee 4: {} {:?} after {grant:?}",
                    FIELDS[at], seen[at]
                );
            }
        }
    }

    fn is_included(&self, key: &RecordId, at: usize, seen: Option<usize>, grant: &Grant) -> bool {
        let since = |put: &PutFact| put.stamp.holding() >= Some(grant.holding);
        seen == grant.seen[at]
            || match seen {
                Some(put) => since(&self.puts[put]),
                None => self
                    .puts
                    .iter()
                    .any(|put| put.key == *key && put.touches[at] == Some(false) && since(put)),
            }
    }

    /// Fields put together are seen together.
    fn check_atomic(&self, key: &RecordId, seen: Seen) {
        for put in seen.into_iter().flatten() {
            let put = &self.puts[put];
            self.check_floors(key, seen, Self::floors_of_put(put), "atomicity");
        }
    }
}
