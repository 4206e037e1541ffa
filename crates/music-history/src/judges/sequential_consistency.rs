//! Sequential consistency inside a section, over all fields of a key.
//!
//! Demanded of each get, and of each field that it shows or not:
//!
//! - a value comes from a put of that field that had begun, and that was not
//!   said to have no effect;
//! - no own put is missed that was acknowledged before the get began;
//! - it does not go back behind the section's get before it;
//! - with a field of a put come the others of the same put, or newer ones.
//!
//! Not demanded: that an own put stays which is not acknowledged, once a later
//! section may have been granted. The guarantee is a holder's; what a preempted
//! one has read of its own may vanish when the next holder synchronises.

use std::collections::BTreeMap;

use super::{Judge, Place, Seen, Verdict};
use crate::index::{Get, History, Key, Moment, Put, Section};
use crate::sight::{Source, reaches, sources};
use crate::{OpId, SectionId};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "a holder's critical gets and puts behave as on one copy: a get returns \
    its own last put, else the value of (2), and never goes back, over all fields of the key.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "sequential_consistency",
    guarantee: 3,
    sentence: SENTENCE,
    judge,
};

/// How sequential consistency was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Nobody can have written the value.
    #[error("section {section} reads {place} and sees put {seen}, which cannot have written it")]
    Unwritten {
        /// Which section reads.
        section: SectionId,
        /// What it reads.
        place: Place,
        /// Where the value says it comes from.
        seen: OpId,
    },
    /// An own put is not seen.
    #[error("section {section} reads {place} and sees {seen}, older than its own put {missed}")]
    OwnPutMissed {
        /// Which section reads.
        section: SectionId,
        /// What it reads.
        place: Place,
        /// What it sees.
        seen: Seen,
        /// What it should see at least.
        missed: OpId,
    },
    /// A get sees less than the one before it.
    #[error("section {section} reads {place} and sees {seen}, older than {before} before")]
    WentBack {
        /// Which section reads.
        section: SectionId,
        /// What it reads.
        place: Place,
        /// What it sees.
        seen: Seen,
        /// What it saw before.
        before: Seen,
    },
    /// A get sees a part of a put.
    #[error("section {section} sees put {put}, but at {place} {seen}, which is older")]
    Torn {
        /// Which section reads.
        section: SectionId,
        /// The put that it sees in another field.
        put: OpId,
        /// Where it is missing.
        place: Place,
        /// What it sees there.
        seen: Seen,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for (name, key) in &history.keys {
        let mut readers = BTreeMap::<SectionId, Reader<'_>>::new();
        for get in &key.gets {
            let Some(section) = history.sections.get(&get.section) else {
                continue;
            };
            verdict.checked += 1;
            let reader = readers.entry(get.section).or_insert_with(|| Reader {
                history,
                key: (name, key),
                section,
                own: own(history, key, section.id),
                sights: BTreeMap::new(),
            });
            for field in &key.fields {
                reader.read(get, field, &mut verdict);
            }
            torn(name, key, get, &mut verdict);
        }
    }
    verdict
}

/// The own puts of a section that it must not miss.
fn own<'h>(history: &History, key: &'h Key, section: SectionId) -> Vec<(Moment, &'h Put)> {
    let own = key.puts.values().filter(|put| put.section == section);
    own.filter(|put| history.is_firm(put))
        .filter_map(|put| Some((put.acknowledged()?.0, put)))
        .collect()
}

/// What a section saw of a field by its last get.
struct Sight<'h> {
    get: &'h Get,
    sources: Vec<Source<'h>>,
}

/// A section that reads a key.
struct Reader<'h> {
    history: &'h History,
    key: (&'h str, &'h Key),
    section: &'h Section,
    own: Vec<(Moment, &'h Put)>,
    /// What it saw of each field.
    sights: BTreeMap<&'h str, Sight<'h>>,
}

impl<'h> Reader<'h> {
    fn read(&mut self, get: &'h Get, field: &'h str, verdict: &mut Verdict) {
        let (name, key) = self.key;
        let (section, place) = (get.section, Place::new(name, field));
        let seen = Seen(get.seen.get(field).copied());
        let moments = [get.begun, get.ended];
        let Some(sources) = sources(key, get, field) else {
            if let Some(seen) = seen.0 {
                verdict.found(
                    Breach::Unwritten {
                        section,
                        place,
                        seen,
                    },
                    moments,
                );
            }
            return;
        };
        let missed = self.own.iter().find(|(at, put)| {
            *at < get.begun && put.touch(field).is_some() && !reaches(&sources, put)
        });
        if let Some((at, missed)) = missed {
            let breach = Breach::OwnPutMissed {
                section,
                place,
                seen,
                missed: missed.op,
            };
            verdict.found(breach, [*at, get.begun, get.ended]);
            return;
        }
        let kept = match self.sights.get(field) {
            Some(sight) if sight.get.ended < get.begun => {
                let kept = self.not_older(&sources, sight, get.ended);
                if kept.is_empty() {
                    let before = Seen(sight.get.seen.get(field).copied());
                    let breach = Breach::WentBack {
                        section,
                        place,
                        seen,
                        before,
                    };
                    verdict.found(breach, [sight.get.ended, get.begun, get.ended]);
                }
                kept
            }
            _ => Vec::new(),
        };
        // What went back is not held against the gets after it once more.
        let sources = if kept.is_empty() { sources } else { kept };
        self.sights.insert(field, Sight { get, sources });
    }

    /// The sources of a sight that do not go back behind an earlier one.
    fn not_older(
        &self,
        sources: &[Source<'h>],
        earlier: &Sight<'h>,
        by: Moment,
    ) -> Vec<Source<'h>> {
        let binds = |earlier: &Source<'h>| match earlier {
            Source::Put(put) if self.stays(put, by) => Some(*put),
            Source::Put(_) | Source::Never => None,
        };
        // Only where each of the earlier ones binds is anything excluded.
        let bound: Option<Vec<&Put>> = earlier.sources.iter().map(binds).collect();
        let Some(bound) = bound else {
            return sources.to_vec();
        };
        let follows =
            |source: &&Source<'h>| bound.iter().any(|earlier| !source.is_older_than(earlier));
        sources.iter().filter(follows).copied().collect()
    }

    /// Whether a put that this section saw cannot vanish before a moment: it
    /// is acknowledged, was there at the grant, or nobody can have been granted
    /// since who did not find it.
    fn stays(&self, put: &Put, by: Moment) -> bool {
        let (name, _) = self.key;
        let Some(token) = self.section.token(name) else {
            return false;
        };
        let history = self.history;
        put.token < token
            || history.is_firm(put)
            || !history.may_be_superseded(self.section, name, by)
    }
}

/// Fields put together are seen together.
fn torn(name: &str, key: &Key, get: &Get, verdict: &mut Verdict) {
    let mut seen: Vec<&Put> = get
        .seen
        .values()
        .filter_map(|op| key.puts.get(op))
        .collect();
    seen.sort_by_key(|put| put.op);
    seen.dedup_by_key(|put| put.op);
    for put in seen {
        for field in put.fields.keys() {
            let sources = sources(key, get, field);
            if sources.is_some_and(|sources| !reaches(&sources, put)) {
                let breach = Breach::Torn {
                    section: get.section,
                    put: put.op,
                    place: Place::new(name, field),
                    seen: Seen(get.seen.get(field).copied()),
                };
                verdict.found(breach, [put.begun, get.begun, get.ended]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
