//! One replica: what it has on disk, and how it answers.

use std::collections::BTreeMap;

use music_core::id::RecordId;
use music_core::lock_ref::Holding;
use music_core::record::Record;
use music_core::replica::acceptor::{Acceptor, Reply, Request};

/// What a site asks of a replica.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Merge this into a record.
    Merge(RecordId, Record),
    /// Its record of a key.
    Read(RecordId),
    /// A step of a transaction.
    Transact(RecordId, Request),
    /// Its acceptor of a key.
    Queue(RecordId),
    /// Every ticket up to this one is gone.
    Release(RecordId, Holding),
}

impl Ask {
    /// Whether it changes something, and so has to wait for the disk.
    pub(super) fn changes(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::Queue(_))
    }
}

/// What a replica answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Merged,
    Record(Record),
    Reply(Reply),
    Queue(Acceptor),
    Released,
}

/// What changed at a replica, for those who listen there.
#[derive(Clone, Debug)]
pub(super) enum Changed {
    Nothing,
    Record(RecordId),
    Queue(RecordId),
}

/// One replica. A change and its answer are one step: what was answered for is
/// on disk, and a crash forgets what was not.
#[derive(Clone, Debug, Default)]
pub(super) struct Replica {
    pub(super) records: BTreeMap<RecordId, Record>,
    pub(super) queues: BTreeMap<RecordId, Acceptor>,
    /// It does not run.
    pub(super) down: bool,
    /// How often it was started: what arrived in an earlier life is forgotten.
    pub(super) life: u64,
}

impl Replica {
    /// Answers a question.
    pub(super) fn answer(&mut self, ask: &Ask) -> (Answer, Changed) {
        match ask {
            Ask::Merge(id, change) => {
                let news = self.records.entry(id.clone()).or_default().merge(change);
                let changed = if news {
                    Changed::Record(id.clone())
                } else {
                    Changed::Nothing
                };
                (Answer::Merged, changed)
            }
            Ask::Read(id) => (Answer::Record(self.record(id)), Changed::Nothing),
            Ask::Transact(id, request) => {
                let reply = self.acceptor(id).answer(request);
                let changed = match reply {
                    Reply::Accepted(_) => Changed::Queue(id.clone()),
                    Reply::Promised { .. } | Reply::Refused { .. } => Changed::Nothing,
                };
                (Answer::Reply(reply), changed)
            }
            Ask::Queue(id) => (Answer::Queue(self.queue(id)), Changed::Nothing),
            Ask::Release(id, holding) => {
                let news = self.acceptor(id).release(*holding);
                let changed = if news {
                    Changed::Queue(id.clone())
                } else {
                    Changed::Nothing
                };
                (Answer::Released, changed)
            }
        }
    }

    /// Its record of a key.
    pub(super) fn record(&self, id: &RecordId) -> Record {
        self.records.get(id).cloned().unwrap_or_default()
    }

    /// Its acceptor of a key.
    pub(super) fn queue(&self, id: &RecordId) -> Acceptor {
        self.queues.get(id).cloned().unwrap_or_default()
    }

    fn acceptor(&mut self, id: &RecordId) -> &mut Acceptor {
        self.queues.entry(id.clone()).or_default()
    }
}
