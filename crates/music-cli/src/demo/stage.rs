//! The sites of the demonstration: a deployment of its own, and its controls.

use std::time::Duration;

use music_client::{Client, Options};
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use tempfile::TempDir;

use crate::demo::error::Error;
use crate::failure::Failure;

/// How long a node, or a worker, may go unheard. Short, so that others need
/// not wait long for the dead.
pub(crate) const LEASE: Duration = Duration::from_millis(1500);

/// The sites.
pub(crate) struct Stage {
    deployment: Deployment,
    profile: String,
    sites: Vec<Site>,
    /// Removed when it is dropped, after the deployment has ended.
    _data: TempDir,
}

/// A site and its node.
struct Site {
    name: String,
    node: String,
    url: String,
}

impl Stage {
    /// Starts a deployment.
    pub(crate) async fn open(profile: &str, sites: Option<usize>) -> Result<Self, Failure> {
        let data = tempfile::Builder::new().prefix("music-demo-").tempdir();
        let data = data.map_err(Failure::Temporary)?;
        let lease = Lease::new(LEASE);
        let config = DevConfig {
            sites,
            dir: Some(data.path().to_owned()),
            base_port: 0,
            node_lease: lease,
            client_lease: lease,
            tables: Vec::new(),
            ..DevConfig::new(profile)
        };
        let deployment = Box::pin(Deployment::start(config)).await?;
        let nodes = deployment.nodes().into_iter();
        let sites = nodes.map(|node| Site {
            name: node.site,
            node: node.name,
            url: node.url,
        });
        Ok(Self {
            sites: sites.collect(),
            profile: profile.to_owned(),
            deployment,
            _data: data,
        })
    }

    /// Ends the deployment, and removes its files.
    pub(crate) async fn close(self) {
        self.deployment.shutdown().await;
    }

    /// The profile of delays.
    pub(crate) fn profile(&self) -> &str {
        &self.profile
    }

    /// The sites, in the profile's order.
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

    /// Cuts all links of a site, or heals them.
    pub(crate) fn set_cut(&self, site: &str, cut: bool) -> Result<(), Error> {
        Ok(self.deployment.set_site_cut(site, cut)?)
    }

    /// Ends a node, as SIGKILL would.
    pub(crate) async fn kill(&self, node: &str) -> Result<(), Error> {
        Ok(self.deployment.kill(node).await?)
    }

    /// Starts a node that was killed.
    pub(crate) async fn start(&self, node: &str) -> Result<(), Error> {
        Ok(self.deployment.start_node(node).await?)
    }
}
