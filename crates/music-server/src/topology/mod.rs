//! The engines, and the sites and links of a deployment as they know them.

mod embedded;
mod monitor;
mod services;

use std::time::Duration;

use music_api::status::{LinkStatus, ServerStatus, SiteStatus};
use music_store::embedded::profile::ProfileError;
use music_store::embedded::{NoSuchSite, OpenError};
use music_store::engine::{LockEngine, StateEngine};
use music_store::{cassandra, connect};

pub(crate) use self::embedded::{Embedded, first_sites, profile};
pub(crate) use self::services::Services;
use crate::config::{Config, EngineConfig};

/// How long to wait between tries to reach an engine that does not answer.
const REACH_PAUSE: Duration = Duration::from_secs(2);

/// Why an engine does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The embedded engine refuses.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The profile is none.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The profile has fewer sites than asked for.
    #[error("the profile {profile} has {has} sites, not {wanted}: choose a larger one")]
    TooManySites {
        /// The profile's name.
        profile: String,
        /// How many sites it has.
        has: usize,
        /// How many were asked for.
        wanted: usize,
    },
    /// There is no such site.
    #[error(transparent)]
    NoSuchSite(#[from] NoSuchSite),
    /// Cassandra cannot be used.
    #[error(transparent)]
    Cassandra(#[from] cassandra::OpenError),
    /// The lock queues' service cannot be used.
    #[error(transparent)]
    Locks(#[from] connect::ConnectError),
}

impl EngineError {
    /// Whether the same may succeed later, without anybody mending it here.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Cassandra(error) => error.is_retryable(),
            Self::Locks(error) => error.is_retryable(),
            _ => false,
        }
    }
}

/// The engines of a node; clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) enum Topology {
    /// All in this process.
    Embedded(Embedded),
    /// Services of their own.
    Services(Services),
}

impl Topology {
    /// Opens the engines of a configuration; waits for services that do not
    /// answer yet. Must be called within a runtime.
    pub(crate) async fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        match config {
            EngineConfig::Embedded(config) => Ok(Self::Embedded(Embedded::open(config).await?)),
            EngineConfig::Services(config) => loop {
                match Services::connect(config).await {
                    Err(error) if error.is_retryable() => {
                        tracing::warn!(%error, "this node serves when its engine answers");
                        tokio::time::sleep(REACH_PAUSE).await;
                    }
                    opened => return Ok(Self::Services(opened?)),
                }
            },
        }
    }

    /// The two ports of a node's site.
    pub(crate) fn ports(&self, config: &Config) -> Result<(StateEngine, LockEngine), NoSuchSite> {
        match self {
            Self::Embedded(embedded) => embedded.site(&config.site),
            Self::Services(services) => Ok(services.ports()),
        }
    }

    /// The engines' name: that of the state, and that of the locks if it is
    /// another.
    pub(crate) fn engine(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::Services(services) => services.name(),
        }
    }

    /// The sites.
    pub(crate) fn sites(&self) -> Vec<SiteStatus> {
        match self {
            Self::Embedded(embedded) => embedded.sites(),
            Self::Services(services) => services.sites(),
        }
    }

    /// The links between sites, each pair once; those that are known.
    pub(crate) fn links(&self) -> Vec<LinkStatus> {
        match self {
            Self::Embedded(embedded) => embedded.links(),
            Self::Services(services) => services.links(),
        }
    }

    /// The servers of engines that are services of their own.
    pub(crate) fn servers(&self) -> Vec<ServerStatus> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Services(services) => services.servers(),
        }
    }

    /// Whether the replica of the node's site runs.
    pub(crate) fn is_running(&self, site: &str) -> bool {
        match self {
            Self::Embedded(embedded) => embedded.is_running(site),
            Self::Services(services) => services.is_running(),
        }
    }
}
