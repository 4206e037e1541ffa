//! The faults of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_client::{Client, Options};
use music_store::simulated::network::Weather;

use super::client::Crew;
use super::settings::Fault;
use super::wire::{Host, Wire};
use super::world::{self, Dice, Instant, Rng as _};
use super::{Scene, StartError};
use crate::history::What;

/// A disk as it is when nothing is wrong.
const DISK: Duration = Duration::from_micros(200);

/// How many more messages a client sends or hears at most that dies at one.
const MESSAGES_MAX: u64 = 40;

/// What does harm.
pub(super) struct Nemesis {
    scene: Scene,
    crew: Crew,
    dice: Mutex<Dice>,
    /// What is to be undone, and when.
    undo: Mutex<Vec<(Instant, Undo)>>,
    /// The sites that are cut off.
    cut_off: Mutex<BTreeSet<usize>>,
    /// How many things of a site do not run, or not as they should.
    down: Mutex<BTreeMap<usize, usize>>,
}

/// The end of a fault.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Site(usize),
    Link(usize, usize),
    Node { node: usize, site: usize },
    Suspension { node: usize, site: usize },
    Replica(usize),
    Disk(usize),
    Weather,
    Client { member: usize, site: usize },
}

impl Undo {
    /// The site where something does not run as it should until then.
    fn down(self) -> Option<usize> {
        match self {
            Self::Node { site, .. } | Self::Suspension { site, .. } | Self::Client { site, .. } => {
                Some(site)
            }
            Self::Replica(site) | Self::Disk(site) => Some(site),
            Self::Site(_) | Self::Link(..) | Self::Weather => None,
        }
    }
}

impl Nemesis {
    pub(super) fn new(scene: &Scene, crew: Crew) -> Self {
        scene.cluster.network().set_weather(scene.settings.weather);
        Self {
            dice: Mutex::new(world::dice(scene.settings.seed, 0xbad)),
            scene: scene.clone(),
            crew,
            undo: Mutex::default(),
            cut_off: Mutex::default(),
            down: Mutex::default(),
        }
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn below(&self, end: usize) -> usize {
        self.dice().random_range(0..end.max(1))
    }

    fn ms(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice().random_range(range))
    }

    /// Does harm for as long as the settings say.
    pub(super) async fn rage(&self) -> Result<(), StartError> {
        let end = world::now() + self.scene.settings.length;
        let mut next = world::now();
        while world::now() < end {
            if world::now() >= next {
                self.strike();
                let longest = u64::try_from(self.scene.settings.pause_max.as_millis());
                next = world::now() + self.ms(20..longest.unwrap_or(1000).max(21));
            }
            let due = self.earliest().map_or(next, |due| due.min(next)).min(end);
            world::sleep_until(due).await;
            self.undo_due(world::now()).await?;
        }
        Ok(())
    }

    /// Undoes all harm.
    pub(super) async fn relent(&self) -> Result<(), StartError> {
        let cluster = &self.scene.cluster;
        self.lock_undo().clear();
        cluster.network().heal();
        cluster.network().set_weather(Weather::CALM);
        let cut_off = std::mem::take(&mut *self.lock_cut_off());
        for site in cut_off {
            self.scene
                .recorder
                .note(What::Healed { site: number(site) });
        }
        for site in 0..self.scene.settings.sites {
            cluster.deployment.restart(site);
            cluster.deployment.set_disk(site, DISK);
        }
        for node in 0..cluster.len() {
            cluster.start(node).await?;
            if let Some(running) = cluster.running(node) {
                running.node.node().resume();
            }
        }
        self.crew.go_on();
        let down = std::mem::take(&mut *self.lock_down());
        for site in down.into_keys() {
            self.scene.recorder.note(What::Up { site: number(site) });
        }
        Ok(())
    }

    fn lock_undo(&self) -> MutexGuard<'_, Vec<(Instant, Undo)>> {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_cut_off(&self) -> MutexGuard<'_, BTreeSet<usize>> {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn earliest(&self) -> Option<Instant> {
        self.lock_undo().iter().map(|(at, _)| *at).min()
    }

    fn later(&self, undo: Undo, range: std::ops::Range<u64>) {
        let at = world::now() + self.ms(range);
        self.lock_undo().push((at, undo));
        if let Some(site) = undo.down() {
            let mut down = self.lock_down();
            let count = down.entry(site).or_default();
            *count += 1;
            if *count == 1 {
                self.scene.recorder.note(What::Down { site: number(site) });
            }
        }
    }

    fn lock_down(&self) -> MutexGuard<'_, BTreeMap<usize, usize>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thing less of a site that does not run.
    fn up(&self, site: usize) {
        let mut down = self.lock_down();
        let count = down.entry(site).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            down.remove(&site);
            self.scene.recorder.note(What::Up { site: number(site) });
        }
    }

    async fn undo_due(&self, now: Instant) -> Result<(), StartError> {
        let due: Vec<_> = {
            let mut undo = self.lock_undo();
            let (due, rest) = undo.drain(..).partition(|(at, _)| *at <= now);
            *undo = rest;
            due
        };
        for (_, undo) in due {
            self.undo(undo).await?;
            if let Some(site) = undo.down() {
                self.up(site);
            }
        }
        Ok(())
    }

    async fn undo(&self, undo: Undo) -> Result<(), StartError> {
        let cluster = &self.scene.cluster;
        match undo {
            Undo::Site(site) => {
                cluster.network().set_isolated(site, false);
                self.lock_cut_off().remove(&site);
                self.scene
                    .recorder
                    .note(What::Healed { site: number(site) });
                // Its links to sites that are still cut off stay cut.
                for other in self.lock_cut_off().iter() {
                    cluster.network().set_isolated(*other, true);
                }
            }
            Undo::Link(from, to) => {
                let cut_off = self.lock_cut_off();
                if !cut_off.contains(&from) && !cut_off.contains(&to) {
                    cluster.network().set_cut(from, to, false);
                }
            }
            Undo::Node { node, .. } => cluster.start(node).await?,
            Undo::Suspension { node, .. } => {
                if let Some(running) = cluster.running(node) {
                    running.node.node().resume();
                }
            }
            Undo::Replica(site) => cluster.deployment.restart(site),
            Undo::Disk(site) => cluster.deployment.set_disk(site, DISK),
            Undo::Weather => cluster.network().set_weather(self.scene.settings.weather),
            Undo::Client { member, .. } => self.crew.set_stopped(member, false),
        }
        Ok(())
    }

    /// Does some harm. To force a section out costs the others little, so it
    /// is done more often than the rest.
    fn strike(&self) {
        let mut faults: Vec<Fault> = self.scene.settings.faults.iter().copied().collect();
        if faults.contains(&Fault::Force) {
            faults.extend([Fault::Force; 2]);
        }
        let Some(fault) = faults.get(self.below(faults.len())) else {
            return;
        };
        self.scene.saw(sighting(*fault));
        let site = self.below(self.scene.settings.sites);
        match fault {
            Fault::CutSite => self.cut_site(site),
            Fault::CutOneWay => self.cut_one_way(site),
            Fault::KillNode => self.kill_node(),
            Fault::SuspendNode => self.suspend_node(),
            Fault::CrashReplica => self.crash_replica(site),
            Fault::SlowDisk => {
                let time = self.ms(5..400);
                self.scene.cluster.deployment.set_disk(site, time);
                self.later(Undo::Disk(site), 500..4000);
            }
            Fault::Storm => {
                self.scene.cluster.network().set_weather(Weather {
                    lost: 0.15,
                    twice: 0.15,
                    late: 0.2,
                    late_max: Duration::from_secs(2),
                    jitter: 2.0,
                });
                self.later(Undo::Weather, 200..3000);
            }
            Fault::Force => self.force(site),
            Fault::CrashClient => self.crash_client(),
            Fault::StopClient => {
                let member = self.below(self.crew.len());
                let site = self.crew.site_of(member).unwrap_or_default();
                self.crew.set_stopped(member, true);
                self.later(Undo::Client { member, site }, 100..5000);
            }
        }
    }

    fn cut_site(&self, site: usize) {
        let mut cut_off = self.lock_cut_off();
        if cut_off.len() * 2 + 2 > self.scene.settings.sites || !cut_off.insert(site) {
            return;
        }
        self.scene.cluster.network().set_isolated(site, true);
        self.scene
            .recorder
            .note(What::CutOff { site: number(site) });
        drop(cut_off);
        self.later(Undo::Site(site), 300..6000);
    }

    fn cut_one_way(&self, from: usize) {
        let sites = self.scene.settings.sites;
        let to = (from + 1 + self.below(sites - 1)) % sites;
        self.scene.cluster.network().set_cut(from, to, true);
        self.later(Undo::Link(from, to), 200..5000);
    }

    fn kill_node(&self) {
        let node = self.below(self.scene.cluster.len());
        let site = self.scene.cluster.site_of(node).unwrap_or_default();
        if self.scene.cluster.kill(node) {
            self.later(Undo::Node { node, site }, 50..4000);
        }
    }

    fn suspend_node(&self) {
        let node = self.below(self.scene.cluster.len());
        if let Some(running) = self.scene.cluster.running(node) {
            running.node.node().suspend();
            let site = self.scene.cluster.site_of(node).unwrap_or_default();
            self.later(Undo::Suspension { node, site }, 100..5000);
        }
    }

    /// At once, or at one of its next messages: where it waits for an answer, or
    /// was about to ask.
    fn crash_client(&self) {
        let member = self.below(self.crew.len());
        if self.dice().random_bool(0.5) {
            self.crew.crash(member);
        } else {
            let messages = self.dice().random_range(0..MESSAGES_MAX);
            self.crew.doom(member, messages);
        }
    }

    fn crash_replica(&self, site: usize) {
        let deployment = &self.scene.cluster.deployment;
        let sites = self.scene.settings.sites;
        let down = (0..sites).filter(|site| !deployment.is_running(*site));
        if (down.count() + 1) * 2 < sites && deployment.is_running(site) {
            deployment.crash(site);
            self.later(Undo::Replica(site), 100..4000);
        }
    }

    /// Somebody forces a section out that is held.
    fn force(&self, site: usize) {
        let held = self.scene.recorder.held();
        let Some((section, lock_ref)) = held.get(self.below(held.len())).cloned() else {
            return;
        };
        let wire = Wire {
            scene: self.scene.clone(),
            site,
            host: Host::new(),
        };
        let addresses = self.scene.cluster.addresses(site);
        let Ok(client) = Client::in_process(addresses, Options::default(), Arc::new(wire)) else {
            return;
        };
        self.scene.recorder.note(What::Forced { section });
        tokio::spawn(async move {
            // Whether it worked does not matter.
            let _removed = client.force(&lock_ref).await;
        });
    }
}

fn number(site: usize) -> u32 {
    u32::try_from(site).unwrap_or(u32::MAX)
}

fn sighting(fault: Fault) -> &'static str {
    match fault {
        Fault::CutSite => "a site cut off",
        Fault::CutOneWay => "a link cut in one direction",
        Fault::KillNode => "a node killed",
        Fault::SuspendNode => "a node suspended",
        Fault::CrashReplica => "a replica crashed",
        Fault::SlowDisk => "a slow disk",
        Fault::Storm => "a storm",
        Fault::Force => "a section forced by hand",
        Fault::CrashClient => "a client crashed",
        Fault::StopClient => "a client stopped",
    }
}
