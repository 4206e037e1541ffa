//! The workers of the demonstration, and what runs at their sites.

use std::collections::BTreeMap;
use std::time::Duration;

use music_placement::service::{
    Event, MemoryInventory, Pace, Probe, Station, Trap, Worker, WorkerProcess,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::demo::error::Error;
use crate::demo::placement::Script;
use crate::demo::stage::{LEASE, Stage};
use crate::failure::Failure;

/// How many events may wait to be told.
const EVENTS_MAX: usize = 1024;

/// How long a worker waits for a lock. A section takes some rounds; under the
/// slowest profile a round is half a second.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// How long a worker may take to end what it has begun.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The workers, and what runs at their sites.
pub(crate) struct Cast<'a> {
    stage: &'a Stage,
    script: &'a Script,
    /// Where a worker is to die, whichever gets there first.
    pub(crate) trap: Trap,
    /// What runs at each site.
    pub(crate) inventories: BTreeMap<String, MemoryInventory>,
    events: mpsc::Sender<Event>,
    workers: Vec<WorkerProcess>,
    /// How many workers each site has had.
    hired: BTreeMap<String, usize>,
}

impl<'a> Cast<'a> {
    /// Nobody yet; and where to hear of them.
    pub(crate) fn new(stage: &'a Stage, script: &'a Script) -> (Self, mpsc::Receiver<Event>) {
        let (events, heard) = mpsc::channel(EVENTS_MAX);
        let sites = stage.sites().into_iter();
        let cast = Self {
            stage,
            script,
            trap: Trap::new(),
            inventories: sites.map(|site| (site, MemoryInventory::new())).collect(),
            events,
            workers: Vec::new(),
            hired: BTreeMap::new(),
        };
        (cast, heard)
    }

    /// Starts the workers of all sites.
    pub(crate) fn hire_all(&mut self) -> Result<(), Failure> {
        for site in self.stage.sites() {
            for _ in 0..self.script.workers {
                self.hire(&site)?;
            }
        }
        Ok(())
    }

    /// Starts one more worker at a site; its name.
    pub(crate) fn hire(&mut self, site: &str) -> Result<String, Failure> {
        let number = self.hired.entry(site.to_owned()).or_default();
        *number += 1;
        let name = format!("{site}-{number}");
        let probe = Probe {
            events: Some(self.events.clone()),
            trap: self.trap.clone(),
            died: CancellationToken::new(),
        };
        let station = self.station(site, &name, probe)?;
        let pace = Pace {
            grace: LEASE,
            ..Pace::default()
        };
        let worker = Worker::new(station, pace, self.script.seed);
        let process = WorkerProcess::start(worker).map_err(Error::Thread)?;
        self.workers.push(process);
        Ok(name)
    }

    /// What it takes to work at a site.
    pub(crate) fn station(
        &self,
        site: &str,
        worker: &str,
        probe: Probe,
    ) -> Result<Station<MemoryInventory>, Failure> {
        let inventory = self.inventories.get(site).cloned();
        Ok(Station {
            site: site.to_owned(),
            worker: worker.to_owned(),
            sites: self.stage.sites(),
            client: self.stage.client_at(site)?,
            catalogue: self.script.catalogue.clone(),
            inventory: inventory.unwrap_or_default(),
            lock_wait: LOCK_WAIT,
            probe,
        })
    }

    /// Lets all workers end what they have begun; kills those that do not.
    pub(crate) async fn dismiss(&mut self) {
        let workers = std::mem::take(&mut self.workers).into_iter();
        let stopping = workers.map(|worker| tokio::time::timeout(STOP_MAX, worker.stop()));
        for late in futures_util::future::join_all(stopping).await {
            drop(late);
        }
    }
}
