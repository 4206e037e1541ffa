//! A register is a key; its version is the revision of the key's last change.

use bytes::Bytes;
use music_core::id::RecordId;
use tonic::Streaming;

use super::messages::{
    Compare, CompareWith, KeyValue, PutRequest, RangeRequest, RangeResponse, Request, RequestOp,
    TxnRequest, TxnResponse, WatchCreate, WatchRequest, WatchResponse,
};
use super::wire::Wire;
use crate::versioned::{Failure, Register, Swapped, Version, Versioned};

/// etcd compares for equality.
const EQUAL: i32 = 0;
/// etcd compares the revision of the last change.
const MOD_REVISION: i32 = 2;

/// All keys below a prefix.
pub(super) struct Keys {
    pub(super) wire: Wire,
    pub(super) prefix: String,
}

impl Keys {
    /// `<prefix><table, 16 hexadecimal digits>/<the key's bytes>`
    fn key(&self, id: &RecordId) -> Vec<u8> {
        self.below("", id)
    }

    /// The key that is written when a swap is refused.
    fn mark(&self, id: &RecordId) -> Vec<u8> {
        self.below("refused/", id)
    }

    fn below(&self, kind: &str, id: &RecordId) -> Vec<u8> {
        let mut key = format!("{}{kind}{:016x}/", self.prefix, id.table.0).into_bytes();
        key.extend_from_slice(id.key.as_bytes());
        key
    }

    /// Reads a key, and the revision at which that was so.
    pub(super) async fn range(&self, key: Vec<u8>) -> Result<(Versioned, i64), Failure> {
        let answer = self
            .wire
            .call("/etcdserverpb.KV/Range", RangeRequest { key });
        let answer: RangeResponse = answer.await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok((first(answer.kvs), revision))
    }

    async fn changes(&self, key: Vec<u8>, from: i64) -> Result<Streaming<WatchResponse>, Failure> {
        let create = Some(WatchCreate {
            key,
            start_revision: from,
            fragment: true,
        });
        let request = WatchRequest { create };
        self.wire.stream("/etcdserverpb.Watch/Watch", request).await
    }
}

fn first(kvs: Vec<KeyValue>) -> Versioned {
    let kv = kvs.into_iter().next();
    kv.map_or_else(Versioned::default, |kv| Versioned {
        version: Some(version(kv.mod_revision)),
        bytes: kv.value,
    })
}

/// The revision of a key's last change.
fn version(revision: i64) -> Version {
    Version {
        at: revision,
        number: revision,
    }
}

/// What the transaction's read found.
fn read(answer: TxnResponse) -> Versioned {
    let mut responses = answer.responses.into_iter();
    let read = responses.find_map(|response| response.range);
    first(read.unwrap_or_default().kvs)
}

impl Register for Keys {
    async fn read(&self, id: &RecordId) -> Result<Versioned, Failure> {
        let (value, _) = self.range(self.key(id)).await?;
        Ok(value)
    }

    /// One transaction, which also reads the mark of refusals; where the
    /// version is another one, it reads the key instead and leaves the mark.
    async fn swap(
        &self,
        id: &RecordId,
        expected: Option<Version>,
        bytes: Bytes,
    ) -> Result<Swapped, Failure> {
        let key = self.key(id);
        let compare = Compare {
            result: EQUAL,
            target: MOD_REVISION,
            key: key.clone(),
            with: Some(CompareWith::ModRevision(
                expected.map_or(0, |version| version.number),
            )),
        };
        let put = Request::Put(PutRequest {
            key: key.clone(),
            value: bytes,
        });
        let get = |key| Request::Range(RangeRequest { key });
        let mark = Request::Put(PutRequest {
            key: self.mark(id),
            value: Bytes::new(),
        });
        let operation = |request| RequestOp {
            request: Some(request),
        };
        let transaction = TxnRequest {
            compare: vec![compare],
            success: vec![operation(put), operation(get(self.mark(id)))],
            failure: vec![operation(get(key)), operation(mark)],
        };
        let answer = self.wire.call("/etcdserverpb.KV/Txn", transaction);
        let answer: TxnResponse = answer.await?;
        if !answer.succeeded {
            return Ok(Swapped::Refused(read(answer)));
        }
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        Ok(Swapped::Done {
            version: version(revision),
            refused: read(answer).version.map_or(0, |mark| mark.at),
        })
    }

    async fn follow(&self, id: &RecordId, changed: impl Fn(Versioned) + Send + Sync) -> Failure {
        let key = self.key(id);
        let (value, revision) = match self.range(key.clone()).await {
            Ok(read) => read,
            Err(failure) => return failure,
        };
        changed(value);
        let changes = self.changes(key, revision.saturating_add(1)).await;
        let mut changes = match changes {
            Ok(changes) => changes,
            Err(failure) => return failure,
        };
        while let Ok(Some(answer)) = changes.message().await {
            if answer.canceled {
                break;
            }
            // What came together is told as one.
            let last = answer
                .events
                .into_iter()
                .filter_map(|event| event.kv)
                .last();
            if let Some(last) = last {
                changed(first(vec![last]));
            }
        }
        Failure::Unreachable
    }
}
