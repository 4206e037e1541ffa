//! Which engine: chosen by the configuration, one `match` away.

use std::sync::Arc;

use music_core::id::{Key, RecordId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use tokio::sync::{broadcast, mpsc};

use crate::fault::{Faults, Faulty};
use crate::memory::MemorySite;
use crate::{
    Applied, Error, Hint, Level, LockStore, Look, ScanRange, StateStore, Table, TableMode,
    TableName, embedded,
};

/// One site's view of the configured state store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StateEngine {
    /// A site of this process.
    Embedded(embedded::Site),
    /// The same, with faults.
    FaultyEmbedded(Faulty<embedded::Site>),
    /// The reference engine.
    Memory(MemorySite),
    /// The same, with faults.
    FaultyMemory(Faulty<MemorySite>),
    /// A Cassandra cluster, as the site's nodes see it.
    #[cfg(feature = "cassandra")]
    Cassandra(crate::cassandra::Cassandra),
    /// The same, with faults.
    #[cfg(feature = "cassandra")]
    FaultyCassandra(Faulty<crate::cassandra::Cassandra>),
    /// Over a network that fails, under one seed.
    #[cfg(feature = "simulation")]
    Simulated(crate::simulated::Site),
}

/// One site's view of the configured lock store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LockEngine {
    /// A site of this process.
    Embedded(embedded::Site),
    /// The same, with faults.
    FaultyEmbedded(Faulty<embedded::Site>),
    /// The reference engine.
    Memory(MemorySite),
    /// The same, with faults.
    FaultyMemory(Faulty<MemorySite>),
    /// A Cassandra cluster, as the site's nodes see it.
    #[cfg(feature = "cassandra")]
    Cassandra(crate::cassandra::Cassandra),
    /// The same, with faults.
    #[cfg(feature = "cassandra")]
    FaultyCassandra(Faulty<crate::cassandra::Cassandra>),
    /// Over a network that fails, under one seed.
    #[cfg(feature = "simulation")]
    Simulated(crate::simulated::Site),
    /// Queues in etcd.
    #[cfg(feature = "etcd")]
    Etcd(crate::etcd::Etcd),
    /// The same, with faults.
    #[cfg(feature = "etcd")]
    FaultyEtcd(Faulty<crate::etcd::Etcd>),
    /// Queues in ZooKeeper.
    #[cfg(feature = "zookeeper")]
    ZooKeeper(crate::zookeeper::ZooKeeper),
    /// The same, with faults.
    #[cfg(feature = "zookeeper")]
    FaultyZooKeeper(Faulty<crate::zookeeper::ZooKeeper>),
}

/// Does the same with whichever engine it is. What a service of its own is
/// asked goes into a box: its driver's futures are large, and deeply nested.
macro_rules! with {
    ($self:expr, $engine:ident => await $call:expr) => {
        with!(@ $self, $engine => $call.await, Box::pin($call).await)
    };
    ($self:expr, $engine:ident => $call:expr) => {
        with!(@ $self, $engine => $call, $call)
    };
    (@ $self:expr, $engine:ident => $here:expr, $there:expr) => {
        match $self {
            Self::Embedded($engine) => $here,
            Self::FaultyEmbedded($engine) => $here,
            Self::Memory($engine) => $here,
            Self::FaultyMemory($engine) => $here,
            #[cfg(feature = "cassandra")]
            Self::Cassandra($engine) => $there,
            #[cfg(feature = "cassandra")]
            Self::FaultyCassandra($engine) => $there,
            #[cfg(feature = "simulation")]
            Self::Simulated($engine) => $here,
        }
    };
}

/// The same for engines that are a lock store, and those that are both.
macro_rules! with_locks {
    ($self:expr, $engine:ident => await $call:expr) => {
        with_locks!(@ $self, $engine => $call.await, Box::pin($call).await)
    };
    ($self:expr, $engine:ident => $call:expr) => {
        with_locks!(@ $self, $engine => $call, $call)
    };
    (@ $self:expr, $engine:ident => $here:expr, $there:expr) => {
        match $self {
            Self::Embedded($engine) => $here,
            Self::FaultyEmbedded($engine) => $here,
            Self::Memory($engine) => $here,
            Self::FaultyMemory($engine) => $here,
            #[cfg(feature = "cassandra")]
            Self::Cassandra($engine) => $there,
            #[cfg(feature = "cassandra")]
            Self::FaultyCassandra($engine) => $there,
            #[cfg(feature = "simulation")]
            Self::Simulated($engine) => $here,
            #[cfg(feature = "etcd")]
            Self::Etcd($engine) => $there,
            #[cfg(feature = "etcd")]
            Self::FaultyEtcd($engine) => $there,
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper($engine) => $there,
            #[cfg(feature = "zookeeper")]
            Self::FaultyZooKeeper($engine) => $there,
        }
    };
}

impl LockEngine {
    /// How many rounds a command takes that no other gets in the way of; a
    /// peek and a release take one.
    pub fn command_rounds(&self) -> u8 {
        match self {
            Self::Embedded(_) | Self::FaultyEmbedded(_) => 2,
            Self::Memory(_) | Self::FaultyMemory(_) => 1,
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) | Self::FaultyCassandra(_) => 2,
            #[cfg(feature = "simulation")]
            Self::Simulated(_) => 2,
            #[cfg(feature = "etcd")]
            Self::Etcd(_) | Self::FaultyEtcd(_) => 1,
            #[cfg(feature = "zookeeper")]
            Self::ZooKeeper(_) | Self::FaultyZooKeeper(_) => 1,
        }
    }
}

macro_rules! from {
    ($engine:ty, $variant:ident) => {
        impl From<$engine> for StateEngine {
            fn from(engine: $engine) -> Self {
                Self::$variant(engine)
            }
        }

        impl From<$engine> for LockEngine {
            fn from(engine: $engine) -> Self {
                Self::$variant(engine)
            }
        }
    };
}

from!(embedded::Site, Embedded);
from!(Faulty<embedded::Site>, FaultyEmbedded);
from!(MemorySite, Memory);
from!(Faulty<MemorySite>, FaultyMemory);
#[cfg(feature = "cassandra")]
from!(crate::cassandra::Cassandra, Cassandra);
#[cfg(feature = "simulation")]
from!(crate::simulated::Site, Simulated);

#[cfg(feature = "etcd")]
impl From<crate::etcd::Etcd> for LockEngine {
    fn from(engine: crate::etcd::Etcd) -> Self {
        Self::Etcd(engine)
    }
}

#[cfg(feature = "zookeeper")]
impl From<crate::zookeeper::ZooKeeper> for LockEngine {
    fn from(engine: crate::zookeeper::ZooKeeper) -> Self {
        Self::ZooKeeper(engine)
    }
}

/// Every engine but the simulated one, whose faults are its own, can be given
/// faults.
macro_rules! faulty {
    ($port:ident: $($(#[$feature:meta])? $sound:ident => $faulty:ident,)*) => {
        impl $port {
            /// The same with faults; one that has some already, or is
            /// simulated, as it is.
            #[must_use]
            pub fn faulty(self, faults: Faults) -> Self {
                match self {
                    $($(#[$feature])? Self::$sound(engine) => {
                        Self::$faulty(Faulty::new(engine, faults))
                    })*
                    other => other,
                }
            }
        }
    };
}

faulty! { StateEngine:
    Embedded => FaultyEmbedded,
    Memory => FaultyMemory,
    #[cfg(feature = "cassandra")] Cassandra => FaultyCassandra,
}

faulty! { LockEngine:
    Embedded => FaultyEmbedded,
    Memory => FaultyMemory,
    #[cfg(feature = "cassandra")] Cassandra => FaultyCassandra,
    #[cfg(feature = "etcd")] Etcd => FaultyEtcd,
    #[cfg(feature = "zookeeper")] ZooKeeper => FaultyZooKeeper,
}

impl LockEngine {
    /// Whether it tells of changes that other nodes make, as soon as it hears of
    /// them itself.
    pub fn has_watches(&self) -> bool {
        match self {
            #[cfg(feature = "cassandra")]
            Self::Cassandra(_) | Self::FaultyCassandra(_) => false,
            Self::FaultyEmbedded(engine) => !engine.faults().is_deaf(),
            Self::FaultyMemory(engine) => !engine.faults().is_deaf(),
            #[cfg(feature = "simulation")]
            Self::Simulated(site) => site.has_watches(),
            _ => true,
        }
    }
}

impl StateStore for StateEngine {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        with!(self, engine => await engine.write(id, change, level))
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        with!(self, engine => await engine.read(id, level))
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        with!(self, engine => await engine.scan(range))
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        with!(self, engine => await engine.create_table(name, mode))
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        with!(self, engine => await engine.drop_table(name))
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        with!(self, engine => engine.table(name))
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        with!(self, engine => engine.table_by_id(id))
    }

    fn tables(&self) -> Vec<Table> {
        with!(self, engine => engine.tables())
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        with!(self, engine => engine.changes())
    }
}

impl LockStore for LockEngine {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        with_locks!(self, engine => await engine.apply(id, command))
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        with_locks!(self, engine => await engine.peek(id))
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        with_locks!(self, engine => await engine.release(id, holding))
    }

    fn watch(&self, id: &RecordId) {
        with_locks!(self, engine => engine.watch(id));
    }

    fn unwatch(&self, id: &RecordId) {
        with_locks!(self, engine => engine.unwatch(id));
    }

    fn glance(&self, id: &RecordId) -> bool {
        with_locks!(self, engine => engine.glance(id))
    }

    async fn look(&self, id: &RecordId, own: SessionId) -> Option<Look> {
        with_locks!(self, engine => await LockStore::look(engine, id, own))
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        with_locks!(self, engine => engine.hints())
    }
}
