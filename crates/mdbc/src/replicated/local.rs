//! The local database, as the owner of the logs sees it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

use crate::engine::sqlite::lane::{Held, Lane};
use crate::engine::sqlite::mail::MailState;
use crate::engine::{Applied as Redone, Database, Digest, Position};
use crate::error::{Result, SqlError, state};
use crate::outbox::{Letter, Outbox};
use crate::ownership;
use crate::partition::Partition;
use crate::redo_log::{Applied, Behind, Entry, Place, Point, Step};

/// The session that reads: no client's.
const SESSION: u64 = 0;

/// The local database, and how far the logs are applied in it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) database: Database,
    /// A connection of its own, which waits for no transaction.
    reader: Lane,
    outbox: Arc<Outbox>,
    /// With what own transactions have appended and not rolled back.
    applied: Mutex<Applied>,
    /// Of several turns that hand over the same entry, one applies it.
    replays: tokio::sync::Mutex<()>,
    replayed: AtomicU64,
    /// What was known of letters last.
    mail: Mutex<MailState>,
}

impl Local {
    /// Reads how far the logs are applied, and which stamps there are.
    pub(super) async fn open(
        database: Database,
        outbox: Arc<Outbox>,
        behind: &Behind,
    ) -> Result<Self> {
        let reader = database.reader().map_err(SqlError::internal)?;
        let local = Self {
            applied: Mutex::new(applied_of(database.positions().await?)?),
            database,
            reader,
            outbox,
            replays: tokio::sync::Mutex::default(),
            replayed: AtomicU64::default(),
            mail: Mutex::default(),
        };
        let mail = local.mail_state().await?;
        local.outbox.observe(mail.highest_us);
        let sent = local.outbox.sent();
        if let Some(gone) = local.outbox.gone(&mail.received) {
            behind.note(&gone);
            return Err(SqlError::new(state::DATA_CORRUPTED, gone.to_string()));
        }
        local.database.outrun_sequences(&local.outbox.given());
        if mail.last < sent {
            behind.note(&"the local database is an old copy, or a new one of a site that has been");
            return Err(SqlError::new(
                state::DATA_CORRUPTED,
                format!(
                    "this site has sent {sent} letters, and its local database knows of {} alone",
                    mail.last
                ),
            )
            .with_hint("It is an old copy. Restore it from another site."));
        }
        Ok(local)
    }

    /// What is known of letters.
    pub(super) async fn mail_state(&self) -> Result<MailState> {
        let mail = self.reader.call(SESSION, Held::mail_state).await?;
        let mut last = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        last.clone_from(&mail);
        Ok(mail)
    }

    /// The same as it was known last.
    pub(super) fn last_mail(&self) -> MailState {
        let mail = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        mail.clone()
    }

    /// How many entries of other sites were applied since the start.
    pub(super) fn replayed(&self) -> u64 {
        self.replayed.load(Ordering::Relaxed)
    }

    /// Letters of this site from a number on, at most so many.
    pub(super) async fn letters(&self, first: u64, count: u64) -> Result<Vec<Letter>> {
        self.reader
            .call(SESSION, move |held| held.letters(first, count))
            .await
    }

    fn lock(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the disk has. Waits for no transaction: one that is open for long must
    /// not keep other sites from what this one has applied.
    pub(super) async fn durable(&self) -> Result<Applied> {
        applied_of(self.reader.call(SESSION, Held::positions).await?)
    }

    /// How many values of sequences this site has given, as the disk has it.
    pub(super) async fn given(&self) -> Result<BTreeMap<u32, i64>> {
        self.reader.call(SESSION, |held| held.given()).await
    }

    /// The same with what own transactions have appended.
    pub(super) fn applied(&self) -> Applied {
        self.lock().clone()
    }

    /// An own transaction is in the log, or on its way there.
    pub(super) fn appended(&self, places: &[Place]) {
        let mut applied = self.lock();
        for place in places {
            applied.set(place.partition.clone(), place.point);
        }
    }

    /// It is not, or its local transaction is rolled back: what came before it
    /// is what the disk has.
    pub(super) fn rolled_back(&self, places: &[Place]) {
        let mut applied = self.lock();
        for place in places {
            if applied.point(&place.partition) == place.point {
                applied.set(place.partition.clone(), place.before());
            }
        }
    }

    async fn redo(&self, quiet: &OwnedSemaphorePermit, entry: &Entry) -> Result<()> {
        let digest = Digest::decode(&entry.digest).map_err(|error| {
            SqlError::new(
                state::DATA_CORRUPTED,
                format!("an entry of the log: {error}"),
            )
        })?;
        let positions = positions(&entry.places);
        // Before anything is written here after it.
        if let Some(stamp) = &digest.stamp {
            self.outbox.observe(stamp.at_us);
        }
        let redone = Redone { digest, positions };
        self.database.apply_one(quiet, redone).await
    }
}

impl ownership::Database for Local {
    type Error = SqlError;

    async fn applied(&self) -> Result<Applied> {
        Ok(Self::applied(self))
    }

    async fn replay(&self, entries: Vec<Entry>) -> Result<()> {
        let _one_at_a_time = self.replays.lock().await;
        for entry in entries {
            if self.lock().step(&entry) == Step::Done {
                continue;
            }
            // What own transactions have appended is decided by then.
            let quiet = self.database.quiet().await?;
            let step = self.lock().step(&entry);
            match step {
                Step::Done => {}
                Step::Next => {
                    self.redo(&quiet, &entry).await?;
                    self.lock().advance(&entry);
                    self.replayed.fetch_add(1, Ordering::Relaxed);
                }
                Step::Gap => {
                    return Err(SqlError::new(
                        state::DATA_CORRUPTED,
                        "an entry of the log does not follow what the local database has applied",
                    )
                    .with_hint("Restore the local database from another site."));
                }
            }
        }
        Ok(())
    }
}

fn applied_of(positions: BTreeMap<String, Position>) -> Result<Applied> {
    let place = |(name, position): (String, Position)| {
        let partition = Partition::try_from(name).map_err(SqlError::internal)?;
        Ok((partition, point(&position)?))
    };
    positions.into_iter().map(place).collect()
}

/// The positions of an entry, as the database keeps them.
pub(super) fn positions(places: &[Place]) -> BTreeMap<String, Position> {
    let position = |place: &Place| {
        let Point { position, token } = place.point;
        let id = token.to_be_bytes().to_vec();
        (place.partition.name().to_owned(), Position { position, id })
    };
    places.iter().map(position).collect()
}

fn point(position: &Position) -> Result<Point> {
    let token = <[u8; 8]>::try_from(position.id.as_slice());
    let token = token.map_err(|_short| SqlError::internal("a position of the log is damaged"))?;
    Ok(Point {
        position: position.position,
        token: u64::from_be_bytes(token),
    })
}
