//! Which puts of a section may be made a second time at another node.
//!
//! A put whose outcome at a lost node is unknown is settled by the adoption at
//! the next node: it is in what that node read back, or it is never seen. To
//! make it again there has the same effect as the first, *unless* another put
//! to the same field was issued after it: then the field would go back in
//! time. So the log keeps, for each field with puts under way, the number of
//! the latest one.
//!
//! The same node makes one of two puts with the same idempotency key, but
//! remembers only the last [`NODE_REMEMBERS`] that it acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::RecordKey;

/// How many acknowledged puts of a section its node remembers.
const NODE_REMEMBERS: u64 = 32;

/// What a put writes in one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// The record.
    pub(crate) record: RecordKey,
    /// The fields; `None` for all.
    pub(crate) fields: Option<Vec<String>>,
}

/// The puts under way in a section.
#[derive(Debug, Default)]
pub(crate) struct PutLog {
    records: Mutex<Records>,
}

#[derive(Debug, Default)]
struct Records {
    /// The number of the put issued last.
    last: u64,
    /// How many puts are under way.
    under_way: u64,
    latest: BTreeMap<RecordKey, Latest>,
}

#[derive(Debug, Default)]
struct Latest {
    under_way: usize,
    /// The latest put to the whole record.
    whole: u64,
    /// The latest put to each field.
    fields: BTreeMap<String, u64>,
}

/// A put under way; dropped when it is over.
#[derive(Debug)]
pub(crate) struct Put {
    log: Arc<PutLog>,
    number: u64,
    footprints: Vec<Footprint>,
}

impl PutLog {
    /// Notes that a put is issued.
    pub(crate) fn begin(self: &Arc<Self>, footprints: Vec<Footprint>) -> Put {
        let mut records = self.records();
        records.last += 1;
        records.under_way += 1;
        let number = records.last;
        for footprint in &footprints {
            let latest = records.latest.entry(footprint.record.clone()).or_default();
            latest.under_way += 1;
            match &footprint.fields {
                None => latest.whole = number,
                Some(fields) => {
                    latest
                        .fields
                        .extend(fields.iter().map(|field| (field.clone(), number)));
                }
            }
        }
        drop(records);
        Put {
            log: Arc::clone(self),
            number,
            footprints,
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Put {
    /// Whether no put to one of its fields was issued after it.
    pub(crate) fn is_latest(&self) -> bool {
        let records = self.log.records();
        self.footprints.iter().all(|footprint| {
            let Some(latest) = records.latest.get(&footprint.record) else {
                return false;
            };
            let later = |number: &u64| *number > self.number;
            let overwritten = match &footprint.fields {
                None => latest.fields.values().any(later),
                Some(fields) => fields
                    .iter()
                    .filter_map(|f| latest.fields.get(f))
                    .any(later),
            };
            !later(&latest.whole) && !overwritten
        })
    }

    /// Whether the node that had it first knows it again for sure: those that
    /// it can have acknowledged since are not too many.
    pub(crate) fn is_remembered(&self) -> bool {
        let records = self.log.records();
        records.last - self.number + records.under_way <= NODE_REMEMBERS
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        let mut records = self.log.records();
        records.under_way = records.under_way.saturating_sub(1);
        for footprint in &self.footprints {
            let Some(latest) = records.latest.get_mut(&footprint.record) else {
                continue;
            };
            latest.under_way = latest.under_way.saturating_sub(1);
            // What is over is forgotten only with the last one under way: an
            // older put, still under way, must find what came after it.
            if latest.under_way == 0 {
                records.latest.remove(&footprint.record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(key: &str, names: &[&str]) -> Vec<Footprint> {
        let fields = Some(names.iter().map(|name| (*name).to_owned()).collect());
        vec![Footprint {
            record: ("t", key).into(),
            fields,
        }]
    }

    fn whole(key: &str) -> Vec<Footprint> {
        vec![Footprint {
            record: ("t", key).into(),
            fields: None,
        }]
    }

    #[test]
    fn a_later_put_to_the_same_field_makes_the_earlier_one_unrepeatable() {
        let log = Arc::new(PutLog::default());
        let (first, second) = (
            log.begin(fields("k", &["a"])),
            log.begin(fields("k", &["a", "b"])),
        );
        assert!(!first.is_latest());
        assert!(second.is_latest());
        drop(second);
        assert!(!first.is_latest(), "also when the later one is over");
    }

    #[test]
    fn puts_to_other_fields_and_records_do_not_matter() {
        let log = Arc::new(PutLog::default());
        let puts = [
            fields("k", &["a"]),
            fields("k", &["b"]),
            fields("l", &["a"]),
        ];
        let puts = puts.map(|footprint| log.begin(footprint));
        assert!(puts.iter().all(Put::is_latest));
    }

    #[test]
    fn a_put_to_the_whole_record_is_one_to_each_field() {
        let log = Arc::new(PutLog::default());
        let first = log.begin(fields("k", &["a"]));
        let second = log.begin(whole("k"));
        assert!(!first.is_latest());
        assert!(second.is_latest());
        let third = log.begin(fields("k", &["z"]));
        assert!(!second.is_latest());
        assert!(third.is_latest());
    }

    #[test]
    fn a_put_is_remembered_until_too_many_followed() {
        let log = Arc::new(PutLog::default());
        let first = log.begin(fields("k", &["a"]));
        for _ in 1..NODE_REMEMBERS {
            assert!(first.is_remembered());
            drop(log.begin(fields("k", &["b"])));
        }
        drop(log.begin(fields("k", &["b"])));
        assert!(!first.is_remembered());
    }

    #[test]
    fn a_log_without_puts_under_way_is_empty() {
        let log = Arc::new(PutLog::default());
        drop((log.begin(fields("k", &["a"])), log.begin(whole("k"))));
        assert!(log.records().latest.is_empty());
    }
}
