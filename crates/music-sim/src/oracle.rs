//! Judges what sections did by the guarantees of PROTOCOL.md.
//!
//! It knows more than any client: the queues, the copies, and what is still
//! on its way. Every put writes values of its own, so that an observed value
//! names the put it comes from, whoever wrote it back since.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use music_core::critical_section::Change;
use music_core::id::{Field, RecordId};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use music_core::stamp::Stamp;

/// The fields of every key.
pub const FIELDS: [&str; 2] = ["x", "y"];

/// What is seen of a record: for each of [`FIELDS`] the put it comes from.
pub type Seen = [Option<usize>; 2];

/// The newest write of each field that somebody may not miss any more.
pub type Floors = [Option<Stamp>; 2];

/// What a put does to each of [`FIELDS`]: nothing, deletes it (`Some(false)`),
/// or writes it.
pub type Touches = [Option<bool>; 2];

/// What PROTOCOL.md promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guarantee {
    /// At most one exclusive lockRef heads a queue (1).
    Exclusion,
    /// A grant shows the last acknowledged put, and a majority holds it (2).
    LatestState,
    /// A section reads as from one copy (3).
    SequentialConsistency,
    /// Nothing of a preempted holder is observed after a later grant (4).
    PreemptedHolder,
    /// What is acknowledged while leases are respected is never lost.
    AcknowledgedPut,
    /// Fields put together are seen together.
    Atomicity,
    /// A put keeps its stamp, and no two writes share one.
    Stamps,
    /// A confirmed section counts as a whole.
    Confirmation,
    /// A lock store's answers have an order that explains them.
    Linearizability,
    /// A lease is over before anybody suspects its owner.
    Leases,
    /// Everything comes to rest, and nothing is left in a queue (6).
    Liveness,
}

impl Guarantee {
    /// A name for reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exclusion => "1 exclusion",
            Self::LatestState => "2 latest state",
            Self::SequentialConsistency => "3 sequential consistency",
            Self::PreemptedHolder => "4 a preempted holder cannot corrupt",
            Self::AcknowledgedPut => "an acknowledged put is not lost",
            Self::Atomicity => "fields put together are atomic",
            Self::Stamps => "a put keeps its stamp, of its own",
            Self::Confirmation => "a confirmed section counts",
            Self::Linearizability => "the lock store is linearizable",
            Self::Leases => "a lease ends before suspicion",
            Self::Liveness => "6 liveness",
        }
    }
}

/// A guarantee that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}: {detail}", .guarantee.name())]
pub struct Broken {
    /// Which.
    pub guarantee: Guarantee,
    /// What was seen instead.
    pub detail: String,
}

/// Whether the guarantees held.
pub type Verdict = Result<(), Broken>;

/// Judges a condition; the detail is made only where it does not hold.
///
/// # Errors
/// The guarantee, where `holds` is false.
pub fn judge(holds: bool, guarantee: Guarantee, detail: impl FnOnce() -> String) -> Verdict {
    if holds {
        return Ok(());
    }
    let detail = detail();
    Err(Broken { guarantee, detail })
}

/// A put, as its client issued it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PutFact {
    /// The key.
    pub key: RecordId,
    /// The stamp of its first write; `None` before that.
    pub stamp: Option<Stamp>,
    /// What it changes.
    pub touches: Touches,
    /// A majority had it while its ticket was in the queue.
    pub settled: bool,
    /// Its client was told that it is written.
    pub acknowledged: bool,
}

impl PutFact {
    /// The floors that it sets.
    pub fn floors(&self) -> Floors {
        self.touches.map(|touch| touch.and(self.stamp))
    }

    fn deletes(&self, key: &RecordId, at: usize) -> bool {
        self.key == *key && self.touches.get(at) == Some(&Some(false))
    }
}

/// A grant while the ticket was in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Grant {
    holding: Holding,
    seen: Seen,
}

/// What is known to have happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Oracle {
    /// The puts, each under its number.
    pub puts: Vec<PutFact>,
    grants: BTreeMap<RecordId, Vec<Grant>>,
    /// The newest put of each field that nobody may miss any more.
    floors: BTreeMap<RecordId, Floors>,
    writes: BTreeMap<(RecordId, Stamp), Record>,
}

/// The field of that name.
fn field(name: &str) -> Field {
    Field::new(name).unwrap_or_default()
}

/// The change of put number `number`, by which fields it touches.
pub fn change(number: usize, touches: Touches) -> Change {
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
pub fn seen(record: &Record) -> Seen {
    FIELDS.map(|name| {
        let value = record.value(&field(name))?;
        std::str::from_utf8(value).ok()?.parse().ok()
    })
}

/// For each field the higher floor.
pub fn raise(floors: &mut Floors, by: Floors) {
    for (floor, by) in floors.iter_mut().zip(by) {
        *floor = (*floor).max(by);
    }
}

impl Oracle {
    /// A write goes out.
    ///
    /// # Errors
    /// Where another write carries its stamp.
    pub fn wrote(&mut self, key: &RecordId, change: &Record) -> Verdict {
        let Some(stamp) = change.stamp_max() else {
            return Ok(());
        };
        let before = self
            .writes
            .entry((key.clone(), stamp))
            .or_insert_with(|| change.clone());
        judge(before == change, Guarantee::Stamps, || {
            format!("two writes under {stamp:?}: {before:?} and {change:?}")
        })
    }

    /// A put's write goes out.
    ///
    /// # Errors
    /// Where it went out under another stamp before.
    pub fn issued(&mut self, put: usize, stamp: Option<Stamp>) -> Verdict {
        let Some(fact) = self.puts.get_mut(put) else {
            return Ok(());
        };
        fact.stamp = fact.stamp.or(stamp);
        let first = fact.stamp;
        judge(first == stamp, Guarantee::Stamps, || {
            format!("put {put} took {first:?}, and then {stamp:?}")
        })
    }

    /// The put with that stamp.
    pub fn put_at(&mut self, key: &RecordId, stamp: Stamp) -> Option<&mut PutFact> {
        self.puts
            .iter_mut()
            .find(|put| put.stamp == Some(stamp) && put.key == *key)
    }

    fn stamp_of(&self, put: usize) -> Option<Stamp> {
        self.puts.get(put)?.stamp
    }

    /// Whether what is seen of a field is not older than `floor`.
    fn reaches(&self, key: &RecordId, at: usize, seen: Option<usize>, floor: Stamp) -> bool {
        match seen {
            Some(put) => self.stamp_of(put) >= Some(floor),
            None => self
                .puts
                .iter()
                .any(|put| put.deletes(key, at) && put.stamp >= Some(floor)),
        }
    }

    fn check_floors(
        &self,
        key: &RecordId,
        seen: Seen,
        floors: Floors,
        guarantee: Guarantee,
    ) -> Verdict {
        for (at, (seen, floor)) in seen.into_iter().zip(floors).enumerate() {
            let Some(floor) = floor else { continue };
            judge(self.reaches(key, at, seen, floor), guarantee, || {
                format!("field {at} shows put {seen:?}, below {floor:?}")
            })?;
        }
        Ok(())
    }

    /// The floors that an observation sets.
    pub fn floors_of(&self, seen: Seen) -> Floors {
        seen.map(|put| self.stamp_of(put?))
    }

    /// A ticket is granted that is in the queue still. What is the value of a
    /// key, by the copies of a majority, is the same by those of any other,
    /// and is the latest state; and nothing changes it that is on its way.
    ///
    /// # Errors
    /// Guarantees 2 and 4, where they do not hold.
    pub fn granted<'a>(
        &mut self,
        key: &RecordId,
        holding: Holding,
        copies: &[&Record; 3],
        late: impl IntoIterator<Item = &'a Record>,
    ) -> Verdict {
        let [one, two, three] = *copies;
        let merge = |records: &[&Record]| {
            let mut merged = Record::empty();
            for record in records {
                merged.merge(record);
            }
            merged
        };
        let majorities = [[one, two], [two, three], [one, three]];
        let [shown, others @ ..] = majorities.map(|pair| seen(&merge(&pair)));
        judge(others == [shown; 2], Guarantee::LatestState, || {
            format!("majorities differ at the grant {holding:?}: {shown:?} {others:?}")
        })?;
        for late in late {
            let after = seen(&merge(&[one, two, three, late]));
            judge(after == shown, Guarantee::PreemptedHolder, || {
                format!("{late:?} may land after {holding:?} is granted")
            })?;
        }
        let floors = self.floors.get(key).copied().unwrap_or_default();
        self.check_floors(key, shown, floors, Guarantee::LatestState)?;
        let grants = self.grants.entry(key.clone()).or_default();
        grants.push(Grant {
            holding,
            seen: shown,
        });
        Ok(())
    }

    /// How many grants there were at a key so far.
    pub fn grants_at(&self, key: &RecordId) -> usize {
        self.grants.get(key).map_or(0, Vec::len)
    }

    /// What the holder saw when it was granted.
    pub fn seen_at_grant(&self, key: &RecordId, holding: Holding) -> Option<Seen> {
        let grants = self.grants.get(key)?;
        grants
            .iter()
            .rfind(|grant| grant.holding <= holding)
            .map(|grant| grant.seen)
    }

    /// From now on nobody may see less.
    pub fn raise_floors(&mut self, key: &RecordId, floors: Floors) {
        raise(self.floors.entry(key.clone()).or_default(), floors);
    }

    /// A get of `holding` is answered that began when `own` were its own
    /// floors and `grants` grants had happened.
    ///
    /// # Errors
    /// Guarantees 3 and 4, and that fields put together are seen together.
    pub fn got(
        &self,
        key: &RecordId,
        holding: Holding,
        seen: Seen,
        began: (usize, Floors),
    ) -> Verdict {
        let (grants, own) = began;
        self.check_floors(key, seen, own, Guarantee::SequentialConsistency)?;
        self.check_atomic(key, seen)?;
        let before = self.grants.get(key).into_iter().flatten().take(grants);
        for grant in before.filter(|grant| grant.holding <= holding) {
            for (at, seen) in seen.into_iter().enumerate() {
                let fine = self.is_included(key, at, seen, grant);
                judge(fine, Guarantee::PreemptedHolder, || {
                    format!("{holding:?} got put {seen:?} in field {at} after {grant:?}")
                })?;
            }
        }
        Ok(())
    }

    fn is_included(&self, key: &RecordId, at: usize, seen: Option<usize>, grant: &Grant) -> bool {
        let since = |put: &PutFact| put.stamp.and_then(Stamp::holding) >= Some(grant.holding);
        Some(&seen) == grant.seen.get(at)
            || match seen {
                Some(put) => self.puts.get(put).is_some_and(since),
                None => self
                    .puts
                    .iter()
                    .any(|put| put.deletes(key, at) && since(put)),
            }
    }

    /// Fields put together are seen together.
    fn check_atomic(&self, key: &RecordId, seen: Seen) -> Verdict {
        for put in seen.into_iter().flatten() {
            let floors = self.puts.get(put).map(PutFact::floors).unwrap_or_default();
            self.check_floors(key, seen, floors, Guarantee::Atomicity)?;
        }
        Ok(())
    }
}

impl fmt::Display for Guarantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
