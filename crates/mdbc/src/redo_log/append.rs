//! One entry on its way to the logs of its partitions.
//!
//! ```text
//!  one partition        [wait for what it read] ── head ──────────────────▶ fate
//!  several              [wait for what it read] ── prepared heads ─┐
//!                        wait for all that comes before it ────────┴─ head ─▶ fate
//!  the same several     [wait for what it read] ── prepared heads ─── head ─▶ fate
//!  as the one before
//!  a large digest       its pieces go before the head
//! ```

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use music_client::api::name::FieldChanges;
use music_client::{Cell, Content, Outcome};
use tokio::sync::watch;

use crate::redo_log::batcher::Batcher;
use crate::redo_log::entry::{Head, pieces};
use crate::redo_log::error::{Cause, Failure};
use crate::redo_log::ring::Ring;

/// How an entry ended.
pub(crate) type Fate = Result<(), Failure>;

/// Tells how an entry ends; clones tell the same.
#[derive(Clone, Debug)]
pub(crate) struct Promise(watch::Receiver<Option<Fate>>);

impl Promise {
    /// A promise, and what keeps it.
    pub(crate) fn new() -> (watch::Sender<Option<Fate>>, Self) {
        let (sender, receiver) = watch::channel(None);
        (sender, Self(receiver))
    }

    /// Whether they tell of the same entry.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.same_channel(&other.0)
    }

    /// Waits for the end. Where nobody tells it any more, it is unknown.
    pub(crate) async fn fate(mut self) -> Fate {
        let unknown = || Err(Failure::unknown(Cause::Ending));
        match self.0.wait_for(Option::is_some).await {
            Ok(fate) => fate.clone().unwrap_or_else(unknown),
            Err(_) => unknown(),
        }
    }
}

/// A slot to be put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) batcher: Arc<Batcher>,
    pub(crate) head: Head,
    /// Fields to be emptied with it.
    pub(crate) emptied: Vec<String>,
}

/// An entry that has its positions.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) ring: Ring,
    pub(crate) digest: Bytes,
    /// The slot of the commit point.
    pub(crate) commit: Put,
    pub(crate) prepared: Vec<Put>,
    /// The entries before it, in its partitions.
    pub(crate) before: Vec<Promise>,
    /// Whether these are one, of the same partitions. Then it names that one in each
    /// of its logs, and counts in none of them without it.
    pub(crate) follows: bool,
    /// The last entries of the partitions that it only read.
    pub(crate) read: Vec<Promise>,
}

impl Job {
    /// Puts the entry, and tells how that ended.
    pub(crate) async fn run(self) -> Fate {
        // Where one of these never counts, this one read what never was.
        if let Err(failure) = worst(self.read.clone()).await {
            return Err(no_commit_point(&failure));
        }
        if self.prepared.is_empty() {
            self.run_alone().await
        } else {
            self.run_in_several().await
        }
    }

    async fn run_alone(self) -> Fate {
        let put = async {
            self.put_pieces()
                .await
                .map_err(|failure| no_commit_point(&failure))?;
            self.put(&self.commit).await
        };
        self.chained(put).await
    }

    /// Puts the commit point beside those of the entries before it: without these it
    /// does not count.
    async fn chained(&self, put: impl Future<Output = Fate>) -> Fate {
        let (before, put) = futures_util::future::join(worst(self.before.clone()), put).await;
        let is_void = |fate: &Fate| {
            fate.as_ref()
                .is_err_and(|failure| failure.outcome == Outcome::NotApplied)
        };
        // A gap in the chain is for good.
        match (before, put) {
            (Ok(()), put) => put,
            (before, _) if is_void(&before) => Err(Failure::not_applied(Cause::Before)),
            (_, put) if is_void(&put) => put,
            (_, _) => Err(Failure::unknown(Cause::Before)),
        }
    }

    async fn run_in_several(self) -> Fate {
        let prepare = async {
            let puts = join_all(self.prepared.iter().map(|put| self.put(put))).await;
            puts.into_iter().collect::<Fate>()?;
            self.put_pieces().await
        };
        if self.follows {
            let put = async {
                let prepared = prepare.await;
                prepared.map_err(|failure| no_commit_point(&failure))?;
                self.put(&self.commit).await
            };
            return self.chained(put).await;
        }
        let (before, prepared) =
            futures_util::future::join(worst(self.before.clone()), prepare).await;
        before
            .and(prepared)
            .map_err(|failure| no_commit_point(&failure))?;
        self.put(&self.commit).await
    }

    async fn put_pieces(&self) -> Fate {
        let Some(place) = self.commit.head.place() else {
            return Ok(());
        };
        let position = place.point.position;
        let puts = (0..)
            .zip(pieces(&self.digest))
            .map(async |(number, piece)| {
                let batcher = &self.commit.batcher;
                let cell = Cell {
                    record: batcher.record.clone(),
                    field: self.ring.piece_field(position, number),
                };
                let piece = Content::from(self.digest.slice_ref(piece));
                told(batcher.section.put(cell, piece).await)
            });
        join_all(puts).await.into_iter().collect()
    }

    async fn put(&self, put: &Put) -> Fate {
        let Some(place) = put.head.place() else {
            return Err(Failure::not_applied(Cause::Broken));
        };
        let head = put.head.encode(&self.digest);
        let bytes = head.len();
        // In one put with the head: whoever finds a slot empty finds an entry
        // that says up to where the log is committed.
        let empty = Content::from(Bytes::new()).to_value();
        let emptied = put
            .emptied
            .iter()
            .map(|name| (name.clone(), Some(empty.clone())));
        let mut fields: FieldChanges = emptied.collect();
        let field = self.ring.field(place.point.position);
        fields.insert(field, Some(Content::from(head).to_value()));
        put.batcher.put(fields, bytes).await
    }
}

/// The entry never counts: its commit point was not put.
fn no_commit_point(failure: &Failure) -> Failure {
    Failure::not_applied(failure.cause.clone())
}

pub(crate) fn told(put: Result<u64, music_client::Error>) -> Fate {
    put.map(drop).map_err(|error| Failure {
        outcome: error.outcome(),
        cause: Cause::Put(Arc::new(error)),
    })
}

/// Waits for all of them; one that never counts is worse than one that is not
/// known.
async fn worst(promises: Vec<Promise>) -> Fate {
    let fates = join_all(promises.into_iter().map(Promise::fate)).await;
    let failures = fates.into_iter().filter_map(Result::err);
    let worst = failures.reduce(|one, other| match one.outcome {
        Outcome::NotApplied => one,
        Outcome::Unknown => other,
    });
    worst.map_or(Ok(()), Err)
}
