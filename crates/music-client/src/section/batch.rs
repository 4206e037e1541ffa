//! Several operations in one request.

use std::collections::BTreeMap;

use music_api::lock::{Step, StepResult};
use music_api::name::{Key, Value};
use music_api::table::Record;

use crate::error::Problem;
use crate::key::RecordKey;

/// The most steps of one request: nodes refuse more.
pub(crate) const BATCH_STEPS_MAX: usize = 128;

/// Operations to be done together, at most 128.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is done before the batch is given to a section"]
pub struct Batch {
    pub(crate) steps: Vec<Step>,
}

/// What a step of a batch did.
#[derive(Clone, Debug)]
pub enum StepOutcome {
    /// What a get read.
    Record(Record),
    /// The stamp of a write that a majority has.
    Written(u64),
    /// The step failed; others may have succeeded.
    Failed(Problem),
}

impl Batch {
    /// A batch without steps.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a record.
    pub fn get(self, record: impl Into<RecordKey>) -> Self {
        self.step(record.into(), |table, key| Step::Get { table, key })
    }

    /// Writes the value of the default field.
    pub fn put(self, record: impl Into<RecordKey>, value: Value) -> Self {
        self.put_fields(record, BTreeMap::from([(String::new(), Some(value))]))
    }

    /// Writes fields together; `None` deletes one.
    pub fn put_fields(
        self,
        record: impl Into<RecordKey>,
        fields: BTreeMap<String, Option<Value>>,
    ) -> Self {
        self.step(record.into(), |table, key| Step::Put { table, key, fields })
    }

    /// Deletes a record with all its fields.
    pub fn delete(self, record: impl Into<RecordKey>) -> Self {
        self.step(record.into(), |table, key| Step::Delete { table, key })
    }

    fn step(mut self, record: RecordKey, step: impl FnOnce(String, Key) -> Step) -> Self {
        let key = Key::from_bytes(&record.key);
        self.steps.push(step(record.table, key));
        self
    }
}

pub(crate) fn step_outcome(result: StepResult) -> StepOutcome {
    match result {
        StepResult::Record(record) => StepOutcome::Record(record),
        StepResult::Written { stamp } => StepOutcome::Written(stamp),
        StepResult::Problem(problem) => StepOutcome::Failed(problem.into()),
    }
}
