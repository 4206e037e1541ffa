//! What the clients of a deployment do, simulated or real: critical sections
//! of all kinds, and plain reads and writes. What they do and see goes to a
//! [`Recorder`].

pub mod dice;
mod section;

use std::ops::Range;
use std::time::Duration;

use music_client::error::Code;
use music_client::{Client, Error};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::dice::{Dice, Rng as _};
use crate::{ClientId, OpId, PlainKind, PlainOutcome, SectionId, What};

/// The table of critical records.
pub const CRITICAL: &str = "state";
/// The table of eventual records.
pub const EVENTUAL: &str = "notes";

/// Writes a history, and keeps what a history does not show.
pub trait Recorder {
    /// Adds an event that happens now.
    fn note(&self, what: What);

    /// A name for a new section.
    fn section(&self) -> SectionId;

    /// A name for a new operation.
    fn op(&self) -> OpId;

    /// A section is held under this lockRef, at the node of this address.
    fn hold(&self, section: SectionId, lock_ref: &str, endpoint: &str);

    /// A section that is held has been heard of, at the node of this address.
    fn heard(&self, section: SectionId, endpoint: &str);

    /// A section is not held any more. Whether it was until now.
    fn let_go(&self, section: SectionId) -> bool;

    /// Something rare happened.
    fn saw(&self, what: &'static str);
}

/// How clients use their sections, in percent.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// How likely a section is of one more key.
    pub several_keys: u32,
    /// How many sections are shared.
    pub shared: u32,
    /// How many have many steps, so that most faults find a put under way.
    pub long: u32,
    /// How many linger before they end.
    pub linger: u32,
    /// How many ends ask for confirmation.
    pub confirm: u32,
    /// How many do not wait for the grant for ever.
    pub impatient: u32,
    /// How many begin with the key that is their site's own.
    pub home: u32,
}

/// What all clients of a run have in common.
#[derive(Clone, Debug)]
pub struct Work {
    /// How many critical records there are.
    pub keys: usize,
    /// The number of the client's site, which has the record of that number,
    /// the first one following the last, for its own.
    pub home: usize,
    /// How clients use them.
    pub habits: Habits,
    /// The leases that sections ask for, in milliseconds.
    pub leases_ms: Range<u64>,
    /// How long the effects of faults may last.
    pub settling: Duration,
    /// Cancelled when faults stop: from then on clients finish.
    pub calm: CancellationToken,
}

/// One client.
#[derive(Debug)]
pub struct Worker<R> {
    /// Its name.
    pub id: ClientId,
    /// How it reaches the nodes.
    pub client: Client,
    /// Where its history goes.
    pub recorder: R,
    /// What it draws from.
    pub dice: Dice,
    /// What it has in common with others.
    pub work: Work,
}

impl<R: Recorder> Worker<R> {
    /// Works until faults have stopped, then shows that everything can be had.
    pub async fn run(mut self) {
        while !self.work.calm.is_cancelled() {
            match self.dice.random_range(0..100) {
                0..70 => self.section().await,
                70..80 => self.plain().await,
                _ => self.idle().await,
            }
        }
        sleep(self.work.settling).await;
        // Everything must be had once more, at once.
        self.section().await;
        let keys = (0..self.work.keys).collect();
        self.last_section(keys).await;
        self.client.close().await;
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    async fn idle(&mut self) {
        let length = Duration::from_millis(self.dice.random_range(1..400));
        sleep(length).await;
    }

    /// Something that needs no lock.
    async fn plain(&mut self) {
        let kinds = [
            PlainKind::EventualPut,
            PlainKind::EventualGet,
            PlainKind::CriticalTableGet,
            PlainKind::PutOnCritical,
            PlainKind::LockOnEventual,
        ];
        let at = self.dice.random_range(0..kinds.len());
        let Some(kind) = kinds.get(at).copied() else {
            return;
        };
        let op = self.recorder.op();
        let client = self.id;
        self.recorder.note(What::Plain { client, op, kind });
        let result = match kind {
            PlainKind::EventualPut => self
                .client
                .put((EVENTUAL, "note", ""), op.0.to_string())
                .await
                .map(drop),
            PlainKind::EventualGet => self.client.get((EVENTUAL, "note", "")).await.map(drop),
            PlainKind::CriticalTableGet => self.client.get((CRITICAL, "k0", "x")).await.map(drop),
            PlainKind::PutOnCritical => self
                .client
                .put((CRITICAL, "k0", "x"), "forbidden")
                .await
                .map(drop),
            PlainKind::LockOnEventual => self
                .client
                .lock([(EVENTUAL, "note")])
                .acquire()
                .await
                .map(drop),
        };
        let outcome = match &result {
            Ok(()) => PlainOutcome::Done,
            Err(error) if error.code() == Some(Code::WrongMode) => PlainOutcome::WrongMode,
            Err(_) => PlainOutcome::Failed,
        };
        self.recorder.note(What::PlainEnded { op, outcome });
    }
}

/// Whether the failed call may have had its effect.
fn is_unknown(error: &Error) -> bool {
    error.outcome() == music_client::Outcome::Unknown
}
