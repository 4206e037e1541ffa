//! The suite that every engine passes, on all kinds of disk and link.

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;

use crate::conformance::Harness;
use crate::embedded::{Direction, Engine, Options, Place, Profile, Site};

/// A fresh engine of three sites.
struct Deployment {
    engine: Engine,
    /// Removed when the test is over.
    _directory: Option<tempfile::TempDir>,
}

impl Deployment {
    fn open(rtt: Duration, on_disk: bool) -> Self {
        let directory = on_disk.then(|| tempfile::tempdir().unwrap());
        let place = match &directory {
            Some(directory) => Place::Directory(directory.path().join("data")),
            None => Place::Memory,
        };
        let profile = Profile::uniform(3, rtt).unwrap();
        let engine = Engine::open(&place, &profile, Options::default()).unwrap();
        Self {
            engine,
            _directory: directory,
        }
    }
}

impl Harness for Deployment {
    type Store = Site;

    fn sites(&self) -> Vec<Site> {
        self.engine
            .sites()
            .iter()
            .map(|name| self.engine.site(name).unwrap())
            .collect()
    }

    async fn settled(&self) {
        self.engine.settled().await;
    }

    fn set_isolated(&self, site: usize, isolated: bool) -> bool {
        let name = &self.engine.sites()[site];
        for other in self.engine.sites().iter().filter(|other| *other != name) {
            if isolated {
                self.engine.cut(name, other, Direction::Both).unwrap();
            } else {
                self.engine.heal(name, other, Direction::Both).unwrap();
            }
        }
        true
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.engine.advance(id, lock_ref).await.unwrap();
        true
    }

    async fn restart(&self, site: usize) -> bool {
        let name = &self.engine.sites()[site];
        self.engine.stop(name).unwrap();
        for _ in 0..site * 10 {
            tokio::task::yield_now().await;
        }
        self.engine.start(name).unwrap();
        true
    }

    /// A replica writes its copy of the queue twice for each transaction, which
    /// takes a development build minutes where there are so many.
    fn waiters(&self) -> usize {
        if cfg!(debug_assertions) {
            2_000
        } else {
            10_000
        }
    }
}

mod in_memory {
    use super::*;

    crate::conformance_tests!(async { Deployment::open(Duration::ZERO, false) });
}

mod on_disk {
    use super::*;

    crate::conformance_tests!(async { Deployment::open(Duration::ZERO, true) });
}

mod with_delay {
    use super::*;

    crate::conformance_tests!(async { Deployment::open(Duration::from_millis(3), false) });
}
