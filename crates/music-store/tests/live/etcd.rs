//! The conformance suite on three members of etcd.

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;
use music_store::Error;
use music_store::etcd::{Etcd, EtcdConfig};

use super::deployment::{Advance, Deployment, endpoints, fresh_name};

impl Advance for Etcd {
    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        Self::advance(self, id, lock_ref).await
    }
}

/// One view a site, below a prefix of their own.
pub(crate) async fn views() -> Vec<Etcd> {
    let prefix = format!("{}/", fresh_name());
    let mut views = Vec::new();
    for site in 0..3 {
        let config = EtcdConfig {
            endpoints: endpoints(site, "http://", 2379),
            prefix: prefix.clone(),
            patience: Duration::from_secs(10),
            ..EtcdConfig::default()
        };
        views.push(Etcd::connect(config).await.unwrap());
    }
    views
}

music_store::conformance_tests!(async { Deployment::new(views().await) });
