//! The conformance suite on three servers of ZooKeeper.

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;
use music_store::Error;
use music_store::zookeeper::{ZooKeeper, ZooKeeperConfig};

use super::deployment::{Advance, Deployment, endpoints, fresh_name};

impl Advance for ZooKeeper {
    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        Self::advance(self, id, lock_ref).await
    }
}

/// One view a site, below a znode of their own.
pub(crate) async fn views() -> Vec<ZooKeeper> {
    let root = format!("/music/{}", fresh_name());
    let mut views = Vec::new();
    for site in 0..3 {
        let config = ZooKeeperConfig {
            endpoints: endpoints(site, "", 2181),
            root: root.clone(),
            patience: Duration::from_secs(10),
            ..ZooKeeperConfig::default()
        };
        views.push(ZooKeeper::connect(config).await.unwrap());
    }
    views
}

music_store::conformance_tests!(async { Deployment::new(views().await) });
