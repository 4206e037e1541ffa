//! What clients do: critical sections of all kinds, and plain reads and writes.

mod section;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_client::error::Code;
use music_client::{Client, Error, Options};
use tokio::task::JoinHandle;

use super::Scene;
use super::cluster::{CRITICAL, EVENTUAL};
use super::wire::{Host, Process, Wire};
use super::world::{self, Dice, Rng as _};
use crate::history::{ClientId, PlainKind, PlainOutcome, What};

/// How long clients may take to finish once faults have stopped, in the
/// deployment's own time.
const REST_MAX: Duration = Duration::from_mins(3);

/// How long the effects of faults may last: leases, waits, and what was
/// retried meanwhile.
pub(super) const SETTLING: Duration = Duration::from_secs(20);

/// All clients; clones are the same crew.
#[derive(Clone, Debug)]
pub(super) struct Crew {
    scene: Scene,
    members: Arc<Mutex<Vec<Member>>>,
}

#[derive(Debug)]
struct Member {
    id: ClientId,
    site: usize,
    host: Arc<Host>,
    work: JoinHandle<()>,
}

impl Crew {
    /// All clients begin their work.
    pub(super) fn gather(scene: &Scene) -> Self {
        let crew = Self {
            scene: scene.clone(),
            members: Arc::default(),
        };
        for number in 0..scene.settings.clients {
            crew.join(number % scene.settings.sites);
        }
        crew
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new client begins its work at a site.
    fn join(&self, site: usize) {
        let id = self
            .scene
            .recorder
            .client(u32::try_from(site).unwrap_or(u32::MAX));
        let host = Host::new();
        let wire = Wire {
            cluster: Arc::clone(&self.scene.cluster),
            site,
            host: Arc::clone(&host),
            recorder: self.scene.recorder.clone(),
        };
        let addresses = self.scene.cluster.addresses(site);
        let options = Options {
            local_timeout: Duration::from_secs(1),
            majority_timeout: Duration::from_secs(6),
            ..Options::default()
        };
        let Ok(client) = Client::simulated(addresses, options, Arc::new(wire)) else {
            return;
        };
        let worker = Worker {
            id,
            client,
            scene: self.scene.clone(),
            dice: world::dice(self.scene.settings.seed, u64::from(id.0) << 40),
        };
        let work = tokio::spawn(worker.run());
        self.members().push(Member {
            id,
            site,
            host,
            work,
        });
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.members().len()
    }

    /// A client dies; another one comes in its place.
    pub(super) fn crash(&self, member: usize) {
        let site = {
            let mut members = self.members();
            if member >= members.len() {
                return;
            }
            let gone = members.remove(member);
            gone.host.set(Process::Dead);
            gone.work.abort();
            self.scene.recorder.note(What::Crashed { client: gone.id });
            gone.site
        };
        self.join(site);
    }

    /// The site of a client.
    pub(super) fn site_of(&self, member: usize) -> Option<usize> {
        self.members().get(member).map(|member| member.site)
    }

    /// A client stands still, or goes on.
    pub(super) fn set_stopped(&self, member: usize, stopped: bool) {
        if let Some(member) = self.members().get(member) {
            let process = if stopped {
                Process::Stopped
            } else {
                Process::Runs
            };
            member.host.set(process);
        }
    }

    /// All clients go on.
    pub(super) fn go_on(&self) {
        for member in self.members().iter() {
            member.host.set(Process::Runs);
        }
    }

    /// Waits until all clients have finished. What did not go as it must.
    pub(super) async fn rest(&self) -> Vec<String> {
        let members = std::mem::take(&mut *self.members());
        let deadline = world::after(REST_MAX);
        let mut failures = Vec::new();
        for member in members {
            match world::timeout_at(deadline, member.work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failures.push(format!("{:?} failed: {error}", member.id)),
                Err(_) => failures.push(format!(
                    "guarantee 6: {:?} has not finished {REST_MAX:?} after the last fault",
                    member.id
                )),
            }
        }
        failures
    }
}

/// One client.
struct Worker {
    id: ClientId,
    client: Client,
    scene: Scene,
    dice: Dice,
}

impl Worker {
    async fn run(mut self) {
        while !self.scene.calm.is_cancelled() {
            match self.dice.random_range(0..100) {
                0..70 => self.section().await,
                70..80 => self.plain().await,
                _ => self.idle().await,
            }
        }
        world::sleep(SETTLING).await;
        // Everything must be had once more, at once.
        self.section().await;
        let keys = (0..self.scene.settings.keys).collect();
        self.last_section(keys).await;
        self.client.close().await;
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    async fn idle(&mut self) {
        let length = Duration::from_millis(self.dice.random_range(1..400));
        world::sleep(length).await;
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
        let op = self.scene.recorder.op();
        let client = self.id;
        self.scene.recorder.note(What::Plain { client, op, kind });
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
        self.scene.recorder.note(What::PlainEnded { op, outcome });
    }
}

/// Whether the failed call may have had its effect.
fn is_unknown(error: &Error) -> bool {
    error.outcome() == music_client::Outcome::Unknown
}
