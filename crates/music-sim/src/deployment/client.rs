//! The clients: where they are, and that they can be stopped and killed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_client::{Client, Options, simulation};
use music_history::workload::{Recorder, Work, Worker};
use tokio::task::JoinHandle;

use super::Scene;
use super::wire::{Host, Process, Wire, node_of};
use super::world::{self, Rng as _};
use crate::history::{ClientId, OpId, SectionId, What};
use crate::recipes::judges::SKEW_US_MAX;
use crate::recipes::work;

/// How long clients may take to finish once faults have stopped, in the
/// deployment's own time.
const REST_MAX: Duration = Duration::from_mins(3);

/// The same where they use recipes: each of these is shown to be served, one
/// client after the other.
const RECIPES_REST_MAX: Duration = Duration::from_mins(5);

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
    /// Who comes in its stead has the same.
    place: usize,
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
            crew.join(number);
        }
        crew
    }

    fn members(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new client begins its work at a place.
    fn join(&self, place: usize) {
        let site = place % self.scene.settings.sites;
        let id = self
            .scene
            .recorder
            .client(u32::try_from(site).unwrap_or(u32::MAX));
        let host = Host::new();
        let wire = Wire {
            scene: self.scene.clone(),
            site,
            host: Arc::clone(&host),
        };
        let addresses = self.scene.cluster.addresses(site);
        let options = Options {
            local_timeout: Duration::from_secs(1),
            majority_timeout: Duration::from_secs(6),
            lease: self.lease(id),
            ..Options::default()
        };
        let Ok(client) = Client::in_process(addresses, options, Arc::new(wire)) else {
            return;
        };
        let work = match &self.scene.board {
            Some(board) => {
                let worker = work::Worker {
                    client,
                    host: Arc::clone(&host),
                    id: id.0,
                    place,
                    site: format!("s{site}"),
                    seed: self.scene.settings.seed,
                    board: Arc::clone(board),
                    saw: self.saw(),
                    calm: self.scene.calm.clone(),
                    settling: SETTLING,
                };
                tokio::spawn(simulation::with_skew(self.skew_us(id), worker.run()))
            }
            None => tokio::spawn(self.worker(id, site, client).run()),
        };
        self.members().push(Member {
            id,
            site,
            place,
            host,
            work,
        });
    }

    fn worker(&self, id: ClientId, site: usize, client: Client) -> Worker<Log> {
        Worker {
            id,
            client,
            recorder: Log(self.scene.clone()),
            dice: world::dice(self.scene.settings.seed, u64::from(id.0) << 40),
            work: Work {
                keys: self.scene.settings.keys,
                home: site,
                habits: self.scene.settings.habits,
                leases_ms: 600..3000,
                settling: SETTLING,
                calm: self.scene.calm.clone(),
            },
        }
    }

    fn saw(&self) -> work::Saw {
        let scene = self.scene.clone();
        Arc::new(move |what| scene.saw(what))
    }

    /// The lease of what recipes hold: sections name theirs.
    fn lease(&self, id: ClientId) -> Duration {
        let mut dice = world::dice(self.scene.settings.seed, u64::from(id.0) << 40 | 1);
        Duration::from_millis(dice.random_range(600..3000))
    }

    /// By how much its wall clock is ahead.
    fn skew_us(&self, id: ClientId) -> i64 {
        let mut dice = world::dice(self.scene.settings.seed, u64::from(id.0) << 40 | 2);
        let most = i64::try_from(SKEW_US_MAX).unwrap_or_default();
        dice.random_range(-most..=most)
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        self.members().len()
    }

    /// A client dies; another one comes in its place.
    pub(super) fn crash(&self, member: usize) {
        let place = {
            let mut members = self.members();
            if member >= members.len() {
                return;
            }
            let gone = members.remove(member);
            gone.host.set(Process::Dead);
            gone.work.abort();
            self.scene.recorder.note(What::Crashed { client: gone.id });
            gone.place
        };
        self.join(place);
    }

    /// A client dies at a message after so many others, if faults last so long.
    pub(super) fn doom(&self, member: usize, messages: u64) {
        let doomed = self.members().get(member).map(|doomed| {
            doomed.host.doom(Some(messages));
            (doomed.id, Arc::clone(&doomed.host))
        });
        let Some((id, host)) = doomed else { return };
        let crew = self.clone();
        tokio::spawn(async move {
            host.dies().await;
            crew.bury(id);
        });
    }

    /// Another client comes in the place of one that died at a message.
    fn bury(&self, id: ClientId) {
        let member = self.members().iter().position(|member| member.id == id);
        if let Some(member) = member {
            self.scene.saw("a client killed at a message");
            self.crash(member);
        }
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

    /// All clients go on, and none dies any more.
    pub(super) fn go_on(&self) {
        let mut dead = Vec::new();
        for member in self.members().iter() {
            member.host.doom(None);
            member.host.set(Process::Runs);
            // Just now: it is buried before others look whether it has finished.
            dead.extend(member.host.is_dead().then_some(member.id));
        }
        for id in dead {
            self.bury(id);
        }
    }

    /// Waits until all clients have finished. What did not go as it must.
    pub(super) async fn rest(&self) -> Vec<String> {
        let members = std::mem::take(&mut *self.members());
        let most = match self.scene.board {
            Some(_) => RECIPES_REST_MAX,
            None => REST_MAX,
        };
        let deadline = world::after(most);
        let mut failures = Vec::new();
        for member in members {
            match world::timeout_at(deadline, member.work).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failures.push(format!("{:?} failed: {error}", member.id)),
                Err(_) => failures.push(format!(
                    "guarantee 6: {:?} has not finished {most:?} after the last fault",
                    member.id
                )),
            }
        }
        failures
    }
}

/// Where clients note what they do.
#[derive(Debug)]
struct Log(Scene);

impl Recorder for Log {
    fn note(&self, what: What) {
        self.0.recorder.note(what);
    }

    fn section(&self) -> SectionId {
        self.0.recorder.section()
    }

    fn op(&self) -> OpId {
        self.0.recorder.op()
    }

    fn hold(&self, section: SectionId, lock_ref: &str, endpoint: &str) {
        let node = node_of(endpoint).unwrap_or_default();
        self.0.recorder.hold(section, lock_ref, node);
    }

    /// The wire knows it already.
    fn heard(&self, _: SectionId, _: &str) {}

    fn let_go(&self, section: SectionId) -> bool {
        self.0.recorder.let_go(section)
    }

    fn saw(&self, what: &'static str) {
        self.0.saw(what);
    }
}
