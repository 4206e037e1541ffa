//! Puts of one section that are asked for together: they go out together, one
//! write a key, and so one message a replica for each.
//!
//! Each put keeps its own stamp, so what is merged into one write is what the
//! writes would have left behind one by one. They share the answer: a majority
//! has all of them, or none is acknowledged.

use std::sync::Arc;

use futures_util::future::join_all;
use music_core::critical_section::{self, Call, Effect, Input, Put, Reply};
use music_core::id::{IdempotencyKey, RecordId, RequestId};
use music_core::record::Record;
use music_core::stamp::Stamp;
use tracing::Instrument as _;

use super::eventual::fingerprint;
use super::sections::{Machine, OpResult, Slot};
use super::{Change, Error, Inner, spans};

/// The most bytes of values that are merged into one write: an engine takes
/// that much at once, whatever the limits of requests are.
const TOGETHER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A put among others.
#[derive(Clone, Debug)]
pub struct BatchPut {
    /// The record.
    pub id: RecordId,
    /// What changes.
    pub change: Change,
    /// The client's name for it.
    pub key: Option<IdempotencyKey>,
}

type Asked = Result<tokio::sync::oneshot::Receiver<OpResult>, Error>;

/// Puts of one key that are one write.
#[derive(Debug, PartialEq)]
struct Together {
    id: RecordId,
    change: Record,
    calls: Vec<Call>,
}

impl Inner {
    pub(super) async fn critical_puts(
        self: &Arc<Self>,
        request: RequestId,
        puts: Vec<BatchPut>,
    ) -> Result<Vec<Result<Stamp, Error>>, Error> {
        let slot = self.slot(request)?;
        let replies = self.ask_together(&slot, puts).into_iter();
        let stamps = replies.map(|reply| async {
            match self.reply(reply?).await? {
                Reply::Written(stamp) => Ok(stamp),
                Reply::Record(_) | Reply::Released | Reply::Confirmed => {
                    Err(critical_section::Error::Unknown.into())
                }
            }
        });
        Ok(join_all(stamps).await)
    }

    /// Gives a section all the puts, in their order, before anything is sent.
    fn ask_together(self: &Arc<Self>, slot: &Arc<Slot>, puts: Vec<BatchPut>) -> Vec<Asked> {
        let mut machine = slot.lock();
        let (mut effects, mut all_replied) = (Vec::new(), true);
        let replies = puts
            .into_iter()
            .map(|put| {
                let (reply, asked_for, replied) = self.ask_one(slot, &mut machine, put)?;
                effects.extend(asked_for);
                all_replied &= replied;
                Ok(reply)
            })
            .collect();
        drop(machine);
        self.note_cost(all_replied, &effects);
        let (writes, others) = split(effects);
        self.perform(slot, others);
        for write in writes {
            self.write_together(slot, write);
        }
        replies
    }

    fn ask_one(
        self: &Arc<Self>,
        slot: &Arc<Slot>,
        machine: &mut Machine,
        put: BatchPut,
    ) -> Result<(tokio::sync::oneshot::Receiver<OpResult>, Vec<Effect>, bool), Error> {
        let BatchPut {
            id,
            change,
            key: name,
        } = put;
        let key = machine.section.key_index(&id);
        let key = key.ok_or(Error::Section(critical_section::Error::KeyNotInSet))?;
        let identity = name.map(|name| (name, fingerprint(&id, &change)));
        let (op, reply) = machine.expect_reply();
        let put = Put {
            key,
            change,
            identity,
        };
        let (effects, replied) = self.step_unnoted(slot, machine, Input::Put(op, put));
        Ok((reply, effects, replied))
    }

    /// Makes a write as a task of its own, and answers each of its puts.
    fn write_together(self: &Arc<Self>, slot: &Arc<Slot>, write: Together) {
        let Together { id, change, calls } = write;
        let span = self.write_span(slot, &id, calls.len());
        let (node, slot) = (self.clone(), slot.clone());
        self.spawn(async move {
            let written = Self::write(node.clone(), id, change);
            let answer = written.instrument(span.clone()).await;
            spans::answered(&span, &answer);
            drop(span);
            node.gate.pass().await;
            for call in calls {
                node.step(&slot, Input::Answered(call, answer.clone()));
            }
        });
    }
}

/// The writes, those of one key together, and what else there is to do.
fn split(effects: Vec<Effect>) -> (Vec<Together>, Vec<Effect>) {
    let (mut writes, mut others) = (Vec::<Together>::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::Write { call, id, change } => {
                // The last one of that key: one before it is full.
                let open = writes.iter_mut().rfind(|write| write.id == id);
                match open.filter(|write| has_room(write, &change)) {
                    Some(write) => {
                        write.change.merge(&change);
                        write.calls.push(call);
                    }
                    None => writes.push(Together {
                        id,
                        change,
                        calls: vec![call],
                    }),
                }
            }
            other => others.push(other),
        }
    }
    (writes, others)
}

fn has_room(write: &Together, change: &Record) -> bool {
    let bytes = |record: &Record| {
        let values = record.cells().filter_map(|(_, cell)| cell.value.as_ref());
        values.map(bytes::Bytes::len).sum::<usize>()
    };
    bytes(&write.change).saturating_add(bytes(change)) <= TOGETHER_BYTES_MAX
}
