//! The embedded engine: every site of a deployment in one process.
//!
//! ```text
//!     site a          site b          site c        links with delay, which
//!   ┌────────┐      ┌────────┐      ┌────────┐      can be cut and healed
//!   │ ports  │◄────►│ ports  │◄────►│ ports  │
//!   │ replica│      │ replica│      │ replica│
//!   └───┬────┘      └───┬────┘      └───┬────┘
//!       └──────── one writing thread ───┘           one fsync a group
//!                  one store on disk
//! ```
//!
//! A replica a site. Records are last-writer-wins registers
//! ([`music_core::replica::register`]), queues are decided by
//! [`music_core::replica::lightweight_transaction`]: two rounds a command,
//! one a peek. What was acknowledged survives `kill -9`.
//!
//! For development, tests, demonstrations and use on one machine.
//!
//! Where the disk is full or fails, the call ends in [`crate::Error::Storage`]
//! and the engine writes nothing more until it is opened again; reads go on.

mod catalogue;
mod codec;
mod control;
mod delivery;
mod directory;
mod disk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod gate;
mod group;
mod healing;
mod hub;
mod network;
pub mod profile;
mod queues;
mod shared;
mod site;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use music_core::id::{RecordId, ReplicaId};
use music_core::lock_ref::LockRef;

pub use self::control::{Direction, NoSuchSite};
pub use self::directory::OpenError;
pub use self::network::LinkStatus;
pub use self::profile::{Profile, ProfileError};
pub use self::site::Site;

use self::catalogue::{View, Views};
use self::directory::Directory;
use self::disk::{Disk, DiskHandle, Fault, Space};
use self::group::Observer;
use self::healing::Healing;
use self::hub::Hub;
use self::network::Network;
use self::shared::{Shared, SiteState, storage};
use self::writer::Writer;
use crate::Error;

/// The catalogue of tables, in the engine's own space.
const CATALOGUE: &str = "catalogue";
/// There while all replicas agree and the engine is closed.
const SETTLED: &str = "settled";

/// Where an engine keeps its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this directory, made if it is not there.
    Directory(PathBuf),
    /// In memory: gone with the engine.
    Memory,
}

/// Called before each commit; its error makes the commit fail, as a full disk
/// would.
pub type CommitHook = Arc<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// How an engine behaves.
#[derive(Clone)]
pub struct Options {
    /// The longest time that a call which needs a majority waits.
    pub timeout: Duration,
    /// Makes commits fail, in tests.
    pub commit_hook: Option<CommitHook>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(4),
            commit_hook: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// All sites of a deployment.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("sites", &self.shared.names)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens the sites of a profile; must run within a tokio runtime, which
    /// has to outlive the engine.
    ///
    /// The order of the sites is that of the directory, if it has one.
    ///
    /// # Errors
    /// One for each reason, which says what to do.
    pub fn open(place: &Place, profile: &Profile, options: Options) -> Result<Self, OpenError> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|error| OpenError::Start(error.into()))?;
        let (directory, profile, disk) = match place {
            Place::Memory => (None, profile.clone(), Disk::memory()),
            Place::Directory(path) => {
                let (directory, profile) = Directory::take(path, profile)?;
                let disk = open_store(&directory)?;
                (Some(directory), profile, disk)
            }
        };
        let view = read_view(&disk, directory.as_ref())?;
        let settled = disk
            .get(Space::Engine, SETTLED.as_bytes())
            .and_then(|mark| {
                disk.commit(vec![(Space::Engine, SETTLED.as_bytes().to_vec(), None)])?;
                Ok(mark.is_some())
            })
            .map_err(|fault| damaged(directory.as_ref(), fault))?;
        let shared = start(runtime, disk, &profile, (view, options))
            .map_err(|error| OpenError::Start(error.into()))?;
        let fresh = directory.is_none();
        *shared
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = directory;
        for (from, to) in pairs(&shared) {
            if !settled && !fresh {
                shared.healing.add_pass(from, to);
            }
            let task = delivery::run(
                Arc::downgrade(&shared),
                Arc::clone(&shared.healing),
                from,
                to,
            );
            shared.spawn(task);
        }
        shared.spawn(tables::purge_leftovers(Arc::downgrade(&shared)));
        Ok(Self { shared })
    }

    /// The names of the sites, in the order of their replicas.
    pub fn sites(&self) -> &[String] {
        &self.shared.names
    }

    /// One site's view of the engine; `None` where there is none of that name.
    pub fn site(&self, name: &str) -> Option<Site> {
        let id = self.replica(name).ok()?;
        Some(Site::new(Arc::clone(&self.shared), id))
    }

    /// Waits until every site has delivered all that it owes to those it can
    /// reach, and nothing is under way: then their replicas agree.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn settled(&self) {
        let shared = &self.shared;
        let connected = |from, to| shared.connected(from, to);
        shared
            .healing
            .settled(|| owes_nothing(shared, connected))
            .await;
    }

    /// A number over all records of a site's replica: replicas that agree
    /// have the same.
    ///
    /// # Errors
    /// [`Error::Storage`], or a site that is not there as unavailable.
    pub fn digest(&self, site: &str) -> Result<u64, Error> {
        let id = self
            .replica(site)
            .map_err(|error| Error::Storage(error.into()))?;
        delivery::digest_of_site(&self.shared, id).map_err(storage)
    }

    /// Skips all lockRefs of a key up to this one. For a data directory that
    /// was restored from a backup, before its sites serve: a lockRef that was
    /// issued again would lose every write to an older stamp.
    ///
    /// # Errors
    /// [`Error::Storage`]; it may have happened at some replicas.
    pub async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        queues::advance(&self.shared, id, lock_ref).await
    }

    /// Closes the engine: all sites stop, what was begun is written, and the
    /// directory is free when this returns. Other handles then fail.
    ///
    /// # Cancel safety
    /// Goes on in the background.
    pub async fn close(self) {
        let shared = Arc::clone(&self.shared);
        for site in &shared.sites {
            site.life().cancel();
            site.queues.clear();
            site.gate.clear();
        }
        let closed = tokio::task::spawn_blocking(move || close_files(&shared)).await;
        if let Err(error) = closed {
            tracing::error!(%error, "closing the engine failed");
        }
    }
}

/// Ends the writing thread and frees the directory.
fn close_files(shared: &Shared) {
    shared.writer.close();
    let mut disk = shared.disk.close();
    // In this order: what is under way notes what it owes before it ends.
    let settled = shared.healing.is_quiet() && owes_nothing(shared, |_, _| true);
    if let (Some(disk), true) = (&disk, settled) {
        let mark = (
            Space::Engine,
            SETTLED.as_bytes().to_vec(),
            Some(bytes::Bytes::new()),
        );
        if let Err(fault) = disk.commit(vec![mark]) {
            tracing::warn!(%fault, "could not note that all replicas agree");
        }
    }
    // Readers hold the disk for the time of one read.
    while let Some(held) = disk.take() {
        match Arc::try_unwrap(held) {
            Ok(disk) => drop(disk),
            Err(held) => {
                disk = Some(held);
                std::thread::yield_now();
            }
        }
    }
    *shared
        .directory
        .lock()
        .unwrap_or_else(PoisonError::into_inner) = None;
}

fn pairs(shared: &Shared) -> impl Iterator<Item = (ReplicaId, ReplicaId)> + use<> {
    let replicas = shared.replicas;
    (0..replicas)
        .flat_map(move |from| (0..replicas).map(move |to| (ReplicaId(from), ReplicaId(to))))
        .filter(|(from, to)| from != to)
}

/// Whether the pairs of sites that `counts` have delivered all they owe.
fn owes_nothing(shared: &Shared, counts: impl Fn(ReplicaId, ReplicaId) -> bool) -> bool {
    let views = &shared.observer.views;
    pairs(shared)
        .filter(|(from, to)| counts(*from, *to))
        .all(|(from, to)| {
            shared.healing.is_even(from, to) && views.of(from).version() == views.of(to).version()
        })
}

fn open_store(directory: &Directory) -> Result<Disk, OpenError> {
    Disk::open(&directory.store()).map_err(|error| match error {
        fjall::Error::Io(source) => OpenError::Io {
            directory: directory.path().to_owned(),
            source,
        },
        fjall::Error::Locked => OpenError::InUse {
            directory: directory.path().to_owned(),
        },
        error => OpenError::Damaged {
            directory: directory.path().to_owned(),
            source: error.into(),
        },
    })
}

fn damaged(directory: Option<&Directory>, fault: Fault) -> OpenError {
    let directory = directory
        .map(|directory| directory.path().to_owned())
        .unwrap_or_default();
    OpenError::Damaged {
        directory,
        source: fault.into(),
    }
}

fn read_view(disk: &Disk, directory: Option<&Directory>) -> Result<View, OpenError> {
    let read = || {
        Ok(match disk.get(Space::Engine, CATALOGUE.as_bytes())? {
            Some(bytes) => View::decode(&bytes)?,
            None => View::default(),
        })
    };
    read().map_err(|fault| damaged(directory, fault))
}

fn start(
    runtime: tokio::runtime::Handle,
    disk: Disk,
    profile: &Profile,
    (view, options): (View, Options),
) -> std::io::Result<Arc<Shared>> {
    let names = profile.sites().to_vec();
    let replicas = u8::try_from(names.len()).map_err(std::io::Error::other)?;
    let disk = DiskHandle::new(disk);
    let hubs: Vec<Hub> = names.iter().map(|_| Hub::default()).collect();
    let observer = Observer {
        views: Arc::new(Views::new(replicas, view)),
        hubs: hubs.into(),
    };
    let writer = Writer::start(disk.clone(), observer.clone(), options.commit_hook)?;
    let rtt = |a: ReplicaId, b: ReplicaId| profile.rtt(usize::from(a.0), usize::from(b.0));
    Ok(Arc::new(Shared {
        replicas,
        timeout: options.timeout,
        disk,
        writer,
        network: Arc::new(Network::start(replicas, rtt)?),
        healing: Healing::new(replicas),
        observer,
        sites: names.iter().map(|_| SiteState::new()).collect(),
        catalogue_change: Arc::default(),
        runtime,
        tasks: Mutex::default(),
        directory: Mutex::default(),
        names,
    }))
}
