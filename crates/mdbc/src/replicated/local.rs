//! The local database, as the owner of the logs sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::engine::local::{Local as Database, Quiet};
use crate::engine::sqlite::mail::MailState;
use crate::engine::{Applied as Redone, Digest, Position};
use crate::error::{Result, SqlError, state};
use crate::outbox::{Letter, Outbox};
use crate::ownership;
use crate::partition::Partition;
use crate::redo_log::{Applied, Behind, Entry, Place, Point, Step};

/// Entries that are applied at once.
const AT_ONCE_MAX: usize = 256;
/// Bytes of the digests of entries that are applied at once, but for the last one.
const AT_ONCE_BYTES: usize = 4 << 20;

/// The local database, and how far the logs are applied in it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) database: Arc<dyn Database>,
    outbox: Arc<Outbox>,
    /// With what own transactions have appended and not rolled back.
    applied: Mutex<Applied>,
    /// Own transactions that are appended and have not ended here.
    flying: Mutex<BTreeMap<Partition, BTreeSet<u64>>>,
    landed: Notify,
    /// Of several turns that hand over the same entry, one applies it.
    replays: tokio::sync::Mutex<()>,
    replayed: AtomicU64,
    /// What was known of letters last.
    mail: Mutex<MailState>,
}

impl Local {
    /// Reads how far the logs are applied, and which stamps there are.
    pub(super) async fn open(
        database: Arc<dyn Database>,
        outbox: Arc<Outbox>,
        behind: &Behind,
    ) -> Result<Self> {
        let local = Self {
            applied: Mutex::new(applied_of(database.positions().await?)?),
            database,
            outbox,
            flying: Mutex::default(),
            landed: Notify::new(),
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
        let mail = self.database.mail_state().await?;
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

    /// How many values of sequences this site has given, as the disk has it.
    pub(super) async fn given(&self) -> Result<BTreeMap<u32, i64>> {
        self.database.given().await
    }

    /// The same with what own transactions have appended.
    pub(super) fn applied(&self) -> Applied {
        self.lock().clone()
    }

    /// An own transaction is in the log, or on its way there. Where several are,
    /// as PostgreSQL has them, they tell it in any order: one whose predecessor
    /// has not told it yet, or is rolled back, counts only by its replay.
    pub(super) fn appended(&self, places: &[Place]) {
        let mut flying = self.flying();
        for place in places {
            let positions = flying.entry(place.partition.clone()).or_default();
            positions.insert(place.point.position);
        }
        appended(&mut self.lock(), places);
    }

    /// It has ended here. Where it is not committed, what came before it is what
    /// the disk has, and what comes after it fails with it.
    pub(super) fn ended(&self, places: &[Place], is_committed: bool) {
        let mut flying = self.flying();
        for place in places {
            if let Some(positions) = flying.get_mut(&place.partition) {
                positions.remove(&place.point.position);
            }
        }
        flying.retain(|_, positions| !positions.is_empty());
        if !is_committed {
            rolled_back(&mut self.lock(), places);
        }
        drop(flying);
        self.landed.notify_waiters();
    }

    fn flying(&self) -> MutexGuard<'_, BTreeMap<Partition, BTreeSet<u64>>> {
        self.flying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether own transactions that stand before an entry have not ended here.
    fn is_awaited(&self, entry: &Entry) -> bool {
        let flying = self.flying();
        entry.places.iter().any(|place| {
            let positions = flying.get(&place.partition);
            positions
                .is_some_and(|positions| positions.range(..place.point.position).next().is_some())
        })
    }

    /// Waits until own transactions that stand before an entry have ended here.
    async fn landed(&self, entry: &Entry) {
        loop {
            let landed = self.landed.notified();
            if !self.is_awaited(entry) {
                return;
            }
            self.database.hurry();
            landed.await;
        }
    }

    /// Takes out what can be applied next and at once, and how the first entry
    /// stands that is not.
    fn take_next(&self, entries: &mut VecDeque<Entry>) -> (Vec<Entry>, Option<Step>) {
        let (mut ahead, mut next, mut bytes) = (self.applied(), Vec::new(), 0_usize);
        while let Some(entry) = entries.front() {
            let is_full = next.len() >= AT_ONCE_MAX || bytes >= AT_ONCE_BYTES;
            match ahead.step(entry) {
                Step::Done => {
                    entries.pop_front();
                }
                Step::Next if next.is_empty() || !(is_full || self.is_awaited(entry)) => {
                    bytes = bytes.saturating_add(entry.digest.len());
                    ahead.advance(entry);
                    next.extend(entries.pop_front());
                }
                step => return (next, Some(step)),
            }
        }
        (next, None)
    }

    /// Applies entries that follow each other, up to one that cannot be.
    async fn redo(&self, quiet: &Quiet, entries: &[Entry]) -> Result<()> {
        let (mut redone, mut decoded) = (Vec::new(), Ok(()));
        for entry in entries {
            let digest = match Digest::decode(&entry.digest) {
                Ok(digest) => digest,
                Err(error) => {
                    let error = format!("an entry of the log: {error}");
                    decoded = Err(SqlError::new(state::DATA_CORRUPTED, error));
                    break;
                }
            };
            // Before anything is written here after it.
            if let Some(stamp) = &digest.stamp {
                self.outbox.observe(stamp.at_us);
            }
            let positions = positions(&entry.places);
            redone.push(Redone { digest, positions });
        }
        let (count, result) = self.database.apply(quiet, redone).await;
        for entry in entries.iter().take(count) {
            self.lock().advance(entry);
            self.replayed.fetch_add(1, Ordering::Relaxed);
        }
        result.and(decoded)
    }
}

impl ownership::Database for Local {
    type Error = SqlError;

    async fn applied(&self) -> Result<Applied> {
        Ok(Self::applied(self))
    }

    async fn replay(&self, entries: Vec<Entry>) -> Result<()> {
        let _one_at_a_time = self.replays.lock().await;
        let mut entries = VecDeque::from(entries);
        while let Some(first) = entries.front() {
            let before = self.lock().step(first);
            if before == Step::Done {
                entries.pop_front();
                continue;
            }
            // What own transactions have appended is decided by then.
            self.landed(first).await;
            // Many at once: each time, the transactions of this site wait.
            let quiet = self.database.quiet().await?;
            match self.take_next(&mut entries) {
                (next, _) if !next.is_empty() => self.redo(&quiet, &next).await?,
                (_, Some(Step::Gap)) if before == Step::Next => {
                    return Err(SqlError::again("what came before an entry was rolled back"));
                }
                (_, Some(Step::Gap)) => {
                    return Err(SqlError::new(
                        state::DATA_CORRUPTED,
                        "an entry of the log does not follow what the local database has applied",
                    )
                    .with_hint("Restore the local database from another site."));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn appended(applied: &mut Applied, places: &[Place]) {
    for place in places {
        if applied.point(&place.partition) == place.before() {
            applied.set(place.partition.clone(), place.point);
        }
    }
}

fn rolled_back(applied: &mut Applied, places: &[Place]) {
    for place in places {
        if applied.point(&place.partition).position >= place.point.position {
            applied.set(place.partition.clone(), place.before());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> Partition {
        Partition::of_table("t").unwrap()
    }

    fn place(position: u64) -> Vec<Place> {
        vec![Place {
            partition: partition(),
            point: Point { position, token: 1 },
            token_before: u64::from(position > 1),
        }]
    }

    #[test]
    fn transactions_that_fail_together_are_all_replayed() {
        // Whatever the order in which two of a turn tell that they are appended,
        // and that they have failed, the first is the next to be applied.
        type Told = fn(&mut Applied, &[Place]);
        let first: [(Told, u64); 2] = [(appended, 1), (rolled_back, 1)];
        let second: [(Told, u64); 2] = [(appended, 2), (rolled_back, 2)];
        let orders = [
            [first[0], first[1], second[0], second[1]],
            [first[0], second[0], first[1], second[1]],
            [first[0], second[0], second[1], first[1]],
            [second[0], first[0], first[1], second[1]],
            [second[0], first[0], second[1], first[1]],
            [second[0], second[1], first[0], first[1]],
        ];
        for order in orders {
            let mut applied = Applied::default();
            for (told, position) in order {
                told(&mut applied, &place(position));
            }
            assert_eq!(applied.point(&partition()), Point::START);
        }
    }

    #[test]
    fn transactions_that_are_appended_one_after_the_other_count() {
        let mut applied = Applied::default();
        for position in 1..=3 {
            appended(&mut applied, &place(position));
        }
        assert_eq!(applied.point(&partition()).position, 3);
        rolled_back(&mut applied, &place(3));
        assert_eq!(applied.point(&partition()).position, 2);
    }
}
