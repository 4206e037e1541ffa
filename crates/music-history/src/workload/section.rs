//! One critical section of a client.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use music_client::api::name::Value;
use music_client::api::table::Record;
use music_client::{Batch, CriticalSection, Error, StepOutcome};

use tokio::time::sleep;

use super::dice::Rng as _;
use super::{CRITICAL, Recorder, Worker, is_unknown};
use crate::{EndOutcome, Fields, OpId, PutOutcome, SectionId, What};

/// The fields of every record.
const FIELDS: [&str; 2] = ["x", "y"];

/// How many times as many steps a long section has.
const LONG: usize = 8;

/// What a put is to write.
struct Change {
    op: OpId,
    key: String,
    /// Set or deleted; empty where the whole record is deleted.
    fields: BTreeMap<String, bool>,
}

impl Change {
    fn values(&self) -> BTreeMap<String, Option<Value>> {
        let value = |set: bool| set.then(|| Value::Text(self.op.0.to_string()));
        let fields = self.fields.iter();
        fields
            .map(|(name, set)| (name.clone(), value(*set)))
            .collect()
    }
}

/// A section that is granted.
struct Held {
    id: SectionId,
    section: CriticalSection,
    keys: Vec<String>,
    shared: bool,
}

impl<R: Recorder> Worker<R> {
    /// A section as this client likes it.
    pub(super) async fn section(&mut self) {
        let habits = self.work.habits;
        let count = self.work.keys;
        let home = self
            .percent(habits.home)
            .then_some(self.work.home % count.max(1));
        let first = home.unwrap_or_else(|| self.dice.random_range(0..count));
        let mut keys = BTreeSet::from([first]);
        while keys.len() < count && self.percent(habits.several_keys) {
            keys.insert(self.dice.random_range(0..count));
        }
        let shared = self.percent(habits.shared);
        let impatient = self.percent(habits.impatient) && !self.work.calm.is_cancelled();
        let wait = impatient.then(|| Duration::from_millis(self.dice.random_range(0..1500)));
        let Some(held) = self.ask(keys, shared, wait).await else {
            return;
        };
        let long = self.percent(habits.long);
        let steps = self.dice.random_range(0..7) * if long { LONG } else { 1 };
        for _ in 0..steps {
            if held.section.is_lost().is_some() {
                break;
            }
            self.step(&held).await;
        }
        if self.percent(habits.linger) {
            let length = Duration::from_millis(self.dice.random_range(100..4000));
            sleep(length).await;
        }
        let confirm = self.percent(habits.confirm);
        self.end(held, confirm).await;
    }

    /// A section on all keys, whose reads are compared with all that was
    /// acknowledged before.
    pub(super) async fn last_section(&mut self, keys: BTreeSet<usize>) {
        loop {
            let Some(held) = self.ask(keys.clone(), false, None).await else {
                // What goes wrong for ever is found by the bound on the rest.
                self.idle().await;
                continue;
            };
            for key in held.keys.clone() {
                self.get(&held, key).await;
            }
            return self.end(held, true).await;
        }
    }

    async fn ask(
        &mut self,
        keys: BTreeSet<usize>,
        shared: bool,
        wait: Option<Duration>,
    ) -> Option<Held> {
        let keys: Vec<String> = keys.iter().map(|key| format!("k{key}")).collect();
        let id = self.recorder.section();
        self.recorder.note(What::Asked {
            client: self.id,
            section: id,
            keys: keys.iter().cloned().collect(),
            shared,
        });
        let lease = Duration::from_millis(self.dice.random_range(self.work.leases_ms.clone()));
        let records = keys.iter().map(|key| (CRITICAL, key));
        let mut request = self.client.lock(records).lease(lease);
        if shared {
            request = request.shared();
        }
        if let Some(wait) = wait {
            request = request.wait(wait);
        }
        let Ok(section) = request.acquire().await else {
            self.recorder.note(What::Refused { section: id });
            return None;
        };
        let tokens = keys.iter().zip(section.tokens());
        let tokens = tokens.map(|(key, token)| (key.clone(), token.token));
        self.recorder.note(What::Granted {
            section: id,
            tokens: tokens.collect(),
        });
        self.recorder
            .hold(id, section.lock_ref(), section.endpoint());
        Some(Held {
            id,
            section,
            keys,
            shared,
        })
    }

    async fn step(&mut self, held: &Held) {
        let key = self.some_key(held);
        match self.dice.random_range(0..100) {
            0..35 => self.get(held, key).await,
            _ if held.shared => self.get(held, key).await,
            35..75 => {
                let change = self.change(key);
                put(self, held, change).await;
            }
            75..88 => {
                let changes = self.changes(held);
                let worker = &*self;
                join_all(changes.into_iter().map(|change| put(worker, held, change))).await;
            }
            88..94 => self.batch(held).await,
            _ => self.idle().await,
        }
    }

    fn some_key(&mut self, held: &Held) -> String {
        let at = self.dice.random_range(0..held.keys.len());
        held.keys.get(at).cloned().unwrap_or_default()
    }

    fn changes(&mut self, held: &Held) -> Vec<Change> {
        let count = self.dice.random_range(2..5);
        (0..count)
            .map(|_| {
                let key = self.some_key(held);
                self.change(key)
            })
            .collect()
    }

    fn change(&mut self, key: String) -> Change {
        let mut fields = BTreeMap::new();
        if !self.percent(6) {
            for name in FIELDS {
                if self.percent(65) {
                    fields.insert(name.to_owned(), !self.percent(20));
                }
            }
        }
        Change {
            op: self.recorder.op(),
            key,
            fields,
        }
    }

    async fn get(&self, held: &Held, key: String) {
        let op = self.recorder.op();
        self.recorder.note(What::Get {
            section: held.id,
            op,
            key: key.clone(),
        });
        let record = held.section.fields((CRITICAL, &key)).await;
        let fields = record
            .as_ref()
            .ok()
            .map(|record| record.as_ref().map(fields_of));
        let fields = fields.map(Option::unwrap_or_default);
        self.note_answer(held, What::Got { op, fields });
        self.note_loss(held, record.err().as_ref());
    }

    /// Several puts in one request.
    async fn batch(&mut self, held: &Held) {
        let changes = self.changes(held);
        let mut batch = Batch::new();
        for change in &changes {
            self.note_put(held, change);
            let record = (CRITICAL, &change.key);
            batch = if change.fields.is_empty() {
                batch.delete(record)
            } else {
                batch.put_fields(record, change.values())
            };
        }
        self.recorder.saw("a batch");
        let result = held.section.batch(batch).await;
        let steps = result.as_ref().map(Vec::as_slice).unwrap_or_default();
        for (at, change) in changes.iter().enumerate() {
            let outcome = match (steps.get(at), &result) {
                (Some(StepOutcome::Written(stamp)), _) => {
                    PutOutcome::Acknowledged { stamp: *stamp }
                }
                (Some(StepOutcome::Failed(problem)), _) => {
                    failed(problem.outcome == music_client::Outcome::Unknown)
                }
                (_, Err(error)) => failed(is_unknown(error)),
                (_, Ok(_)) => PutOutcome::Unknown,
            };
            let op = change.op;
            self.note_answer(held, What::PutEnded { op, outcome });
        }
        self.note_loss(held, result.err().as_ref());
    }

    fn note_put(&self, held: &Held, change: &Change) {
        self.recorder.note(What::Put {
            section: held.id,
            op: change.op,
            key: change.key.clone(),
            fields: change.fields.clone(),
            whole: change.fields.is_empty(),
        });
    }

    /// An answer may come from another node than the one before.
    fn note_answer(&self, held: &Held, what: What) {
        self.recorder.heard(held.id, held.section.endpoint());
        self.recorder.note(what);
    }

    fn note_loss(&self, held: &Held, error: Option<&Error>) {
        if matches!(error, Some(Error::Lost(_))) && self.recorder.let_go(held.id) {
            self.recorder.note(What::Lost { section: held.id });
        }
    }

    async fn end(&mut self, held: Held, confirm: bool) {
        let Held { id, section, .. } = held;
        let moved =
            section.endpoint() != self.client.endpoints().first().map_or("", String::as_str);
        if moved {
            self.recorder
                .saw("a section at another than the first node");
        }
        self.recorder.let_go(id);
        self.recorder.note(What::Ending {
            section: id,
            confirm,
        });
        let outcome = if confirm {
            match section.confirm().await {
                Ok(()) => EndOutcome::Confirmed,
                Err(Error::Lost(_)) => EndOutcome::Lost,
                Err(_) => EndOutcome::Unknown,
            }
        } else if self.percent(15) {
            drop(section);
            self.recorder.saw("a section that was dropped");
            EndOutcome::Unknown
        } else {
            match section.release().await {
                Ok(()) => EndOutcome::Released,
                Err(Error::Lost(_)) => EndOutcome::Lost,
                Err(_) => EndOutcome::Unknown,
            }
        };
        self.recorder.note(What::Ended {
            section: id,
            outcome,
        });
    }
}

async fn put<R: Recorder>(worker: &Worker<R>, held: &Held, change: Change) {
    worker.note_put(held, &change);
    let record = (CRITICAL, &change.key);
    let result = if change.fields.is_empty() {
        held.section.delete(record).await
    } else {
        held.section.put_fields(record, change.values()).await
    };
    let outcome = match &result {
        Ok(stamp) => PutOutcome::Acknowledged { stamp: *stamp },
        Err(error) => failed(is_unknown(error)),
    };
    let op = change.op;
    worker.note_answer(held, What::PutEnded { op, outcome });
    worker.note_loss(held, result.err().as_ref());
}

fn failed(unknown: bool) -> PutOutcome {
    if unknown {
        PutOutcome::Unknown
    } else {
        PutOutcome::NotApplied
    }
}

/// Which puts a record shows; 0 for a value that no put of the history wrote.
fn fields_of(record: &Record) -> Fields {
    let op = |value: &Value| match value {
        Value::Text(text) => text.parse().unwrap_or(0),
        Value::Json(_) | Value::Base64 { .. } => 0,
    };
    let fields = record.fields.iter();
    fields
        .map(|(name, value)| (name.clone(), OpId(op(value))))
        .collect()
}
