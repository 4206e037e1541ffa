//! The lock store's side of a site: commands, peeks and releases.
//!
//! One worker a key and site runs the transactions, one after the other, each
//! with all the commands that were waiting: calls of one site never compete
//! with each other, and `Transaction` rests on there being one at a time. The
//! worker ends when nothing waits.

use std::sync::Arc;
use std::time::Duration;

use music_core::id::{RecordId, ReplicaId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::LockRef;
use music_core::replica::acceptor::{Acceptor, Ballot, Request, Value};
use music_core::replica::lightweight_transaction::{Decided, Step, Transaction};
use music_core::replica::peek::{Peek, PeekStep};
use rand::Rng;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::disk::Fault;
use super::healing::Item;
use super::shared::{Answer, Answers, Ask, Shared, storage};
use super::writer::{Effect, Work};
use crate::backlog::{Backlog, Call};
use crate::error::{Needed, Outcome};
use crate::{Applied, Error};

/// How often a transaction begins again before it says that it cannot.
const ATTEMPTS_MAX: u32 = 64;
/// How long a replica may take to answer, beside the delay of the links.
const ANSWER_TIME: Duration = Duration::from_millis(500);
/// The longest delay before another attempt, in round trips.
const BACKOFF_ROUNDS_MAX: u32 = 8;
/// How many attempts follow each other without a delay: a refused one has
/// only come too late, and its turn comes with a higher ballot.
const EAGER_ATTEMPTS: u32 = 3;
/// By how many rounds a second attempt is ahead of others that begin now.
const LEAD: u64 = 4;

/// The calls that wait at one site.
pub(super) type Queues = Backlog<Waiting>;

/// A call that waits.
pub(super) struct Waiting {
    /// `None` for a peek.
    command: Option<Command>,
    answer: oneshot::Sender<Result<Applied, Error>>,
}

impl Call for Waiting {
    fn is_open(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// Performs a command, or with `None` a peek.
pub(super) async fn call(
    shared: &Arc<Shared>,
    site: ReplicaId,
    id: &RecordId,
    command: Option<Command>,
) -> Result<Applied, Error> {
    let life = shared.majority_life(site)?;
    let Some(state) = shared.site(site) else {
        return Err(Error::Overloaded);
    };
    let (answer, answered) = oneshot::channel();
    if state.queues.add(id, Waiting { command, answer }, &life)? {
        let worker = Worker {
            shared: Arc::clone(shared),
            site,
            id: id.clone(),
            life: life.clone(),
        };
        shared.spawn(worker.run());
    }
    let call = async {
        // Without an answer the site was stopped; `within` says so.
        match answered.await {
            Ok(result) => result,
            Err(_) => std::future::pending().await,
        }
    };
    shared.within(&life, call).await
}

/// Makes every replica accept a queue whose numbers begin above `lock_ref`.
pub(super) async fn advance(
    shared: &Arc<Shared>,
    id: &RecordId,
    lock_ref: LockRef,
) -> Result<(), Error> {
    let mut latest = Acceptor::default();
    let mut promised = Ballot::NONE;
    for replica in shared.all() {
        let acceptor = shared.read_queue(replica, id).map_err(storage)?;
        promised = promised.max(acceptor.promised());
        let released = latest.released().max(acceptor.released());
        if acceptor.accepted() > latest.accepted() {
            latest = acceptor;
        }
        latest.release(released);
    }
    let mut queue = LockQueue::clone(&latest.queue());
    queue.advance(lock_ref);
    let applied = latest.value().applied.clone();
    let value = Arc::new(Value {
        queue: Arc::new(queue),
        applied,
    });
    let ballot = promised.above(ReplicaId(0));
    for replica in shared.all() {
        let request = Request::Accept(ballot, Arc::clone(&value));
        shared
            .perform(replica, Work::Transact(id.clone(), request))
            .await?;
    }
    Ok(())
}

/// Who runs the transactions of one key at one site.
struct Worker {
    shared: Arc<Shared>,
    site: ReplicaId,
    id: RecordId,
    life: CancellationToken,
}

/// Why an attempt ended without a decision.
enum Ended {
    /// Others were faster, or a replica did not answer.
    Again,
    /// The storage of too many replicas failed.
    Failed(Arc<Fault>),
}

/// What a one-round peek ended with.
enum Peeked {
    Agreed(Arc<LockQueue>),
    Differ { in_progress: bool, promised: Ballot },
    Again,
}

impl Worker {
    async fn run(self) {
        loop {
            let Some(state) = self.shared.site(self.site) else {
                return;
            };
            let calls = state.queues.take(&self.id, &self.life);
            if calls.is_empty() {
                return;
            }
            let life = self.life.clone();
            tokio::select! {
                () = self.serve(calls) => {}
                () = life.cancelled() => return,
            }
        }
    }

    /// Answers these calls, or finds that all of them have been given up.
    async fn serve(&self, mut calls: Vec<Waiting>) {
        let mut known = Ballot::NONE;
        if calls.iter().all(|call| call.command.is_none()) {
            for _ in 0..2 {
                match self.peek().await {
                    Peeked::Agreed(queue) => return answer_peeks(calls, &queue),
                    Peeked::Differ {
                        in_progress,
                        promised,
                    } => {
                        known = known.max(promised);
                        // What is under way may be over in a round.
                        if !in_progress {
                            break;
                        }
                    }
                    Peeked::Again => break,
                }
            }
        }
        let commands = calls.iter().filter_map(|call| call.command).collect();
        match self.transact(commands, known, &mut calls).await {
            Some(Ok(decided)) => answer_all(calls, decided),
            Some(Err(error)) => fail_all(calls, &error),
            None => {}
        }
    }

    /// Runs a transaction to its end; `None` where all calls were given up.
    async fn transact(
        &self,
        commands: Vec<Command>,
        mut known: Ballot,
        calls: &mut [Waiting],
    ) -> Option<Result<Decided, Failure>> {
        let replicas = usize::from(self.shared.replicas);
        let mut transaction = Transaction::new(self.site, replicas, commands);
        for attempt in 0..ATTEMPTS_MAX {
            if calls.iter().all(|call| call.answer.is_closed()) {
                return None;
            }
            let applied = transaction.may_have_applied();
            if self.shared.majority_life(self.site).is_err() {
                return Some(Err(Failure::Unavailable { applied }));
            }
            if let Ok(acceptor) = self.shared.read_queue(self.site, &self.id) {
                known = known.max(acceptor.promised());
            }
            let lead = if attempt == 0 {
                0
            } else {
                LEAD << (2 * attempt.min(4))
            };
            let prepare = transaction.begin(known, lead);
            match self.attempt(&mut transaction, &prepare).await {
                Ok(decided) => return Some(Ok(decided)),
                Err(Ended::Failed(fault)) => return Some(Err(Failure::Storage(fault))),
                Err(Ended::Again) => self.back_off(attempt).await,
            }
        }
        Some(Err(Failure::Contended {
            applied: transaction.may_have_applied(),
        }))
    }

    async fn attempt(
        &self,
        transaction: &mut Transaction,
        prepare: &Request,
    ) -> Result<Decided, Ended> {
        let (answers, mut inbox) = mpsc::unbounded_channel();
        self.send(prepare, &answers);
        for other in self
            .shared
            .all()
            .filter(|other| !self.shared.connected(self.site, *other))
        {
            if transaction.lost(other) == Step::Preempted {
                return Err(Ended::Again);
            }
        }
        let patience = tokio::time::sleep(self.patience());
        tokio::pin!(patience);
        loop {
            let received = tokio::select! {
                received = inbox.recv() => received,
                () = &mut patience => None,
            };
            let Some((from, answer)) = received else {
                return Err(Ended::Again);
            };
            let step = match answer {
                Answer::Effect(Effect::Replied(reply)) => transaction.receive(from, &reply),
                Answer::Fault(fault) => match transaction.lost(from) {
                    Step::Preempted => return Err(Ended::Failed(fault)),
                    step => step,
                },
                Answer::Effect(_) | Answer::Record(_) | Answer::Queue(_) | Answer::Pong => {
                    Step::Wait
                }
            };
            match step {
                Step::Wait => {}
                Step::Send(request) => self.send(&request, &answers),
                Step::Done(decided) => return Ok(decided),
                Step::Preempted => return Err(Ended::Again),
            }
        }
    }

    fn send(&self, request: &Request, answers: &Answers) {
        let asks = self.shared.all().map(|to| {
            // A lost accept is caught up with later; a promise need not be.
            let undelivered = matches!(request, Request::Accept(..)).then(|| {
                let item = Item::Queue(self.id.clone());
                self.shared.healing.undelivered(self.site, to, item)
            });
            let work = Work::Transact(self.id.clone(), request.clone());
            (to, Ask::Work(work), undelivered)
        });
        self.shared.ask(self.site, asks, Some(answers));
    }

    async fn peek(&self) -> Peeked {
        let (answers, mut inbox) = mpsc::unbounded_channel();
        let asks = self
            .shared
            .all()
            .map(|to| (to, Ask::Queue(self.id.clone()), None));
        self.shared.ask(self.site, asks, Some(&answers));
        let mut peek = Peek::new(usize::from(self.shared.replicas));
        let patience = tokio::time::sleep(self.patience());
        tokio::pin!(patience);
        loop {
            let received = tokio::select! {
                received = inbox.recv() => received,
                () = &mut patience => None,
            };
            let Some((from, answer)) = received else {
                return Peeked::Again;
            };
            let Answer::Queue(copy) = answer else {
                continue;
            };
            match peek.answered(from, Acceptor::clone(&copy)) {
                PeekStep::Wait => {}
                PeekStep::Agreed(queue) => return Peeked::Agreed(queue),
                PeekStep::Differ {
                    in_progress,
                    promised,
                } => {
                    return Peeked::Differ {
                        in_progress,
                        promised,
                    };
                }
            }
        }
    }

    /// How long an attempt waits for a majority, in both its rounds.
    fn patience(&self) -> Duration {
        self.round().saturating_mul(3).saturating_add(ANSWER_TIME)
    }

    /// The longest round trip to a site that can be reached.
    fn round(&self) -> Duration {
        let reached = self
            .shared
            .all()
            .filter(|to| self.shared.connected(self.site, *to));
        let network = &self.shared.network;
        reached
            .map(|to| {
                network
                    .delay(self.site, to)
                    .saturating_add(network.delay(to, self.site))
            })
            .max()
            .unwrap_or_default()
    }

    /// Lets others go first, for a random time that grows.
    async fn back_off(&self, attempt: u32) {
        let Some(attempt) = attempt.checked_sub(EAGER_ATTEMPTS) else {
            return;
        };
        let rounds = 1_u32
            .checked_shl(attempt)
            .unwrap_or(u32::MAX)
            .min(BACKOFF_ROUNDS_MAX);
        let most = self
            .round()
            .saturating_add(Duration::from_millis(1))
            .saturating_mul(rounds);
        let wait = most.mul_f64(rand::rng().random_range(0.0..1.0));
        tokio::time::sleep(wait).await;
    }
}

/// Why a transaction failed; each of its calls gets an error of its own.
enum Failure {
    Unavailable { applied: bool },
    Contended { applied: bool },
    Storage(Arc<Fault>),
}

impl Failure {
    fn error(&self) -> Error {
        match self {
            Self::Unavailable { applied } => {
                let outcome = if *applied {
                    Outcome::Unknown
                } else {
                    Outcome::NotApplied
                };
                Error::Unavailable {
                    needed: Needed::Majority,
                    outcome,
                }
            }
            Self::Contended { applied: false } => Error::Contended,
            Self::Contended { applied: true } => Error::TimedOut,
            Self::Storage(fault) => storage(Arc::clone(fault)),
        }
    }
}

fn answer_peeks(calls: Vec<Waiting>, queue: &Arc<LockQueue>) {
    for call in calls {
        answer(call, Ok(peeked(queue)));
    }
}

fn answer_all(calls: Vec<Waiting>, decided: Decided) {
    let mut effects = decided.effects.into_iter();
    for call in calls {
        let applied = match call.command {
            None => Some(peeked(&decided.queue)),
            Some(_) => effects
                .next()
                .map(|(outcome, queue)| Applied { outcome, queue }),
        };
        answer(call, applied.ok_or(Error::TimedOut));
    }
}

fn fail_all(calls: Vec<Waiting>, failure: &Failure) {
    for call in calls {
        answer(call, Err(failure.error()));
    }
}

/// What a peek answers, in the form of a command's answer.
fn peeked(queue: &Arc<LockQueue>) -> Applied {
    Applied {
        outcome: music_core::lock_queue::Outcome::Gone,
        queue: Arc::clone(queue),
    }
}

fn answer(call: Waiting, result: Result<Applied, Error>) {
    if call.answer.send(result).is_err() {
        tracing::trace!("the call was given up");
    }
}
