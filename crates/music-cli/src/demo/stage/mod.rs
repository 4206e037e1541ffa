//! The sites of the demonstration: a deployment of its own, and its controls.

mod embedded;
mod services;

use std::path::Path;
use std::time::Duration;

use music_client::{Client, Options};

use self::embedded::Embedded;
pub(crate) use self::services::EngineName;
use self::services::Services;
use crate::demo::error::Error;
use crate::failure::Failure;

/// How long a node, or a worker, may go unheard. Short, so that others need
/// not wait long for the dead.
pub(crate) const LEASE: Duration = Duration::from_millis(1500);

/// The sites.
pub(crate) struct Stage {
    scenery: Scenery,
    sites: Vec<Site>,
}

/// What the sites are made of.
enum Scenery {
    Embedded(Embedded),
    Services(Services),
}

/// A site and its node.
struct Site {
    name: String,
    node: String,
    url: String,
}

impl Stage {
    /// Starts a deployment in this process, engine and all.
    pub(crate) async fn embedded(profile: &str, sites: Option<usize>) -> Result<Self, Failure> {
        let embedded = Embedded::open(profile, sites).await?;
        Ok(Self {
            sites: embedded.sites(),
            scenery: Scenery::Embedded(embedded),
        })
    }

    /// Starts nodes in this process, on engines that run elsewhere.
    pub(crate) async fn services(
        engine: EngineName,
        config: Option<&Path>,
    ) -> Result<Self, Failure> {
        let services = Services::open(engine, config).await?;
        Ok(Self {
            sites: services.sites(),
            scenery: Scenery::Services(services),
        })
    }

    /// Ends the deployment, and removes its files.
    pub(crate) async fn close(self) {
        match self.scenery {
            Scenery::Embedded(embedded) => embedded.close().await,
            Scenery::Services(services) => services.close().await,
        }
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &str {
        match &self.scenery {
            Scenery::Embedded(_) => EngineName::Embedded.as_str(),
            Scenery::Services(services) => services.engine().as_str(),
        }
    }

    /// The profile of delays; those of the network where `None`.
    pub(crate) fn profile(&self) -> Option<&str> {
        match &self.scenery {
            Scenery::Embedded(embedded) => Some(embedded.profile()),
            Scenery::Services(_) => None,
        }
    }

    /// What the sites are made of, for people.
    pub(crate) fn title(&self) -> String {
        match self.profile() {
            Some(profile) => format!("{profile} delays"),
            None => format!("engine {}", self.engine()),
        }
    }

    /// The sites, in the order of the profile or of their names.
    pub(crate) fn sites(&self) -> Vec<String> {
        self.sites.iter().map(|site| site.name.clone()).collect()
    }

    /// The node of a site; empty for no site of this deployment.
    pub(crate) fn node_of(&self, site: &str) -> &str {
        let site = self.sites.iter().find(|known| known.name == site);
        site.map_or("", |site| site.node.as_str())
    }

    /// A client of the node of a site and of no other, as of a program that
    /// is cut off with its site.
    pub(crate) fn client_at(&self, site: &str) -> Result<Client, Failure> {
        self.client(|known| known.name == site, |_| true)
    }

    /// A client that prefers the node of a site.
    pub(crate) fn client_near(&self, site: &str) -> Result<Client, Failure> {
        self.client(|_| true, |known| known.name != site)
    }

    /// A client that asks the node of this site after all others.
    pub(crate) fn client_besides(&self, site: &str) -> Result<Client, Failure> {
        self.client(|_| true, |known| known.name == site)
    }

    fn client(
        &self,
        is_asked: impl Fn(&Site) -> bool,
        is_later: impl Fn(&Site) -> bool,
    ) -> Result<Client, Failure> {
        let mut sites: Vec<&Site> = self.sites.iter().filter(|site| is_asked(site)).collect();
        sites.sort_by_key(|site| is_later(site));
        let options = Options {
            lease: LEASE,
            ..Options::default()
        };
        Ok(Client::new(
            sites.iter().map(|site| site.url.clone()),
            options,
        )?)
    }

    /// Cuts a site off from the others, or ends that.
    pub(crate) fn set_cut(&self, site: &str, cut: bool) -> Result<(), Error> {
        match &self.scenery {
            Scenery::Embedded(embedded) => embedded.set_cut(site, cut),
            Scenery::Services(services) => {
                services.set_cut(site, cut);
                Ok(())
            }
        }
    }

    /// Ends a node, as SIGKILL would.
    pub(crate) async fn kill(&self, node: &str) -> Result<(), Error> {
        match &self.scenery {
            Scenery::Embedded(embedded) => embedded.kill(node).await,
            Scenery::Services(services) => {
                services.kill(node).await;
                Ok(())
            }
        }
    }

    /// Starts a node that was killed.
    pub(crate) async fn start(&self, node: &str) -> Result<(), Error> {
        match &self.scenery {
            Scenery::Embedded(embedded) => embedded.start(node).await,
            Scenery::Services(services) => services.start(node).await,
        }
    }
}
