//! The local database, as the owner of the logs sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::local::Local as Database;
use crate::engine::sqlite::mail::MailState;
use crate::engine::{Applied as Redone, Digest, Position};
use crate::error::{Result, SqlError, state};
use crate::outbox::{Letter, Outbox};
use crate::ownership;
use crate::partition::Partition;
use crate::redo_log::{Applied, Entry, Place, Point, Step};

/// The local database, and how far the logs are applied in it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) database: Arc<dyn Database>,
    outbox: Arc<Outbox>,
    /// With what own transactions have appended and not rolled back.
    applied: Mutex<Applied>,
    /// Of several turns that hand over the same entry, one applies it.
    replays: tokio::sync::Mutex<()>,
}

impl Local {
    /// Reads how far the logs are applied, and which stamps there are.
    pub(super) async fn open(database: Arc<dyn Database>, outbox: Arc<Outbox>) -> Result<Self> {
        let local = Self {
            applied: Mutex::new(applied_of(database.positions().await?)?),
            database,
            outbox,
            replays: tokio::sync::Mutex::default(),
        };
        let mail = local.mail_state().await?;
        local.outbox.observe(mail.highest_us);
        let sent = local.outbox.sent();
        if mail.last < sent {
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
        self.database.mail_state().await
    }

    /// Letters of this site from a number on, at most so many.
    pub(super) async fn letters(&self, first: u64, count: u64) -> Result<Vec<Letter>> {
        self.database.letters(first, count).await
    }

    fn lock(&self) -> MutexGuard<'_, Applied> {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the disk has. Waits for no transaction: one that is open for long must
    /// not keep other sites from what this one has applied.
    pub(super) async fn durable(&self) -> Result<Applied> {
        applied_of(self.database.positions().await?)
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

    async fn redo(&self, entry: &Entry) -> Result<()> {
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
        self.database
            .apply(vec![Redone { digest, positions }])
            .await
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
            let step = self.lock().step(&entry);
            match step {
                Step::Done => {}
                Step::Next => {
                    self.redo(&entry).await?;
                    self.lock().advance(&entry);
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
