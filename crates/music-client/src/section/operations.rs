//! Reading and writing inside a critical section.

use std::collections::BTreeMap;

use music_api::code::Code;
use music_api::lock::{self, BatchResult, Step};
use music_api::name::{FieldChanges, Value};
use music_api::table::Record;
use reqwest::Method;

use crate::call::{Call, Repeat};
use crate::content::{Content, Stored};
use crate::error::{Error, Lost, LostReason, Problem};
use crate::key::{Cell, RecordKey};
use crate::records;
use crate::section::batch::{BATCH_STEPS_MAX, Batch, StepOutcome, step_outcome};
use crate::section::put_log::Footprint;
use crate::section::{CriticalSection, UNDER_WAY_MAX};
use crate::transport::Answer;

impl CriticalSection {
    /// Reads a value; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Lost`]; [`Error::Unavailable`] where no majority answers;
    /// [`Error::Problem`] where the key is not one of the section's.
    ///
    /// # Cost
    /// One round for the first read of a key in the section, then none.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn get(&self, cell: impl Into<Cell>) -> Result<Option<Stored>, Error> {
        let call = records::get(&self.base(), &cell.into())?;
        records::value_or_none(self.perform(call, Vec::new(), 1).await)
    }

    /// Reads all fields of a record; `None` where it has none.
    ///
    /// # Errors
    /// As [`CriticalSection::get`].
    ///
    /// # Cost
    /// As [`CriticalSection::get`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn fields(&self, record: impl Into<RecordKey>) -> Result<Option<Record>, Error> {
        let call = records::get_fields(&self.base(), &record.into())?;
        records::record_or_none(self.perform(call, Vec::new(), 1).await)
    }

    /// Writes a value, and returns the stamp of the write.
    ///
    /// A put that failed on the way is made again where that is sure to be the
    /// same put: at the node that had it; at the next one, after the section
    /// has moved there, unless a later put to the same field was begun.
    ///
    /// # Errors
    /// [`Error::Lost`]; [`Error::Unavailable`] and others, of which
    /// [`Error::outcome`] says whether the put may have taken effect.
    ///
    /// # Cost
    /// One round; puts under way at once share it.
    ///
    /// # Cancel safety
    /// The put may or may not take effect.
    pub async fn put(
        &self,
        cell: impl Into<Cell>,
        value: impl Into<Content>,
    ) -> Result<u64, Error> {
        let cell = cell.into();
        let call = records::put(&self.base(), &cell, value.into())?;
        self.write(call, vec![footprint(cell.record, [cell.field])])
            .await
    }

    /// Deletes one field's value.
    ///
    /// # Errors
    /// As [`CriticalSection::put`].
    ///
    /// # Cost
    /// As [`CriticalSection::put`].
    ///
    /// # Cancel safety
    /// The value may or may not be deleted.
    pub async fn delete_field(&self, cell: impl Into<Cell>) -> Result<u64, Error> {
        let cell = cell.into();
        let call = records::delete_field(&self.base(), &cell)?;
        self.write(call, vec![footprint(cell.record, [cell.field])])
            .await
    }

    /// Deletes a record with all its fields.
    ///
    /// # Errors
    /// As [`CriticalSection::put`].
    ///
    /// # Cost
    /// As [`CriticalSection::put`].
    ///
    /// # Cancel safety
    /// The record may or may not be deleted.
    pub async fn delete(&self, record: impl Into<RecordKey>) -> Result<u64, Error> {
        let record = record.into();
        let call = records::delete(&self.base(), &record)?;
        self.write(
            call,
            vec![Footprint {
                record,
                fields: None,
            }],
        )
        .await
    }

    /// Writes fields of a record together: all or none of them take effect.
    /// `None` deletes a field.
    ///
    /// # Errors
    /// As [`CriticalSection::put`].
    ///
    /// # Cost
    /// As [`CriticalSection::put`].
    ///
    /// # Cancel safety
    /// The fields may or may not be written.
    pub async fn put_fields(
        &self,
        record: impl Into<RecordKey>,
        fields: BTreeMap<String, Option<Value>>,
    ) -> Result<u64, Error> {
        let record = record.into();
        let names: Vec<String> = fields.keys().cloned().collect();
        let call = records::patch(&self.base(), &record, fields)?;
        self.write(call, vec![footprint(record, names)]).await
    }

    /// Does several operations in one request, all at once. Each has its own
    /// result; a batch is no transaction.
    ///
    /// # Errors
    /// Where the batch as a whole failed; see also each step's result.
    ///
    /// # Cost
    /// As the slowest of its steps.
    ///
    /// # Cancel safety
    /// Each write may or may not take effect.
    pub async fn batch(&self, batch: Batch) -> Result<Vec<StepOutcome>, Error> {
        let footprints: Vec<_> = batch.steps.iter().filter_map(step_footprint).collect();
        let puts = footprints.len();
        let call = Call::change(
            Method::POST,
            format!("{}/batch", self.base()),
            Repeat::SameNode,
        )
        .json(&lock::Batch { steps: batch.steps })?;
        let result: BatchResult = self.perform(call, footprints, puts).await?.json()?;
        let outcomes: Vec<_> = result.results.into_iter().map(step_outcome).collect();
        let is_lost = |step: &StepOutcome| match step {
            StepOutcome::Failed(problem) => problem.known == Some(Code::Lost),
            StepOutcome::Record(_) | StepOutcome::Written(_) => false,
        };
        if outcomes.iter().any(is_lost) {
            self.seat.lose(LostReason::Preempted);
        }
        Ok(outcomes)
    }

    /// Writes several values, in their order: one after the other to one cell is
    /// the last of them. Returns the stamp of each.
    ///
    /// # Errors
    /// As [`CriticalSection::put`], of the first put that failed; others may have
    /// succeeded. It is no transaction.
    ///
    /// # Cost
    /// One round for each 128 values; in it, one write for each record.
    ///
    /// # Cancel safety
    /// Each put may or may not take effect.
    pub async fn put_all<C, V>(
        &self,
        puts: impl IntoIterator<Item = (C, V)>,
    ) -> Result<Vec<u64>, Error>
    where
        C: Into<Cell>,
        V: Into<Content>,
    {
        let steps = puts.into_iter().map(|(cell, value)| {
            let (Cell { record, field }, value) = (cell.into(), value.into().to_value());
            Batch::new().put_fields(record, BTreeMap::from([(field, Some(value))]))
        });
        let steps: Vec<Step> = steps.flat_map(|batch| batch.steps).collect();
        let mut stamps = Vec::with_capacity(steps.len());
        for steps in steps.chunks(BATCH_STEPS_MAX) {
            let batch = Batch {
                steps: steps.to_vec(),
            };
            for outcome in self.batch(batch).await? {
                match outcome {
                    StepOutcome::Written(stamp) => stamps.push(stamp),
                    StepOutcome::Failed(problem) => return Err(self.failed(problem)),
                    StepOutcome::Record(_) => {}
                }
            }
        }
        Ok(stamps)
    }

    /// What a failed step is to the section.
    fn failed(&self, problem: Problem) -> Error {
        match self.is_lost() {
            Some(reason) => Error::Lost(Lost {
                reason,
                outcome: problem.outcome,
            }),
            None => Error::Problem(Box::new(problem)),
        }
    }

    fn base(&self) -> String {
        self.seat.path("")
    }

    async fn write(&self, call: Call, footprints: Vec<Footprint>) -> Result<u64, Error> {
        records::written(&self.perform(call, footprints, 1).await?)
    }

    /// Makes a request of that many operations when there is room for them.
    async fn perform(
        &self,
        call: Call,
        writes: Vec<Footprint>,
        operations: usize,
    ) -> Result<Answer, Error> {
        let call = call.wide();
        let put = call.changes().then(|| self.puts.begin(writes));
        let places = u32::try_from(operations.clamp(1, UNDER_WAY_MAX)).unwrap_or(u32::MAX);
        let _slots = self.slots.acquire_many(places).await;
        // On the heap: callers await many of these at once.
        Box::pin(self.seat.perform(&call, put.as_ref())).await
    }
}

fn footprint(record: RecordKey, fields: impl IntoIterator<Item = String>) -> Footprint {
    Footprint {
        record,
        fields: Some(fields.into_iter().collect()),
    }
}

fn step_footprint(step: &Step) -> Option<Footprint> {
    let (table, key, fields) = match step {
        Step::Get { .. } => return None,
        Step::Put { table, key, fields } => (table, key, Some(fields)),
        Step::Delete { table, key } => (table, key, None),
    };
    let names = |fields: &FieldChanges| fields.keys().cloned().collect();
    let record = RecordKey::new(table.clone(), key.to_bytes().ok()?);
    Some(Footprint {
        record,
        fields: fields.map(names),
    })
}
