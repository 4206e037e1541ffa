//! What all sites of a process share, and how one asks others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use music_core::id::{RecordId, ReplicaId};
use music_core::quorum::majority;
use music_core::record::Record;
use music_core::replica::acceptor::{Acceptor, Ballot, Reply, Request};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::codec;
use super::directory::Directory;
use super::disk::{DiskHandle, Fault, Space};
use super::gate::{Event, Gate, Prepare};
use super::group::{Observer, read_acceptor};
use super::healing::{Healing, Undelivered};
use super::network::{Network, Slot};
use super::queues::Queues;
use super::writer::{Effect, Job, Work, Writer};
use crate::Error;
use crate::error::{Needed, Outcome};

/// How many calls that need a majority a site admits at once.
const CALLS_MAX: usize = 4_096;

/// What all sites of a process share.
pub(super) struct Shared {
    /// By replica.
    pub(super) names: Vec<String>,
    pub(super) replicas: u8,
    pub(super) timeout: Duration,
    pub(super) disk: DiskHandle,
    pub(super) writer: Writer,
    pub(super) network: Arc<Network>,
    pub(super) healing: Arc<Healing>,
    pub(super) observer: Observer,
    pub(super) sites: Vec<SiteState>,
    /// Held while the catalogue is changed.
    pub(super) catalogue_change: Arc<tokio::sync::Mutex<()>>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) tasks: Mutex<JoinSet<()>>,
    pub(super) directory: Mutex<Option<Directory>>,
}

/// What a site has in memory.
pub(super) struct SiteState {
    /// Cancelled when the site is stopped; another one when it is started.
    pub(super) life: Mutex<CancellationToken>,
    pub(super) queues: Queues,
    /// Of the site's replica.
    pub(super) gate: Gate,
    pub(super) calls: tokio::sync::Semaphore,
}

impl SiteState {
    pub(super) fn new() -> Self {
        Self {
            life: Mutex::default(),
            queues: Queues::default(),
            gate: Gate::default(),
            calls: tokio::sync::Semaphore::new(CALLS_MAX),
        }
    }

    /// The site's present life.
    pub(super) fn life(&self) -> CancellationToken {
        self.life
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A storage failure as the ports tell it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct StorageError(#[from] Arc<Fault>);

/// The error of a call that met this failure.
pub(super) fn storage(fault: impl Into<Arc<Fault>>) -> Error {
    Error::Storage(Box::new(StorageError(fault.into())))
}

/// What a site asks of a replica.
pub(super) enum Ask {
    /// A change, made durable.
    Work(Work),
    /// Its record of a key.
    Record(RecordId),
    /// Its acceptor of a key.
    Queue(RecordId),
    /// Whether it is there.
    Ping,
}

/// What a replica answers.
pub(super) enum Answer {
    Effect(Effect),
    Record(Record),
    Queue(Acceptor),
    Pong,
    Fault(Arc<Fault>),
}

/// Where answers go; a replica that is not reached does not answer.
pub(super) type Answers = UnboundedSender<(ReplicaId, Answer)>;

/// One question on its way.
struct Inquiry {
    shared: Arc<Shared>,
    from: ReplicaId,
    to: ReplicaId,
    undelivered: Option<Undelivered>,
    answers: Option<Answers>,
    slot: Option<Slot>,
}

impl Inquiry {
    /// The replica has answered: tells the one who asked.
    fn answer(self, answer: Answer) {
        let Self {
            shared,
            from,
            to,
            undelivered,
            answers,
            slot,
        } = self;
        if let Some(undelivered) = undelivered
            && !matches!(answer, Answer::Fault(_))
        {
            undelivered.delivered();
        }
        drop(slot);
        let Some(answers) = answers else { return };
        let tell = move || {
            if answers.send((to, answer)).is_err() {
                tracing::trace!("the call has been answered already, or was given up");
            }
        };
        if from == to {
            tell();
        } else {
            shared.network.send(to, from, |_slot| tell());
        }
    }

    fn into_job(self, work: Work) -> Job {
        let replica = self.to;
        let done = Box::new(move |result: Result<Effect, Arc<Fault>>| {
            self.answer(result.map_or_else(Answer::Fault, Answer::Effect));
        });
        Job {
            replica,
            work,
            done,
        }
    }

    /// The jobs that this change makes possible: itself, unless it has to wait
    /// for its turn, and one whose turn has come.
    fn into_jobs(self, work: Work) -> Vec<Job> {
        let (shared, to) = (Arc::clone(&self.shared), self.to);
        match work {
            Work::Transact(id, Request::Prepare(ballot)) => {
                let network = &shared.network;
                let round = network.delay(self.from, to) + network.delay(to, self.from);
                let job = self.into_prepare(id.clone(), ballot);
                let prepare = Prepare { ballot, round, job };
                shared
                    .take_turn(to, &id, Event::Prepare(prepare))
                    .into_iter()
                    .collect()
            }
            Work::Transact(id, Request::Accept(ballot, value)) => {
                let request = Request::Accept(ballot, value);
                let mut jobs = vec![self.into_job(Work::Transact(id.clone(), request))];
                jobs.extend(shared.take_turn(to, &id, Event::Over(ballot)));
                jobs
            }
            work => vec![self.into_job(work)],
        }
    }

    /// A job whose refusal ends its turn at once.
    fn into_prepare(self, id: RecordId, ballot: Ballot) -> Job {
        let (shared, to) = (Arc::clone(&self.shared), self.to);
        let job = self.into_job(Work::Transact(id.clone(), Request::Prepare(ballot)));
        let answer = job.done;
        let done = Box::new(move |result: Result<Effect, Arc<Fault>>| {
            if !matches!(result, Ok(Effect::Replied(Reply::Promised { .. }))) {
                let next = shared.take_turn(to, &id, Event::Over(ballot));
                shared.writer.submit(next);
            }
            answer(result);
        });
        Job { done, ..job }
    }

    /// Runs at the replica.
    fn serve(self, ask: Ask) {
        if !self.shared.is_running(self.to) {
            return;
        }
        let answer = match ask {
            Ask::Work(work) => {
                let shared = Arc::clone(&self.shared);
                return shared.writer.submit(self.into_jobs(work));
            }
            Ask::Record(id) => self.shared.read_record(self.to, &id).map(Answer::Record),
            Ask::Queue(id) => self.shared.read_queue(self.to, &id).map(Answer::Queue),
            Ask::Ping => Ok(Answer::Pong),
        };
        self.answer(answer.unwrap_or_else(|fault| Answer::Fault(Arc::new(fault))));
    }
}

impl Shared {
    pub(super) fn all(&self) -> impl Iterator<Item = ReplicaId> + use<> {
        (0..self.replicas).map(ReplicaId)
    }

    pub(super) fn site(&self, site: ReplicaId) -> Option<&SiteState> {
        self.sites.get(usize::from(site.0))
    }

    pub(super) fn is_running(&self, site: ReplicaId) -> bool {
        self.site(site)
            .is_some_and(|state| !state.life().is_cancelled())
    }

    /// Whether two sites are there and hear each other.
    pub(super) fn connected(&self, a: ReplicaId, b: ReplicaId) -> bool {
        self.is_running(a)
            && self.is_running(b)
            && self.network.passes(a, b)
            && self.network.passes(b, a)
    }

    /// The token of the site's present life.
    ///
    /// # Errors
    /// Where the site is stopped, or does not reach a majority: then nothing
    /// was sent.
    pub(super) fn majority_life(&self, site: ReplicaId) -> Result<CancellationToken, Error> {
        let life = self.local_life(site)?;
        let reached = self
            .all()
            .filter(|other| self.connected(site, *other))
            .count();
        if reached < majority(usize::from(self.replicas)) {
            let (needed, outcome) = (Needed::Majority, Outcome::NotApplied);
            return Err(Error::Unavailable { needed, outcome });
        }
        Ok(life)
    }

    /// The token of the site's present life.
    ///
    /// # Errors
    /// Where the site is stopped.
    pub(super) fn local_life(&self, site: ReplicaId) -> Result<CancellationToken, Error> {
        let unavailable = || Error::Unavailable {
            needed: Needed::Local,
            outcome: Outcome::NotApplied,
        };
        let life = self.site(site).ok_or_else(unavailable)?.life();
        if life.is_cancelled() {
            Err(unavailable())
        } else {
            Ok(life)
        }
    }

    pub(super) fn read_record(&self, site: ReplicaId, id: &RecordId) -> Result<Record, Fault> {
        let disk_key = codec::disk_key(site, id);
        match self.disk.get()?.get(Space::Records, &disk_key)? {
            Some(bytes) => Ok(codec::decode_record(&bytes)?),
            None => Ok(Record::empty()),
        }
    }

    pub(super) fn read_queue(&self, site: ReplicaId, id: &RecordId) -> Result<Acceptor, Fault> {
        read_acceptor(&*self.disk.get()?, &codec::disk_key(site, id))
    }

    /// Asks replicas; their answers come in any order. Changes that arrive
    /// without delay are handed to the writer together, to share a commit.
    pub(super) fn ask(
        self: &Arc<Self>,
        from: ReplicaId,
        asks: impl IntoIterator<Item = (ReplicaId, Ask, Option<Undelivered>)>,
        answers: Option<&Answers>,
    ) {
        let mut jobs = Vec::new();
        for (to, ask, undelivered) in asks {
            let (shared, answers) = (Arc::clone(self), answers.cloned());
            let mut inquiry = Inquiry {
                shared,
                from,
                to,
                undelivered,
                answers,
                slot: None,
            };
            match ask {
                Ask::Work(work) if self.is_running(to) && self.network.is_immediate(from, to) => {
                    jobs.extend(inquiry.into_jobs(work));
                }
                ask if from == to => inquiry.serve(ask),
                ask => self.network.send(from, to, move |slot| {
                    inquiry.slot = Some(slot);
                    inquiry.serve(ask);
                }),
            }
        }
        if !jobs.is_empty() {
            self.writer.submit(jobs);
        }
    }

    /// Moves on the turns at a replica's key. Returns the job that goes on.
    fn take_turn(self: &Arc<Self>, replica: ReplicaId, id: &RecordId, event: Event) -> Option<Job> {
        let turn = self.site(replica)?.gate.step(id, event, Instant::now());
        if let Some(over) = turn.over {
            let (weak, id) = (Arc::downgrade(self), id.clone());
            self.network.at(over, move || {
                let Some(shared) = weak.upgrade() else {
                    return;
                };
                let next = shared.take_turn(replica, &id, Event::Late);
                shared.writer.submit(next);
            });
        }
        turn.job
    }

    /// Runs in the background until it is done or the engine is dropped.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a background task panicked");
            }
        }
        tasks.spawn_on(task, &self.runtime);
    }

    /// Performs a change at one replica, in the order of the writer.
    pub(super) async fn perform(&self, replica: ReplicaId, work: Work) -> Result<Effect, Error> {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let done = Box::new(move |result| {
            if sender.send(result).is_err() {
                tracing::trace!("the caller has left");
            }
        });
        self.writer.submit([Job {
            replica,
            work,
            done,
        }]);
        match receiver.await {
            Ok(result) => result.map_err(storage),
            // The writer answers every job, unless it panicked.
            Err(_) => Err(storage(Fault::Closed)),
        }
    }

    /// Waits for `call`, but not longer than a call may take, nor beyond the
    /// life of the site that makes it.
    pub(super) async fn within<T>(
        &self,
        life: &CancellationToken,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            result = call => result,
            () = life.cancelled() => {
                Err(Error::Unavailable { needed: Needed::Local, outcome: Outcome::Unknown })
            }
            () = tokio::time::sleep(self.timeout) => Err(Error::TimedOut),
        }
    }
}
