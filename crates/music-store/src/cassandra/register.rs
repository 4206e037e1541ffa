//! A value that changes by lightweight transactions: one row, overwritten,
//! never deleted, so that a key used for ever is as fast as a new one.
//!
//! ```text
//! (table_id, key) -> version | state                    | released
//!                    └ written by transactions only ────┘ └ by plain writes,
//!                                          its own number as timestamp
//! ```
//!
//! Every version is made by one attempt, which has a random name, and `state`
//! lists the names of the last ones. So a node whose attempt got no answer
//! makes another, and finds what became of the first where that is refused: the
//! version it wanted to make bears its name, bears another, or is not there yet.
//! In the last case the attempt may still succeed, until a later attempt on the
//! same version does: Cassandra's coordinator may go on after its client has
//! given up.
//!
//! A release changes `released` alone. A transaction names the release that it
//! has seen in its condition, so it never overlooks one that is acknowledged
//! (at a majority, which every transaction's own majority meets), and folds it
//! into `state`, where the transaction itself makes it durable.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use scylla::value::{CqlValue, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{self, ATTEMPTS_KEPT, DecodeError, State};
use super::failure::Failure;
use super::pace::{Pace, attempt_name, wall_us};
use super::pleas;
use super::session::{Access, Cql, Via, unexpected};
use crate::Level;
use crate::error::Outcome;

/// Where a register is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The table's number; negative for the engine's own registers.
    pub(super) table_id: i64,
    /// The key within the table.
    pub(super) key: Vec<u8>,
}

/// What a register holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents<T> {
    /// How many attempts have made it; 0 before the first.
    pub(super) version: i64,
    /// What the attempts made, and their names.
    pub(super) state: State<T>,
    /// The release beside it, as a number; `None` before the first.
    pub(super) released: Option<i64>,
}

/// A register's row: version, state and release.
type RegisterRow = (Option<i64>, Option<Vec<u8>>, Option<i64>);

impl<T: Default + DeserializeOwned> Contents<T> {
    fn decode((version, state, released): RegisterRow) -> Result<Self, DecodeError> {
        let state = match state {
            Some(bytes) => codec::decode_state(&bytes)?,
            None => State::default(),
        };
        Ok(Self {
            version: version.unwrap_or(0),
            state,
            released,
        })
    }
}

impl<T> Contents<T> {
    /// What became of an attempt, as far as these contents tell.
    fn fate(&self, attempt: &Attempt<T>) -> Fate {
        let Some(behind) = self.version.checked_sub(attempt.made.version) else {
            return Fate::Open;
        };
        let Ok(behind) = usize::try_from(behind) else {
            return Fate::Open;
        };
        match self.state.attempts.get(behind) {
            Some(name) if *name == attempt.name => Fate::Applied,
            Some(_) => Fate::Refused,
            None => Fate::Forgotten,
        }
    }
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It made its version.
    Applied,
    /// Another made that version.
    Refused,
    /// That version has not been made: it may apply still.
    Open,
    /// Too much has happened since to tell.
    Forgotten,
}

/// One conditional write.
struct Attempt<T> {
    name: u64,
    made: Contents<T>,
}

/// A transaction's effect.
pub(super) struct Done<T, R> {
    /// What the change returned.
    pub(super) result: R,
    /// The register as the change left it.
    pub(super) contents: Contents<T>,
}

/// A transaction without an effect that is known.
#[derive(Debug)]
pub(super) struct Undone {
    /// Why.
    pub(super) failure: Failure,
    /// Whether an attempt may take effect later: until another is applied.
    pub(super) open: bool,
}

/// A register of this node's Cassandra.
pub(super) struct Register<'a> {
    cql: &'a Cql,
    place: &'a Place,
    /// Who coordinates its first attempt; those after it collided.
    via: Via,
    has_collided: AtomicBool,
}

impl<'a> Register<'a> {
    pub(super) fn new(cql: &'a Cql, place: &'a Place) -> Self {
        Self {
            cql,
            place,
            via: Via::Own,
            has_collided: AtomicBool::new(false),
        }
    }

    /// The same, coordinated so from the first attempt.
    pub(super) fn via(self, via: Via) -> Self {
        Self { via, ..self }
    }

    /// Whether another was in the way of what was done with it.
    pub(super) fn has_collided(&self) -> bool {
        self.has_collided.load(Ordering::Relaxed)
    }

    fn coordinator(&self) -> Via {
        if self.has_collided() {
            Via::Nearest
        } else {
            self.via
        }
    }

    fn note_collision(&self) {
        self.has_collided.store(true, Ordering::Relaxed);
    }

    /// Reads it after all transactions that ended before, and after all
    /// releases that were acknowledged before.
    ///
    /// # Cost
    /// One round with Paxos v2, two with v1.
    pub(super) async fn read<T>(&self) -> Result<Contents<T>, Failure>
    where
        T: Default + DeserializeOwned,
    {
        self.read_at(Access::Serial(self.coordinator())).await
    }

    /// Reads what a replica, or a majority, has: less than all that has ended
    /// where this is not at `SERIAL`.
    pub(super) async fn read_at<T>(&self, access: Access) -> Result<Contents<T>, Failure>
    where
        T: Default + DeserializeOwned,
    {
        let text = format!(
            "SELECT version, state, released FROM {}.registers WHERE table_id = ? AND key = ?",
            self.cql.keyspace()
        );
        let bound = (self.place.table_id, &self.place.key);
        let rows = self.cql.rows(text, access, bound).await?;
        let row = rows.into_iter().next().unwrap_or_default();
        Ok(Contents::decode(row)?)
    }

    /// Reads it, for so long again where time was out: so Cassandra answers,
    /// and at once, where a transaction was in the way.
    ///
    /// # Cost
    /// That of a read each time.
    pub(super) async fn read_at_last<T>(&self, patience: Duration) -> Result<Contents<T>, Failure>
    where
        T: Default + DeserializeOwned,
    {
        let mut pace = Pace::new(patience);
        loop {
            match self.read().await {
                Err(Failure::TimedOut) if pace.again_unanswered().await => self.note_collision(),
                result => return result,
            }
        }
    }

    /// Reads the release beside it; what is read is at a majority, by the
    /// read's own repair where it was not. One round.
    pub(super) async fn read_released(&self) -> Result<Option<i64>, Failure> {
        let text = format!(
            "SELECT released FROM {}.registers WHERE table_id = ? AND key = ?",
            self.cql.keyspace()
        );
        let bound = (self.place.table_id, &self.place.key);
        let rows: Vec<(Option<i64>,)> = self
            .cql
            .rows(text, Access::Plain(Level::Majority), bound)
            .await?;
        Ok(rows.into_iter().next().and_then(|(released,)| released))
    }

    /// Raises the release beside it at a majority; a lower one changes
    /// nothing. One round.
    pub(super) async fn write_released(&self, released: i64) -> Result<(), Failure> {
        let text = format!(
            "UPDATE {}.registers USING TIMESTAMP ? SET released = ? WHERE table_id = ? AND key = ?",
            self.cql.keyspace()
        );
        let bound = (released, released, self.place.table_id, &self.place.key);
        let access = Access::Plain(Level::Majority);
        self.cql.execute(text, access, bound).await?;
        Ok(())
    }

    /// Changes the register, once: `change` is given the value and the
    /// release, and is called again where another was faster.
    ///
    /// `seen` is what the register held when last seen, and saves a round
    /// where nothing has changed; the default stands for one that is new.
    ///
    /// # Cost
    /// Two rounds with Paxos v2, and as many for each time that another was
    /// faster.
    pub(super) async fn transact<T, R>(
        &self,
        seen: Contents<T>,
        patience: Duration,
        change: impl Fn(&mut T, Option<i64>) -> R,
    ) -> Result<Done<T, R>, Undone>
    where
        T: Clone + Default + Serialize + DeserializeOwned,
    {
        let mut transaction = Transaction {
            open: Vec::new(),
            forgotten: false,
        };
        let mut pace = Pace::new(patience);
        let mut seen = seen;
        loop {
            let (attempt, result) = make(&seen, &change);
            match self.attempt(&seen, &attempt).await {
                Ok(None) => {
                    let contents = attempt.made;
                    return Ok(Done { result, contents });
                }
                // Another completed the attempt, which made its own condition
                // false.
                Ok(Some(row)) if row.fate(&attempt) == Fate::Applied => {
                    let contents = attempt.made;
                    return Ok(Done { result, contents });
                }
                // Refused, however much has happened since the contents that
                // it was made from: Cassandra answers so only where no replica
                // has accepted the attempt, and else that time is out.
                // The first may have been made from what was old.
                Ok(Some(row)) => {
                    if pace.is_repeated() {
                        self.note_collision();
                    }
                    seen = row;
                }
                Err(failure) if failure.outcome() == Outcome::NotApplied => {
                    return Err(transaction.ended(failure));
                }
                // What became of it is seen by the next attempt, which is
                // refused with what the register holds where this one was
                // applied. A read at `SERIAL` would tell as well, and collide
                // with what others do as much.
                Err(failure) => {
                    self.note_collision();
                    transaction.open.push((attempt, result));
                    if !pace.again_unanswered().await {
                        return Err(transaction.ended(failure));
                    }
                    self.plead_if_late(&pace).await;
                    continue;
                }
            }
            if let Some(done) = transaction.settle(&seen) {
                return Ok(done);
            }
            if transaction.forgotten || !pace.again().await {
                return Err(transaction.ended(Failure::Contended));
            }
            self.plead_if_late(&pace).await;
        }
    }

    /// Others are asked to give way to a transaction that is made again and again.
    async fn plead_if_late(&self, pace: &Pace) {
        if pace.is_late() {
            self.plead().await;
        }
    }

    /// Asks others to give way.
    pub(super) async fn plead(&self) {
        if let Err(error) = pleas::plead(self.cql, self.place, wall_us()).await {
            tracing::debug!(?error, "the other sites are not asked to give way");
        }
    }

    /// Writes what an attempt made if the register still is as it was seen;
    /// otherwise returns what it is.
    ///
    /// The condition on `state` always holds. It is there because Cassandra
    /// returns the columns that a condition names, and no others.
    async fn attempt<T>(
        &self,
        seen: &Contents<T>,
        attempt: &Attempt<T>,
    ) -> Result<Option<Contents<T>>, Failure>
    where
        T: Default + Serialize + DeserializeOwned,
    {
        let text = format!(
            "UPDATE {}.registers SET version = ?, state = ? WHERE table_id = ? AND key = ? \
             IF version = ? AND released = ? AND state != 0x",
            self.cql.keyspace()
        );
        let bound = (
            attempt.made.version,
            codec::encode_state(&attempt.made.state),
            self.place.table_id,
            &self.place.key,
            (seen.version > 0).then_some(seen.version),
            seen.released,
        );
        let access = Access::Transaction(self.coordinator());
        let answer = self.cql.execute(text, access, bound).await?;
        let answer = answer.into_rows_result().map_err(unexpected)?;
        let column = |name| answer.column_specs().get_by_name(name).map(|(at, _)| at);
        let columns = ["[applied]", "version", "state", "released"].map(column);
        let row: Row = answer.first_row().map_err(unexpected)?;
        let mut columns = columns.map(|at| row.columns.get(at?).cloned().flatten());
        let [applied, version, state, released] = columns.each_mut().map(Option::take);
        if applied == Some(CqlValue::Boolean(true)) {
            return Ok(None);
        }
        let number = |value: Option<CqlValue>| value.and_then(|value| value.as_bigint());
        let state = state.and_then(CqlValue::into_blob);
        let row = Contents::decode((number(version), state, number(released)))?;
        Ok(Some(row))
    }
}

/// What the change makes of the register, under a name of its own.
fn make<T: Clone, R>(
    seen: &Contents<T>,
    change: impl Fn(&mut T, Option<i64>) -> R,
) -> (Attempt<T>, R) {
    let name = attempt_name();
    let mut value = seen.state.value.clone();
    let result = change(&mut value, seen.released);
    let kept = seen.state.attempts.iter().copied();
    let attempts: VecDeque<u64> = std::iter::once(name)
        .chain(kept)
        .take(ATTEMPTS_KEPT)
        .collect();
    let made = Contents {
        version: seen.version.saturating_add(1),
        state: State { attempts, value },
        released: seen.released,
    };
    (Attempt { name, made }, result)
}

/// The attempts of one transaction whose fate is not known. They are of the
/// same change, so at most one of them may count.
struct Transaction<T, R> {
    open: Vec<(Attempt<T>, R)>,
    forgotten: bool,
}

impl<T, R> Transaction<T, R> {
    /// Looks for the attempts in what the register holds; returns the one
    /// that took effect, if one did.
    fn settle(&mut self, seen: &Contents<T>) -> Option<Done<T, R>> {
        for (attempt, result) in std::mem::take(&mut self.open) {
            match seen.fate(&attempt) {
                Fate::Applied => {
                    let contents = attempt.made;
                    return Some(Done { result, contents });
                }
                Fate::Refused => {}
                Fate::Open => self.open.push((attempt, result)),
                Fate::Forgotten => self.forgotten = true,
            }
        }
        None
    }

    fn ended(&self, failure: Failure) -> Undone {
        let open = !self.open.is_empty();
        let failure = if open || self.forgotten {
            failure.in_doubt()
        } else {
            failure
        };
        Undone { failure, open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register as some attempts in a row leave it.
    fn after(attempts: u32) -> (Contents<u32>, Vec<Attempt<u32>>) {
        let mut contents = Contents::default();
        let mut made = Vec::new();
        for _ in 0..attempts {
            let (attempt, ()) = make(&contents, |value, _| *value += 1);
            contents = attempt.made.clone();
            made.push(attempt);
        }
        (contents, made)
    }

    #[test]
    fn an_attempt_is_found_as_long_as_it_is_remembered() {
        let kept = u32::try_from(ATTEMPTS_KEPT).unwrap();
        let (contents, made) = after(kept + 1);
        let (oldest, kept) = made.split_first().unwrap();
        assert_eq!(contents.fate(oldest), Fate::Forgotten);
        for attempt in kept {
            assert_eq!(contents.fate(attempt), Fate::Applied);
        }
        assert_eq!(contents.state.attempts.len(), ATTEMPTS_KEPT);
    }

    #[test]
    fn of_attempts_on_one_version_one_counts() {
        let (contents, _) = after(3);
        let add = |value: &mut u32, _| *value += 1;
        let ((first, ()), (second, ())) = (make(&contents, add), make(&contents, add));
        assert_eq!(contents.fate(&first), Fate::Open);
        assert_eq!(second.made.fate(&first), Fate::Refused);
        assert_eq!(second.made.fate(&second), Fate::Applied);
    }

    #[test]
    fn a_lost_answer_is_found_and_a_failure_in_doubt_says_so() {
        let (contents, mut made) = after(2);
        let last = made.pop().unwrap();
        let (late, ()) = make(&contents, |_, _| ());
        let mut transaction = Transaction {
            open: vec![(late, 1)],
            forgotten: false,
        };
        assert!(transaction.settle(&contents).is_none());
        assert!(transaction.ended(Failure::Contended).open);
        transaction.open.push((last, 2));
        let done = transaction.settle(&contents).unwrap();
        assert_eq!((done.result, done.contents.state.value), (2, 2));
    }
}
