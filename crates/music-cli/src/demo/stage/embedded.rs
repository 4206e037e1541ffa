//! Sites of the embedded engine.

use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use tempfile::TempDir;

use super::{LEASE, Site};
use crate::demo::error::Error;
use crate::failure::Failure;

/// A deployment with an engine of its own.
pub(super) struct Embedded {
    deployment: Deployment,
    profile: String,
    /// Removed when it is dropped, after the deployment has ended.
    _data: TempDir,
}

impl Embedded {
    /// Starts a deployment.
    pub(super) async fn open(profile: &str, sites: Option<usize>) -> Result<Self, Failure> {
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
        Ok(Self {
            deployment: Box::pin(Deployment::start(config)).await?,
            profile: profile.to_owned(),
            _data: data,
        })
    }

    pub(super) fn sites(&self) -> Vec<Site> {
        let nodes = self.deployment.nodes().into_iter();
        let site = nodes.map(|node| Site {
            name: node.site,
            node: node.name,
            url: node.url,
        });
        site.collect()
    }

    pub(super) fn profile(&self) -> &str {
        &self.profile
    }

    pub(super) async fn close(self) {
        self.deployment.shutdown().await;
    }

    /// Cuts all links of a site, or heals them.
    pub(super) fn set_cut(&self, site: &str, cut: bool) -> Result<(), Error> {
        Ok(self.deployment.set_site_cut(site, cut)?)
    }

    pub(super) async fn kill(&self, node: &str) -> Result<(), Error> {
        Ok(self.deployment.kill(node).await?)
    }

    pub(super) async fn start(&self, node: &str) -> Result<(), Error> {
        Ok(self.deployment.start_node(node).await?)
    }
}
