//! Slots of one log that are put together.
//!
//! A put is about the same work for all replicas whatever is in it. So few puts
//! of a log are under way at a time: slots that come meanwhile wait, and go
//! together with the next one. A slot that comes alone waits for nothing.
//!
//! ```text
//!  a ─ put ──────────────▶        b and c wait only while all puts that may be
//!   b ─┐                          under way are; whoever is first among them when
//!    c ┴·· wait ·· put ──────────▶ one is answered puts for all
//! ```
//!
//! Slots of one put share its outcome. That is no more than a put alone tells: it
//! counts for all of them, or is unknown for each.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_client::api::name::FieldChanges;
use music_client::{CriticalSection, RecordKey};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

use crate::redo_log::append::{Fate, told};
use crate::redo_log::error::{Cause, Failure};

/// Puts of one log that are under way.
const PUTS_MAX: usize = 4;
/// Fields of one put: MUSIC takes 256.
const FIELDS_MAX: usize = 256;
/// Bytes of one put that has several slots.
const BYTES_MAX: usize = 512 * 1024;

/// Puts slots of one log, several at once where there are several.
#[derive(Debug)]
pub(crate) struct Batcher {
    pub(crate) section: Arc<CriticalSection>,
    pub(crate) record: RecordKey,
    /// Where puts run: a turn ends after them.
    jobs: TaskTracker,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// As many at most as entries may be under way.
    waiting: VecDeque<Slot>,
    puts: usize,
}

/// A slot that waits.
#[derive(Debug)]
struct Slot {
    fields: FieldChanges,
    bytes: usize,
    answer: oneshot::Sender<Fate>,
}

impl Batcher {
    pub(crate) fn new(section: Arc<CriticalSection>, record: RecordKey, jobs: TaskTracker) -> Self {
        Self {
            section,
            record,
            jobs,
            queue: Mutex::default(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the fields of a slot, of so many bytes.
    ///
    /// Dropped, it is put all the same.
    pub(crate) async fn put(self: &Arc<Self>, fields: FieldChanges, bytes: usize) -> Fate {
        let (answer, answered) = oneshot::channel();
        let slot = Slot {
            fields,
            bytes,
            answer,
        };
        if self.queue().add(slot) {
            let batcher = Arc::clone(self);
            self.jobs.spawn(async move { batcher.run().await });
        }
        let unknown = |_gone| Err(Failure::unknown(Cause::Ending));
        answered.await.unwrap_or_else(unknown)
    }

    /// Puts what waits, until nothing does.
    async fn run(&self) {
        loop {
            let slots = self.queue().next();
            let Some(slots) = slots else { return };
            let (fields, answers): (Vec<_>, Vec<_>) = slots
                .into_iter()
                .map(|slot| (slot.fields, slot.answer))
                .unzip();
            let fields = fields.into_iter().flatten().collect();
            let fate = told(self.section.put_fields(self.record.clone(), fields).await);
            for answer in answers {
                // Who is gone is told nothing.
                drop(answer.send(fate.clone()));
            }
        }
    }
}

impl Queue {
    /// Adds a slot; whether one more put may begin.
    fn add(&mut self, slot: Slot) -> bool {
        self.waiting.push_back(slot);
        let may_begin = self.puts < PUTS_MAX;
        self.puts += usize::from(may_begin);
        may_begin
    }

    /// Takes out what goes together, in the order in which it came; where nothing
    /// waits, whoever asks has ended.
    fn next(&mut self) -> Option<Vec<Slot>> {
        let (mut fields, mut bytes) = (0_usize, 0_usize);
        let fits = |slot: &&Slot| {
            fields = fields.saturating_add(slot.fields.len());
            bytes = bytes.saturating_add(slot.bytes);
            fields <= FIELDS_MAX && bytes <= BYTES_MAX
        };
        let count = self.waiting.iter().take_while(fits).count();
        // One that is too large for others goes alone.
        let count = count.max(1).min(self.waiting.len());
        if count == 0 {
            self.puts -= 1;
            return None;
        }
        Some(self.waiting.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use music_client::Content;

    use super::*;

    fn slot(fields: usize, bytes: usize) -> Slot {
        let value = Content::from("x").to_value();
        let fields = (0..fields).map(|at| (at.to_string(), Some(value.clone())));
        Slot {
            fields: fields.collect(),
            bytes,
            answer: oneshot::channel().0,
        }
    }

    fn counts(queue: &mut Queue) -> Vec<usize> {
        std::iter::from_fn(|| queue.next().map(|slots| slots.len())).collect()
    }

    #[test]
    fn what_comes_while_all_puts_are_under_way_goes_together() {
        let mut queue = Queue::default();
        for _ in 0..PUTS_MAX {
            assert!(queue.add(slot(1, 10)));
            assert_eq!(queue.next().unwrap().len(), 1);
        }
        for _ in 0..3 {
            assert!(!queue.add(slot(1, 10)));
        }
        assert_eq!(queue.next().unwrap().len(), 3);
        assert!(queue.next().is_none());
        assert!(queue.add(slot(1, 10)), "one has ended");
    }

    #[test]
    fn a_put_has_bounds() {
        let mut queue = Queue::default();
        for fields in [200, 56, 1, 300, 1] {
            queue.add(slot(fields, 1));
        }
        assert_eq!(counts(&mut queue), [2, 1, 1, 1]);
        for bytes in [BYTES_MAX, 1, BYTES_MAX - 1, 1, BYTES_MAX + 1, 1] {
            queue.add(slot(1, bytes));
        }
        assert_eq!(counts(&mut queue), [1, 2, 1, 1, 1]);
    }
}
